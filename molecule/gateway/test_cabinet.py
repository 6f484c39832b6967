# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gateways of another architecture and with little memory: what runs there, that their readings come, and what is refused.

Runs against the hosts of the scenario's lab (EDGESTACK_LAB), with the helpers of the pipeline's scenario.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "molecule" / "pipeline"), str(ROOT / "tests" / "demo"), str(ROOT / "tests" / "lab")]

import accounting
import client
from test_gateway import LAB, READER, container, on, until

SITE = [f"--inventory={ROOT}/inventories/demo", f"--inventory={ROOT}/molecule/gateway/inventory"]
REFUSED = f"--inventory={ROOT}/molecule/gateway/refused"
HOSTS = json.loads((ROOT / "build" / "lab" / "labs" / LAB / "hosts.json").read_text())["hosts"]
UNITS = {
    "gateway-1": ["mariadb", "emqx", "influxdb", "telegraf"],
    "gateway-2": ["mariadb", "emqx", "telegraf"],
    "gateway-4": ["telegraf"],
}


def memory_mb(host: str) -> int:
    """As free(1) and host_info see it."""
    return int(on(host, "awk", "/^MemTotal:/ {print int($2 / 1024)}", "/proc/meminfo"))


@pytest.mark.parametrize(("host", "architecture", "memory"), [("gateway-1", "amd64", 1024), ("gateway-2", "arm64", 1024), ("gateway-4", "amd64", 512)])
def test_the_components_run_where_they_are_asked_for(host, architecture, memory):
    assert on(host, "dpkg", "--print-architecture").strip() == architecture
    assert memory_mb(host) == memory
    for unit in UNITS[host]:
        assert on(host, "systemctl", "is-active", unit, check=False).strip() == "active", unit
        assert on(host, "systemctl", "is-enabled", unit, check=False).strip() == "enabled", unit


def test_the_pi_runs_its_own_architectures_programs():
    for package in ("telegraf", "mariadb-server-core", "emqx"):
        assert on("gateway-2", "dpkg-query", "--show", "--showformat", "${Architecture}", package) == "arm64"
    # The machine of an ELF file: 183 is AArch64.
    for program in ("/usr/bin/telegraf", "/usr/sbin/mariadbd", "/usr/lib/emqx/bin/emqx-standin"):
        assert on("gateway-2", "od", "-An", "-j18", "-N2", "-tu2", program).split() == ["183"], program


def test_readings_are_on_the_disk_that_the_inventory_says():
    """An SSD instead of the card. While it is away InfluxDB is not started, and nothing is written beneath it."""
    mount = "/run/systemd/system/srv-readings.mount"
    assert on("gateway-1", "sh", "-c", "ls /srv/readings/wal/*/*/*/*.wal")
    assert on("gateway-1", "sh", "-c", "test -e /var/lib/influxdb/engine || echo nothing").strip() == "nothing"
    on("gateway-1", "systemctl", "stop", "influxdb")
    try:
        on("gateway-1", "sh", "-c", f"cat > {mount}", data="[Mount]\nWhat=/dev/nothing\nWhere=/srv/readings\nType=ext4\n")
        on("gateway-1", "systemctl", "daemon-reload")
        on("gateway-1", "systemctl", "start", "influxdb", check=False)
        assert on("gateway-1", "systemctl", "is-active", "influxdb", check=False).strip() == "inactive"
    finally:
        on("gateway-1", "rm", mount)
        on("gateway-1", "systemctl", "daemon-reload")
        on("gateway-1", "systemctl", "start", "influxdb")
    assert on("gateway-1", "systemctl", "is-active", "influxdb").strip() == "active"


@pytest.mark.parametrize("host", ["gateway-1", "gateway-2", "gateway-4"])
def test_nothing_was_ended_for_want_of_memory(host):
    assert accounting.killed_for_memory(container(host)) == 0
    assert accounting.memory_peak(container(host)) <= memory_mb(host) * 1048576


def test_a_reading_from_a_device_of_the_pi_reaches_the_centre():
    """Through the arm64 broker, which asks the arm64 MariaDB who the device is, and the arm64 Telegraf."""
    bundle = client.Bundle.load(ROOT / "build" / LAB / "devices" / "harbour-1")
    assert bundle.cert_file and bundle.server == HOSTS["gateway-2"]["fqdn"]
    device = client.Device(bundle, HOSTS["gateway-2"]["address"], qos=1)
    numbers = range(int(time.time()) % 1_000_000, int(time.time()) % 1_000_000 + 20)
    sent = device.run(((0.05, lambda number=number: {"value": number, "time": int(time.time() * 1000)}) for number in numbers), 120)
    assert sent == len(numbers)

    def arrived() -> bool:
        found = json.loads(on("centre", "python3", "-", "SELECT value FROM generic_json WHERE device = 'harbour-1'", data=READER))
        return set(found) >= set(numbers)

    until(arrived, 60)


def state(host: str) -> str:
    """What an installation would change: packages, users, files of the system, units."""
    return on(host, "sh", "-c", "dpkg-query --show; cat /etc/passwd; systemctl list-unit-files --no-legend; "
              "find /etc /opt /usr /var/lib -xdev -type f ! -path '/var/lib/systemd/*' ! -name '*.pyc' -printf '%p %s %T@\\n' | sort")


@pytest.mark.parametrize(
    ("host", "reasons"),
    [
        ("gateway-3", ["mysql does not exist for armhf", "keep the database on a 64-bit host", "is a 32-bit system (armhf): it can have telegraf alone"]),
        ("gateway-4", ["512 MiB of memory, 560 MiB are needed for ", "has 512 MiB of memory: it can have telegraf alone", "move a component to another host"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_changed(host, reasons):
    before = state(host)
    done = subprocess.run(
        ["ansible-playbook", *SITE, REFUSED, "--limit", host, str(ROOT / "site.yml")],
        cwd=ROOT, env={**os.environ, "EDGESTACK_LAB": LAB, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"nothing was changed on {host}, because:" in done.stdout
    for reason in reasons:
        assert reason in done.stdout, done.stdout[-3000:]
    assert "changed=0" in done.stdout.partition("PLAY RECAP")[2]
    # Telegraf keeps its own books where it runs.
    assert state(host) == before
