# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a component's directories, files and service to what is wanted, or leaves what ran before.

The order is the point: compare, stage, validate, replace, restart, wait; the record is written only after the service was healthy.
A run that is killed anywhere in between is repaired by the next one, because the wanted digest then differs from the recorded one.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import typing as t

from . import fileset, record, service


@dataclasses.dataclass(frozen=True)
class Directory:
    """A directory that shall exist, with numeric permissions (0o750)."""

    path: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755


@dataclasses.dataclass
class Outcome:
    """What was done, or would be (check mode): the only source of changed, diff and the texts of a result."""

    changed_files: list[str] = dataclasses.field(default_factory=list)
    changed_directories: list[str] = dataclasses.field(default_factory=list)
    restarted: bool = False
    enabled: bool = False
    healthy: bool = False
    digest: str = ""
    reasons: list[str] = dataclasses.field(default_factory=list)
    diff: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.changed_files or self.changed_directories or self.restarted or self.enabled)


class ConvergeError(Exception):
    """The component could not be brought to what was wanted; details says what runs now and where the evidence is."""

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.details = details


def directories(wanted: t.Sequence[Directory], check: bool) -> list[str]:
    """Makes directories and mends owner, group and mode; returns the paths that differed."""
    changed = []
    for one in wanted:
        uid, gid = fileset.numeric_owner(one.owner, one.group)
        try:
            info = os.stat(one.path)
        except FileNotFoundError:
            info = None
        if info is not None and not stat.S_ISDIR(info.st_mode):
            raise ConvergeError(f"{one.path} is not a directory, one is wanted there; move it away")
        if info is not None and (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (one.mode, uid, gid):
            continue
        changed.append(one.path)
        if check:
            continue
        if uid is None or gid is None:
            raise ConvergeError(f"{one.path}: there is no user {one.owner!r} or no group {one.group!r} on this host")
        os.makedirs(one.path, mode=0o700, exist_ok=True)
        os.chown(one.path, uid, gid)
        os.chmod(one.path, one.mode)
    return changed


def converge(
    remembered: record.Record,
    unit: service.Service,
    health: service.Health,
    wanted_directories: t.Sequence[Directory],
    wanted_files: t.Sequence[fileset.WantedFile],
    restart_on: t.Sequence[str] = (),
    check: bool = False,
    wait: t.Callable[[service.Service, service.Health], str | None] = service.wait_until_healthy,
) -> Outcome:
    """See the module's text. In check mode nothing is written, restarted or asked beyond the service's own state."""
    outcome = Outcome(digest=fileset.digest(wanted_files, restart_on))
    changes = fileset.compare(wanted_files, remembered.files)
    outcome.changed_files = [change.path for change in changes]
    outcome.diff = fileset.diff(changes, remembered.secret_files)
    outcome.changed_directories = directories(wanted_directories, check)
    state = unit.state()
    loaded = state.get("LoadState") == "loaded"
    outcome.enabled = state.get("UnitFileState") not in ("enabled", "static", "indirect", "alias", "generated")
    outcome.reasons = _reasons(outcome, remembered, state)
    outcome.restarted = bool(outcome.reasons)
    if check:
        outcome.healthy = loaded and not outcome.restarted
        return outcome

    if changes:
        fileset.stage(changes)
        fileset.swap(changes)
    if changes or state.get("NeedDaemonReload") == "yes":
        unit.reload_units()
    if outcome.enabled:
        unit.enable()
    if outcome.restarted:
        problem = unit.restart() or wait(unit, health)
        if problem:
            _take_back(remembered, unit, health, wanted_files, problem, wait)
    outcome.healthy = True
    # Saved also when only files without a restart changed, so that they are known as ours and can be put back.
    if outcome.restarted or changes:
        remembered.save(outcome.digest, wanted_files)
    return outcome


def _reasons(outcome: Outcome, remembered: record.Record, state: dict[str, str]) -> list[str]:
    if remembered.digest is None:
        return ["the service has never been healthy with a configuration of this collection"]
    if remembered.digest != outcome.digest:
        return ["the configuration differs from the one that the service last became healthy with"]
    if state.get("ActiveState") != "active":
        return [f"the service is {state.get('ActiveState', 'unknown')}"]
    return []


def _take_back(
    remembered: record.Record,
    unit: service.Service,
    health: service.Health,
    tried: t.Sequence[fileset.WantedFile],
    problem: str,
    wait: t.Callable[[service.Service, service.Health], str | None],
) -> t.NoReturn:
    """Puts the last healthy set back, restarts with it and raises; where there never was one, leaves the new one for a look."""
    journal = unit.journal()
    evidence = remembered.keep_evidence(tried, journal)
    before = remembered.healthy_set()
    tail = "\n".join(journal.splitlines()[-15:])
    if not before:
        raise ConvergeError(
            f"{unit.unit} did not become healthy: {problem}. There is no earlier healthy configuration to go back to. "
            f"The configuration that was tried and the journal are in {evidence}. The journal's end:\n{tail}",
            rolled_back=False,
            evidence=evidence,
        )
    # What the failed set added and the healthy one does not have goes away with it.
    added = {file.path for file in tried} - {file.path for file in before}
    changes = fileset.compare(before, added)
    fileset.stage(changes)
    fileset.swap(changes)
    unit.reload_units()
    again = unit.restart() or wait(unit, health)
    ending = "and is healthy with it" if again is None else f"but is not healthy with it either: {again}"
    raise ConvergeError(
        f"{unit.unit} did not become healthy with the new configuration: {problem}. The configuration that ran before was put back, "
        f"{ending}. What was tried and the journal are in {evidence}. The journal's end:\n{tail}",
        rolled_back=again is None,
        evidence=evidence,
    )
