#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_replication
short_description: Buckets of InfluxDB 2 that are copied to another InfluxDB
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes replications, any number of them in one task. What is written to the local bucket from then on waits in a
    queue on disk until the other InfluxDB has it.
  - When the queue is full or a batch is older than O(replications[].max_age_seconds), the copy of it is given up; the local bucket
    still has it. M(edgestack.iot.influxdb2_reconcile) copies what is missing.
  - InfluxDB 2.9.1 repeats a batch that the other side refuses in part (status 422, for example a field of another type) for ever, with
    everything behind it. C(latest_status) in RV(replications) shows it.
  - A replication whose local bucket changes is made anew, without what waited in its queue.
  - A token that may not read replications sees none, which looks like absence; use an operator token.

extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  replications:
    description: The replications.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The replication's name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      remote:
        description: Name of the connection, see M(edgestack.iot.influxdb2_remote). Needed with O(replications[].state=present).
        type: str
      bucket:
        description: Name of the local bucket. Needed with O(replications[].state=present).
        type: str
      remote_bucket:
        description: Name of the bucket there. Needed with O(replications[].state=present).
        type: str
      max_queue_bytes:
        description: How much the queue may take on disk, at least 33554430. 67108860 on a new one when it is not given.
        type: int
      max_age_seconds:
        description: How long something may wait; V(0) is for ever, else 60 to 5184000. 604800 on a new one when it is not given.
        type: int
      drop_refused:
        description: Whether a batch that the other side answers with 400 is given up instead of repeated.
        type: bool
      description:
        description: What it is for. Not given, it stays as it is.
        type: str
"""

EXAMPLES = r"""
- name: Copy the readings to the centre
  edgestack.iot.influxdb2_replication:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    replications:
      - name: readings
        remote: centre
        bucket: iotdata
        remote_bucket: iotdata
        max_queue_bytes: 268435456
        max_age_seconds: 604800
        drop_refused: true
"""

RETURN = r"""
replications:
  description:
    - The replications that are there, with name, id, their settings, and queue_bytes (on disk), remaining_bytes (not copied yet),
      latest_status (of the other side's last answer, 0 for none) and latest_error. Check mode has what was there.
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

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import replication
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str", "required": True},
            "replications": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "remote": {"type": "str"},
                    "bucket": {"type": "str"},
                    "remote_bucket": {"type": "str"},
                    "max_queue_bytes": {"type": "int"},
                    "max_age_seconds": {"type": "int"},
                    "drop_refused": {"type": "bool"},
                    "description": {"type": "str"},
                },
                "required_if": [("state", "present", ("remote", "bucket", "remote_bucket"))],
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            replication.Replication(
                name=item["name"],
                remote=item["remote"] or "",
                bucket=item["bucket"] or "",
                remote_bucket=item["remote_bucket"] or "",
                max_queue_bytes=item["max_queue_bytes"],
                max_age_seconds=item["max_age_seconds"],
                drop_refused=item["drop_refused"],
                description=item["description"],
                present=item["state"] == "present",
            )
            for item in params["replications"]
        ]
        client = connect(params)
        try:
            outcome = replication.replications(client, params["organization"], wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
