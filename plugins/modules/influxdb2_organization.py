#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_organization
short_description: Organizations of InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes organizations, any number of them in one task.
  - Removing an organization removes its buckets with their data, tokens, tasks and everything else.
  - Needs an operator token. An organization that the token may not see is a failure, not absence.

extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  organizations:
    description: The organizations.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The organization's name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      description:
        description: What it is for. Not given, it stays as it is.
        type: str
"""

EXAMPLES = r"""
- name: Make an organization for a second plant
  edgestack.iot.influxdb2_organization:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organizations:
      - {name: plant-2, description: The plant at the river}
"""

RETURN = r"""
organizations:
  description: The organizations that are there, with name, id and description. Check mode has what was there.
  returned: success
  type: list
  elements: dict
actions:
  description: What was done (in check mode, would be done), with action, kind and name.
  returned: success
  type: list
  elements: dict
fault:
  description: The request that failed, with kind, method, url, status, code, message, hint and attempts.
  returned: when a request failed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import accounts
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organizations": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "description": {"type": "str"},
                },
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            accounts.Organization(name=item["name"], description=item["description"], present=item["state"] == "present") for item in params["organizations"]
        ]
        client = connect(params)
        try:
            outcome = accounts.organizations(client, wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
