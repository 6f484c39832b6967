#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: device_info
short_description: How the devices stand
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Reads the list of devices, and what the controller has of each, as data and as a table.
  - Runs in the controller's process only, and contacts no host.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
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
  show:
    description: At most so many devices in RV(devices) and RV(table).
    type: int
    default: 100
  print_table:
    description: Prints RV(table), whatever the callback.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Print how the devices stand
  edgestack.iot.device_info:
    devices_file: devices.csv
    path: "{{ inventory_dir }}/devices"
    print_table: true
"""

RETURN = r"""
total:
  description: Number of devices in the list.
  returned: success
  type: int
devices:
  description:
    - Of each device C(id), C(profile), C(site), C(auth), C(state) (with revocations by command), C(certificate_ends) and
      C(password_made) (dates, empty where there is none), and C(pending), the brokers that do not know yet that it is revoked.
  returned: success
  type: list
  elements: dict
  sample: [{"id": "plug-1", "profile": "sonoff_pow", "site": "main", "auth": "password", "state": "present", "certificate_ends": "",
    "password_made": "2026-03-01", "pending": []}]
pending:
  description: As RV(edgestack.iot.device_revocations#module:pending), also of devices that are not in the list any more.
  returned: success
  type: list
  elements: dict
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
            "devices": {"type": "list", "elements": "dict", "default": []},
            "devices_file": {"type": "str", "default": ""},
            "site": {"type": "str", "default": ""},
            "profiles_dir": {"type": "path"},
            "path": {"type": "path", "required": True},
            "show": {"type": "int", "default": 100},
            "print_table": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module runs by its action plugin only")


if __name__ == "__main__":
    main()
