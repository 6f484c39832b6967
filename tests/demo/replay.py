#!/usr/bin/env python3
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that replays the generated day of readings (see make_day.py): a Tasmota-like power plug, or a DHT11.

It begins at the line for the present time of day and goes round, day after day; --speed 60 makes five minutes of the data
pass in five seconds. The messages carry the present time, as a real device's would.
"""

from __future__ import annotations

import csv
import datetime
import math
import pathlib
import sys
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import client

DATA = pathlib.Path(__file__).resolve().parent / "data"
# What the plug had counted before the first day, in kWh, and since when it counts.
PLUG_TOTAL = 148.213
PLUG_START = "2026-01-09T07:41:02"


def rows(path: pathlib.Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]


def plug(row: dict[str, float], day: int, of_a_day: float, now: datetime.datetime) -> dict[str, t.Any]:
    """Tasmota's telemetry of an energy meter; energy in kWh, Period in Wh."""
    apparent = row["voltage"] * row["current"]
    power = row["power"]
    return {
        "Time": now.isoformat(timespec="seconds"),
        "ENERGY": {
            "TotalStartTime": PLUG_START,
            "Total": round(PLUG_TOTAL + day * of_a_day + row["today"], 3),
            "Yesterday": round(of_a_day, 3),
            "Today": row["today"],
            "Period": round(row["period"]),
            "Power": round(power),
            "ApparentPower": round(apparent),
            "ReactivePower": round(math.sqrt(max(0.0, apparent**2 - power**2))),
            "Factor": row["factor"],
            "Voltage": round(row["voltage"]),
            "Current": row["current"],
        },
    }


def dht11(row: dict[str, float], _day: int, _of_a_day: float, _now: datetime.datetime) -> dict[str, t.Any]:
    return {"temperature": row["temperature"], "humidity": row["humidity"]}


# What each kind replays, how it says it, and with which quality of service.
KINDS: dict[str, tuple[str, t.Callable[..., dict[str, t.Any]], int]] = {
    "plug": ("plug.csv", plug, 0),
    "dht11": ("dht11.csv", dht11, 1),
}


def readings(
    kind: str, speed: float, now: t.Callable[[], datetime.datetime] = datetime.datetime.now, data: pathlib.Path = DATA
) -> client.Readings:
    """The day from the present time on, over and over."""
    name, shape, _qos = KINDS[kind]
    day = rows(data / name)
    begin = now()
    second = (begin - begin.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    index = max(at for at, row in enumerate(day) if row["second"] <= second)
    pause, number = 0.0, 0
    while True:
        row, of_a_day = day[index], day[-1].get("today", 0.0)
        yield pause, lambda row=row, number=number, of_a_day=of_a_day: shape(row, number, of_a_day, now())
        index += 1
        if index == len(day):
            index, number = 0, number + 1
        pause = (day[1]["second"] - day[0]["second"]) / speed


def main() -> int:
    parser = client.parser("Replay a day of readings.")
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("--speed", type=float, default=60.0, help="how much faster than real time (default: 60)")
    options = parser.parse_args()
    return client.main(options, KINDS[options.kind][2], readings(options.kind, options.speed))


if __name__ == "__main__":
    sys.exit(main())
