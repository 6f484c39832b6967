#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_bucket
short_description: Buckets of InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes buckets, any number of them in one task. What is not given of a bucket stays as it is.
  - Removing a bucket removes its data. InfluxDB's own buckets are refused.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  buckets:
    description: Several buckets. Without it the options below are those of one bucket.
    type: list
    elements: dict
    suboptions:
      name:
        description: The bucket's name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      retention:
        description: How long data is kept (C(7d), C(1d12h), C(3600s)), at least C(1h); V(0) is for ever.
        type: str
      shard_duration:
        description:
          - How much time one shard holds; only whole shards expire.
          - When only the retention changes, InfluxDB chooses this anew.
        type: str
      description:
        description: What it is for.
        type: str
      schema_type:
        description: Whether columns must be declared first. The open-source InfluxDB has V(implicit) only; it cannot be changed later.
        type: str
        choices: [implicit, explicit]
  name:
    description: The bucket's name.
    type: str
  state:
    description: Whether it shall be there.
    type: str
    choices: [present, absent]
    default: present
  retention:
    description: How long data is kept (C(7d), C(1d12h), C(3600s)), at least C(1h); V(0) is for ever.
    type: str
  shard_duration:
    description: How much time one shard holds; only whole shards expire.
    type: str
  description:
    description: What it is for.
    type: str
  schema_type:
    description: Whether columns must be declared first. The open-source InfluxDB has V(implicit) only; it cannot be changed later.
    type: str
    choices: [implicit, explicit]
"""

EXAMPLES = r"""
- name: Make the site's buckets
  edgestack.iot.influxdb2_bucket:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    buckets:
      - {name: iotdata, retention: 7d, description: Readings}
      - {name: iot_verify, retention: 1h, description: Readings of the verification}

- name: Keep one bucket for a year
  edgestack.iot.influxdb2_bucket:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    name: archive
    retention: 52w
"""

RETURN = r"""
buckets:
  description: The buckets that are there, with name, id, description, retention, shard_duration and schema_type. Check mode has what was there.
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

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, items, run


def main() -> None:
    one = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "retention": {"type": "str"},
        "shard_duration": {"type": "str"},
        "description": {"type": "str"},
        "schema_type": {"type": "str", "choices": ["implicit", "explicit"]},
    }
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str", "required": True},
            "buckets": {"type": "list", "elements": "dict", "options": {"name": {"type": "str", "required": True}, **one}},
            "name": {"type": "str"},
            **one,
        },
        supports_check_mode=True,
        mutually_exclusive=[
            ("token", "token_file"),
            ("buckets", "name"),
            ("buckets", "retention"),
            ("buckets", "shard_duration"),
            ("buckets", "description"),
            ("buckets", "schema_type"),
        ],
        required_one_of=[("token", "token_file"), ("buckets", "name")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            resources.Bucket(
                name=item["name"],
                retention=item["retention"],
                shard_duration=item["shard_duration"],
                description=item["description"],
                schema_type=item["schema_type"],
                present=item["state"] == "present",
            )
            for item in items(params, "buckets", ("name", *one), "name")
        ]
        client = connect(params)
        try:
            outcome = resources.buckets(client, params["organization"], wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
