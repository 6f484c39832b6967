# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of what an authority issued: JSON lines, only ever appended to.

A record is written before its certificate is handed out, so nothing is in use that is not recorded. Callers hold the
authority's lock.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files

Record = dict[str, t.Any]


def parse(data: bytes) -> list[Record]:
    """All records; a line that is none becomes a record of the state ``damaged`` that keeps its text."""
    records: list[Record] = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            records.append(_damaged(line))
    return records


def _damaged(line: bytes) -> Record:
    return {"state": "damaged", "raw": line.decode(errors="backslashreplace")}


def _encode(records: t.Iterable[Record]) -> bytes:
    return b"".join(json.dumps(record, sort_keys=True).encode() + b"\n" for record in records)


def read(path: str) -> list[Record]:
    """What is recorded now; several records of one serial tell its history, the last one holds."""
    return parse(files.read_optional(path) or b"")


def latest(records: t.Iterable[Record]) -> dict[str, Record]:
    """What holds now, by serial number."""
    return {str(record["serial"]): record for record in records if "serial" in record}


def _repair(path: str, data: bytes) -> None:
    """A write that a power cut ended leaves a last line without an end."""
    complete, _dummy, rest = data.rpartition(b"\n")
    try:
        whole = isinstance(json.loads(rest), dict)
    except ValueError:
        whole = False
    ending = rest + b"\n" if whole else _encode([_damaged(rest)])
    files.write_atomic(path, (complete + b"\n" if complete else b"") + ending)


def append(path: str, records: t.Sequence[Record]) -> None:
    """One write and one fsync for all of them."""
    if not records:
        return
    data = files.read_optional(path)
    if data is None:
        files.write_atomic(path, _encode(records))
        return
    if data and not data.endswith(b"\n"):
        _repair(path, data)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    with os.fdopen(descriptor, "ab") as stream:
        stream.write(_encode(records))
        stream.flush()
        os.fsync(descriptor)
