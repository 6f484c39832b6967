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
import re
import shutil
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


# Publishes numbered readings as the device river-1, on the gateway itself, each acknowledged by the broker.
RIVER = """
import json, socket, ssl, struct, sys, time
def text(value): return struct.pack(">H", len(value)) + value
def packet(kind, body):
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body
context = ssl.create_default_context(cafile="/root/river-1/ca.pem")
context.load_cert_chain("/root/river-1/device.pem", "/root/river-1/device.key")
connection = context.wrap_socket(socket.create_connection(("127.0.0.1", 8883), timeout=20), server_hostname="127.0.0.1")
password = open("/root/river-1/password", "rb").read().strip()
connection.sendall(packet(0x10, text(b"MQTT") + b"\\x04\\xc2" + struct.pack(">H", 60) + text(b"river-1") + text(b"river-1") + text(password)))
assert connection.recv(4) == b"\\x20\\x02\\x00\\x00"
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    payload = json.dumps({"temperature": number, "humidity": 50}).encode()
    connection.sendall(packet(0x32, text(b"sensor/dht11/river-1") + struct.pack(">H", number % 65535 + 1) + payload))
    assert connection.recv(4)[:1] == b"\\x40"
    print(number, flush=True)
    time.sleep(0.001)
"""
# A small disk for InfluxDB, filled: its size in MiB is the argument.
FILL = """
systemctl stop influxdb
mv /var/lib/influxdb /var/lib/influxdb.kept
mkdir /var/lib/influxdb
mount -t tmpfs -o size=${1}m tmpfs /var/lib/influxdb
cp -a /var/lib/influxdb.kept/. /var/lib/influxdb/
chown influxdb:influxdb /var/lib/influxdb
systemctl start influxdb
dd if=/dev/zero of=/var/lib/influxdb/filler bs=64k status=none 2>/dev/null || true
"""
UNFILL = """
systemctl stop influxdb
rm -rf /var/lib/influxdb.kept
cp -a /var/lib/influxdb /var/lib/influxdb.kept
umount /var/lib/influxdb
rmdir /var/lib/influxdb
mv /var/lib/influxdb.kept /var/lib/influxdb
systemctl start influxdb
"""
# The API on the host itself, with the operator's token: method, path, query, and the body as text.
API = f"""
import json, ssl, sys, urllib.parse, urllib.request
context = ssl.create_default_context(cafile="{CA}")
token = open("/etc/edgestack/influxdb/secrets/operator-token").read().strip()
method, path, query, body = sys.argv[1:]
request = urllib.request.Request("https://127.0.0.1:8086" + path + "?" + query, data=body.encode() or None, method=method,
                                 headers={{"Authorization": "Token " + token, "Content-Type": "application/json"}})
print(urllib.request.urlopen(request, context=context, timeout=30).read().decode())
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


def numbers(host: str, check: bool = True) -> list[int]:
    """What the database of a host has of river-1."""
    found = on(host, "python3", "-", "SELECT temperature FROM dht11 WHERE device = 'river-1'", data=READER, check=check)
    return json.loads(found or "[]")


def ask(host: str, method: str, path: str, query: str = "", body: str = "") -> str:
    return on(host, "python3", "-", method, path, query, body, data=API)


def api(host: str, what: str) -> dict:
    organization = json.loads(ask(host, "GET", "/api/v2/orgs", "org=edgestack"))["orgs"][0]["id"]
    return json.loads(ask(host, "GET", f"/api/v2/{what}", f"orgID={organization}&limit=100" if what == "authorizations" else f"orgID={organization}"))


def put(host: str, line: str) -> None:
    ask(host, "POST", "/api/v2/write", "org=edgestack&bucket=iotdata", line)


def waiting() -> int:
    return sum(one["remainingBytesToBeSynced"] for one in api("gateway-1", "replications")["replications"] or [])


def reconciled() -> list[dict]:
    """What the look at the uplink finds when it compares, also what has just come."""
    settings = json.loads(on("gateway-1", "cat", "/etc/edgestack/uplink/settings.json"))
    changed = json.dumps({**settings, "settle": "0", "state_file": "/run/uplink-test.json"})
    on("gateway-1", "sh", "-c", "rm -f /run/uplink-test.json; cat > /run/uplink-settings.json", data=changed)
    said = on("gateway-1", "env", "PYTHONPATH=/opt/edgestack/uplink", "python3", "-m", "edgestack_uplink", "/run/uplink-settings.json")
    return json.loads(said.splitlines()[-1])["reconciled"]


@pytest.fixture
def river():
    """Publishes as river-1 from the gateway itself; the numbers that were acknowledged."""
    bundle = ROOT / "build" / LAB / "devices" / "river-1"
    subprocess.run(["docker", "cp", str(bundle), f"{container('gateway-1')}:/root/"], check=True, capture_output=True)

    def publish(first: int, last: int, check: bool = True) -> set[int]:
        return {int(line) for line in on("gateway-1", "python3", "-", str(first), str(last), data=RIVER, check=check).split()}

    return publish


def until(what, seconds: float) -> float:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, f"it did not come about within {seconds} s"
        time.sleep(0.5)
    return time.monotonic() - began


def play(book: str, *arguments: str, check: bool = True) -> str:
    """A playbook of the collection, or one of this scenario."""
    path = ROOT / "playbooks" / book
    done = subprocess.run(
        ["ansible-playbook", *INVENTORIES, str(path if path.exists() else pathlib.Path(__file__).parent / book), *arguments],
        cwd=ROOT,
        env={**os.environ, "EDGESTACK_LAB": LAB, "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == check, done.stdout + done.stderr
    return done.stdout + done.stderr


def trace(tmp_path: pathlib.Path, device: str, *arguments: str) -> dict[str, dict]:
    """The hops by name."""
    report = tmp_path / "trace.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        ["ansible-playbook", *INVENTORIES, str(ROOT / "playbooks" / "trace.yml"), "-e", f"device={device}", "-e", f"iot_trace_report={report}", *arguments],
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
GRAFANA = "Grafana's data source"


def test_a_message_is_followed_to_the_centre(tmp_path):
    hops = trace(tmp_path, "river-1")
    assert list(hops) == ["TLS and CONNACK", "PUBACK", SESSION, DATABASE, QUEUE, CENTRE, GRAFANA] and broken(hops) == []
    assert 0 <= hops[DATABASE]["seconds"] < 10
    # The device of the centre's own broker has a shorter way.
    hops = trace(tmp_path, "dht-1")
    assert len(hops) == 5 and broken(hops) == []


def test_the_broker_is_away(tmp_path):
    with stopped("gateway-1", "emqx"):
        hops = trace(tmp_path, "river-1")
    assert broken(hops)[0] == "TLS and CONNACK" and hops["TLS and CONNACK"]["advice"]
    # Its sessions went with it; Telegraf makes a new one.
    until(listening, 120)


def test_telegraf_is_away(tmp_path, river):
    with stopped("gateway-1", "telegraf"):
        hops = trace(tmp_path, "river-1")
        sent = river(100, 105)
    assert broken(hops) == [SESSION, DATABASE, CENTRE, GRAFANA]
    assert "away" in hops[SESSION]["observed"] and "journalctl -u telegraf" in hops[SESSION]["advice"]
    # What waited in the broker meanwhile comes.
    until(lambda: set(numbers("gateway-1")) >= sent, 60)


def test_the_gateways_database_is_away(tmp_path, river):
    with stopped("gateway-1", "influxdb"):
        hops = trace(tmp_path, "river-1")
        sent = river(105, 110)
    assert broken(hops)[0] == DATABASE and "journalctl -u influxdb" in hops[DATABASE]["advice"]
    until(lambda: set(numbers("gateway-1", check=False)) >= sent, 60)


def test_the_centre_is_away(tmp_path):
    with stopped("centre", "influxdb"):
        hops = trace(tmp_path, "river-1")
    assert DATABASE not in broken(hops) and QUEUE in broken(hops) and CENTRE in broken(hops)
    assert "bytes wait" in hops[QUEUE]["observed"] and "can be reached from here" in hops[QUEUE]["advice"]


def test_grafana_is_away(tmp_path):
    with stopped("centre", "grafana-server"):
        hops = trace(tmp_path, "river-1")
    assert broken(hops) == [GRAFANA] and "journalctl -u grafana-server" in hops[GRAFANA]["advice"]


def test_an_unknown_device_is_told(tmp_path):
    hops = trace(tmp_path, "rivet-1")
    assert list(hops) == ["rivet-1"] and not hops["rivet-1"]["ok"]
    assert "there is no device rivet-1" in hops["rivet-1"]["advice"] and "is it one of river-1?" in hops["rivet-1"]["advice"]


def test_a_revoked_device_is_told(tmp_path):
    """Revoked at once, before the list is edited; and by the list."""
    bundle = ROOT / "build" / LAB / "devices" / "river-1"
    files = ("password", "device.pem", "device.key")
    for name in files:
        shutil.copy(bundle / name, tmp_path / name)
    play("devices.yml", "-e", "devices_revoke=river-1")
    try:
        hops = trace(tmp_path, "river-1")
        assert broken(hops)[0] == "TLS and CONNACK" and "password" in hops["TLS and CONNACK"]["observed"]
        assert "devices_readmit=river-1" in hops["TLS and CONNACK"]["advice"]
        # With its old password alone it has nothing to connect with; with all its files it is the broker that refuses.
        shutil.copy(tmp_path / "password", bundle)
        hops = trace(tmp_path, "river-1")
        assert "device.pem" in hops["TLS and CONNACK"]["observed"] and "devices_readmit=river-1" in hops["TLS and CONNACK"]["advice"]
        for name in files:
            shutil.copy(tmp_path / name, bundle)
        hops = trace(tmp_path, "river-1")
        assert "not authorized" in hops["TLS and CONNACK"]["observed"] and "devices_readmit=river-1" in hops["TLS and CONNACK"]["advice"]
        listed = [{"id": "dht-1", "profile": "dht11", "site": "main"}, {"id": "river-1", "profile": "dht11", "site": "river", "state": "revoked"}]
        hops = trace(tmp_path, "river-1", "-e", json.dumps({"iot_devices": listed}))
        assert broken(hops)[0] == "river-1" and hops["river-1"]["observed"] == "revoked"
    finally:
        for name in files:
            (bundle / name).unlink(missing_ok=True)
        play("devices.yml", "-e", "devices_readmit=river-1")
    # That it may come again is seen by the next trace.


# Takes a topic away from a session, or gives it back, through the broker's API on its host.
SUBSCRIPTION = """
import base64, json, sys, urllib.request
secret = open("/etc/edgestack/emqx/secrets/api_secret").read().strip()
head = {"Authorization": "Basic " + base64.b64encode(("edgestack:" + secret).encode()).decode(), "Content-Type": "application/json"}
topics = [{"topic": "sensor/dht11/+"} | ({"qos": 1} if sys.argv[1] == "subscribe" else {})]
url = f"http://127.0.0.1:18083/api/v5/clients/telegraf-gateway-1/{sys.argv[1]}/bulk"
urllib.request.urlopen(urllib.request.Request(url, json.dumps(topics).encode(), head, method="POST"), timeout=10)
"""


LISTENING = """
import base64, urllib.request
secret = open("/etc/edgestack/emqx/secrets/api_secret").read().strip()
head = {"Authorization": "Basic " + base64.b64encode(("edgestack:" + secret).encode()).decode()}
url = "http://127.0.0.1:18083/api/v5/clients/telegraf-gateway-1/subscriptions"
print(urllib.request.urlopen(urllib.request.Request(url, headers=head), timeout=10).read().decode())
"""


def test_a_topic_that_the_session_lacks_is_told(tmp_path):
    on("gateway-1", "python3", "-", "unsubscribe", data=SUBSCRIPTION)
    try:
        hops = trace(tmp_path, "river-1")
    finally:
        on("gateway-1", "python3", "-", "subscribe", data=SUBSCRIPTION)
    assert broken(hops)[0] == SESSION and hops[SESSION]["observed"] == "not subscribed" and "run site.yml" in hops[SESSION]["advice"]
    assert broken(trace(tmp_path, "river-1")) == []


def test_what_alerts_are_made_of_is_at_the_centre():
    """Of both brokers: the gateway's is copied."""
    for measurement, field in (("emqx", "delivery.dropped"), ("emqx_session", "mqueue_len"), ("emqx_stats", "sessions.count"), ("uplink", "remaining_bytes")):
        hosts = on("centre", "python3", "-", f'SELECT last("{field}") FROM {measurement} GROUP BY host', data=READER.replace("int(row[1])", "one['tags']"))  # noqa: S608
        wanted = {"gateway-1"} if measurement == "uplink" else {"centre", "gateway-1"}
        assert {one["host"] for one in json.loads(hosts)} == wanted, measurement


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


def listening() -> bool:
    """Whether Telegraf has a session at the gateway's broker."""
    return "sensor/dht11/+" in on("gateway-1", "python3", "-", "subscriptions", data=LISTENING, check=False)


def test_a_gateway_that_starts_without_an_uplink_takes_its_devices_readings(river):
    """The start waits neither for the centre nor for the time; what came meanwhile is at the centre afterwards.

    What the broker takes before Telegraf has made its session nobody gets: docs/pipeline.md has how long that is.
    """
    with uplink_down():
        subprocess.run(["docker", "restart", "--time", "20", container("gateway-1")], check=True, capture_output=True)
        on("gateway-1", "ip", "link", "set", "eth0", "down")
        began = time.monotonic()
        until(lambda: river(2000, 2001, check=False) == {2000}, 180)
        taken = time.monotonic() - began
        # On a gateway Telegraf waits for the time, but not for ever.
        until(listening, 180)
        print(f"the first reading was taken {taken:.1f} s after the start, Telegraf listens {time.monotonic() - began - taken:.1f} s later")
        sent = river(2001, 2060)
        until(lambda: set(numbers("gateway-1", check=False)) >= sent, 60)
    until(lambda: set(numbers("centre")) >= sent, 150)
    assert len(sent) == 59


def refused() -> int:
    """Writes that the gateway's database has answered with an error of its own since its start."""
    counters = on("gateway-1", "python3", "-", "GET", "/metrics", "", "", data=API)
    wanted = re.compile(r'^http_api_requests_total\{.*path="/api/v2/write".*status="5XX".*\} (\d+)$', re.MULTILINE)
    return sum(int(count) for count in wanted.findall(counters))


def watched(since: str) -> str:
    """What the look at refused writes has said since then."""
    return on("gateway-1", "journalctl", "--unit=edgestack-influxdb-watch", f"--since={since}", "--output=cat", "--no-pager")


def test_a_full_disk_corrupts_nothing_and_what_waited_comes_by_itself(river):
    """InfluxDB refuses what it cannot write; Telegraf does not acknowledge, so the broker keeps it until there is room.

    InfluxDB 2.9.1 goes on refusing then; nobody but the gateway itself restarts it. The queue to the centre can end in a torn batch, which
    the look at the uplink sees and renews.
    """
    before = set(numbers("gateway-1"))
    began = on("gateway-1", "date", "+@%s").strip()
    used = int(on("gateway-1", "du", "-sm", "/var/lib/influxdb").split()[0])
    on("gateway-1", "sh", "-ec", FILL, "fill", str(used + 64))
    pid = on("gateway-1", "systemctl", "show", "--property=MainPID", "influxdb")
    try:
        # The devices go on, and their readings are acknowledged: the broker has them.
        sent = river(3000, 6000)
        assert len(sent) == 3000
        # Telegraf has tried again and again.
        until(lambda: refused() > 10, 60)
        assert "InfluxDB was restarted" not in watched(began)
        assert on("gateway-1", "systemctl", "show", "--property=MainPID", "influxdb") == pid
    finally:
        on("gateway-1", "rm", "-f", "/var/lib/influxdb/filler")
    # A look a minute, and a restart.
    took = until(lambda: "InfluxDB was restarted" in watched(began) and set(numbers("gateway-1", check=False)) >= before | sent, 150)
    print(f"what waited was there {took:.1f} s after there was room again")
    assert refused() == 0 and watched(began).count("InfluxDB was restarted") == 1
    more = river(6000, 6100)
    until(lambda: set(numbers("gateway-1")) >= more, 60)
    # What was stored before, during and after is there after a crash as well, and on the disk that it had before.
    on("gateway-1", "systemctl", "kill", "--signal=KILL", "influxdb")
    until(lambda: set(numbers("gateway-1", check=False)) >= before | sent | more, 120)
    on("gateway-1", "sh", "-ec", UNFILL)
    until(lambda: set(numbers("gateway-1", check=False)) >= before | sent | more, 120)
    # Nothing is missing at the centre, whatever became of the queue.
    report = reconciled()
    assert all(one["left_points"] == 0 for one in report), report
    until(lambda: set(numbers("centre")) >= sent | more, 60)
    until(lambda: not waiting(), 150)


def test_a_gateway_that_is_away_holds_no_other_up(tmp_path):
    groups = {name: {"hosts": {"gateway-9": None}} for name in ("gateways", "mysql", "emqx", "influxdb", "telegraf")}
    groups["gateways"]["hosts"]["gateway-9"] = {
        "ansible_host": "127.0.0.1", "ansible_port": 1, "iot_address": "gateway-9.iot.internal", "iot_site": "nowhere", "demo_build": f"{ROOT}/build",
    }  # fmt: skip
    inventory = tmp_path / "away.json"
    inventory.write_text(json.dumps({"all": {"children": groups}}))
    out = play("site.yml", f"--inventory={inventory}", "--check", check=False)
    recap = {host: dict(re.findall(r"(\w+)=(\d+)", counts)) for host, counts in re.findall(r"^(\S+) +: (ok=.*)$", out, re.MULTILINE)}
    away = recap.pop("gateway-9")
    assert (away["changed"], away["unreachable"], away["failed"]) == ("0", "1", "0"), out
    assert {host: (counts["unreachable"], counts["failed"]) for host, counts in recap.items()} == dict.fromkeys(recap, ("0", "0")), out
    # To the last play that each has.
    assert min(int(counts["ok"]) for counts in recap.values()) > 20, out


def test_what_the_centre_refuses_fails_the_verification(tmp_path):
    """A field of another type than the centre's cannot be brought: it stays on the gateway, and verify.yml says so."""
    then = (int(time.time()) - 900) * 10**9
    put("centre", f'conflict,device=d value="a text" {then}')
    put("gateway-1", f"conflict,device=d value=1 {then + 1}")
    report = tmp_path / "verify.json"
    out = play("verify.yml", "-e", f"iot_verify_report={report}", check=False)
    (entry,) = [one for one in json.loads(report.read_text()) if not one["ok"]]
    assert entry["host"] == "gateway-1" and entry["name"] == "the centre holds what iotdata has", out
    assert "1 of 1 missing points cannot be brought" in entry["observed"] and "type conflict" in entry["advice"]
    # Away with it, for what follows.
    away = {"start": "1970-01-01T00:00:00Z", "stop": "2100-01-01T00:00:00Z", "predicate": '_measurement="conflict"'}
    for host in ("centre", "gateway-1"):
        ask(host, "POST", "/api/v2/delete", "org=edgestack&bucket=iotdata", json.dumps(away))


def test_replication_is_turned_off_and_on(tmp_path):
    """Not while readings wait, unless that is said; then nothing of it remains, on either side."""
    off = ("database.yml", "-e", '{"iot_replicate": false}')
    with stopped("centre", "influxdb"):
        put("gateway-1", "waits value=1")
        until(waiting, 60)
        assert "bytes wait" in play(*off, "--limit=gateway-1", check=False)
        assert on("gateway-1", "systemctl", "is-active", "edgestack-uplink.timer").strip() == "active"
        assert "SSL_CERT_FILE" in on("gateway-1", "cat", "/etc/default/influxdb2")
    until(lambda: not waiting(), 150)
    assert play(*off, "-e", "influxdb_discard_queue=true").count("failed=0") == 2
    assert on("gateway-1", "systemctl", "is-active", "edgestack-uplink.timer", check=False).strip() == "inactive"
    for path in ("/etc/edgestack/uplink", "/opt/edgestack/uplink", "/var/lib/edgestack-uplink", "/etc/systemd/system/edgestack-uplink.service"):
        assert on("gateway-1", "ls", path, check=False) == ""
    assert on("gateway-1", "id", "edgestack-uplink", check=False) == "" and "SSL_CERT_FILE" not in on("gateway-1", "cat", "/etc/default/influxdb2")
    assert not any(api("gateway-1", what)[what] for what in ("replications", "remotes"))
    named = [one["description"] for host in ("centre", "gateway-1") for one in api(host, "authorizations")["authorizations"]]
    assert len(named) >= 8 and not [text for text in named if "uplink" in text or "reconcile" in text]
    again = play(*off)
    assert again.count("changed=0") == 2, again
    # And on: what was written meanwhile is brought by the comparison.
    play("database.yml")
    until(lambda: not waiting(), 60)
    assert "changed=0" in play("database.yml")


@pytest.mark.parametrize("unit", ["edgestack-uplink.timer", "edgestack-influxdb-watch.timer", "influxdb.service", "telegraf.service", "emqx.service"])
def test_everything_is_back_after_it(unit):
    assert on("gateway-1", "systemctl", "is-active", unit, check=False).strip() == "active"
    assert on("gateway-1", "systemctl", "is-enabled", unit, check=False).strip() == "enabled"
