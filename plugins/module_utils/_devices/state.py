# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each device stands, from what the controller has of it."""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files, inspect
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError

from .registry import Device

COLUMNS = ("id", "profile", "site", "auth", "state", "certificate_ends", "password_made", "pending")


def row(device: Device, folder: str, waiting: t.Iterable[t.Mapping[str, str]], now: float) -> dict[str, t.Any]:
    """Texts are empty where there is nothing. pending: brokers that do not know yet that it is revoked."""
    return {
        **dataclasses.asdict(device),
        "certificate_ends": _ends(os.path.join(folder, "device.pem")) if device.auth == "certificate" else "",
        "password_made": _made(os.path.join(folder, "password"), now),
        "pending": [one["broker"] for one in waiting if one["device"] == device.id],
    }


def _ends(path: str) -> str:
    data = files.read_optional(path)
    if data is None:
        return ""
    try:
        return inspect.timestamp(inspect.not_after(inspect.load_certificate(data)))[:10]
    except PkiError:
        return "damaged"


def _made(path: str, now: float) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(min(now, os.stat(path).st_mtime)))
    except FileNotFoundError:
        return ""


def table(rows: t.Sequence[t.Mapping[str, t.Any]], total: int) -> str:
    """For people."""
    lines = [tuple(column.replace("_", " ") for column in COLUMNS)]
    lines += [tuple(", ".join(one[column]) if column == "pending" else str(one[column]) for column in COLUMNS) for one in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if total > len(rows):
        out.append(f"and {total - len(rows)} more")
    return "\n".join(out)
