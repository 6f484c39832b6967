#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_user
short_description: Users of InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes users, any number of them in one task, with their passwords and their roles in organizations.
  - A password cannot be read from InfluxDB. It is tried by signing in, and set when it is not the one.
  - Removing a user removes the tokens that it made. Needs an operator token.
  - InfluxDB 2.9.1 lets an inactive user sign in; only its tokens are refused. To keep somebody out, remove the user.

extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  users:
    description: The users.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      status:
        description: Whether the user's tokens are accepted.
        type: str
        choices: [active, inactive]
        default: active
      password:
        description: The password, 8 to 72 characters. Not given, it stays as it is.
        type: str
      update_password:
        description: V(always) sets a password that is not the one; V(on_create) sets it only on what is new.
        type: str
        choices: [always, on_create]
        default: always
      roles:
        description: Roles in organizations; those in others stay as they are.
        type: list
        elements: dict
        default: []
        suboptions:
          organization:
            description: Name of the organization.
            type: str
            required: true
          role:
            description: The role. V(none) takes the user out of the organization.
            type: str
            choices: [member, owner, none]
            default: member
"""

EXAMPLES = r"""
- name: Let an operator of the plant in
  edgestack.iot.influxdb2_user:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    users:
      - name: alice
        password: "{{ lookup('edgestack.iot.secret', 'influxdb_password_alice') }}"
        roles:
          - {organization: edgestack, role: member}
"""

RETURN = r"""
users:
  description: The users that are there, with name and id. Check mode has what was there.
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
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "status": {"type": "str", "choices": ["active", "inactive"], "default": "active"},
                    "password": {"type": "str", "no_log": True},
                    "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
                    "roles": {
                        "type": "list",
                        "elements": "dict",
                        "default": [],
                        "options": {
                            "organization": {"type": "str", "required": True},
                            "role": {"type": "str", "choices": ["member", "owner", "none"], "default": "member"},
                        },
                    },
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
            accounts.User(
                name=item["name"],
                active=item["status"] == "active",
                password=item["password"],
                keep_password=item["update_password"] == "on_create",  # noqa: S105
                roles={one["organization"]: one["role"] for one in item["roles"]},
                present=item["state"] == "present",
            )
            for item in params["users"]
        ]
        client = connect(params, secrets=[item["password"] for item in params["users"]])
        try:
            outcome = accounts.users(client, wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
