#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_reconcile
short_description: Copies what a bucket has and the bucket of another InfluxDB 2 lacks
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Counts the values of each series and hour in the local bucket and in the remote one, and copies the hours in which the remote one has
    fewer. A point that is there already is the same point, so nothing is stored twice.
  - It heals what the queue of a replication cannot, for example one that was full, an outage longer than its maximum age, a centre
    that lost its disk, and a batch that the centre refuses in part, which InfluxDB 2.9.1 repeats for ever.
  - What the other side refuses, for example a value of another type than its column, stays in the local bucket and is returned with
    the reason. It is tried again at every run.
  - Hours with the same number of values on both sides and the same sum of them count as the same. Otherwise the times of the points are
    compared, so that one that is lost and another that is too many do not make up for one another. Texts and truth values have no sum;
    of them only the number is compared.
  - What only the remote side has stays there. Both sides need InfluxQL, which every bucket has by its name.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  bucket:
    description: Name of the local bucket. The token needs the right to read it.
    type: str
    required: true
  remote_url:
    description: Address of the other InfluxDB.
    type: str
    required: true
  remote_token:
    description: Token of the other InfluxDB that may read and write the bucket there. This or O(remote_token_file).
    type: str
  remote_token_file:
    description: File with this token, on the host that runs the module.
    type: path
  remote_bucket:
    description: Name of the bucket there; the local one's name without it.
    type: str
  since:
    description: How far back both are compared (C(7d), C(12h)). Not further than the remote bucket keeps its data.
    type: str
    default: 7d
  settle:
    description: What is newer than this (C(5m)) is left out, as it may still be on its way.
    type: str
    default: 5m
  replication:
    description:
      - Name of the replication that copies this bucket. When its queue is blocked by a refused batch, it is made anew first, so that
        new readings flow again; what waited in it is compared and copied with the rest.
    type: str
  organization:
    description: Name of the organization, needed with O(replication). The token needs the rights to read and write replications then.
    type: str
"""

EXAMPLES = r"""
- name: Bring the centre what it lacks of the last two weeks
  edgestack.iot.influxdb2_reconcile:
    url: https://127.0.0.1:8086
    ca_file: /etc/edgestack/influxdb/tls/ca.pem
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    replication: readings
    bucket: iotdata
    remote_url: https://centre.example.org:8086
    remote_token_file: /etc/edgestack/influxdb/secrets/reconcile-token
    since: 14d
"""

RETURN = r"""
missing_points:
  description: Points that the remote bucket lacked, at least.
  returned: success
  type: int
copied_points:
  description: How many of them it has now; V(0) in check mode.
  returned: success
  type: int
left_points:
  description: How many of them it still lacks.
  returned: success
  type: int
compared_hours:
  description: Hours of series that were compared.
  returned: success
  type: int
missing:
  description: The first 200 hours that differed, with measurement, device, hour, the points that local and remote had, and the points
    that the remote one lacked, at least.
  returned: success
  type: list
  elements: dict
refused:
  description: Series of which something was refused, with the other side's reason.
  returned: success
  type: list
  elements: dict
renewed:
  description: Whether the replication was made anew because its queue was blocked (in check mode, would be).
  returned: when O(replication) is given
  type: bool
queue:
  description: How the replication stood, with queue_bytes, remaining_bytes, latest_status and latest_error.
  returned: when O(replication) is given
  type: dict
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

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import duration, reconcile, replication
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import read_token
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "bucket": {"type": "str", "required": True},
            "remote_url": {"type": "str", "required": True},
            "remote_token": {"type": "str", "no_log": True},
            "remote_token_file": {"type": "path", "no_log": False},
            "remote_bucket": {"type": "str"},
            "since": {"type": "str", "default": "7d"},
            "settle": {"type": "str", "default": "5m"},
            "replication": {"type": "str"},
            "organization": {"type": "str"},
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file"), ("remote_token", "remote_token_file")],
        required_one_of=[("token", "token_file"), ("remote_token", "remote_token_file")],
        required_by={"replication": ["organization"]},
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        since, settle = duration.seconds(params["since"], "since"), duration.seconds(params["settle"], "settle")
        secret = read_token(params["remote_token"], params["remote_token_file"])
        local = connect(params, secrets=[secret])
        remote = connect({**params, "url": params["remote_url"]}, token=secret)
        try:
            differences, values = Differences(), dict[str, object]()
            if params["replication"]:
                outcome = replication.renew(local, params["organization"], params["replication"], module.check_mode)
                differences, values = outcome.differences, outcome.values
            outcome = reconcile.reconcile(
                local,
                params["bucket"],
                remote,
                params["remote_bucket"] or params["bucket"],
                since=since,
                settle=settle,
                check=module.check_mode,
            )
        finally:
            local.close()
            remote.close()
        return Differences([*differences.items, *outcome.differences.items]), {**values, **outcome.values}

    run(module, act)


if __name__ == "__main__":
    main()
