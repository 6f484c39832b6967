# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: outage_plan
short_description: Limits of the queues for an outage that shall be survived
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - From how long a consumer or an uplink may be away, and how many readings come meanwhile, to the limits of EMQX, Telegraf and the
    replication of InfluxDB. Whether they fit into the host is what M(edgestack.iot.preflight) checks.
options:
  _input:
    description: How long, as a duration (C(1h), C(2d)).
    type: str
    required: true
  rate:
    description: Readings per second, on average.
    type: float
    required: true
  memory_mb:
    description: The host's memory in MiB.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: How long may EMQX's queue become?
  ansible.builtin.debug:
    msg: "{{ ('1h' | edgestack.iot.outage_plan(rate=100, memory_mb=4096)).queue }}"
"""

RETURN = r"""
_value:
  description:
    - C(queue), C(mailbox), C(inflight) and C(heap_mb) of EMQX, C(session_expiry_seconds); C(batch), C(undelivered) and C(buffer) of
      Telegraf; C(replication_queue_bytes) and C(replication_age_seconds) of InfluxDB.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import duration
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Refused
from ansible_collections.edgestack.iot.plugins.module_utils._preflight import outage


def _filter(value: t.Any, rate: t.Any, memory_mb: t.Any) -> dict[str, int]:
    try:
        seconds, per_second, memory = duration.seconds(str(value), "iot_outage"), float(rate), int(memory_mb)
    except (Refused, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"outage_plan: {error}") from error
    if seconds <= 0 or per_second <= 0:
        raise AnsibleFilterError("outage_plan: iot_outage and iot_readings_per_second must be greater than 0")
    return outage.plan(seconds, per_second, memory).as_dict()


class FilterModule:
    """The filter outage_plan."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"outage_plan": _filter}
