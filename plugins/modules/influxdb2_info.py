#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_info
short_description: What an InfluxDB 2 is and has
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Version and health, and on request what an organization has, never the values of tokens or passwords.
  - What the token may not see is not listed.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
options:
  organization:
    description: Name of the organization; needed for everything in O(gather).
    type: str
  gather:
    description: What to list besides version and health, which need no token.
    type: list
    elements: str
    choices: [buckets, tokens, mappings, users, v1_users, tasks, remotes, replications]
    default: []
"""

EXAMPLES = r"""
- name: Look at the buckets
  edgestack.iot.influxdb2_info:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    gather: [buckets]
"""

RETURN = r"""
version:
  description: InfluxDB's version.
  returned: success
  type: str
  sample: 2.9.1
healthy:
  description: Whether it says that it is ready.
  returned: success
  type: bool
message:
  description: What it says of its health.
  returned: success
  type: str
setup_allowed:
  description: Whether it still waits to be set up.
  returned: success
  type: bool
organization_id:
  description: The organization's id.
  returned: when O(gather) is not empty
  type: str
buckets:
  description: Buckets with name, id, type, description, retention, shard_duration and schema_type.
  returned: when O(gather) has V(buckets)
  type: list
  elements: dict
tokens:
  description: Tokens with id, description, user, permissions and status.
  returned: when O(gather) has V(tokens)
  type: list
  elements: dict
mappings:
  description: Mappings with database, retention_policy, bucket, default and virtual.
  returned: when O(gather) has V(mappings)
  type: list
  elements: dict
users:
  description: Users of the whole server, with name, id and status.
  returned: when O(gather) has V(users)
  type: list
  elements: dict
v1_users:
  description: User names of InfluxDB 1's API, with username, id, description, permissions and status.
  returned: when O(gather) has V(v1_users)
  type: list
  elements: dict
tasks:
  description: Tasks with name, id, status, description, flux, lastRunStatus and lastRunError.
  returned: when O(gather) has V(tasks)
  type: list
  elements: dict
remotes:
  description: Connections to other InfluxDBs, as M(edgestack.iot.influxdb2_remote) returns them.
  returned: when O(gather) has V(remotes)
  type: list
  elements: dict
replications:
  description: Replications, as M(edgestack.iot.influxdb2_replication) returns them.
  returned: when O(gather) has V(replications)
  type: list
  elements: dict
fault:
  description: The request that failed, with kind, method, url, status, code, message, hint and attempts.
  returned: when a request failed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import info
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run

CHOICES = ["buckets", "tokens", "mappings", "users", "v1_users", "tasks", "remotes", "replications"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str"},
            "gather": {"type": "list", "elements": "str", "choices": CHOICES, "default": []},
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[None, dict[str, object]]:
        client = connect(params)
        try:
            return None, info.info(client, params["organization"], params["gather"])
        finally:
            client.close()

    run(module, act)


if __name__ == "__main__":
    main()
