#!/usr/bin/env python3
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generates the day of readings that the demo replays: data/plug.csv and data/dht11.csv.

These are NOT measurements. They follow a simple model of a household (a refrigerator that runs half an hour in every
hour and a quarter, a kettle, lamps in the evening; a room that is warm in the afternoon and more humid when it is cold),
with noise from a generator with a fixed seed, so that the same files come out every time.

  plug.csv    every five minutes, as Tasmota's default TelePeriod: watts, power factor, volts, amperes, kWh since midnight, Wh since the
              last line
  dht11.csv   every five minutes, in whole degrees and per cent, which is all that a DHT11 can tell
"""

from __future__ import annotations

import csv
import math
import pathlib
import random
import sys
import typing as t

STEP = 300
DAY = 86_400
DATA = pathlib.Path(__file__).resolve().parent / "data"


def plug(noise: random.Random) -> t.Iterator[dict[str, t.Any]]:
    energy = 0.0
    for second in range(0, DAY, STEP):
        hour = second / 3600
        running = second % 4500 < 1800
        watts = 1.2
        if running:
            watts += 82 + noise.gauss(0, 3)
        if 18.5 <= hour < 23:
            watts += 46
        # Breakfast, lunch, tea.
        if second in (7 * 3600, 13 * 3600 + 600, 17 * 3600):
            watts += 1850 + noise.gauss(0, 20)
        factor = 0.97 if watts > 500 else 0.62 if running else 0.45
        volts = round(230 + 3 * math.sin(2 * math.pi * (hour - 4) / 24) + noise.gauss(0, 0.8))
        # The kettle boils for three of the five minutes.
        period = watts * STEP / 3600 * (0.6 if watts > 500 else 1)
        energy += period / 1000
        yield {
            "second": second,
            "power": round(watts),
            "factor": factor,
            "voltage": volts,
            "current": round(watts / factor / volts, 3),
            "today": round(energy, 3),
            "period": round(period),
        }


def dht11(noise: random.Random) -> t.Iterator[dict[str, t.Any]]:
    for second in range(0, DAY, STEP):
        warmth = math.sin(2 * math.pi * (second / 3600 - 9.5) / 24)
        temperature = 21 + 3 * warmth + noise.gauss(0, 0.2)
        humidity = 48 - 9 * warmth + noise.gauss(0, 0.8)
        yield {"second": second, "temperature": round(temperature), "humidity": round(humidity)}


def write(path: pathlib.Path, rows: t.Iterable[dict[str, t.Any]]) -> None:
    lines = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def main(directory: pathlib.Path = DATA) -> int:
    directory.mkdir(exist_ok=True)
    write(directory / "plug.csv", plug(random.Random(20260301)))
    write(directory / "dht11.csv", dht11(random.Random(20260302)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:2])))
