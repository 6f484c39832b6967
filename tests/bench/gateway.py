# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gateway costs its SD card and its memory, and what a power cut costs the gateway, for each gateway_loss_window.

    make bench BENCH=gateway

Four gateways of the lab, each with the whole stack in 1 GB and ten devices that send a reading a second, and their centre, are installed
by site.yml and measured side by side: at gateway_loss_window 1, 10 and 60 s, and as the programs are by themselves. About 30 minutes on
2 cores. EMQX is the lab's stand-in where its vendor does not answer.

The peer is the programs at their own settings, doing the same: ten readings a second, Telegraf's metrics of the host every 10 s, the copy to
the centre by Edge Data Replication, the journal on disk with Debian's settings.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import csv
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time

import common
import paho.mqtt.client as mqtt

sys.path += [str(common.ROOT / "tests" / "lab"), str(common.ROOT / "tests" / "demo")]

import accounting
import client

LAB = "benchgateway"
# What Raspberry Pi OS is made from today.
RELEASE = "trixie"
COMMAND = common.ROOT / "tests" / "lab" / "lab"
SITES = {"gateway-1": "one", "gateway-2": "two", "gateway-3": "three", "gateway-4": "four"}
WINDOWS = {"gateway-1": 1, "gateway-2": 10, "gateway-3": 60}
DEFAULTS = "gateway-4"
FULL = "gateway-2"
PEER = "programs' defaults"
DEVICES = 10
MEMORY_MB = 1024
DAY = 86400
# For a measurement that it has not seen before InfluxDB writes more than for all others, and journald has the installation's last lines.
WARM_SECONDS = 240
# Five of the longest windows.
MEASURE_SECONDS = 300
# Until the queue to the centre fails at its own pace; then what an outage costs for as long as it lasts.
AWAY_WARM_SECONDS = 120
AWAY_SECONDS = 180
# Seconds before the longest window ends: the worst moment there is for that one, and two different ones for the others.
CUTS_BEFORE = (3.0, 8.0)
INVENTORIES = [f"--inventory={common.ROOT}/inventories/demo", f"--inventory={common.ROOT}/tests/bench/inventory_gateway"]
UNITS = ("mariadb", "emqx", "influxdb", "telegraf")
# What a process is called, and what it is a part of.
PARTS = {"influxd": "InfluxDB", "telegraf": "Telegraf", "mariadbd": "MariaDB", "emqx-standin": "EMQX", "beam.smp": "EMQX",
         "systemd-journal": "journald", "streamlit": "Streamlit"}
REST = "everything else"
# Megabytes that a real EMQX 5.8 has idle.
EMQX_IDLE = 200.0
# Asked in the host itself, so that the count does not depend on the centre.
READER = """
import json, ssl, urllib.parse, urllib.request
context = ssl.create_default_context(cafile="/etc/edgestack/influxdb/tls/ca.pem")
token = open("/etc/edgestack/influxdb/secrets/operator-token").read().strip()
query = urllib.parse.urlencode({"db": "iotdata", "q": "SELECT value FROM generic_json GROUP BY device"})
request = urllib.request.Request("https://127.0.0.1:8086/query?" + query, headers={"Authorization": "Token " + token})
series = json.load(urllib.request.urlopen(request, context=context, timeout=60))["results"][0].get("series", [])
print(json.dumps([[one["tags"]["device"], int(row[1])] for one in series for row in one["values"]]))
"""


@dataclasses.dataclass(frozen=True)
class Gateway:
    name: str
    address: str
    container: str


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise common.BenchError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def progress(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


class Load:
    """The ten devices of a gateway, which send a numbered reading a second each, and know what was acknowledged."""

    def __init__(self, gateway: Gateway, first: int = 0) -> None:
        self.gateway, self.number = gateway, first
        self.sent: list[tuple[str, int, mqtt.MQTTMessageInfo]] = []
        self._clients: dict[str, tuple[mqtt.Client, str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        for index in range(DEVICES):
            name = f"{SITES[self.gateway.name]}-{index}"
            bundle = client.Bundle.load(common.BUILD / LAB / "devices" / name)
            connection, connected = client.Device(bundle, self.gateway.address, 1).client, threading.Event()
            connection.on_disconnect = None
            connection.on_connect = lambda _client, _data, _flags, code, _props, event=connected: None if code.is_failure else event.set()
            connection.connect(self.gateway.address, bundle.port, keepalive=30)
            connection.loop_start()
            self._clients[name] = (connection, bundle.topic)
            if not connected.wait(30):
                raise common.BenchError(f"{name} was not let in by the broker of {self.gateway.name}")
        self._thread.start()

    def _run(self) -> None:
        following = time.monotonic()
        while not self._stop.is_set():
            for name, (connection, topic) in self._clients.items():
                payload = json.dumps({"value": self.number, "time": int(time.time() * 1000)})
                self.sent.append((name, self.number, connection.publish(topic, payload, qos=1)))
            self.number += 1
            following += 1
            self._stop.wait(max(0.0, following - time.monotonic()))

    def acknowledged(self) -> set[tuple[str, int]]:
        return {(name, number) for name, number, message in self.sent if message.is_published()}

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for connection, _topic in self._clients.values():
            connection.disconnect()
            connection.loop_stop()


@contextlib.contextmanager
def loads(gateways: list[Gateway], first: int) -> collections.abc.Iterator[dict[str, Load]]:
    running = {gateway.name: Load(gateway, first) for gateway in gateways}
    try:
        for load in running.values():
            load.start()
        yield running
    finally:
        for load in running.values():
            load.stop()


def part(process: str) -> str:
    return next((name for start, name in PARTS.items() if process.startswith(start[:15])), REST)


def written(container: str) -> dict[str, int]:
    """Bytes by part, since each process began; the short-lived ones count with systemd."""
    found: collections.Counter[str] = collections.Counter()
    for process in accounting.processes(container):
        found[part(process.name)] += process.written
    return dict(found)


@dataclasses.dataclass(frozen=True)
class Written:
    """Megabytes a day of one gateway: what went to its disk, and what the programs wrote, without the file system's own part."""

    disk: float
    parts: dict[str, float]


def measure(gateways: list[Gateway], seconds: float, look: collections.abc.Callable[[], None] = lambda: None) -> dict[str, Written]:
    """What each writes in that time, for a day. look is called now and then."""
    start = {host.name: (written(host.container), accounting.device_writes(host.container)) for host in gateways}
    moment = time.monotonic()
    while time.monotonic() - moment < seconds:
        time.sleep(min(20.0, max(0.1, seconds - (time.monotonic() - moment))))
        look()
    end = {host.name: (written(host.container), accounting.device_writes(host.container)) for host in gateways}
    a_day = DAY / (time.monotonic() - moment) / 1e6
    return {
        name: Written(
            (disk - start[name][1]) * a_day,
            {one: (size - start[name][0].get(one, 0)) * a_day for one, size in parts.items()},
        )
        for name, (parts, disk) in end.items()
    }


def stored(host: Gateway) -> set[tuple[str, int]]:
    return {(name, number) for name, number in json.loads(common.inside(host.container, "python3", "-", text=READER))}


def install() -> list[Gateway]:
    """The lab, and the site on it."""
    progress(f"starting the centre and {len(SITES)} gateways")
    common.run(COMMAND, "engine")
    common.run(COMMAND, "build", "--release", RELEASE)
    names = ["centre", *(f"{name}:{MEMORY_MB}m:disk" for name in SITES)]
    common.run(COMMAND, "down", "--lab", LAB)
    common.run(COMMAND, "up", "--fresh", "--release", RELEASE, "--lab", LAB, "--hosts", ",".join(names))
    # Debian's journal is kept on disk by default; the lab's image leaves the directory out that says so.
    peer = f"edgestack-{LAB}-{DEFAULTS}"
    docker("exec", peer, "sh", "-c", "mkdir -p /var/log/journal && systemctl restart systemd-journald")
    common.SCRATCH.mkdir(parents=True, exist_ok=True)
    devices = common.SCRATCH / "gateway_devices.csv"
    with devices.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "profile", "site"])
        rows.writerows([f"{site}-{index}", "generic_json", site] for site in SITES.values() for index in range(DEVICES))
    for name in SITES:
        # Daily, but the first time a quarter of an hour after the start: it would be counted as if it ran all day.
        docker("exec", f"edgestack-{LAB}-{name}", "systemctl", "stop", "systemd-tmpfiles-clean.timer")
    progress("installing the site (five to ten minutes)")
    common.site(LAB, *INVENTORIES, "-e", f"iot_devices_file={devices}")
    # The collection's own look at the queues is no program's default.
    docker("exec", peer, "systemctl", "disable", "--now", "edgestack-uplink.timer")
    found = json.loads((common.BUILD / "lab" / "labs" / LAB / "hosts.json").read_text())["hosts"]
    return [Gateway(name, found[name]["address"], found[name]["container"]) for name in SITES]


def power_cut(gateways: list[Gateway], before: float, first: int) -> tuple[dict[str, int], int]:
    """Readings that were acknowledged to their devices and are gone, by gateway."""
    with loads(gateways, first) as running:
        slowest = next(gateway for gateway in gateways if gateway.name == max(WINDOWS, key=lambda name: WINDOWS[name]))
        window = max(WINDOWS.values())
        time.sleep(5)
        had, end = len(stored(slowest)), time.monotonic() + 2 * window
        while len(stored(slowest)) == had:
            if time.monotonic() > end:
                raise common.BenchError(f"{slowest.name} has stored nothing for two windows")
            time.sleep(0.3)
        time.sleep(window - before)
        acknowledged = {}
        for gateway in gateways:
            acknowledged[gateway.name] = running[gateway.name].acknowledged()
            docker("kill", gateway.container)
        following = max(load.number for load in running.values()) + 10
    for gateway in gateways:
        docker("start", gateway.container)
    end = time.monotonic() + 180
    for gateway in gateways:
        while any(docker("exec", gateway.container, "systemctl", "is-active", f"{unit}.service", check=False) != "active" for unit in UNITS):
            if time.monotonic() > end:
                raise common.BenchError(f"{gateway.name} was not back three minutes after its power cut")
            time.sleep(1)
    # What survived outside the database's own files would be written by now.
    time.sleep(max(WINDOWS.values()) + 10)
    return {gateway.name: len(acknowledged[gateway.name] - stored(gateway)) for gateway in gateways}, following


def memory_rows(full: Gateway, seen: dict[str, float]) -> collections.abc.Iterator[common.Row]:
    standin = any(process.name.startswith("emqx-standin") for process in accounting.processes(full.container))
    note = f"resident, the most of several looks under the load; the whole stack with the app in {MEMORY_MB} MiB"
    missing = max(0.0, EMQX_IDLE - seen.get("EMQX", 0.0)) if standin else 0.0
    for name in (*dict.fromkeys(PARTS.values()), REST):
        more = f"; the stand-in, a real EMQX 5.8 idles at {EMQX_IDLE:.0f} MiB" if name == "EMQX" and standin else ""
        yield common.Row(f"gateway memory {name}", "MiB", seen.get(name, 0.0), note=note + more)
    yield common.Row("gateway memory whole", "MiB", sum(seen.values()) + missing, limit=0.9 * MEMORY_MB, limit_name="nine tenths of 1 GB",
                     note=note + (f"; with the {missing:.0f} MiB that a real EMQX has more than the stand-in" if missing else ""))


def rows() -> collections.abc.Iterator[common.Row]:
    if os.geteuid() != 0:
        raise common.BenchError("what a process has written is told to root alone: run it as root")
    began = time.monotonic()
    try:
        yield from _rows()
    finally:
        common.run(COMMAND, "down", "--lab", LAB)
        progress(f"{time.monotonic() - began:.0f} s in all")


def _rows() -> collections.abc.Iterator[common.Row]:
    gateways = install()
    by_name = {gateway.name: gateway for gateway in gateways}
    seen: dict[str, float] = {}
    with loads(gateways, 0) as running:
        progress(f"{len(gateways) * DEVICES} devices send; {WARM_SECONDS} s until everything has found its pace")
        time.sleep(WARM_SECONDS)
        progress(f"measuring for {MEASURE_SECONDS} s")

        def look() -> None:
            memory: collections.Counter[str] = collections.Counter()
            for process in accounting.processes(by_name[FULL].container):
                memory[part(process.name)] += process.resident
            for name, size in memory.items():
                seen[name] = max(seen.get(name, 0.0), size / 1048576)

        usual = measure(gateways, MEASURE_SECONDS, look)
        progress(f"the centre is switched off for {AWAY_WARM_SECONDS + AWAY_SECONDS} s")
        docker("kill", f"edgestack-{LAB}-centre")
        time.sleep(AWAY_WARM_SECONDS)
        away = measure(gateways, AWAY_SECONDS)
        docker("start", f"edgestack-{LAB}-centre")
        sent = {name: load.number for name, load in running.items()}
    rate = f"{DEVICES} devices, a reading a second each, copied to the centre"
    peer = usual[DEFAULTS]
    limits = {10: (peer.disk, "less than the defaults"), 60: (peer.disk / 5, "a fifth of the defaults")}
    for name, window in WINDOWS.items():
        ours = usual[name]
        limit, limit_name = limits.get(window, (None, ""))
        yield common.Row(f"gateway written a day at {window} s", "MB", ours.disk, peer.disk, PEER, limit, limit_name,
                         f"{rate}; {MEASURE_SECONDS} s counted at the block device of /var (ext4 with its journal), for a day; the peer writes and"
                         " takes its host's metrics every 10 s, with the same duties and the journal on disk")
        for one in (*dict.fromkeys(PARTS.values()), REST):
            yield common.Row(f"gateway written a day at {window} s {one}", "MB", ours.parts.get(one, 0.0), peer.parts.get(one, 0.0), PEER,
                             note="counted in /proc/PID/io, so without the file system's journal")
        yield common.Row(f"gateway written a day at {window} s without the centre", "MB", away[name].disk, away[DEFAULTS].disk, PEER,
                         note=f"{AWAY_SECONDS} s, from {AWAY_WARM_SECONDS} s after the centre was switched off, for a day;"
                         f" journald {away[name].parts.get('journald', 0.0):.1f},"
                         f" the peer's {away[DEFAULTS].parts.get('journald', 0.0):.1f}")
    yield from memory_rows(by_name[FULL], seen)
    killed = sum(accounting.killed_for_memory(host.container) for host in gateways)
    yield common.Row("gateway memory killed", "processes", killed, limit=0, limit_name="none", note="ended by the kernel because 1 GB was full, on any gateway")
    progress("waiting until all that was sent is stored")
    time.sleep(max(WINDOWS.values()) + 10)
    missing = {name: sent[name] * DEVICES - len(stored(host)) for name, host in by_name.items()}
    yield common.Row("gateway lost without a cut", "readings", max(0, *missing.values()), limit=0, limit_name="none")
    lost: dict[str, int] = dict.fromkeys(by_name, 0)
    first = max(sent.values()) + 10
    for before in CUTS_BEFORE:
        progress(f"the power of all gateways is cut {before:.0f} s before the longest window ends")
        found, first = power_cut(gateways, before, first)
        lost = {name: max(lost[name], found[name]) for name in lost}
    for name, window in WINDOWS.items():
        yield common.Row(f"gateway lost by a power cut at {window} s", "readings", lost[name], lost[DEFAULTS], PEER, (window + 2) * DEVICES,
                         "the window and 2 s", f"{rate}; the host killed -9, the worst of {len(CUTS_BEFORE)} cuts; acknowledged to its device, and gone")
