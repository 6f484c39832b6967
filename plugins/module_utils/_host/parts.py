# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a host's preparation: each is a set of files, and the commands that make the host use them.

The order is the one of a component: compare, stage, validate, replace, apply; the record is written only when the commands succeeded, so
a run that was killed in between is repaired by the next one. When a command fails, what was there before is put back and used again.
A guarded part is not recorded before it is confirmed.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import typing as t

from .._component import fileset, record
from . import guard as guards

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]
# For one command, in seconds.
PATIENCE = 120


class PartError(Exception):
    """What went wrong with a part, and what state the host is in."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One part. apply runs after its files have changed. Without files it is taken away: undo runs before they are removed, removed after.

    guard is the number of seconds after which an unconfirmed change takes itself back; 0 is without such protection.
    """

    name: str
    files: tuple[fileset.WantedFile, ...] = ()
    apply: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    guard: int = 0


@dataclasses.dataclass
class Outcome:
    """What was done, or would be: the only source of changed and diff."""

    changed_files: list[str] = dataclasses.field(default_factory=list)
    applied: bool = False
    pending: bool = False
    diff: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.changed_files) or self.applied


class Host:
    """Where records and protections are kept; everything that is run goes through run."""

    def __init__(self, state: str = "/var/lib/edgestack/state", guard: str = "/var/lib/edgestack/guard", run: Run = subprocess.run) -> None:
        self._state = os.path.join(state, "parts")
        self._guard = guard
        self._run = run

    def _record(self, name: str) -> record.Record:
        return record.Record(self._state, name)

    def guard(self, name: str) -> guards.Guard:
        return guards.Guard(name, self._guard, run=self._run)

    def bring(self, part: Part, check: bool = False) -> Outcome:
        """Brings one part to what is wanted."""
        outcome = Outcome()
        remembered = self._record(part.name)
        if not part.files and remembered.digest is None:
            return outcome
        # A run that was killed may have left an unconfirmed change: begin with what was there before it.
        if part.guard and not check and self.guard(part.name).take_back():
            outcome.applied = True
        digest = fileset.digest(part.files, [*part.apply, f"{len(part.files)}"])
        changes = fileset.compare(part.files, remembered.files)
        outcome.changed_files = [change.path for change in changes]
        outcome.diff = fileset.diff(changes)
        outcome.applied = outcome.applied or bool(changes) or remembered.digest != digest or not part.files
        if check or not outcome.applied:
            return outcome
        fileset.stage(changes)
        # How to go back: to a host that had nothing of it, or to what it had.
        fresh = remembered.digest is None and all(change.found.content is None for change in changes)
        back = (part.undo, part.removed) if fresh else ((), part.apply)
        if part.guard:
            self._arm(part, changes, *back)
            outcome.pending = True
        try:
            self._all(() if part.files else part.undo)
            fileset.swap(changes)
            self._all(part.apply if part.files else part.removed)
        except (PartError, OSError) as error:
            fileset.discard(changes)
            self._take_back(part, changes, *back, str(error))
        if not part.guard:
            self._remember(part, digest)
        return outcome

    def confirm(self, part: Part) -> None:
        """A guarded part stays as it is."""
        self.guard(part.name).confirm()
        self._remember(part, fileset.digest(part.files, [*part.apply, f"{len(part.files)}"]))

    def _remember(self, part: Part, digest: str) -> None:
        if part.files:
            self._record(part.name).save(digest, part.files)
        else:
            self._record(part.name).forget()

    def _arm(self, part: Part, changes: t.Sequence[fileset.Change], before: t.Sequence[str], after: t.Sequence[str]) -> None:
        try:
            self.guard(part.name).arm(changes, before, after, part.guard)
        except guards.GuardError:
            fileset.discard(changes)
            raise

    def _take_back(self, part: Part, changes: t.Sequence[fileset.Change], before: t.Sequence[str], after: t.Sequence[str], problem: str) -> t.NoReturn:
        if part.guard:
            self.guard(part.name).take_back()
            raise PartError(f"{part.name}: {problem}. What was there before was put back")
        for command in before:
            self._one(command)
        earlier = [
            fileset.WantedFile(change.path, change.found.content, str(change.found.uid), str(change.found.gid), t.cast("int", change.found.mode))
            for change in changes
            if change.found.content is not None and change.found.mode != -1
        ]
        back = fileset.compare(earlier, [change.path for change in changes if change.found.content is None])
        fileset.stage(back)
        fileset.swap(back)
        again = [said for said in map(self._one, after) if said]
        ending = f"the host does not take it either: {again[0]}" if again else "the host uses it again"
        raise PartError(f"{part.name}: {problem}. What was there before was put back; {ending}")

    def _all(self, commands: t.Iterable[str]) -> None:
        for command in commands:
            said = self._one(command)
            if said:
                raise PartError(said)

    def _one(self, command: str) -> str | None:
        """None when the command ended with 0, else what it said."""
        try:
            done = self._run(shlex.split(command), capture_output=True, text=True, errors="replace", check=False, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"'{command}' could not be run ({error})"
        if done.returncode == 0:
            return None
        said = (done.stderr.strip() or done.stdout.strip() or "no output")[-1000:]
        return f"'{command}' ended with {done.returncode}: {said}"
