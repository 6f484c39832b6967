# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a reading, with the roles' settings and with the programs' own defaults: what is lost, how fast, at what cost.

    make bench BENCH=pipeline

PIPELINE_READINGS is the size of the burst (100,000). Telegraf and InfluxDB are real; the broker is the lab's stand-in, so that figures
of the broker are not EMQX's. Publisher and programs share the machine.
"""

from __future__ import annotations

import collections.abc
import contextlib
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
import typing as t

import common

sys.path[:0] = [str(common.ROOT / "tests"), str(common.BUILD / "collections")]

from stack import devices
from stack.influxd import Influxd
from stack.pipeline import Pipeline

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import replication
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client

READINGS = int(os.environ.get("PIPELINE_READINGS", "100000"))
DEVICES = 50
RATE, RATE_SECONDS = 2000, 15
PEER = "same programs, own defaults"
PARTS = ("broker", "telegraf", "influxdb")


def row(name: str, unit: str, ours: float, peer: float | None = None, limit: float | None = None, limit_name: str = "", note: str = "") -> common.Row:
    return common.Row(f"pipeline {name}", unit, ours, peer, PEER if peer is not None else "", limit, limit_name, note)


@contextlib.contextmanager
def running(**options: t.Any) -> t.Iterator[Pipeline]:
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pipeline-"))
    try:
        with Pipeline(directory / "stack", **options) as pipeline:
            yield pipeline
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def burst(defaults: bool) -> dict[str, t.Any]:
    """As fast as it goes, once."""
    with running(defaults=defaults) as pipeline:
        before = pipeline.usage()
        began = time.monotonic()
        sent = devices.publish(pipeline.broker.port, READINGS, devices=DEVICES)
        rows = pipeline.settle(READINGS, 60 + READINGS / 500)
        seconds = time.monotonic() - began
        after = pipeline.usage()
    stored = set(rows)
    return {
        "lost": len(sent.acknowledged - stored),
        "twice": len(rows) - len(stored),
        "published": READINGS / sent.seconds,
        "stored": len(stored) / seconds,
        "cpu": {name: after[name][0] - before[name][0] for name in PARTS},
        "memory": {name: after[name][1] for name in PARTS},
    }


def accident(who: tuple[str, ...]) -> int:
    """Killed in the middle of a burst, and started again; how many readings are lost."""
    with running() as pipeline:
        parts: list[t.Any] = [getattr(pipeline, name) for name in who]
        thread = threading.Thread(target=lambda: ([one.kill() for one in parts], time.sleep(1), [one.start() for one in parts]))

        def every(count: int) -> None:
            if count > READINGS * 0.3 and thread.ident is None:
                thread.start()

        sent = devices.publish(pipeline.broker.port, READINGS, devices=DEVICES, every=every)
        thread.join()
        return len(sent.acknowledged - set(pipeline.settle(READINGS, 60 + READINGS / 500)))


def delay(defaults: bool) -> tuple[float, float, int]:
    """Median and 99th percentile of the time from publish until a query finds it, at a steady rate, and what was lost.

    The database is asked for its count every 20 ms; the k-th reading counts as found when there are k.
    """
    total = RATE * RATE_SECONDS
    with running(defaults=defaults) as pipeline:
        found: list[tuple[float, int]] = []
        done = threading.Event()
        client = pipeline.influxd.server.client()

        def watch() -> None:
            while not done.is_set():
                rows = client.influxql("SELECT count(value) FROM generic_json", "iotdata")
                found.append((time.time(), rows[0]["count"] if rows else 0))
                done.wait(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        sent = devices.publish(pipeline.broker.port, total, devices=DEVICES, rate=RATE)
        stored = pipeline.settle(total, 60)
        time.sleep(0.1)
        done.set()
        watcher.join()
        client.close()
    published = sorted(sent.times.values())
    delays, position = [], 0
    for moment, count in found:
        while position < min(count, total):
            delays.append(moment - published[position])
            position += 1
    delays.sort()
    lost = len(sent.acknowledged - set(stored))
    return statistics.median(delays), delays[int(len(delays) * 0.99) - 1], lost


def uplink() -> tuple[int, float, float]:
    """The centre away while a gateway stores, then back: what is lost, seconds until the first and until the last one is there."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="uplink-"))
    total = READINGS
    try:
        with Influxd(directory / "edge") as edge, Influxd(directory / "centre") as centre:
            local, far = edge.server.client(), centre.server.client()
            remote = replication.Remote("centre", centre.server.url, centre.server.token, "edgestack")
            replication.remotes(local, lambda url, token: Client.connect(url, token), "edgestack", [remote], False)
            replication.replications(local, "edgestack", [replication.Replication("r", "centre", "iotdata", "iotdata")], False)
            centre.kill()
            now = time.time_ns()
            query = {"org": "edgestack", "bucket": "iotdata"}
            for start in range(0, total, 200):
                lines = "\n".join(f"m,device=d-{number % DEVICES} value={number} {now - number * 1000}" for number in range(start, start + 200))
                local.transport.request("POST", "/api/v2/write", query=query, body=lines)
            # A power cut of the gateway while the uplink is away.
            edge.kill()
            edge.start()
            centre.start()
            began = time.monotonic()
            # The wake-up that the timer's look is.
            local.transport.request("POST", "/api/v2/write", query=query, body="uplink value=1")
            first = 0.0
            while time.monotonic() - began < 300:
                rows = far.influxql("SELECT count(value) FROM m", "iotdata")
                count = rows[0]["count"] if rows else 0
                first = first or (time.monotonic() - began if count else 0.0)
                if count == total:
                    break
                time.sleep(0.05)
            return total - count, first, time.monotonic() - began
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def rows() -> collections.abc.Iterator[common.Row]:
    ours, peer = burst(False), burst(True)
    size = f"{READINGS} readings from {DEVICES} devices, as fast as it goes; the broker is a stand-in"
    yield row("burst lost", "readings", ours["lost"], peer["lost"], 0, "nothing may be lost", size)
    yield row("burst stored twice", "readings", ours["twice"], peer["twice"], 0, "once each")
    yield row("burst acknowledged", "readings/s", ours["published"], peer["published"], 10000, "at least", "the publisher's rate")
    yield row("burst publish to queryable", "readings/s", ours["stored"], peer["stored"], note="stored ones, until the last")
    for part in PARTS:
        yield row(f"burst cpu {part}", "s", ours["cpu"][part], peer["cpu"][part])
        yield row(f"burst memory {part}", "MiB", ours["memory"][part], peer["memory"][part])
    median, high, lost = delay(False)
    peer_median, peer_high, peer_lost = delay(True)
    note = f"{RATE}/s for {RATE_SECONDS} s, asked every 20 ms"
    yield row("delay median", "s", median, peer_median, note=note)
    yield row("delay p99", "s", high, peer_high, 1, "less than", note)
    yield row("steady lost", "readings", lost, peer_lost, 0, "nothing may be lost", note)
    for name, who in (("telegraf killed", ("telegraf",)), ("influxdb killed", ("influxd",)), ("both killed", ("telegraf", "influxd"))):
        yield row(f"{name} lost", "readings", accident(who), None, 0, "nothing may be lost", "kill -9 in the middle of the burst, back after 1 s")
    lost, first, last = uplink()
    note = f"{READINGS} readings while the centre is away, and the gateway killed -9"
    yield row("uplink away lost", "readings", lost, None, 0, "nothing may be lost", note)
    yield row("uplink back first", "s", first, note=note)
    yield row("uplink back last", "s", last, note=note)
