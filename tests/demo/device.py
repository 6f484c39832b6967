#!/usr/bin/env python3
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registered device: publishes this machine's own CPU use, memory and temperature.

A sensor that the machine lacks is left out of the reading, never invented.
"""

from __future__ import annotations

import pathlib
import sys
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import client

ROOT = pathlib.Path("/")
# The zones that mean the processor, best first; a machine may have others (battery, wireless).
CPU_ZONES = ("cpu-thermal", "cpu_thermal", "x86_pkg_temp", "soc_thermal", "k10temp", "coretemp")


def cpu_times(root: pathlib.Path = ROOT) -> tuple[int, int]:
    """Busy and total time of all processors since boot, in ticks."""
    # user nice system idle iowait irq softirq steal; guest is part of user.
    ticks = [int(text) for text in (root / "proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def cpu_usage(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Per cent busy between two looks; None when no time has passed."""
    total = after[1] - before[1]
    return round(100 * (after[0] - before[0]) / total, 1) if total > 0 else None


def memory_usage(root: pathlib.Path = ROOT) -> float:
    """Per cent of the memory that is not available to programs."""
    fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines() if ":" in line)
    total, available = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return round(100 * (total - available) / total, 1)


def cpu_temperature(root: pathlib.Path = ROOT) -> float | None:
    """Degrees Celsius of the processor; None on a machine without that sensor (virtual machines have none)."""
    found: dict[str, float] = {}
    sensors = [(zone / "type", zone / "temp") for zone in sorted(root.glob("sys/class/thermal/thermal_zone*"))]
    sensors += [(chip / "name", chip / "temp1_input") for chip in sorted(root.glob("sys/class/hwmon/hwmon*"))]
    for name, value in sensors:
        try:
            found.setdefault(name.read_text().strip(), int(value.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return next((round(found[name], 1) for name in CPU_ZONES if name in found), None)


class Meter:
    """Measures this machine; CPU use is what happened since the last look."""

    def __init__(self, device: str, root: pathlib.Path = ROOT) -> None:
        self.device, self.root = device, root
        self.last = cpu_times(root)

    def measure(self) -> dict[str, t.Any]:
        before, self.last = self.last, cpu_times(self.root)
        values = {
            "cpu_usage": cpu_usage(before, self.last),
            "cpu_temp": cpu_temperature(self.root),
            "memory_usage": memory_usage(self.root),
        }
        return {"id": self.device} | {name: value for name, value in values.items() if value is not None}


def readings(meter: Meter, interval: float) -> client.Readings:
    """One every `interval` seconds, for ever."""
    # The first needs a moment too: CPU use is a difference.
    yield min(1.0, interval), meter.measure
    while True:
        yield interval, meter.measure


def main() -> int:
    parser = client.parser("Publish this machine's CPU use, memory and temperature.")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two readings (default: 2)")
    options = parser.parse_args()
    return client.main(options, 1, readings(Meter(options.bundle.resolve().name), options.interval))


if __name__ == "__main__":
    sys.exit(main())
