# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's template in a real Telegraf: a broker with TLS before it, a real InfluxDB behind it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import ssl
import time
import urllib.request

import pytest
import yaml
from free_ports import free_port
from stack.programs import ROOT
from stack.telegraf import ROLE, Place

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import resources

from .broker import Broker

pytestmark = pytest.mark.integration


@pytest.fixture
def place(tmp_path):
    yield Place(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def pipeline(place, influxdb, prefix):
    """Everything but Telegraf: broker, buckets, a token that may only write, the rendered and checked configuration."""
    client = influxdb.client()
    buckets = {name: f"{prefix}_{name}" for name in ("data", "verify", "unparsed")}
    retention = {"data": "7d", "verify": "1h", "unparsed": "7d"}
    resources.buckets(client, influxdb.organization, [resources.Bucket(buckets[name], retention=retention[name]) for name in buckets], check=False)
    rights = tuple(resources.Permission("write", "buckets", name) for name in buckets.values())
    _outcome, made = resources.tokens(client, influxdb.client, influxdb.organization, [resources.Token(f"{prefix} telegraf", rights)], False)
    password = secrets.token_hex(8)
    (place.credentials / "influxdb_token").write_text(made[0].value)
    (place.credentials / "mqtt_password").write_text(password)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.etc / "tls" / "server.pem", place.etc / "tls" / "server.key")
    context.load_verify_locations(place.etc / "tls" / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    broker = Broker(context)
    place.broker, place.client, place.buckets, place.password = broker, client, buckets, password
    place.health = free_port()
    text = place.render(
        iot_organization=influxdb.organization,
        iot_bucket=buckets["data"],
        iot_verify_bucket=buckets["verify"],
        iot_unparsed_bucket=buckets["unparsed"],
        telegraf_influxdb_url=influxdb.url,
        telegraf_mqtt=True,
        telegraf_mqtt_address="localhost",
        telegraf_mqtt_port=broker.port,
        telegraf_flush_interval="200ms",
        telegraf_interval="1s",
        telegraf_health_port=place.health,
    )
    assert made[0].value not in text and password not in text
    place.check()
    yield place
    broker.close()
    client.close()


def rows(place, bucket: str, measurement: str) -> list[dict]:
    query = f'select * from "{measurement}"'  # noqa: S608
    return [{key: value for key, value in row.items() if value is not None} for row in place.client.influxql(query, place.buckets[bucket], epoch="ms")]


def test_readings_go_where_their_profile_says(pipeline):
    place, broker = pipeline, pipeline.broker
    now = int(time.time() * 1000)
    readings = {
        "sensor/raspberrypi/pi-1": [
            # Other types than the columns', as devices send them; what no field names is left out.
            '{"cpu_usage": 12, "cpu_temp": "48.5", "memory_usage": 33.25, "id": "pi-1", "other": {"deep": [1, 2]}}',
            '\ufeff  {"cpu_usage": 1e1, "cpu_temp": null}',
        ],
        "tele/plug-1/SENSOR": ['{"Time":"2026-01-01T00:00:00","ENERGY":{"Total":1.5,"Power":42,"Voltage":230,"Factor":0.99}}'],
        "sensor/generic/g-1": [
            json.dumps({"value": 1, "time": now - 1000}),
            # The same reading again: one row.
            json.dumps({"value": 1, "time": now - 1000}),
            json.dumps({"value": -2.5, "time": now + 0.5}),
        ],
        "edgestack/verify/probe": [json.dumps({"nonce": "n-1", "value": 7, "time": now - 2000})],
    }
    unusable = {
        "type": ("sensor/raspberrypi/pi-2", '{"cpu_usage": "warm", "cpu_temp": 40}'),
        "json": ("sensor/raspberrypi/pi-3", "not json at all"),
        "empty": ("sensor/raspberrypi/pi-4", '{"nothing": "known"}'),
        "time": ("sensor/generic/g-2", '{"value": 1}'),
        "old": ("sensor/generic/g-3", '{"value": 1, "time": 1000}'),
        "future": ("sensor/generic/g-4", '{"value": 1, "time": 4102444800000}'),
        "size": ("sensor/raspberrypi/pi-5", '{"cpu_usage": 1, "x": "' + "x" * 70000 + '"}'),
    }
    with place.running():
        assert broker.wait_subscribed(20), place.log
        sent = 0
        for topic, payloads in readings.items():
            for payload in payloads:
                broker.publish(topic, payload.encode())
                sent += 1
        for topic, payload in unusable.values():
            broker.publish(topic, payload.encode())
            sent += 1
        assert broker.wait_acknowledged(sent, 20), place.log
        with urllib.request.urlopen(f"http://127.0.0.1:{place.health}", timeout=5) as health:
            assert health.status == 200
        # The host's own metrics; a share of time needs two measurements.
        deadline = time.monotonic() + 20
        while not (rows(place, "data", "cpu") and rows(place, "data", "internal_write")):
            assert time.monotonic() < deadline, place.log
            time.sleep(0.2)

    connect = broker.connects[0]
    assert connect["texts"] == ["telegraf-localhost", "telegraf-localhost", place.password] and not connect["clean"]
    assert connect["certificate"]["subject"] == ((("commonName", "telegraf-localhost"),),)
    assert broker.subscriptions["sensor/raspberrypi/+"] == 1 and broker.subscriptions["tele/+/SENSOR"] == 1

    first, second = rows(place, "data", "raspberrypi")
    assert {key: first[key] for key in first if key != "time"} == {
        "name": "raspberrypi", "device": "pi-1", "topic": "sensor/raspberrypi/pi-1",
        "cpu_usage": 12, "cpu_temp": 48.5, "memory_usage": 33.25,
    }  # fmt: skip
    assert second["cpu_usage"] == 10 and abs(second["time"] - now) < 20000
    plug = rows(place, "data", "sonoff_pow")[0]
    assert (plug["device"], plug["power"], plug["power_factor"], plug["energy_total"]) == ("plug-1", 42, 0.99, 1.5)
    assert [(row["time"], row["value"]) for row in rows(place, "data", "generic_json")] == [(now - 1000, 1), (now, -2.5)]
    verify = rows(place, "verify", "edgestack_verify")[0]
    assert (verify["nonce"], verify["value"], verify["time"], verify["device"]) == ("n-1", 7, now - 2000, "probe")
    assert rows(place, "data", "edgestack_verify") == []

    kept = {row["reason"]: row for row in rows(place, "unparsed", "unparsed")}
    assert sorted(kept) == sorted(unusable)
    for reason, (topic, payload) in unusable.items():
        assert kept[reason]["payload"] == payload and kept[reason]["topic"] == topic, reason
        assert kept[reason]["size"] == len(payload) and kept[reason]["detail"]
    assert kept["type"]["device"] == "pi-2" and kept["type"]["profile"] == "raspberrypi" and "cpu_usage" in kept["type"]["detail"]
    assert rows(place, "data", "unparsed") == []
    assert rows(place, "data", "cpu")[0]["host"] == "localhost"


RUBBISH = [
    b"",
    b"\x00\x01\x02\x00nul\x00",
    b"\xff\xfe\xc3\x28 not utf-8 \x80",
    b'{"cpu_usage": 1e999}',
    b'{"cpu_usage": NaN}',
    b'{"cpu_usage": "NaN"}',
    b'{"cpu_usage": true}',
    b'{"cpu_usage": [1, 2]}',
    b'{"cpu_usage": {"a": 1}}',
    b'{"cpu_usage": ' + b"9" * 5000 + b"}",
    b'{"cpu_usage": "--1"}',
    b"[" * 60000,
    b"[" * 900000,
    b'{"a":' * 10000,
    b'{"cpu_usage": 1, "cpu_usage": "x"}',
    b'"text"',
    b"null",
    b"[1,2,3]",
    b"x" * 1000000,
    'ünïcödé \u2028 " \\ \n\t,= end\\'.encode(),
    b"\xc3" * 1040000,
]


def measured(place, **variables) -> dict[str, set[str]]:
    """The fields of each measurement that this Telegraf writes of its host."""
    written = place.directory / "written"
    place.render(
        telegraf_mqtt=False, telegraf_broker_url="", telegraf_interval="1s", telegraf_flush_interval="200ms", telegraf_health_port=free_port(),
        telegraf_influxdb_url=f"http://127.0.0.1:{free_port()}", telegraf_diskio_devices=["*"], telegraf_net_interfaces=["*"],
        telegraf_extra_config=f'[[outputs.file]]\nfiles = ["{written}"]', **variables,
    )  # fmt: skip
    place.check()
    written.write_text("")
    found: dict[str, set[str]] = {}
    deadline = time.monotonic() + 30
    with place.running():
        # A rate needs two rounds, and something to measure.
        while "io_await" not in found.get("diskio", ()):
            assert time.monotonic() < deadline, place.log
            time.sleep(0.2)
            with (place.directory / "noise").open("ab") as noise:
                noise.write(secrets.token_bytes(4096))
                os.fsync(noise.fileno())
            for line in written.read_text().splitlines():
                if matched := re.match(r"([^, ]+)\S* (.*) \d+$", line):
                    found.setdefault(matched[1], set()).update(re.findall(r"(?:^|,)(\w+)=", matched[2]))
    return found


def test_few_fields_are_written_to_a_card(place):
    """A name that no input has would leave its field out without a word."""
    everything, few = measured(place), measured(place, _iot_loss_window=60)
    known = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["_telegraf_few_fields"]
    for name in ("cpu", "mem", "system", "diskio", "net"):
        assert few[name] == set(known[name]) < everything[name], name
    counters = everything["internal_agent"] | everything["internal_write"]
    assert few["internal_agent"] | few["internal_write"] == set(known["internal"]) < counters
    assert "internal_gather" in everything and "internal_gather" not in few
    assert measured(place, _iot_loss_window=60, telegraf_all_fields=True) == everything


@pytest.mark.parametrize(("name", "path"), [("emqx", "/metrics?aggregate=true"), ("emqx_stats", "/stats")])
def test_few_fields_of_the_broker_are_ones_that_it_has(name, path):
    known = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["_telegraf_few_fields"][name]
    recordings = [json.loads(line) for line in (ROOT / "tests" / "contracts" / "emqx" / "recordings-5.8.9.jsonl").read_text().splitlines()]
    answer = next(one["response"]["body"] for one in recordings if one.get("request", {}).get("path") == path)
    assert set(known) <= (answer[0] if isinstance(answer, list) else answer).keys()


def test_rubbish_is_kept_and_stops_nothing(pipeline):
    """Each payload is stored raw, and readings before, between and after are stored as ever."""
    place, broker = pipeline, pipeline.broker
    with place.running() as process:
        assert broker.wait_subscribed(20), place.log
        for number, payload in enumerate(RUBBISH):
            broker.publish("sensor/raspberrypi/good", json.dumps({"cpu_usage": number}).encode())
            broker.publish(f"sensor/raspberrypi/bad-{number:02}", payload)
        assert broker.wait_acknowledged(2 * len(RUBBISH), 30), place.log[-3000:]
        assert process.poll() is None
    good = sorted(row["cpu_usage"] for row in rows(place, "data", "raspberrypi") if row["device"] == "good")
    assert good == list(range(len(RUBBISH)))
    assert [row["detail"] for row in rows(place, "unparsed", "unparsed") if row["reason"] == "script"] == []
    stored = {row["device"]: row for row in rows(place, "unparsed", "unparsed")}
    missing = [number for number in range(len(RUBBISH)) if f"bad-{number:02}" not in stored]
    assert missing == []
    for number, payload in enumerate(RUBBISH):
        row = stored[f"bad-{number:02}"]
        # Telegraf strips NUL bytes and white space at both ends.
        assert row["size"] == len(payload.strip(b"\x00").strip()), payload[:40]
        if len(payload) < 1000 and payload.isascii() and b"\x00" not in payload:
            assert row["payload"] == payload.decode().strip("\x00").strip()
    assert "reject" not in place.log.lower() and "will be dropped" not in place.log


def test_nothing_is_acknowledged_before_it_is_stored(pipeline):
    """Killed with -9 in the middle and cut off: the broker still has what is not in the database."""
    place, broker = pipeline, pipeline.broker
    total = 6000
    start = int(time.time() * 1000) - total
    for number in range(total):
        broker.publish("sensor/generic/g-1", json.dumps({"value": number, "time": start + number}).encode())
    for kills in (300, 1500):
        with place.running():
            assert broker.wait_acknowledged(kills, 30), place.log[-3000:]
        acknowledged = broker.acknowledged
        assert len(rows(place, "data", "generic_json")) >= acknowledged
    with place.running():
        assert broker.wait_acknowledged(3000, 30), place.log[-3000:]
        broker.drop()
        assert broker.wait_acknowledged(total, 60), place.log[-3000:]
    assert [row["value"] for row in rows(place, "data", "generic_json")] == list(range(total))


def test_a_host_without_a_broker_sends_its_own_metrics_only(place):
    text = place.render(telegraf_mqtt=False, telegraf_influxdb_url="https://centre:8086")
    place.check()
    assert "mqtt" not in text and "starlark" not in text and f'tls_ca = "{place.etc}/tls/ca.pem"' in text


@pytest.mark.parametrize(
    ("inventory", "broker", "database"),
    [
        ("[emqx]\nlocalhost\n[influxdb]\nlocalhost\n[telegraf]\nlocalhost\n", "localhost", "localhost"),
        # A centre with everything, and this host with a Telegraf alone: its own metrics, to the centre.
        ("[emqx]\ncentre\n[influxdb]\ncentre influxdb_address=10.0.0.5\n[telegraf]\ncentre\nlocalhost\n", None, "10.0.0.5"),
        # The broker's host has no Telegraf: the first of the group reads it.
        ("[emqx]\nbroker iot_address=10.0.0.6\n[influxdb]\ndb\n[telegraf]\nlocalhost\nother\n", "10.0.0.6", "db"),
        ("[emqx]\nbroker\n[influxdb]\ndb\n[telegraf]\nother\nlocalhost\n", None, "db"),
        # A gateway with its own of all.
        ("[emqx]\ncentre\nlocalhost\n[influxdb]\ncentre\nlocalhost\n[telegraf]\ncentre\nlocalhost\n", "localhost", "localhost"),
        ("[influxdb]\ndb\n[telegraf]\nlocalhost\n", None, "db"),
    ],
)
def test_which_telegraf_reads_which_broker(place, inventory, broker, database):
    text = place.render(inventory)
    place.check()
    assert f'urls = ["https://{database}:8086"]' in text
    assert (f'servers = ["ssl://{broker}:8883"]' in text) if broker else ("mqtt_consumer" not in text)


def test_a_profile_that_cannot_be_is_refused(place):
    (place.directory / "profiles").mkdir()
    (place.directory / "profiles" / "mine.yml").write_text("topics: {publish: ['a/${username}']}\ntelemetry: a/#\nfields: []\n")
    with pytest.raises(AssertionError, match="telemetry"):
        place.render(telegraf_mqtt=True, telegraf_mqtt_address="x", telegraf_influxdb_url="http://x:8086")
