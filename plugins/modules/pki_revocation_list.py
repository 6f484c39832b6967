#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki_revocation_list
short_description: The authority's revocation list
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Records certificates as revoked in the authority's index, and signs C(crl.pem) in its directory, in PEM, one list after the other for
    every generation that is trusted.
  - The list is an addition. What refuses a revoked device at once are its rows in the broker's database (M(edgestack.iot.device_registry)).
  - A list that is not made anew locks everyone out when it ends. So every run makes it anew that finds one of yesterday or before, and
    the result says how many days are left.
  - A revocation can't be taken back. A device that is present again gets a new key and certificate.
  - Runs in the controller's process only.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.action
  - edgestack.iot.pki.authority
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A list that is signed again with a later end is a change only when other certificates or authorities are in it.
options:
  valid_days:
    description: How long the list is valid.
    type: int
    default: 30
  revoked:
    description:
      - Further certificates to revoke. Those of devices with C(state=revoked) are recorded by M(edgestack.iot.pki_device_certificates).
    type: list
    elements: dict
    default: []
    suboptions:
      device:
        description: All certificates with this common name that have not ended.
        type: str
      serial:
        description: The certificate with this serial number (hexadecimal, also with colons). It must be in the authority's index.
        type: str
      certificate:
        description: A file with the certificate, on the controller.
        type: path
      reason:
        description: Why.
        type: str
        choices: [unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn]
        default: unspecified
seealso:
  - module: edgestack.iot.pki_info
"""

EXAMPLES = r"""
- name: Revoke the certificates of a device, and another one
  edgestack.iot.pki_revocation_list:
    authority_dir: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    revoked:
      - {device: sensor-17, reason: keyCompromise}
      - serial: 3f:a1:00:9c
"""

RETURN = r"""
path:
  description: The file with the lists.
  returned: success
  type: str
serials:
  description: Serial numbers of the certificates that are revoked and have not ended.
  returned: success
  type: list
  elements: str
days_left:
  description: Days until the list ends. In check mode, of the list that is there.
  returned: success
  type: int
next_update:
  description: When it ends.
  returned: success
  type: str
  sample: "2026-03-31T12:00:00Z"
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "authority_dir": {"type": "path", "required": True},
            "passphrase": {"type": "str", "no_log": True},
            "valid_days": {"type": "int", "default": 30},
            "revoked": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "mutually_exclusive": [("device", "serial", "certificate")],
                "required_one_of": [("device", "serial", "certificate")],
                "options": {
                    "device": {"type": "str"},
                    "serial": {"type": "str"},
                    "certificate": {"type": "path"},
                    "reason": {
                        "type": "str",
                        "default": "unspecified",
                        "choices": [
                            "unspecified",
                            "keyCompromise",
                            "affiliationChanged",
                            "superseded",
                            "cessationOfOperation",
                            "privilegeWithdrawn",
                        ],
                    },
                },
            },
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module runs by its action plugin only")


if __name__ == "__main__":
    main()
