#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_dbrp
short_description: InfluxQL databases and retention policies of InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - InfluxQL asks a database and a retention policy; a mapping says which bucket that is. Manages any number of them in one task.
  - InfluxDB has a virtual mapping for every bucket by itself (database like the bucket, retention policy V(autogen)). Where that
    says what is wanted, nothing is made.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  mappings:
    description: Several mappings. Without it the options below are those of one mapping.
    type: list
    elements: dict
    suboptions:
      database:
        description: Name of the database.
        type: str
        required: true
      retention_policy:
        description: Name of the retention policy.
        type: str
        default: autogen
      bucket:
        description: Name of the bucket; needed with O(mappings[].state=present). Another bucket than before makes the mapping anew.
        type: str
      default:
        description:
          - Whether it shall be the retention policy of queries that name none.
          - V(false) leaves that as it is, because a database always has one default.
        type: bool
        default: false
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
  database:
    description: Name of the database.
    type: str
  retention_policy:
    description: Name of the retention policy.
    type: str
    default: autogen
  bucket:
    description: Name of the bucket; needed with O(state=present). Another bucket than before makes the mapping anew.
    type: str
  default:
    description: Whether it shall be the retention policy of queries that name none; V(false) leaves that as it is.
    type: bool
    default: false
  state:
    description: Whether it shall be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let old InfluxQL queries find their data
  edgestack.iot.influxdb2_dbrp:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    mappings:
      - {database: telegraf, retention_policy: autogen, bucket: iotdata, default: true}
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

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, items, run


def main() -> None:
    one = {
        "retention_policy": {"type": "str", "default": "autogen"},
        "bucket": {"type": "str"},
        "default": {"type": "bool", "default": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str", "required": True},
            "mappings": {
                "type": "list",
                "elements": "dict",
                "options": {"database": {"type": "str", "required": True}, **one},
                "required_if": [("state", "present", ("bucket",))],
            },
            "database": {"type": "str"},
            **one,
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file"), ("mappings", "database"), ("mappings", "bucket")],
        required_one_of=[("token", "token_file"), ("mappings", "database")],
    )
    params = module.params
    if params["database"] and params["state"] == "present" and not params["bucket"]:
        module.fail_json(msg="state is present, but there is no bucket that the mapping would stand for")

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            resources.Mapping(
                database=item["database"],
                retention_policy=item["retention_policy"],
                bucket=item["bucket"] or "",
                default=item["default"],
                present=item["state"] == "present",
            )
            for item in items(params, "mappings", ("database", *one), "database")
        ]
        client = connect(params)
        try:
            outcome = resources.mappings(client, params["organization"], wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
