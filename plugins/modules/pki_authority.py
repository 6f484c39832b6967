#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki_authority
short_description: The private certificate authority on the controller
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes an authority, or adopts one that exists. The key is encrypted with a passphrase (PKCS#8, 0600), and the directory has a
    C(.gitignore).
  - An authority that is there is never replaced; where it is not as asked for, that is a warning.
  - Whatever fails, nothing is changed then.
  - Runs in the controller's process only. All hosts of a play may run it at once.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
options:
  path:
    description:
      - The authority's directory on the controller, relative to the playbook.
      - The files in it are C(ca.pem), C(ca.key), C(bundle.pem) (what is to be trusted) and C(index.jsonl) (what was issued).
    type: path
    required: true
  state:
    description: The authority is there.
    type: str
    default: present
    choices: [present]
  passphrase:
    description: Encrypts the authority's key.
    type: str
    required: true
  common_name:
    description: The subject's common name.
    type: str
    required: true
  organization:
    description: The subject's organization.
    type: str
  key_type:
    description: Type and size of the key.
    type: str
    default: ecdsa_p256
    choices: [ecdsa_p256, ecdsa_p384, rsa_2048, rsa_3072, rsa_4096]
  valid_days:
    description: How long the authority is valid. Nothing that it issues is valid for longer.
    type: int
    default: 7300
  adopt_certificate:
    description: Certificate of an existing authority, on the controller, to be copied.
    type: path
  adopt_key:
    description: Its key, in PEM format.
    type: path
  adopt_passphrase:
    description: Opens O(adopt_key) when it is encrypted. The copy is encrypted with O(passphrase).
    type: str
"""

EXAMPLES = r"""
- name: Make the authority
  edgestack.iot.pki_authority:
    path: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    common_name: Example IoT CA
    organization: Example

- name: Go on with the authority of an older installation
  edgestack.iot.pki_authority:
    path: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    common_name: Example IoT CA
    adopt_certificate: seguridad/certs/ca.pem
    adopt_key: seguridad/certs/ca.key
"""

RETURN = r"""
path:
  description: The authority's directory.
  returned: success
  type: str
reasons:
  description: Why something was (or would be) changed.
  returned: success
  type: list
  elements: str
certificate:
  description:
    - The authority's certificate. In check mode, when there is none yet, what only the signature brings is empty.
    - The keys are those of RV(edgestack.iot.pki_certificate#module:certificate).
  returned: success
  type: dict
"""
