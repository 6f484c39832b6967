# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readings that can be found again: each with a nonce, a time of its own and a value."""

from __future__ import annotations

import calendar
import dataclasses
import json
import re
import secrets
import threading
import time
import typing as t


@dataclasses.dataclass(frozen=True)
class Reading:
    """A reading that was published; `wanted` says whether it may be stored."""

    case: str
    topic: str
    device: str
    time: int
    nonce: str
    value: float
    wanted: bool

    def as_dict(self) -> dict[str, t.Any]:
        """For the result."""
        return dataclasses.asdict(self)


class Clock:
    """Milliseconds since 1970, none given twice.

    Two readings of one device with the same time overwrite each other in InfluxDB. Several brokers are tried at
    once with the same devices, so each gets a slot of its own: the times it gives are `slot` modulo `slots`.
    """

    def __init__(self, slot: int = 0, slots: int = 1, now: t.Callable[[], float] = time.time) -> None:
        if slots < 1 or not 0 <= slot < slots:
            raise ValueError(f"slot {slot} of {slots}")
        self._slot, self._slots, self._now = slot, slots, now
        self._last = -1
        self._lock = threading.Lock()

    def next(self) -> int:
        """The current time, or the first one after the last that was given."""
        with self._lock:
            current = int(self._now() * 1000)
            current -= (current - self._slot) % self._slots
            self._last = max(current, self._last + self._slots)
            return self._last


class Journal:
    """Makes readings and remembers them; used by several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: list[Reading] = []

    def make(self, case: str, topic: str, wanted: bool) -> tuple[Reading, bytes]:
        """A reading and its payload."""
        reading = Reading(
            case=case,
            topic=topic,
            device=topic.rsplit("/", 1)[-1],
            time=self._clock.next(),
            nonce=secrets.token_hex(8),
            # Three decimals: exact in text, and never a round number that another reading might have too.
            value=(1 + secrets.randbelow(99_999)) / 1000,
            wanted=wanted,
        )
        with self._lock:
            self._readings.append(reading)
        body = {"time": reading.time, "nonce": reading.nonce, "value": reading.value}
        return reading, json.dumps(body).encode()

    @property
    def readings(self) -> list[Reading]:
        """All readings so far, in the order of their times."""
        with self._lock:
            return sorted(self._readings, key=lambda reading: reading.time)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What became of a reading in the database."""

    name: str
    expected: str
    observed: str
    ok: bool

    def as_dict(self) -> dict[str, t.Any]:
        """For the report."""
        return dataclasses.asdict(self)


def compare(sent: t.Iterable[t.Mapping[str, t.Any]], rows: t.Sequence[t.Mapping[str, t.Any]]) -> list[Comparison]:
    """Hold what was sent against what InfluxDB answers (rows with time in ms, nonce, value, device)."""
    found: dict[str, t.Mapping[str, t.Any]] = {str(row.get("nonce")): row for row in rows}
    return [_compare_one(one, found.get(str(one["nonce"]))) for one in sent]


def _compare_one(sent: t.Mapping[str, t.Any], row: t.Mapping[str, t.Any] | None) -> Comparison:
    name = f"stored: {sent['case']}"
    if not sent["wanted"]:
        if row is None:
            return Comparison(name, "not in InfluxDB", "not in InfluxDB", True)
        return Comparison(name, "not in InfluxDB", f"stored as a reading of {row.get('device')}", False)
    expected = f"value {sent['value']} at {sent['time']}"
    if row is None:
        return Comparison(name, expected, "not in InfluxDB", False)
    value, at, device = row.get("value"), milliseconds(row.get("time")), row.get("device")
    same = value == sent["value"] and at == sent["time"] and device == sent["device"]
    observed = f"value {value} at {at}"
    if device != sent["device"]:
        observed += f" of device {device}"
    return Comparison(name, expected, observed, same)


def milliseconds(when: t.Any) -> int | None:
    """A time of InfluxDB's (ms since 1970, or RFC 3339 in UTC) in ms; None when it is neither, or finer than that."""
    if isinstance(when, int) and not isinstance(when, bool):
        return when
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", str(when))
    if found is None:
        return None
    seconds = calendar.timegm(time.strptime(found.group(1), "%Y-%m-%dT%H:%M:%S"))
    nanoseconds = int((found.group(2) or "0").ljust(9, "0"))
    return None if nanoseconds % 1_000_000 else seconds * 1000 + nanoseconds // 1_000_000
