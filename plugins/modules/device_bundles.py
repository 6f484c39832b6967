#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: device_bundles
short_description: What a device needs to connect, in its directory on the controller
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Writes into each device's directory how it connects. C(device.json) is for programs (server, port, topics, client id, names of the
    files with key, certificate and password), C(publish.sh) and C(mosquitto_pub) are for trying it with the program of that name.
  - What is to be pasted or flashed comes from the profile's C(bundle), a list of C(tasmota) (C(tasmota.txt), a backlog for its console; not
    for devices with certificates, which its stock builds do not know), C(esphome) (C(esphome.yaml)), C(arduino) (C(edgestack_device.h)) and
    C(python) (C(publish.py)).
  - Of revoked devices, these files are removed.
  - Keys and certificates come from M(edgestack.iot.pki_device_certificates), passwords from M(edgestack.iot.device_registry).
  - Runs in the controller's process only.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
options:
  devices:
    description: The devices, as for M(edgestack.iot.device_registry).
    type: list
    elements: dict
    default: []
  devices_file:
    description: A YAML or CSV file with devices on the controller. Is added to O(devices).
    type: str
    default: ""
  site:
    description: Only the devices of this site; all of them when empty.
    type: str
    default: ""
  profiles_dir:
    description: Directory on the controller with the site's own profiles.
    type: path
  path:
    description: Directory of the devices' directories on the controller.
    type: path
    required: true
  server:
    description: Name or address of the broker.
    type: str
    required: true
  port:
    description: Port of devices with certificates.
    type: int
    default: 8883
  password_port:
    description: Port of devices without certificates; 0 when there is none.
    type: int
    default: 0
  password_tls:
    description: Whether O(password_port) speaks TLS.
    type: bool
    default: false
  ca_file:
    description: The authority's certificate, for devices without a certificate that connect with TLS.
    type: path
"""

EXAMPLES = r"""
- name: How the devices of this site connect
  edgestack.iot.device_bundles:
    devices_file: devices.csv
    site: main
    path: "{{ inventory_dir }}/devices"
    server: broker.iot.internal
"""

RETURN = r"""
path:
  description: Directory of the devices' directories.
  returned: success
  type: str
total:
  description: Number of devices.
  returned: success
  type: int
devices:
  description: Some of the devices of which something was written.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "devices": {"type": "list", "elements": "dict", "default": []},
            "devices_file": {"type": "str", "default": ""},
            "site": {"type": "str", "default": ""},
            "profiles_dir": {"type": "path"},
            "path": {"type": "path", "required": True},
            "server": {"type": "str", "required": True},
            "port": {"type": "int", "default": 8883},
            "password_port": {"type": "int", "default": 0, "no_log": False},
            "password_tls": {"type": "bool", "default": False, "no_log": False},
            "ca_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module runs by its action plugin only")


if __name__ == "__main__":
    main()
