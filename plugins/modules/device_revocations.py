#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: device_revocations
short_description: Which brokers have not been told yet that a device is revoked
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Notes on the controller, in O(path), which brokers have to be told of which revoked devices, before any of them is contacted.
    M(edgestack.iot.device_registry) takes a note away when its broker knows. So a broker that can't be reached keeps its revocations
    pending; each is a warning at every run, at its end.
  - Revokes and readmits devices by command, beside the list. Such a revocation stays until it is taken back with O(readmit).
  - A revoked device's password is thrown away and its certificates are recorded as revoked. When it is present again, it gets new ones.
  - Runs in the controller's process only, and contacts no host.
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
  brokers:
    description: All brokers, as names of hosts, and the site of each.
    type: dict
    required: true
  revoke:
    description: Devices of the list to revoke, whatever the list says of them.
    type: list
    elements: str
    default: []
  readmit:
    description: Devices whose revocation by O(revoke) is taken back.
    type: list
    elements: str
    default: []
  telling:
    description: Brokers that this run goes on to tell. What is pending for them is printed as what is to be done, and is no warning yet.
    type: list
    elements: str
    default: []
  fail_pending:
    description: Fails while revocations are pending.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Revoke a plug that was stolen
  edgestack.iot.device_revocations:
    devices_file: devices.csv
    path: "{{ inventory_dir }}/devices"
    brokers: {centre: main, gateway-1: north}
    revoke: [plug-1]
"""

RETURN = r"""
changes:
  description: What was noted, at most 50.
  returned: success
  type: list
  elements: str
pending:
  description: What brokers have not been told yet.
  returned: success
  type: list
  elements: dict
  contains:
    device:
      description: The device.
      type: str
      returned: success
    broker:
      description: The host of the broker.
      type: str
      returned: success
    since:
      description: Since when.
      type: str
      returned: success
by_command:
  description: Devices that are revoked by command.
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
            "brokers": {"type": "dict", "required": True},
            "revoke": {"type": "list", "elements": "str", "default": []},
            "readmit": {"type": "list", "elements": "str", "default": []},
            "telling": {"type": "list", "elements": "str", "default": []},
            "fail_pending": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="this module runs by its action plugin only")


if __name__ == "__main__":
    main()
