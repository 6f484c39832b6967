# Managed by edgestack.iot
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts an InfluxDB that goes on refusing writes after its disk was full.

InfluxDB 2.9.1 never writes again to a log whose write failed for want of room, and never opens a shard again that it could not open, until
it is restarted. It says neither in its journal nor by its health. Its counters show it; they cost no write to the disk.

    watch.py --url https://127.0.0.1:8086 --ca-file CA --data DIRECTORY --state FILE COMMAND...

is one look; COMMAND restarts InfluxDB.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import ssl
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request

# A restart with less room would soon be the next full disk: a segment of the log has 10 MiB, what is in memory is written out at 25 MiB.
ROOM = 40 * 2**20
# Refused this many looks in a row although there was room at each: the disk may have been full between two looks.
STEADY = 5
# After a restart the next one has to wait; twice as long each time, when it did not help. In seconds.
PAUSE, LONGEST_PAUSE = 120, 4 * 3600

# The journal's marks of what is an error, a warning and news.
ERROR, WARNING, NOTICE = "<3>", "<4>", "<5>"

_COUNTED = frozenset(
    {"influxdb_uptime_seconds", "http_api_requests_total", "storage_writer_err_points_count", "storage_wal_writes_err", "storage_cache_writes_err"}
)
_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class NoAnswer(Exception):
    """InfluxDB cannot be asked."""


@dataclasses.dataclass(frozen=True)
class Counters:
    """When this InfluxDB was started, by the clock that nobody sets; and since then: writes that were answered with 5xx, that failed in its
    storage, that failed in a shard's log, and that failed because its memory was full, for which a restart is the wrong thing."""

    started: float
    refused: float = 0
    failed: float = 0
    log_errors: float = 0
    memory_full: float = 0

    @classmethod
    def parse(cls, text: str, clock: float) -> Counters:
        sums: dict[str, float] = {}
        for name, labels, value in _LINE.findall(text):
            if name == "http_api_requests_total" and not ('path="/api/v2/write"' in labels and 'status="5XX"' in labels):
                continue
            if name in _COUNTED:
                sums[name] = sums.get(name, 0) + float(value)
        if "influxdb_uptime_seconds" not in sums:
            raise NoAnswer("what came is no list of InfluxDB's counters")
        return cls(
            started=clock - sums["influxdb_uptime_seconds"],
            refused=sums.get("http_api_requests_total", 0),
            failed=sums.get("storage_writer_err_points_count", 0),
            log_errors=sums.get("storage_wal_writes_err", 0),
            memory_full=sums.get("storage_cache_writes_err", 0),
        )

    def same_process(self, other: Counters) -> bool:
        # An answer may take its time.
        return abs(self.started - other.started) < 5


@dataclasses.dataclass
class State:
    """What one look leaves for the next, in memory: after a reboot InfluxDB is a new one, too."""

    counters: Counters | None = None
    # It needs a restart as soon as there is room.
    hurt: bool = False
    # Looks in a row at which writes had been refused.
    refusing: int = 0
    restarts: int = 0
    restarted: float = 0
    said: str = ""

    @classmethod
    def read(cls, path: str) -> State:
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
            return cls(**{**data, "counters": Counters(**data["counters"]) if data["counters"] else None})
        except (OSError, ValueError, TypeError, KeyError):
            return cls()

    def write(self, path: str) -> None:
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file)
        os.replace(path + ".new", path)

    @property
    def pause(self) -> float:
        return min(PAUSE * 2 ** (self.restarts - 1), LONGEST_PAUSE) if self.restarts else 0


def judge(state: State, now: Counters, free: int, clock: float) -> bool:
    """Whether InfluxDB is to be restarted now; state learns what this look has seen."""
    before = state.counters
    state.counters = now
    if before is None:
        # How old its errors are is not known.
        return False
    if not now.same_process(before):
        before, state.hurt, state.refusing = Counters(now.started), False, 0
    # 5xx alone may be a client's fault (a batch that is cut off); what fails in the storage alone, too (a field of another type).
    refused = now.refused > before.refused and now.failed > before.failed
    state.refusing = state.refusing + 1 if refused and now.memory_full == before.memory_full else 0
    short = free < ROOM
    if refused and (short or now.log_errors > before.log_errors or state.refusing >= STEADY):
        state.hurt = True
    waited = clock - state.restarted
    if state.restarts and not state.hurt and waited > 2 * state.pause:
        # The last one has helped.
        state.restarts = 0
    return state.hurt and not short and waited >= state.pause


def say(state: State, mark: str, text: str) -> None:
    """Once: a look a minute that repeats itself would wear out an SD card."""
    if text and text != state.said:
        print(mark + text, flush=True)
    state.said = text


def counters(url: str, ca_file: str, clock: float) -> Counters:
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    # Never through a proxy of the environment.
    handlers: list[t.Any] = [urllib.request.ProxyHandler({})]
    if context:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(url + "/metrics", timeout=30) as answer:
            return Counters.parse(answer.read().decode("utf-8", "replace"), clock)
    except urllib.error.HTTPError as error:
        raise NoAnswer(f"GET {url}/metrics answered {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        raise NoAnswer(f"GET {url}/metrics: {error}") from None


def look(options: argparse.Namespace, state: State, clock: float) -> int:
    """One look; its exit code."""
    try:
        now = counters(options.url, options.ca_file, clock)
        disk = os.statvfs(options.data)
    except (NoAnswer, OSError) as error:
        # That it is down is seen by others; systemd or the engine starts it.
        say(state, WARNING, f"it cannot be seen whether InfluxDB refuses writes: {error}")
        return 0
    free = disk.f_bavail * disk.f_frsize
    due = judge(state, now, free, clock)
    left = f"{free // 2**20} MiB are free in {options.data}"
    if not due:
        if state.hurt and free < ROOM:
            say(state, ERROR, f"InfluxDB refuses writes, because its disk is full; it is restarted when {ROOM // 2**20} MiB are free in {options.data}")
        elif state.hurt:
            say(state, ERROR, f"InfluxDB refuses writes after restart {state.restarts}, too; the next one has to wait {state.pause:.0f} s from that on")
        else:
            say(state, NOTICE, "")
        return 0
    say(state, WARNING, f"{left}, but InfluxDB goes on refusing what it could not write before: it is restarted")
    state.restarts += 1
    state.restarted = clock
    done = subprocess.run(options.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        print(f"{ERROR}{' '.join(options.command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}", flush=True)
        return 1
    say(state, NOTICE, f"InfluxDB was restarted (restart {state.restarts} in a row)")
    return 0


def main(words: t.Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="watch.py", allow_abbrev=False)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca-file", default="")
    parser.add_argument("--data", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(words)
    state = State.read(options.state)
    try:
        return look(options, state, time.monotonic())
    finally:
        state.write(options.state)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
