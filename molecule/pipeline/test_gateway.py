# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway with its own stack, its uplink and its power cut, and what the trace says of each hop that is broken.

Runs against the hosts of the scenario's lab (EDGESTACK_LAB), whose containers it reaches without their network.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LAB = os.environ.get("EDGESTACK_LAB", "pipeline")
INVENTORIES = [f"--inventory={ROOT}/inventories/demo", f"--inventory={ROOT}/molecule/pipeline/inventory"]
CA = "/etc/edgestack/influxdb/tls/ca.pem"

# Writes numbered readings into the gateway's own database, acknowledged one by one: number and pause are its arguments.
WRITER = f"""
import ssl, sys, time, urllib.request
context = ssl.create_default_context(cafile="{CA}")
token = open("/etc/edgestack/influxdb/secrets/operator-token").read().strip()
first, last = int(sys.argv[1]), int(sys.argv[2])
for number in range(first, last):
    line = f"uplink_test,device=d value={{number}} {{time.time_ns()}}"
    request = urllib.request.Request("https://127.0.0.1:8086/api/v2/write?org=edgestack&bucket=iotdata", data=line.encode(),
                                     headers={{"Authorization": "Token " + token}})
    urllib.request.urlopen(request, context=context, timeout=30).read()
    print(number, flush=True)
"""
READER = f"""
import json, ssl, sys, urllib.parse, urllib.request
context = ssl.create_default_context(cafile="{CA}")
token = open("/etc/edgestack/influxdb/secrets/operator-token").read().strip()
query = urllib.parse.urlencode({{"db": "iotdata", "q": sys.argv[1]}})
request = urllib.request.Request("https://127.0.0.1:8086/query?" + query, headers={{"Authorization": "Token " + token}})
series = json.load(urllib.request.urlopen(request, context=context, timeout=30))["results"][0].get("series", [])
print(json.dumps([int(row[1]) for one in series for row in one["values"]]))
"""


def container(host: str) -> str:
    return f"edgestack-{LAB}-{host}"


def on(host: str, *command: str, data: str | None = None, check: bool = True) -> str:
    """A command in the host, also while its network is away."""
    done = subprocess.run(["docker", "exec", "-i", container(host), *command], input=data, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


def write(first: int, last: int) -> set[int]:
    return {int(line) for line in on("gateway-1", "python3", "-", str(first), str(last), data=WRITER).split()}


def at_the_centre() -> list[int]:
    return json.loads(on("centre", "python3", "-", "SELECT value FROM uplink_test", data=READER))


def until(what, seconds: float) -> float:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, f"it did not come about within {seconds} s"
        time.sleep(0.5)
    return time.monotonic() - began


def trace(tmp_path: pathlib.Path, device: str) -> dict[str, dict]:
    """The hops by name."""
    report = tmp_path / "trace.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        ["ansible-playbook", *INVENTORIES, str(ROOT / "playbooks" / "trace.yml"), "-e", f"device={device}", "-e", f"iot_trace_report={report}"],
        cwd=ROOT,
        env={**os.environ, "EDGESTACK_LAB": LAB},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    hops = {one["name"]: one for one in json.loads(report.read_text())}
    assert (done.returncode == 0) == all(one["ok"] for one in hops.values()), done.stdout
    return hops


@contextlib.contextmanager
def stopped(host: str, unit: str):
    on(host, "systemctl", "stop", unit)
    try:
        yield
    finally:
        on(host, "systemctl", "start", unit)


@contextlib.contextmanager
def uplink_down():
    on("gateway-1", "ip", "link", "set", "eth0", "down")
    try:
        yield
    finally:
        on("gateway-1", "ip", "link", "set", "eth0", "up")


def broken(hops: dict[str, dict]) -> list[str]:
    return [name for name, hop in hops.items() if not hop["ok"]]


SESSION = "the session of Telegraf on gateway-1"
DATABASE, QUEUE, CENTRE = "Telegraf and the database", "the queue to the centre", "the central database"


def test_a_message_is_followed_to_the_centre(tmp_path):
    hops = trace(tmp_path, "river-1")
    assert list(hops) == ["TLS and CONNACK", "PUBACK", SESSION, DATABASE, QUEUE, CENTRE] and broken(hops) == []
    assert 0 <= hops[DATABASE]["seconds"] < 10
    # The device of the centre's own broker has a shorter way.
    hops = trace(tmp_path, "dht-1")
    assert len(hops) == 4 and broken(hops) == []


def test_the_broker_is_away(tmp_path):
    with stopped("gateway-1", "emqx"):
        hops = trace(tmp_path, "river-1")
    assert broken(hops)[0] == "TLS and CONNACK" and hops["TLS and CONNACK"]["advice"]
    # Its sessions went with it; Telegraf makes a new one.
    until(lambda: broken(trace(tmp_path, "river-1")) == [], 120)


def test_telegraf_is_away(tmp_path):
    with stopped("gateway-1", "telegraf"):
        hops = trace(tmp_path, "river-1")
    assert broken(hops) == [SESSION, DATABASE, CENTRE]
    assert "away" in hops[SESSION]["observed"] and "journalctl -u telegraf" in hops[SESSION]["advice"]
    # What waited in the broker meanwhile came.
    until(lambda: broken(trace(tmp_path, "river-1")) == [], 60)


def test_the_gateways_database_is_away(tmp_path):
    with stopped("gateway-1", "influxdb"):
        hops = trace(tmp_path, "river-1")
    assert broken(hops)[0] == DATABASE and "journalctl -u influxdb" in hops[DATABASE]["advice"]
    until(lambda: broken(trace(tmp_path, "river-1")) == [], 120)


def test_the_centre_is_away(tmp_path):
    with stopped("centre", "influxdb"):
        hops = trace(tmp_path, "river-1")
    assert DATABASE not in broken(hops) and QUEUE in broken(hops) and CENTRE in broken(hops)
    assert "bytes wait" in hops[QUEUE]["observed"] and "can be reached from here" in hops[QUEUE]["advice"]


def test_an_unknown_device_is_told(tmp_path):
    done = subprocess.run(
        ["ansible-playbook", *INVENTORIES, str(ROOT / "playbooks" / "trace.yml"), "-e", "device=nobody"],
        cwd=ROOT,
        env={**os.environ, "EDGESTACK_LAB": LAB},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and "there is no device nobody" in done.stdout + done.stderr


def test_an_uplink_that_is_cut_loses_nothing():
    """Readings go on while the uplink is away; when it is back, the centre has all of them within a minute or two, with no new one."""
    with uplink_down():
        sent = write(0, 600)
        time.sleep(30)
    until(lambda: set(at_the_centre()) >= sent, 150)
    found = at_the_centre()
    assert len(found) == len(set(found)) == 600


def test_a_power_cut_while_the_uplink_is_away_loses_nothing_that_was_taken():
    with uplink_down():
        sent = write(1000, 1300)
        subprocess.run(["docker", "kill", container("gateway-1")], check=True, capture_output=True)
        subprocess.run(["docker", "start", container("gateway-1")], check=True, capture_output=True)
        until(lambda: on("gateway-1", "systemctl", "is-active", "influxdb", check=False).strip() == "active", 180)
    assert len(sent) == 300
    until(lambda: set(at_the_centre()) >= sent, 150)
    found = [number for number in at_the_centre() if number >= 1000]
    assert len(found) == len(set(found)) == 300


@pytest.mark.parametrize("unit", ["edgestack-uplink.timer", "influxdb.service", "telegraf.service", "emqx.service"])
def test_everything_is_back_after_it(unit):
    assert on("gateway-1", "systemctl", "is-active", unit, check=False).strip() == "active"
    assert on("gateway-1", "systemctl", "is-enabled", unit, check=False).strip() == "enabled"
