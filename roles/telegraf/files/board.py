# Managed by edgestack.iot
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Raspberry Pi says of its power and its card, as lines of InfluxDB. What a board does not say is left out."""

from __future__ import annotations

import glob
import os
import re
import sys

# Bits of the firmware's answer: now, and 16 higher since the start.
THROTTLED = {"under_voltage": 0, "frequency_capped": 1, "throttled": 2, "soft_temperature_limit": 3}
# What an eMMC or a newer card estimates of its own wear: tenths used, 11 is beyond; and how much of the spare blocks is left.
SECTOR = 512


def text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def power(root: str) -> dict[str, int]:
    fields = {}
    for path in glob.glob(os.path.join(root, "sys/devices/platform/soc/*firmware*/get_throttled")):
        said = text(path)
        if re.fullmatch(r"(0x)?[0-9a-fA-F]+", said):
            bits = int(said, 16)
            for name, bit in THROTTLED.items():
                fields[name] = bits >> bit & 1
                fields[f"{name}_since_start"] = bits >> (bit + 16) & 1
    if "under_voltage" not in fields:
        for path in glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*/in0_lcrit_alarm")):
            said = text(path)
            if said.isdigit():
                fields["under_voltage"] = int(said)
    return fields


def cards(root: str) -> dict[str, dict[str, int]]:
    found = {}
    for path in sorted(glob.glob(os.path.join(root, "sys/block/mmcblk[0-9]"))):
        fields = {}
        statistics = text(os.path.join(path, "stat")).split()
        if len(statistics) > 6:
            fields["written_bytes"] = int(statistics[6]) * SECTOR
        estimates = [int(word, 16) for word in re.findall(r"0x[0-9a-fA-F]+", text(os.path.join(path, "device", "life_time")))]
        if any(estimates):
            fields["life_used_percent"] = max(estimates) * 10
        end = re.findall(r"0x[0-9a-fA-F]+", text(os.path.join(path, "device", "pre_eol_info")))
        if end and int(end[0], 16):
            # 1 normal, 2 most of the spare blocks are used, 3 nearly all.
            fields["spare_state"] = int(end[0], 16)
        if fields:
            found[os.path.basename(path)] = fields
    return found


def file_systems(root: str) -> dict[str, dict[str, int]]:
    """ext4 counts its errors: the first sign of a card that dies."""
    found = {}
    for path in sorted(glob.glob(os.path.join(root, "sys/fs/ext4/*/errors_count"))):
        said = text(path)
        if said.isdigit():
            found[os.path.basename(os.path.dirname(path))] = {"errors": int(said)}
    return found


def lines(root: str = "/") -> list[str]:
    def line(name: str, fields: dict[str, int]) -> str:
        return f"{name} " + ",".join(f"{key}={value}i" for key, value in fields.items())

    out = [line("board", fields) for fields in [power(root)] if fields]
    out += [line(f"card,card={name}", fields) for name, fields in cards(root).items()]
    return out + [line(f"file_system,device={name}", fields) for name, fields in file_systems(root).items()]


if __name__ == "__main__":
    print("\n".join(lines(*sys.argv[1:2])))
