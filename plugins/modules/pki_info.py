#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki_info
short_description: What the authority has issued, and what ends soon
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Reads the authority's certificate, index and revocation list on the controller, for alerts and for people.
  - Needs no passphrase. Runs in the controller's process only.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
  - edgestack.iot.attributes.action
options:
  authority_dir:
    description: The authority's directory on the controller, relative to the playbook.
    type: path
    required: true
  within_days:
    description: What ends within so many days is in RV(expiring).
    type: int
    default: 30
  show:
    description: At most so many certificates in RV(certificates) and RV(table). Those that end first come first.
    type: int
    default: 50
  print_table:
    description: Prints RV(table), whatever the callback.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Fail when something ends within two weeks
  edgestack.iot.pki_info:
    authority_dir: "{{ inventory_dir }}/pki"
    within_days: 14
  register: pki
  failed_when: pki.failed | default(false) or pki.expiring
"""

RETURN = r"""
authority:
  description:
    - The authority's certificate, with the keys of RV(edgestack.iot.pki_certificate#module:certificate), C(generation), C(days_left),
      and C(trusted), a list of the roots that are trusted, each with C(subject) and C(not_after).
  returned: success
  type: dict
counts:
  description: Number of certificates that are C(issued), C(revoked) and C(expired), and of C(damaged) lines of the index.
  returned: success
  type: dict
  sample: {issued: 12, revoked: 1, expired: 3, damaged: 0}
expiring:
  description: The latest certificate of each subject that ends within O(within_days), or has ended, and is not revoked.
  returned: success
  type: list
  elements: dict
  sample: [{"subject": "CN=plug-1", "serial": "3fa1", "profile": "client", "issuer": "CN=Example CA", "not_after": "2026-03-01T00:00:00Z",
    "state": "issued", "days_left": 12}]
certificates:
  description: The latest certificate of each subject, at most O(show), with the keys of RV(expiring).
  returned: success
  type: list
  elements: dict
crl:
  description: C(next_update), C(days_left) and the C(revoked) serial numbers of the list. C(days_left) is null when there is none.
  returned: success
  type: dict
table:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "authority_dir": {"type": "path", "required": True},
            "within_days": {"type": "int", "default": 30},
            "show": {"type": "int", "default": 50},
            "print_table": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module runs by its action plugin only")


if __name__ == "__main__":
    main()
