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


# What is no reading, by the reason for which it is kept.
RUBBISH = {
    "empty": [b"", b"   ", b'{"other": 1}', b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"value": null, "time": 1}'],
    "json": [b"not json", b"null", b"[]", b"[" * 20000, b"\x00\x01\x02", b"a\x00b", b'\xff\xfe{"value": 1}', b'{"value": 1', b'{"value": NaN}', b"7"],
    "type": [b'{"value": "text", "time": 1}', b'{"value": {"deep": [1]}}', b'{"value": [1]}', b'{"value": ' + b"9" * 5000 + b"}", b'{"value": true}'],
    "time": [b'{"value": 1}', b'{"value": 1, "time": "yesterday"}'],
    "old": [b'{"value": 1, "time": 1}'],
    "future": [b'{"value": 1, "time": 99999999999999}'],
    "size": [b"x" * 1000000, b'{"value": 1, "more": "' + b"\xc3" * 70000 + b'"}'],
}


def test_rubbish_is_kept_counted_and_stops_nothing(pipeline):
    device = devices.Device("rubbish", iter(()), lambda number: number)
    device.connect(pipeline.broker.port)
    device.socket.setblocking(True)
    everything = [(reason, payload) for reason, payloads in RUBBISH.items() for payload in payloads]
    for _reason, payload in everything:
        body = devices._text("sensor/generic/rubbish") + b"\x00\x01" + payload
        device.socket.sendall(devices._packet(0x32, body))
        # One at a time, as the acknowledgements come.
        assert device.socket.recv(4)[:1] == b"\x40"
    sent = devices.publish(pipeline.broker.port, 1000, devices=10)
    check(pipeline, sent)
    pipeline.until(lambda: len(unparsed(pipeline)) >= len(everything), 30, "not everything was kept")
    kept = unparsed(pipeline)
    assert len(kept) == len(everything) and {row["device"] for row in kept} == {"rubbish"}

    def shown(payload: bytes) -> str:
        """As it is kept: without spaces and zero bytes around it; InfluxDB's JSON has no bytes that are not UTF-8."""
        return payload.strip(b"\x00").strip().decode("utf-8", "replace")

    found = sorted((row["reason"], row.get("payload") or "") for row in kept)
    assert found == sorted((reason, shown(payload)) for reason, payload in everything)
    counted = pipeline.client.influxql("SELECT count(size) FROM unparsed", "iot_unparsed")[0]["count"]
    assert counted == len(everything)
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


def test_what_waits_and_what_was_dropped_is_in_the_database(tmp_path):
    """The raw material of alerts: the queue of Telegraf's session, the broker's drops and Telegraf's own counters."""
    short = {"emqx_max_queue": 1000, "emqx_max_inflight": 100}
    with Pipeline(tmp_path / "stack", broker=short, telegraf_interval="1s", telegraf_max_undelivered_messages=100) as pipeline:
        # What is measured while the database is away is written when it is back.
        pipeline.influxd.kill()
        sent = devices.publish(pipeline.broker.port, 5000)
        assert len(sent.acknowledged) == 5000
        time.sleep(4)
        pipeline.influxd.start()

        def figures(measurement: str) -> dict:
            rows = pipeline.client.influxql(f"SELECT last(*) FROM {measurement}", "iotdata")  # noqa: S608
            return {name.removeprefix("last_"): value for row in rows for name, value in row.items()}

        dropped = "delivery.dropped.queue_full"
        pipeline.until(lambda: figures("emqx").get(dropped) == pipeline.broker.metric(dropped) > 0, 60, "the drops are not there")
        # Each figure has its own request, and its own write.
        longest = "SELECT max(mqueue_len) FROM emqx_session WHERE clientid = 'telegraf-localhost'"
        pipeline.until(lambda: 0 < (pipeline.client.influxql(longest, "iotdata") or [{"max": 0}])[0]["max"] <= 1000, 60, "no queue is there")
        session = figures("emqx_session")
        assert session["send_msg.dropped.queue_full"] > 0 and session["mqueue_max"] == 1000 and session["connected"] is True
        assert {"mailbox_len", "inflight_cnt"} <= session.keys()
        pipeline.until(lambda: figures("emqx_stats").get("sessions.count") == 1, 60, "no sessions are counted")
        assert figures("emqx")["messages.received"] == 5000
        assert "metrics_dropped" in figures("internal_write") and "metrics_gathered" in figures("internal_gather")
        series = pipeline.client.influxql("SHOW TAG KEYS FROM emqx", "iotdata")
        assert {row["tagKey"] for row in series} == {"host", "node"}


def test_durable_sessions_survive_the_brokers_end(tmp_path):
    """What waits for a Telegraf that is away is on disk: the broker is killed twice, and nothing that it had acknowledged is lost."""
    with Pipeline(tmp_path / "stack", broker={"emqx_durable_sessions": True}) as pipeline:
        assert pipeline.broker.get("/clients/telegraf-localhost")["durable"]
        pipeline.telegraf.kill()
        sent = devices.publish(pipeline.broker.port, 3000, devices=10)
        pipeline.broker.kill()
        pipeline.broker.start()
        session = pipeline.broker.get("/clients/telegraf-localhost")
        assert not session["connected"] and session["mqueue_len"] >= 3000
        again = devices.publish(pipeline.broker.port, 1000, devices=10, first=3000)
        pipeline.broker.kill()
        pipeline.broker.start()
        pipeline.telegraf.start()
        check(pipeline, sent, again)
        pipeline.until(lambda: pipeline.broker.get("/clients/telegraf-localhost")["mqueue_len"] == 0, 30, "messages stay")
        # What arrived is not there a third time.
        pipeline.telegraf.kill()
        pipeline.broker.kill()
        pipeline.broker.start()
        assert pipeline.broker.get("/clients/telegraf-localhost")["mqueue_len"] == 0


def test_without_durable_sessions_the_brokers_end_loses_what_waited(tmp_path):
    """The other side of it, and of the measured window: a collector that is away, and a broker that ends."""
    with Pipeline(tmp_path / "stack") as pipeline:
        pipeline.telegraf.kill()
        sent = devices.publish(pipeline.broker.port, 1000, devices=10)
        assert len(sent.acknowledged) == 1000
        pipeline.broker.kill()
        pipeline.broker.start()
        pipeline.telegraf.start()
        pipeline.until(lambda: pipeline.broker.subscribed("telegraf-localhost"), 60, "Telegraf did not come back")
        again = devices.publish(pipeline.broker.port, 500, devices=10, first=1000)
        assert set(pipeline.settle(1500, 20)) == again.acknowledged


@pytest.mark.parametrize(
    ("who", "durable", "milliseconds"), [("broker", False, 500), ("power", False, 2500), ("power", True, 0)], ids=["broker", "power cut", "durable sessions"]
)
def test_what_a_crash_loses_while_readings_come(tmp_path, who, durable, milliseconds):
    """The window: what was acknowledged and had not reached InfluxDB when the broker, or all of the host, was killed.

    docs/pipeline.md has the figures; `pytest -s` prints them.
    """
    with Pipeline(tmp_path / "stack", broker={"emqx_durable_sessions": durable}) as pipeline:
        parts = [pipeline.broker] if who == "broker" else [pipeline.broker, pipeline.telegraf, pipeline.influxd]
        killed = []

        def every(count: int) -> None:
            if count >= 5000 and not killed:
                killed.append(time.time())
                for part in parts:
                    part.kill()

        sent = devices.Sent(set(), 0.0, {})
        with pytest.raises(OSError):
            devices.publish(pipeline.broker.port, 20000, devices=10, rate=1000, every=every, sent=sent)
        for part in reversed(parts):
            part.start()
        lost = sent.acknowledged - set(pipeline.settle(len(sent.acknowledged), 20))
        window = max((killed[0] - sent.times[one] for one in lost), default=0.0) * 1000
        print(f"{len(lost)} of {len(sent.acknowledged)} readings lost at 1000/s, the oldest {window:.0f} ms before the end")
        assert window <= milliseconds and (len(lost) == 0 or not durable)


def test_two_collectors_share_and_one_that_is_killed_loses_nothing(tmp_path):
    with Pipeline(tmp_path / "stack", telegraf_share_group="collectors") as pipeline, pipeline.another("telegraf-two", tmp_path / "two") as two:
        topics = {row["topic"] for row in pipeline.broker.get("/clients/telegraf-two/subscriptions")}
        assert topics and all(topic.startswith("$share/collectors/") for topic in topics)
        sent = devices.publish(pipeline.broker.port, 4000, devices=10)
        check(pipeline, sent)
        shares = [pipeline.broker.get(f"/clients/{name}")["send_msg"] for name in ("telegraf-localhost", "telegraf-two")]
        # Each message to one of them, and about as many to each.
        assert sum(shares) == 4000 and min(shares) > 1500
        stopped = at(0.02, two.kill)
        more = devices.publish(pipeline.broker.port, 4000, devices=10, first=4000, every=stopped)
        stopped.started[0].join()
        # Its part waits in its session, as EMQX's round robin does not ask who is there; it is not lost.
        waiting = pipeline.broker.get("/clients/telegraf-two")
        assert not waiting["connected"] and waiting["mqueue_len"] + waiting["inflight_cnt"] > 0
        two.start()
        check(pipeline, sent, more)


def test_what_an_expired_member_leaves_goes_to_the_others(tmp_path):
    """EMQX's redispatch: at the end of its session, and not before."""
    options = {"telegraf_share_group": "collectors", "broker": {"emqx_session_expiry": "5s"}}
    with Pipeline(tmp_path / "stack", **options) as pipeline, pipeline.another("telegraf-two", tmp_path / "two") as two:
        two.kill()
        sent = devices.publish(pipeline.broker.port, 1000, devices=10)
        assert pipeline.broker.get("/clients/telegraf-two")["mqueue_len"] > 300
        check(pipeline, sent)
