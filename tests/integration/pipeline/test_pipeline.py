# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was acknowledged to a device is in the database, once: compared as sets of device and sequence number.

Real Telegraf and real InfluxDB with the roles' configuration; the broker is the lab's stand-in, which drops as EMQX does.
PIPELINE_READINGS makes it larger (20,000 by default; the benchmark has 100,000).
"""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from stack import devices
from stack.pipeline import Pipeline

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import subscriptions

pytestmark = pytest.mark.integration

READINGS = int(os.environ.get("PIPELINE_READINGS", "20000"))
PATIENCE = 60 + READINGS / 500


@pytest.fixture
def pipeline(tmp_path):
    with Pipeline(tmp_path / "stack") as pipeline:
        yield pipeline


def check(pipeline: Pipeline, sent: devices.Sent, *more: devices.Sent) -> None:
    """None lost, none twice."""
    wanted = set(sent.acknowledged).union(*(one.acknowledged for one in more))
    rows = pipeline.settle(len(wanted), PATIENCE)
    assert wanted - set(rows) == set(), f"{len(wanted - set(rows))} of {len(wanted)} acknowledged readings are lost"
    assert len(rows) == len(set(rows))
    assert pipeline.broker.metric("delivery.dropped.queue_full") == 0


def test_a_burst_arrives_whole(pipeline):
    sent = devices.publish(pipeline.broker.port, READINGS)
    assert len(sent.acknowledged) == READINGS
    check(pipeline, sent)


def test_without_our_settings_the_burst_is_lost(tmp_path):
    """EMQX's and Telegraf's own limits, everything else the same: the readings were acknowledged, and most of them are gone."""
    with Pipeline(tmp_path / "stack", defaults=True) as pipeline:
        sent = devices.publish(pipeline.broker.port, 20000)
        assert len(sent.acknowledged) == 20000
        rows = set(pipeline.settle(20000, 60))
        assert rows < sent.acknowledged
        assert len(rows) < 10000, f"{len(rows)} of 20000 arrived"
        dropped = pipeline.broker.metric("delivery.dropped.queue_full")
        assert dropped > 0


def at(fraction: float, what):
    """Calls it once, when so much of the burst was acknowledged, beside the burst."""
    started = []

    def every(count: int) -> None:
        if not started and count >= fraction * READINGS:
            started.append(threading.Thread(target=what))
            started[0].start()

    every.started = started
    return every


@pytest.mark.parametrize("who", ["telegraf", "influxdb", "both"])
def test_killed_in_the_middle_of_a_burst(pipeline, who):
    parts = {"telegraf": [pipeline.telegraf], "influxdb": [pipeline.influxd], "both": [pipeline.telegraf, pipeline.influxd]}[who]

    def accident():
        for part in parts:
            part.kill()
        time.sleep(1)
        for part in parts:
            part.start()

    every = at(0.4, accident)
    sent = devices.publish(pipeline.broker.port, READINGS, every=every)
    every.started[0].join()
    again = devices.publish(pipeline.broker.port, 500, first=READINGS)
    check(pipeline, sent, again)


def test_the_database_is_away_while_readings_come(pipeline):
    """Readings of an outage wait in the broker and in Telegraf; when the database is back it catches up."""
    pipeline.influxd.kill()
    sent = devices.publish(pipeline.broker.port, READINGS)
    time.sleep(2)
    # A crash of Telegraf meanwhile: what it had not written was not acknowledged to the broker.
    pipeline.telegraf.kill()
    pipeline.telegraf.start()
    time.sleep(1)
    pipeline.influxd.start()
    check(pipeline, sent)


RUBBISH = [b"", b"not json", b'{"value": "text", "time": 1}', b"\x00\x01\x02", b"[" * 20000, b'{"value": ' + b"9" * 5000 + b"}", b"x" * 1000000]


def test_rubbish_is_kept_counted_and_stops_nothing(pipeline):
    device = devices.Device("rubbish", iter(()), lambda number: number)
    device.connect(pipeline.broker.port)
    device.socket.setblocking(True)
    for payload in RUBBISH:
        body = devices._text("sensor/generic/rubbish") + b"\x00\x01" + payload
        device.socket.sendall(devices._packet(0x32, body))
        # One at a time, as the acknowledgements come.
        assert device.socket.recv(4)[:1] == b"\x40"
    sent = devices.publish(pipeline.broker.port, 1000, devices=10)
    check(pipeline, sent)
    pipeline.until(lambda: len(unparsed(pipeline)) >= len(RUBBISH), 30, "not everything was kept")
    kept = unparsed(pipeline)
    assert len(kept) == len(RUBBISH) and {row["device"] for row in kept} == {"rubbish"}
    assert {row["reason"] for row in kept} == {"empty", "json", "type", "size"}
    assert "not json" in [row.get("payload") for row in kept]
    counted = pipeline.client.influxql("SELECT count(size) FROM unparsed", "iot_unparsed")[0]["count"]
    assert counted == len(RUBBISH)
    device.socket.close()


def unparsed(pipeline: Pipeline) -> list[dict]:
    return pipeline.client.influxql("SELECT * FROM unparsed", "iot_unparsed")


def test_what_the_brokers_restart_costs_is_known(pipeline):
    """Without durable sessions the broker's memory is what a crash of it loses: only what was not yet in the database."""
    sent = devices.publish(pipeline.broker.port, 2000, devices=10)
    check(pipeline, sent)
    pipeline.broker.kill()
    pipeline.broker.start()
    pipeline.until(lambda: pipeline.broker.subscribed("telegraf-localhost"), 60, "Telegraf did not come back")
    again = devices.publish(pipeline.broker.port, 2000, devices=10, first=2000)
    rows = pipeline.settle(4000, 60)
    assert set(rows) == sent.acknowledged | again.acknowledged


def test_payloads_are_json_with_their_own_time(pipeline):
    """A message that comes twice is one reading."""
    device = devices.Device("twice", iter(()), lambda number: number)
    device.connect(pipeline.broker.port)
    device.socket.setblocking(True)
    payload = json.dumps({"value": 1, "time": int(time.time() * 1000)}).encode()
    for _again in range(3):
        device.socket.sendall(devices._packet(0x32, devices._text("sensor/generic/twice") + b"\x00\x01" + payload))
        assert device.socket.recv(4)[:1] == b"\x40"
    device.socket.close()
    sent = devices.publish(pipeline.broker.port, 10, devices=1)
    pipeline.until(lambda: sent.acknowledged <= set(pipeline.stored()), 30, "the readings did not come")
    assert pipeline.stored().count(("twice", 1)) == 1


PROFILE = """\
topics: {publish: ["sensor/later/${username}"]}
payload: {time: arrival}
telemetry: sensor/later/+
fields:
  - {name: value, path: value, type: float}
"""


def test_a_profile_that_is_added_later_is_received(pipeline):
    """Telegraf with a session does not subscribe again; what the role does through the broker's API is what makes it receive."""
    profiles = pipeline.place.directory / "profiles"
    profiles.mkdir()
    (profiles / "later.yml").write_text(PROFILE)
    pipeline.render()
    pipeline.telegraf.kill()
    pipeline.telegraf.start()
    pipeline.until(lambda: pipeline.broker.get("/clients/telegraf-localhost")["connected"], 30, "Telegraf did not come back")
    time.sleep(1)

    def topics():
        return {row["topic"] for row in pipeline.broker.get("/clients/telegraf-localhost/subscriptions")}

    wanted = {profile["telemetry"] for profile in pipeline.profiles().values()}
    assert wanted - topics() == {"sensor/later/+"}, "Telegraf subscribed again: this is not needed any more"
    with pipeline.broker.client() as client:
        outcome = subscriptions.subscriptions(client, "telegraf-localhost", dict.fromkeys(wanted, 1), exclusive=True, check=False)
        assert outcome.result["subscribed"] == ["sensor/later/+"] and topics() == wanted
        assert not subscriptions.subscriptions(client, "telegraf-localhost", dict.fromkeys(wanted, 1), exclusive=True, check=False).changed
    device = devices.Device("d-1", iter(()), lambda number: number)
    device.connect(pipeline.broker.port)
    device.socket.setblocking(True)
    device.socket.sendall(devices._packet(0x32, devices._text("sensor/later/d-1") + b'\x00\x01{"value": 42}'))
    assert device.socket.recv(4)[:1] == b"\x40"
    device.socket.close()
    pipeline.until(lambda: pipeline.client.influxql("SELECT value FROM later", "iotdata"), 30, "the new profile's reading did not come")
    assert pipeline.client.influxql("SELECT value FROM later", "iotdata")[0]["value"] == 42
