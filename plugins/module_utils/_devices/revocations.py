# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller remembers of revocations: by command, and which brokers have not done them yet.

One file beside the devices' directories. A revocation is pending for a broker from the moment it is asked for until that
broker's rows, ban and sessions say the same; a broker that cannot be reached keeps it pending, whatever happens meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files

from .registry import Device, id_problem
from .source import DevicesError

FILE = ".revocations.json"
LOCK = ".revocations.lock"
_Table = dict[str, dict[str, str]]


@dataclasses.dataclass
class Record:
    """revoked: by command, with the time. pending and reached: by broker, the devices with the time."""

    revoked: dict[str, str] = dataclasses.field(default_factory=dict)
    pending: _Table = dataclasses.field(default_factory=dict)
    reached: _Table = dataclasses.field(default_factory=dict)

    def note(self, devices: t.Sequence[Device], brokers: t.Mapping[str, str], now: str) -> list[str]:
        """What each broker has to be told, from the list as it is now; what is new of it, for people."""
        new = []
        revoked = {device.id for device in devices if device.state == "revoked"}
        for broker, site in brokers.items():
            reached = self.reached.setdefault(broker, {})
            for name in set(reached) - revoked:
                # Revoked, readmitted and revoked again is told again.
                del reached[name]
            for device in devices:
                if device.id in revoked and device.site == site and device.id not in reached:
                    waiting = self.pending.setdefault(broker, {})
                    if device.id not in waiting:
                        waiting[device.id] = now
                        new.append(f"{device.id} on {broker}")
        return new

    def done(self, broker: str, names: t.Iterable[str], now: str) -> None:
        waiting = self.pending.get(broker, {})
        for name in names:
            waiting.pop(name, None)
            self.reached.setdefault(broker, {}).setdefault(name, now)
        if not waiting:
            self.pending.pop(broker, None)

    def waiting(self, brokers: t.Container[str] | None = None) -> list[dict[str, str]]:
        """Of these brokers, or of all."""
        return [
            {"device": name, "broker": broker, "since": since}
            for broker, names in sorted(self.pending.items())
            if brokers is None or broker in brokers
            for name, since in sorted(names.items())
        ]


def read(directory: str) -> Record:
    """What is there; a file that can't be read is an error: what it knows is nowhere else."""
    path = os.path.join(directory, FILE)
    try:
        data = files.read_optional(path)
    except OSError as error:
        raise DevicesError(f"cannot read {path}: {error.strerror}") from error
    if data is None:
        return Record()
    try:
        tree = json.loads(data)
        return Record(dict(tree["revoked"]), _table(tree["pending"]), _table(tree["reached"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DevicesError(
            f"{path} is damaged ({type(error).__name__}): it says which revocations are pending. Restore it, or remove it and set"
            " state: revoked for every revoked device in the list"
        ) from error


def _table(tree: t.Any) -> _Table:
    return {str(broker): {str(name): str(since) for name, since in names.items()} for broker, names in tree.items()}


@contextlib.contextmanager
def changing(directory: str) -> t.Iterator[Record]:
    """The record under its lock; written when it was changed."""
    with files.private_directory(directory, LOCK):
        record = read(directory)
        before = dataclasses.asdict(record)
        yield record
        after = dataclasses.asdict(record)
        if after != before:
            files.write_atomic(os.path.join(directory, FILE), json.dumps(after, indent=1, sort_keys=True).encode() + b"\n")


def command(record: Record, known: t.Container[str], revoke: t.Sequence[str], readmit: t.Sequence[str], now: str) -> list[str]:
    """Revokes or readmits devices by command; what changed, for people."""
    for name in [*revoke, *readmit]:
        problem = id_problem(name)
        if problem:
            raise DevicesError(problem)
        if name not in known:
            raise DevicesError(f"there is no device {name!r} in the list, so it can be neither revoked nor readmitted")
    both = sorted(set(revoke) & set(readmit))
    if both:
        raise DevicesError(f"{', '.join(both)} can't be revoked and readmitted at once")
    changes = []
    for name in dict.fromkeys(revoke):
        if name not in record.revoked:
            record.revoked[name] = now
            changes.append(f"{name} is revoked by command")
    for name in dict.fromkeys(readmit):
        if record.revoked.pop(name, None) is not None:
            changes.append(f"{name} is readmitted by command")
    return changes


def applied(devices: t.Sequence[Device], record: Record) -> list[Device]:
    """The list with what was revoked by command."""
    return [dataclasses.replace(device, state="revoked") if device.id in record.revoked else device for device in devices]


def applied_to_entries(entries: t.Sequence[t.Any], directory: str) -> list[t.Any]:
    """The same for entries that are not checked yet."""
    revoked = read(directory).revoked
    return [{**entry, "state": "revoked"} if revoked and isinstance(entry, dict) and str(entry.get("id")) in revoked else entry for entry in entries]
