# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import re

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.edgestack.iot.plugins.filter.outage_plan import FilterModule
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import duration
from ansible_collections.edgestack.iot.plugins.module_utils._preflight import checks, outage

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(("seconds", "rate", "memory"), list(itertools.product((60, HOUR, DAY, 30 * DAY), (0.1, 20, 2000), (416, 1024, 4096, 65536))))
def test_every_plan_is_sound(seconds, rate, memory):
    plan = outage.plan(seconds, rate, memory)
    assert plan.queue >= seconds * rate
    assert plan.heap_mb * 1048576 >= plan.queue * outage.MESSAGE_BYTES
    assert plan.batch <= plan.inflight <= plan.undelivered < plan.buffer
    assert plan.session_expiry_seconds > seconds
    assert plan.replication_queue_bytes >= 33554430
    assert 60 <= plan.replication_age_seconds <= 5184000
    if not outage.broker(seconds, rate, memory):
        # What is accepted leaves the rest of the host its memory.
        assert plan.queue * outage.MESSAGE_BYTES <= max(memory * 1048576 / 4, 20000 * outage.MESSAGE_BYTES)
    if not outage.uplink(seconds, rate, 64000, 0):
        assert plan.replication_age_seconds > seconds


def test_a_pi_is_not_promised_more_than_it_has():
    assert outage.broker(HOUR, 20, 1024) == []
    plan = outage.plan(HOUR, 20, 1024)
    assert (plan.queue, plan.heap_mb, plan.undelivered) == (131072, 256, 5000)
    assert outage.plan(HOUR, 20, 8192).queue == 1_000_000


def suggested(finding, variable):
    return re.search(rf"{variable} to at most ([\d.]+\w*)", finding.do).group(1)


@pytest.mark.parametrize(("seconds", "rate", "memory"), [(7 * DAY, 100, 4096), (HOUR, 5000, 1024), (30 * DAY, 1, 416)])
def test_what_does_not_fit_is_refused_with_what_fits(seconds, rate, memory):
    (finding,) = outage.broker(seconds, rate, memory)
    assert f"{memory} MiB" in finding.what and f"at {rate:g} readings/s" in finding.what
    assert outage.broker(duration.seconds(suggested(finding, "iot_outage"), ""), rate, memory) == []
    assert outage.broker(seconds, float(suggested(finding, "iot_readings_per_second")), memory) == []


def test_the_uplinks_queue_fits_the_disk_and_the_centre_keeps_longer():
    assert outage.uplink(7 * DAY, 20, 16000, 0) == []
    assert outage.uplink(7 * DAY, 20, 16000, 8 * DAY) == []
    (finding,) = outage.uplink(7 * DAY, 200, 16000, 0)
    assert "16000 MiB half" in finding.what
    assert outage.uplink(duration.seconds(suggested(finding, "iot_outage"), ""), 200, 16000, 0) == []
    assert outage.uplink(7 * DAY, float(suggested(finding, "iot_readings_per_second")), 16000, 0) == []
    (finding,) = outage.uplink(7 * DAY, 1, 16000, 7 * DAY)
    assert "keeps readings for 7d" in finding.what and "above iot_outage" in finding.do
    (finding,) = outage.uplink(61 * DAY, 0.1, 16000, 0)
    assert "60 days" in finding.what and outage.uplink(duration.seconds(suggested(finding, "iot_outage"), ""), 0.1, 16000, 0) == []


def test_the_filter():
    plan = FilterModule().filters()["outage_plan"]
    assert plan("1h", 20, "1024")["queue"] == 131072
    for wrong in (("soon", 1, 1), ("1h", "many", 1), ("1h", 0, 1), ("0", 1, 1), ("1h", 1, None)):
        with pytest.raises(AnsibleFilterError):
            plan(*wrong)


def test_durable_sessions_need_a_disk_and_a_version():
    assert outage.durable(3600, 20, 10_000) == []
    (finding,) = outage.durable(30 * 86400, 100, 10_000)
    rate = float(str(finding).split("iot_readings_per_second to at most ")[1].split()[0])
    assert outage.durable(30 * 86400, rate, 10_000) == [] and outage.durable(30 * 86400, rate + 0.01, 10_000) != []
    # An hour at least to catch up.
    assert outage.durable_seconds(60) == 3660 and outage.durable_seconds(8 * 3600) == 10 * 3600
    assert checks.durable_sessions("5.7.0") == [] and "5.6.1 has no durable sessions" in str(checks.durable_sessions("5.6.1")[0])
