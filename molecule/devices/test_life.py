# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of devices on a running site, as the devices see it: every step is a playbook, and a client with a bundle.

Run by the scenario's verify.yml, with EDGESTACK_BUILD (the scenario's directory of secrets and devices), EDGESTACK_HOSTS (the lab's
hosts.json) and EDGESTACK_ANSIBLE (the words that begin every run of ansible-playbook).
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import ssl
import subprocess
import threading
import time

import paho.mqtt.client as mqtt
import pytest

BUILD = pathlib.Path(os.environ["EDGESTACK_BUILD"])
HOSTS = json.loads(pathlib.Path(os.environ["EDGESTACK_HOSTS"]).read_text())["hosts"]
SSH = pathlib.Path(os.environ["EDGESTACK_HOSTS"]).with_name("ssh") / "config"
BANNED, NOT_AUTHORIZED, BAD_PASSWORD = 0x8A, 0x87, 0x86
REFUSED = {BANNED, NOT_AUTHORIZED, BAD_PASSWORD}


@pytest.fixture(scope="module")
def site():
    return Site()


class Site:
    """What an operator has: a list of devices and playbooks."""

    def __init__(self):
        self.devices = [
            {"id": "stays", "profile": "raspberrypi"},
            {"id": "plug-1", "profile": "sonoff_pow", "auth": "password"},
            {"id": "north-1", "profile": "generic_json", "site": "north"},
        ]
        self.variables = {}

    def run(self, playbook, *words, **variables):
        path = BUILD / "variables.json"
        path.write_text(json.dumps({"iot_devices": self.devices, **self.variables, **variables}))
        command = [*shlex.split(os.environ["EDGESTACK_ANSIBLE"]), playbook, "-e", f"@{path}", *words]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
        return result.stdout + result.stderr

    def devices_yml(self, *words, **variables):
        return self.run("playbooks/devices.yml", *words, **variables)


class Device:
    """A client with a bundle, or with a copy of one that was made before."""

    def __init__(self, bundle):
        self.bundle = pathlib.Path(bundle)
        about = json.loads((self.bundle / "device.json").read_text())
        self.topic, self.port = about["telemetry_topic"], about["port"]
        host = about["server"].partition(".")[0]
        self.address = HOSTS[host]["address"]
        self.reason = self.ended = self.ended_at = None
        self.ended_by_broker = False
        self.answered = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=about["client_id"], protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self.client.username_pw_set(about["username"], (self.bundle / "password").read_text().strip())
        if about["tls"]:
            context = ssl.create_default_context(cafile=self.bundle / "ca.pem")
            # The lab's names are known on its hosts only; the authority is what counts here.
            context.check_hostname = False
            context.load_cert_chain(self.bundle / "device.pem", self.bundle / "device.key")
            self.client.tls_set_context(context)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected

    def _connected(self, _client, _data, _flags, reason, _properties):
        self.reason = reason.value
        self.answered.set()

    def _disconnected(self, _client, _data, flags, reason, _properties):
        self.ended, self.ended_at = reason.value, time.time()
        # Paho takes the reason of such a short packet for 0.
        self.ended_by_broker = flags.is_disconnect_packet_from_server
        self.answered.set()

    def connect(self):
        """The reason code of the answer; 0 is success."""
        self.client.connect(self.address, self.port, keepalive=30)
        self.client.loop_start()
        assert self.answered.wait(15), "no answer"
        return self.reason if self.reason is not None else self.ended

    def publish(self):
        """Whether the broker took a reading (0x10: nobody is subscribed)."""
        acknowledged, codes = threading.Event(), []

        def noted(_client, _data, _number, reason, _properties):
            codes.append(reason.value)
            acknowledged.set()

        self.client.on_publish = noted
        self.client.publish(self.topic, (self.bundle / "example.json").read_text(), qos=1)
        assert acknowledged.wait(15), "no acknowledgement"
        return codes[0] in (0, 0x10)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@contextlib.contextmanager
def connected(bundle):
    device = Device(bundle)
    try:
        assert device.connect() == 0
        yield device
    finally:
        device.close()


def works(bundle):
    with connected(bundle) as device:
        return device.publish()


def answer(bundle):
    """The code with which a broker refuses, or "tls"."""
    device = Device(bundle)
    try:
        return device.connect()
    except ssl.SSLError:
        return "tls"
    finally:
        device.close()


def directory(name):
    return BUILD / "devices" / name


def copy_of(name, label):
    path = BUILD / "copies" / f"{name}-{label}"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(directory(name), path)
    return path


def on_host(host, command):
    """What a command prints on a broker's host."""
    done = subprocess.run(["ssh", "-F", str(SSH), host, command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def within(seconds, what):
    """Whether it becomes so."""
    end = time.monotonic() + seconds
    while not (so := what()) and time.monotonic() < end:
        time.sleep(1)
    return so


class Rows:
    """When devices' rows were seen last in the broker's database, by the host's clock, which is the lab's. They go in one transaction."""

    def __init__(self, host, *names):
        listed = ", ".join(f"'{name}'" for name in names)
        question = f"""mariadb -N -B mqtt -e "SELECT COUNT(*) FROM mqtt_user WHERE username IN ({listed})" """  # noqa: S608
        loop = f'while now=$(date +%s.%N); [ "$({question})" != 0 ]; do seen=$now; sleep 0.01; done; echo $seen'
        self.process = subprocess.Popen(["ssh", "-F", str(SSH), host, loop], stdout=subprocess.PIPE, text=True)

    def seen_last(self):
        return float(self.process.communicate(timeout=30)[0])


def test_add_publish_revoke_readmit_rotate(site):
    assert works(directory("plug-1"))
    # Add.
    site.devices.append({"id": "sensor-x", "profile": "generic_json"})
    site.devices_yml()
    first = copy_of("sensor-x", "first")
    with connected(first) as device:
        assert device.publish()
        # Revoke, while it is connected.
        output = site.devices_yml("-e", "devices_revoke=sensor-x")
        assert "centre is to be told that sensor-x is revoked" in output and "has not been told" not in output
        assert device.ended_by_broker
    assert answer(first) in REFUSED
    assert sorted(one.name for one in directory("sensor-x").iterdir()) == ["ca.pem"], "no key, certificate or password is left"
    # The others go on, and nothing of it comes back by itself.
    assert works(directory("stays"))
    assert "changed=0" in site.devices_yml()
    assert answer(first) in REFUSED
    # Readmit: with new credentials only.
    site.devices_yml("-e", "devices_readmit=sensor-x")
    assert answer(first) in REFUSED
    assert works(directory("sensor-x"))
    # Rotate: both passwords work for a while, and a third one does not.
    before = copy_of("sensor-x", "before")
    site.devices_yml("-e", "devices_rotate=sensor-x", devices_rotate_least_age=0)
    assert (before / "password").read_text() != (directory("sensor-x") / "password").read_text()
    assert works(directory("sensor-x")) and works(before)
    (before / "password").write_text("a-password-that-was-never-its-own\n")
    assert answer(before) in REFUSED
    # Without a grace period from the next rotation on.
    between = copy_of("sensor-x", "between")
    site.run("site.yml", devices_password_grace=0, devices_rotate=["sensor-x"], devices_rotate_least_age=0)
    assert answer(between) in REFUSED and works(directory("sensor-x"))
    site.variables["devices_password_grace"] = 0
    # Remove.
    last = copy_of("sensor-x", "last")
    site.devices[-1]["state"] = "absent"
    site.devices_yml()
    assert answer(last) in REFUSED


def test_sessions_of_five_devices_end(site):
    names = [f"live-{number}" for number in range(1, 6)]
    site.devices += [{"id": name, "profile": "generic_json"} for name in names]
    site.devices_yml()
    with contextlib.ExitStack() as stack:
        live = [stack.enter_context(connected(copy_of(name, "live"))) for name in names]
        assert all(device.publish() for device in live)
        rows = Rows("centre", *names)
        site.devices_yml(devices_revoke=names)
        seen = rows.seen_last()
        assert all(device.ended_by_broker for device in live)
        took = [device.ended_at - seen for device in live]
    print("\nsessions ended at most " + ", ".join(f"{seconds:.3f}" for seconds in took) + " s after their rows were gone")
    # What is aimed at is one second; a machine that is busy with other things may take longer.
    assert max(took) < 5


ROWS = "mariadb-dump --no-create-info --skip-triggers --compact mqtt mqtt_user mqtt_acl --where=\"username='{}'\""
LIFT = """python3 -c '
import base64, urllib.request
secret = open("/etc/edgestack/emqx/secrets/api_secret").read().strip()
request = urllib.request.Request("http://127.0.0.1:18083/api/v5/banned/username/{}", method="DELETE")
request.add_header("Authorization", "Basic " + base64.b64encode(("edgestack:" + secret).encode()).decode())
print(urllib.request.urlopen(request).status)'"""
ASK = """python3 -c '
import urllib.request
try:
    answer = urllib.request.urlopen("http://127.0.0.1:8765{}")
    print(answer.status, answer.read().decode(), end="")
except urllib.error.HTTPError as error:
    print(error.code)'"""


def test_the_revocation_list_alone_refuses(site):
    site.devices.append({"id": "listed", "profile": "generic_json"})
    site.devices_yml()
    copy = copy_of("listed", "copy")
    assert works(copy)
    rows = on_host("centre", ROWS.format("listed"))
    assert "mqtt_user" in rows and "mqtt_acl" in rows
    pid = on_host("centre", "systemctl show --property=MainPID emqx.service")
    site.devices_yml(devices_revoke=["listed"])
    assert answer(copy) in REFUSED
    # By hand: all that the broker was told of it. Only the list is left.
    subprocess.run(["ssh", "-F", str(SSH), "centre", "mariadb mqtt"], input=rows, text=True, check=True)
    assert on_host("centre", LIFT.format("listed")) == "204\n"
    began = time.monotonic()
    assert within(90, lambda: answer(copy) not in {0, *REFUSED}), "the broker never looked at the list"
    print(f"\nrefused by the list alone {time.monotonic() - began:.0f} s later (emqx_crl_refresh is 1m)")
    assert "certificate_revoked, common_name: listed" in on_host("centre", "cat /var/log/emqx/emqx.log")
    assert works(directory("stays")), "the others go on"
    assert works(directory("north-1"))
    assert on_host("centre", "systemctl show --property=MainPID emqx.service") == pid, "a new list restarts nothing"
    # Each broker's host has the list of the authority, and serves nothing else.
    made = (BUILD / "pki" / "crl.pem").read_text()
    for host in ("centre", "gateway-1"):
        assert on_host(host, ASK.format("/crl.pem")) == f"200 {made}"
        for path in ("/", "/crl.py", "/../crl/crl.pem", "/crl.pem/"):
            assert on_host(host, ASK.format(path)) == "404\n"
        assert ":8765" not in on_host(host, "ss -Hltn | grep -v 127.0.0.1: || true")
        state = json.loads(on_host(host, "python3 -I /opt/edgestack/crl/crl.py state http://127.0.0.1:8765/crl.pem"))
        assert state["served"] == 1 and 29 < state["days_left"] <= 30 and state["revoked"] >= 7
        exposure = on_host(host, "systemd-analyze security --no-pager edgestack-crl.service | tail -1")
        print(f"{host}: {exposure.strip()}")
        assert float(exposure.split("level for")[1].split(":")[1].split()[0]) <= 3.0
    # What was put back by hand is taken away again.
    site.devices_yml()
    assert on_host("centre", ROWS.format("listed")).count("listed") == 0


def test_a_broker_that_was_not_told(site):
    copy = copy_of("north-1", "copy")
    with connected(copy) as device:
        output = site.devices_yml("--limit", "centre", "-e", "devices_revoke=north-1")
        assert "gateway-1 has not been told yet that north-1 is revoked" in output
        assert device.ended is None and device.publish(), "the broker that was left out goes on"
        assert re.search(r"^north-1 .* revoked .* gateway-1$", site.devices_yml("--tags", "list"), re.MULTILINE)
        site.devices_yml()
        assert device.ended_by_broker
    assert answer(copy) in REFUSED
    assert "has not been told" not in site.devices_yml()
    site.devices_yml("-e", "devices_readmit=north-1")
    assert works(directory("north-1"))


def test_one_authority_follows_another(site):
    old = copy_of("stays", "generation-1")
    site.variables["pki_generation"] = 2
    site.run("site.yml")
    # It trusts the old authority alone, and shows a certificate of the old one.
    assert works(old)
    # A broker that has the list of one authority takes a minute to know the other's.
    assert within(90, lambda: answer(directory("stays")) == 0)
    assert works(directory("stays"))
    assert (old / "device.pem").read_bytes() != (directory("stays") / "device.pem").read_bytes()
    site.variables["pki_retire"] = 1
    site.run("site.yml")
    assert answer(old) == "tls"
    assert works(directory("stays"))
    assert "changed=0" in site.run("site.yml")


def test_another_hash(site):
    """All rows and the broker's authenticator change together."""
    site.variables["devices_password_hash"] = "pbkdf2"  # noqa: S105
    site.run("site.yml")
    assert works(directory("stays")) and works(directory("plug-1"))
    wrong = copy_of("plug-1", "wrong")
    (wrong / "password").write_text("a-password-that-was-never-its-own\n")
    assert answer(wrong) in REFUSED
    assert "changed=0" in site.run("site.yml")


def test_the_list_can_be_switched_off(site):
    """Nobody asks for it any more, and nothing of it stays on the hosts."""
    site.variables["devices_crl"] = False
    site.run("site.yml")
    left = "ls -d /etc/systemd/system/edgestack-crl.service /opt/edgestack/crl /etc/edgestack/crl /var/lib/edgestack/state/crl 2>/dev/null || true"
    for host in ("centre", "gateway-1"):
        assert on_host(host, left) == ""
        assert on_host(host, "ss -Hltn | grep :8765 || true") == ""
        assert "crl_cache" not in on_host(host, "cat /etc/emqx/emqx.conf")
    assert works(directory("stays"))
    assert "changed=0" in site.run("site.yml")
