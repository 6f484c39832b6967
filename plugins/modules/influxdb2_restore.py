#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_restore
short_description: Brings a backup of an InfluxDB 2 back
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Restores buckets of a backup that M(edgestack.iot.influxdb2_backup) or C(influx backup) made, under their own or other names, or
    replaces everything in an InfluxDB by a backup.
  - The backup is on the host that runs the module. All of it is read first; of a damaged one nothing is restored.
  - Buckets are restored as new ones. One that is there already is left alone. When something fails in the middle of a bucket, the
    bucket is removed again.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(full=true) everything is replaced at every run.
options:
  path:
    description: Directory of the backup.
    type: path
    required: true
  full:
    description:
      - Replace everything, users and tokens too, by what is in the backup. The InfluxDB must be set up; afterwards it has the
        operator token of the backup.
    type: bool
    default: false
  operator_token:
    description:
      - With O(full=true), the operator token of the time of the backup, when it is another one than O(token). InfluxDB 2.9 keeps tokens as
        hashes, so the backup does not tell it. With a wrong one the users are restored and the data is not; the message says how to go on.
    type: str
  operator_token_file:
    description: File with this token, on the host that runs the module.
    type: path
  organization:
    description: Name of the organization that gets the buckets.
    type: str
  from_organization:
    description: Name of the organization in the backup; O(organization) without it.
    type: str
  buckets:
    description: The buckets to restore.
    type: list
    elements: dict
    suboptions:
      name:
        description: The bucket's name in the backup.
        type: str
        required: true
      new_name:
        description: Its name here; the same without it.
        type: str
"""

EXAMPLES = r"""
- name: Look at last week's readings beside today's
  edgestack.iot.influxdb2_restore:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    path: /var/backups/influxdb/2026-01-05
    organization: edgestack
    buckets:
      - {name: iotdata, new_name: iotdata_2026-01-05}

- name: Bring everything back on a new host that has the site's operator token
  edgestack.iot.influxdb2_restore:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    path: /var/backups/influxdb/2026-01-05
    full: true
"""

RETURN = r"""
restored:
  description: The buckets that were (in check mode, would be) restored; with O(full=true) as C(organization/bucket).
  returned: success
  type: list
  elements: str
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
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import read_token
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "path": {"type": "path", "required": True},
            "full": {"type": "bool", "default": False},
            "operator_token": {"type": "str", "no_log": True},
            "operator_token_file": {"type": "path", "no_log": False},
            "organization": {"type": "str"},
            "from_organization": {"type": "str"},
            "buckets": {
                "type": "list",
                "elements": "dict",
                "options": {"name": {"type": "str", "required": True}, "new_name": {"type": "str"}},
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file"), ("operator_token", "operator_token_file")],
        required_one_of=[("token", "token_file")],
        required_if=[("full", False, ("organization", "buckets"))],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        operator = read_token(params["operator_token"], params["operator_token_file"]) or read_token(params["token"], params["token_file"])
        client = connect(params, secrets=[operator])
        try:
            if params["full"]:
                outcome = backup.restore_all(client, params["path"], operator, module.check_mode)
            else:
                outcome = backup.restore_buckets(
                    client,
                    params["path"],
                    params["from_organization"] or params["organization"],
                    params["organization"],
                    [backup.Wanted(one["name"], one["new_name"] or one["name"]) for one in params["buckets"]],
                    module.check_mode,
                )
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
