#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_backup
short_description: Backup of an InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Writes everything that an InfluxDB holds (organizations, users, tokens, tasks, buckets and their data) into a directory on the host
    that runs the module, in the files of C(influx backup).
  - The directory gets its name when the backup is whole and was read again to its last byte. One that is there already is read as
    well, and left alone; when it is damaged, the module fails.
  - The backup holds all tokens and users, so only its owner can read it.
  - Needs an operator token. Queues of replications are not part of a backup.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  path:
    description: Directory of this one backup. Its parents are made.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Back InfluxDB up once a day
  edgestack.iot.influxdb2_backup:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    path: "/var/backups/influxdb/{{ now(utc=true, fmt='%Y-%m-%d') }}"
"""

RETURN = r"""
path:
  description: The directory.
  returned: success
  type: str
buckets:
  description: The buckets in it, as C(organization/bucket).
  returned: success, but not when check mode predicts a backup
  type: list
  elements: str
size:
  description: Its size in bytes.
  returned: success, but not when check mode predicts a backup
  type: int
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

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import backup
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={**connection_spec(), "path": {"type": "path", "required": True}},
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        client = connect(params)
        try:
            outcome = backup.backup(client, params["path"], module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
