# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A prepared gateway: what it listens to, that nothing can lock out, and its clock.

Runs against a gateway of the scenario's lab (EDGESTACK_LAB, EDGESTACK_GATEWAY) with Telegraf, whose container it reaches without SSH.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LAB = os.environ.get("EDGESTACK_LAB", "gateway")
GATEWAY = os.environ.get("EDGESTACK_GATEWAY", "gateway-1")
GUARD = "/var/lib/edgestack/guard"
DROPIN = "/etc/ssh/sshd_config.d/10-edgestack.conf"
TAG = "/etc/telegraf/telegraf.d/edgestack-clock.conf"
FLAG = "/run/systemd/timesync/synchronized"

# The values of the tag clock in the host's own metrics since a time (nanoseconds), asked at the database beside Telegraf or at the centre.
READER = """
import json, ssl, sys, urllib.parse, urllib.request
context = ssl.create_default_context(cafile="/etc/edgestack/influxdb/tls/ca.pem")
token = open("/etc/edgestack/influxdb/secrets/operator-token").read().strip()
query = f"SELECT last(load1) FROM system WHERE host = '{sys.argv[1]}' AND time > {sys.argv[2]} GROUP BY clock"
request = urllib.request.Request("https://127.0.0.1:8086/query?" + urllib.parse.urlencode({"db": "iotdata", "q": query}),
                                 headers={"Authorization": "Token " + token})
series = json.load(urllib.request.urlopen(request, context=context, timeout=30))["results"][0].get("series", [])
print(json.dumps(sorted(one["tags"]["clock"] for one in series)))
"""


def on(*command: str, host: str = GATEWAY, data: str | None = None, check: bool = True) -> str:
    """A command in the host, also while nothing can reach it."""
    words = ["docker", "exec", "-i", f"edgestack-{LAB}-{host}", *command]
    done = subprocess.run(words, input=data, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


def parts(*wanted: dict) -> list[str]:
    return ["ansible", f"--inventory={ROOT}/inventories/demo", GATEWAY, "--one-line", "-m", "edgestack.iot.host_parts", "-a",
            json.dumps({"parts": wanted})]  # fmt: skip


def bring(*wanted: dict) -> subprocess.CompletedProcess[str]:
    return subprocess.run(parts(*wanted), cwd=ROOT, env={**os.environ, "EDGESTACK_LAB": LAB}, capture_output=True, text=True, check=False)


def until(what, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"it did not come about within {seconds} s"
        time.sleep(0.5)


def reachable() -> bool:
    done = subprocess.run(
        ["ansible", f"--inventory={ROOT}/inventories/demo", GATEWAY, "-m", "ansible.builtin.raw", "-a", "true"],
        cwd=ROOT,
        env={**os.environ, "EDGESTACK_LAB": LAB},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def guarded() -> list[str]:
    return on("ls", "-A", GUARD, check=False).split()


def ssh(text: str) -> dict:
    """As the role has it, with another content."""
    file = {"path": DROPIN, "content": text, "validate": "sshd -t -f %s"}
    return {"name": "ssh", "guard": 20, "files": [file], "apply": ["sshd -t", "systemctl try-reload-or-restart ssh.service"],
            "removed": ["systemctl try-reload-or-restart ssh.service"]}  # fmt: skip


def firewall(rule: str) -> dict:
    text = on("cat", "/etc/edgestack/gateway/firewall.nft")
    begin, end = text.index("# SSH, from everywhere."), text.index("accept", text.index("# SSH, from everywhere."))
    files = [
        {"path": "/etc/edgestack/gateway/firewall.nft", "content": text[:begin] + rule + text[end:], "validate": "nft --check --file %s"},
        {"path": "/etc/systemd/system/edgestack-firewall.service", "content": on("cat", "/etc/systemd/system/edgestack-firewall.service")},
    ]
    return {"name": "firewall", "guard": 20, "files": files, "apply": ["systemctl reload-or-restart edgestack-firewall.service"]}


@pytest.mark.parametrize("unit", ["edgestack-firewall.service", "edgestack-clock.service", "edgestack-guard.service"])
def test_units_are_there_after_a_restart(unit):
    assert on("systemctl", "is-enabled", unit).strip() == "enabled"


def test_the_journal_is_bounded_and_on_disk():
    assert "SystemMaxUse=64M" in on("systemd-analyze", "cat-config", "systemd/journald.conf")
    assert on("sh", "-c", "ls -d /var/log/journal/*").strip()


def test_ssh_is_hardened():
    said = on("sshd", "-T").splitlines()
    assert {"permitrootlogin without-password", "passwordauthentication no", "x11forwarding no", "maxauthtries 4"} <= set(said)


def test_only_the_components_ports_are_open():
    rules = on("nft", "list", "table", "inet", "edgestack")
    assert "policy drop" in rules and "tcp dport 22 accept" in rules
    assert "18083" not in rules and "3306" not in rules
    # What others have set up is still there: the engine's resolver is reached through such rules.
    assert "DOCKER_OUTPUT" in on("sh", "-c", "nft list ruleset 2>/dev/null")
    on("python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 22), 5)")
    server = "import http.server; http.server.HTTPServer(('', 9099), http.server.BaseHTTPRequestHandler).handle_request()"
    started = subprocess.Popen(["docker", "exec", f"edgestack-{LAB}-{GATEWAY}", "timeout", "30", "python3", "-c", server])
    try:
        ask = f"import socket; socket.create_connection(('{GATEWAY}.iot.internal', 9099), 3)"
        until(lambda: "9099" in on("ss", "-Hltn"), 10)
        done = subprocess.run(["docker", "exec", f"edgestack-{LAB}-centre", "python3", "-c", ask], capture_output=True, text=True, check=False)
        assert "timed out" in done.stderr.lower() or "timeout" in done.stderr.lower()
    finally:
        started.terminate()
        started.wait()


def test_a_broken_ssh_configuration_is_refused():
    before = on("cat", DROPIN)
    done = bring(ssh("NoSuchOption yes\n"))
    assert done.returncode != 0 and "nothing was changed" in done.stdout and "NoSuchOption" in done.stdout
    assert on("cat", DROPIN) == before and guarded() == []


def test_an_ssh_configuration_that_admits_nobody_takes_itself_back():
    before = on("cat", DROPIN)
    done = bring(ssh("AllowUsers nobody-at-all\n"))
    assert done.returncode != 0 and "no new connection came about with it" in done.stdout and "can be reached again" in done.stdout
    assert on("cat", DROPIN) == before and guarded() == [] and reachable()


def test_a_firewall_without_ssh_takes_itself_back():
    before = on("cat", "/etc/edgestack/gateway/firewall.nft")
    done = bring(firewall("tcp dport 9 "))
    # Where each attempt to connect takes long, the host is faster than the one that would have told it to keep the change.
    assert done.returncode != 0 and ("can be reached again" in done.stdout or "the host had taken it back" in done.stdout)
    assert on("cat", "/etc/edgestack/gateway/firewall.nft") == before and guarded() == []
    assert "tcp dport 22 accept" in on("nft", "list", "table", "inet", "edgestack")


def test_a_power_cut_before_the_confirmation_takes_it_back():
    before = on("cat", "/etc/edgestack/gateway/firewall.nft")
    environment = {**os.environ, "EDGESTACK_LAB": LAB}
    controller = subprocess.Popen(
        parts({**firewall("tcp dport 9 "), "guard": 600}), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: "tcp dport 9 accept" in on("nft", "list", "table", "inet", "edgestack"), 30)
    finally:
        # The controller dies too.
        controller.kill()
        controller.wait()
    assert guarded() == ["firewall"]
    subprocess.run(["docker", "kill", f"edgestack-{LAB}-{GATEWAY}"], check=True, capture_output=True)
    subprocess.run(["docker", "start", f"edgestack-{LAB}-{GATEWAY}"], check=True, capture_output=True)
    until(reachable, 60)
    assert on("cat", "/etc/edgestack/gateway/firewall.nft") == before and guarded() == []
    until(lambda: "tcp dport 22 accept" in on("nft", "list", "table", "inet", "edgestack", check=False), 60)


def test_the_stack_starts_on_the_saved_clock():
    """After that power cut, and with no time from the network, TLS clients wait for a minute at most."""
    until(lambda: on("systemctl", "is-active", "telegraf.service", check=False).strip() == "active", 120)
    said = on("systemctl", "show", "edgestack-clock.service", "--property=Before,Result,TimeoutStartUSec")
    assert "telegraf.service" in said and "influxdb.service" in said and "Result=success" in said and "TimeoutStartUSec=1min 30s" in said


def clock_tags(since: int) -> list[str]:
    database = GATEWAY if on("sh", "-c", "test -e /etc/edgestack/influxdb/secrets && echo yes", check=False) else "centre"
    # Nothing at all while it does not answer.
    return json.loads(on("python3", "-", GATEWAY, str(since), host=database, data=READER, check=False) or "[]")


def test_readings_without_the_networks_time_are_marked_until_it_comes():
    on("systemctl", "stop", "edgestack-clock-watch.service")
    # The kernel's clock is the lab's machine's, so what the script asks it is answered here.
    code = "import clock; clock.synchronized = lambda: False; clock.subprocess.run = lambda *a, **b: None; clock.wait(1)"
    on("env", "PYTHONPATH=/usr/local/lib/edgestack", "python3", "-c", code)
    assert 'clock = "unsynced"' in on("cat", TAG)
    on("systemctl", "restart", "telegraf.service")
    began = time.time_ns()
    until(lambda: clock_tags(began) == ["unsynced"], 90)
    # What systemd-timesyncd does when the time has come.
    on("mkdir", "-p", os.path.dirname(FLAG))
    on("touch", FLAG)
    on("systemctl", "start", "edgestack-clock-watch.service")
    until(lambda: on("sh", "-c", f"test -e {TAG} || echo gone", check=False).strip() == "gone", 20)
    until(lambda: on("systemctl", "is-active", "telegraf.service", check=False).strip() == "active", 60)
    began = time.time_ns()
    until(lambda: clock_tags(began) == [""], 90)
