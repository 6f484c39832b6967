# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long: durations as InfluxDB writes them, in seconds."""

from __future__ import annotations

import re

from .client import Refused

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+)([smhdw])")
_INFINITE = {"0", "0s", "inf", "infinite"}


def seconds(text: str, what: str) -> int:
    """`7d`, `1d12h`, `3600s` or `3600` in seconds; 0 is for ever."""
    lower = text.strip().lower()
    if lower in _INFINITE:
        return 0
    if lower.isascii() and lower.isdigit():
        return int(lower)
    parts = _PART.findall(lower)
    if not parts or "".join(number + unit for number, unit in parts) != lower:
        raise Refused(f"{what}: {text!r} is not a duration; write it as 7d, 12h, 1d12h or 0 (for ever)")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def text(value: int) -> str:
    """So many seconds in the largest unit that fits; days, as people write retentions, not weeks."""
    if value == 0:
        return "0"
    unit = next((unit for unit in "dhm" if value % _UNITS[unit] == 0), "s")
    return f"{value // _UNITS[unit]}{unit}"
