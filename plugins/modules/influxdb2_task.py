#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_task
short_description: Tasks of InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes tasks, any number of them in one task of Ansible. A task is known by its name, of which there must be one.
  - A token that may not read tasks sees none, which looks like absence; use one with the right to read and write tasks.

extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  tasks:
    description: The tasks.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The task's name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      query:
        description: What is run, in Flux, without C(option task). Needed with O(tasks[].state=present).
        type: str
      every:
        description: How often it is run (C(1h)). This or O(tasks[].cron).
        type: str
      cron:
        description: When it is run, as cron has it (C(0 3 * * *)), in UTC.
        type: str
      offset:
        description: How much later it is run (C(5m)), for readings that come late. The times in the query stay.
        type: str
      status:
        description: Whether it is run.
        type: str
        choices: [active, inactive]
        default: active
      description:
        description: What it is for. Not given, it stays as it is.
        type: str
"""

EXAMPLES = r"""
- name: Keep means of an hour for years
  edgestack.iot.influxdb2_task:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    tasks:
      - name: hourly
        every: 1h
        offset: 5m
        query: |
          from(bucket: "iotdata")
            |> range(start: -task.every)
            |> filter(fn: (r) => r._measurement == "raspberrypi")
            |> aggregateWindow(every: 1h, fn: mean)
            |> to(bucket: "archive")
"""

RETURN = r"""
tasks:
  description: The tasks that are there, with name, id and status. Check mode has what was there.
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

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import tasks
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str", "required": True},
            "tasks": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "query": {"type": "str"},
                    "every": {"type": "str"},
                    "cron": {"type": "str"},
                    "offset": {"type": "str"},
                    "status": {"type": "str", "choices": ["active", "inactive"], "default": "active"},
                    "description": {"type": "str"},
                },
                "required_if": [("state", "present", ("query",))],
                "mutually_exclusive": [("every", "cron")],
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            tasks.Task(
                name=item["name"],
                query=item["query"] or "",
                every=item["every"],
                cron=item["cron"],
                offset=item["offset"],
                description=item["description"],
                active=item["status"] == "active",
                present=item["state"] == "present",
            )
            for item in params["tasks"]
        ]
        client = connect(params)
        try:
            outcome = tasks.tasks(client, params["organization"], wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
