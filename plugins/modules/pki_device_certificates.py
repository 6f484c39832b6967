#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki_device_certificates
short_description: Keys and certificates of many devices at once, on the controller
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Keeps one directory per device with C(device.key), C(device.pem) and C(ca.pem). Only what must change is written, and a device has
    either its old files or the new ones.
  - The certificate's common name is the device's id.
  - An interrupted run is completed by the next one.
  - A device that keeps its key to itself has C(device.csr), a certificate request, in its directory. It gets a certificate for that
    key, and no C(device.key) is made; one that is there is removed.
  - Certificates of a device with C(state=revoked) are recorded as revoked in the authority's index, from which
    M(edgestack.iot.pki_revocation_list) makes its list, and C(device.key) and C(device.pem) are removed from its directory. When the
    device is C(present) again, it gets a new key and certificate.
  - Runs in the controller's process only, on all its cores. All hosts of a play may run it at once.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
  - edgestack.iot.pki.authority
  - edgestack.iot.pki.leaf
options:
  path:
    description: Directory of the devices' directories on the controller, relative to the playbook. It gets a C(.gitignore).
    type: path
    required: true
  devices:
    description:
      - The devices, as the variable C(iot_devices) has them. Of each, C(id), C(key_type), C(auth) and C(state) are read.
      - Devices with C(auth=password), or a C(state) other than C(present), have no certificate. Nothing of theirs is removed.
    type: list
    elements: dict
    default: []
  devices_file:
    description:
      - A file with the devices on the controller, relative to the playbook, also of thousands. YAML or JSON (a list, or a list under
        C(devices) or C(iot_devices)), or CSV with a header.
      - Is added to O(devices).
    type: path
  profile:
    description: What the certificates may be used for.
    type: str
    default: client
    choices: [client, server, server_client]
  valid_days:
    description: How long new certificates are valid; they never outlive their authority. They begin a day in the past.
    type: int
    default: 3650
  show:
    description: Names at most so many changed devices in the result.
    type: int
    default: 50
"""

EXAMPLES = r"""
- name: Certificates of all devices
  edgestack.iot.pki_device_certificates:
    authority_dir: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    path: "{{ inventory_dir }}/devices"
    devices:
      - id: raspberrypi-1
      - {id: gateway-7, key_type: rsa_2048}
    devices_file: devices.csv
"""

RETURN = r"""
total:
  description: Number of devices that have a certificate.
  returned: success
  type: int
issued:
  description: Number of new certificates.
  returned: success
  type: int
adjusted:
  description: Number of devices of which something else was put right.
  returned: success
  type: int
removed:
  description: Revoked devices whose key and certificate were removed from their directory, at most O(show).
  returned: success
  type: list
  elements: str
revoked:
  description: Devices whose certificates were recorded as revoked, at most O(show).
  returned: success
  type: list
  elements: str
devices:
  description: The first changed devices, at most O(show).
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The device.
      type: str
      returned: success
    reasons:
      description: Why it has a new certificate, or what was put right.
      type: list
      elements: str
      returned: success
"""
