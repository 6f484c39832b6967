#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_v1_auth
short_description: User names and passwords of InfluxDB 2 for programs that speak InfluxDB 1
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes user names with passwords for the endpoints C(/query) and C(/write) of InfluxDB 1, any number of them in
    one task. Programs that can send a token need none.
  - A password cannot be read from InfluxDB. It is tried, and set when it is not the one. Rights cannot be changed, so a user name with
    other rights is made anew.
  - A token that may not read these user names sees none, which looks like absence; use an operator token.

extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  users:
    description: The user names.
    type: list
    elements: dict
    required: true
    suboptions:
      username:
        description: The user name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      status:
        description: Whether it is accepted. The password of an inactive one is not compared.
        type: str
        choices: [active, inactive]
        default: active
      password:
        description: The password, at least 8 characters; needed with O(users[].state=present).
        type: str
      update_password:
        description: V(always) sets a password that is not the one; V(on_create) sets it only on what is new.
        type: str
        choices: [always, on_create]
        default: always
      read_buckets:
        description: Names of the buckets that it may read.
        type: list
        elements: str
        default: []
      write_buckets:
        description: Names of the buckets that it may write.
        type: list
        elements: str
        default: []
      description:
        description: What it is for. Not given, it stays as it is.
        type: str
"""

EXAMPLES = r"""
- name: Let an old logger write
  edgestack.iot.influxdb2_v1_auth:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    users:
      - username: logger
        password: "{{ lookup('edgestack.iot.secret', 'influxdb_v1_logger') }}"
        write_buckets: [iotdata]
"""

RETURN = r"""
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
            "organization": {"type": "str", "required": True},
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "username": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "status": {"type": "str", "choices": ["active", "inactive"], "default": "active"},
                    "password": {"type": "str", "no_log": True},
                    "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
                    "read_buckets": {"type": "list", "elements": "str", "default": []},
                    "write_buckets": {"type": "list", "elements": "str", "default": []},
                    "description": {"type": "str"},
                },
                "required_if": [("state", "present", ("password",))],
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            accounts.V1Auth(
                username=item["username"],
                password=item["password"],
                keep_password=item["update_password"] == "on_create",  # noqa: S105
                read=tuple(item["read_buckets"]),
                write=tuple(item["write_buckets"]),
                description=item["description"],
                active=item["status"] == "active",
                present=item["state"] == "present",
            )
            for item in params["users"]
        ]
        client = connect(params, secrets=[item["password"] for item in params["users"]])
        try:
            outcome = accounts.v1_auths(client, params["organization"], wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
