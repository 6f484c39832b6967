# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that takes itself back unless someone confirms it: for what can lock everyone out of a host.

Before the change a script that takes it back, and copies of what it puts back, are on the host's disk; a timer of systemd runs it when
nobody has confirmed the change in time, and a unit runs it at boot when the power failed meanwhile. None of it needs the controller,
Python or Ansible. Who renames the directory first, the script or the confirmation, has decided.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import typing as t

from .._component import fileset

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]

UNIT = "/etc/systemd/system/edgestack-guard.service"
_UNIT_TEXT = """# Managed by edgestack.iot
[Unit]
Description=Take back changes that nobody confirmed before the power failed
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target ssh.service nftables.service edgestack-firewall.service
ConditionDirectoryNotEmpty={directory}

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for script in {directory}/*/revert; do sh "$$script" boot; done'

[Install]
WantedBy=sysinit.target
"""


class GuardError(Exception):
    """What went wrong with the protection; what to do."""


class Guard:
    """The protection of one change, by its name."""

    def __init__(self, name: str, directory: str = "/var/lib/edgestack/guard", unit: str = UNIT, run: Run = subprocess.run) -> None:
        self.name = name
        self._top = directory
        self._directory = os.path.join(directory, name)
        self._unit = unit
        self._timer = f"edgestack-guard-{name}"
        self._run = run

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run(list(words), capture_output=True, text=True, errors="replace", check=False)

    def script(self, changes: t.Sequence[fileset.Change], before: t.Sequence[str], after: t.Sequence[str]) -> str:
        """Takes the changes back and makes the host use what was there before: commands before and after the files are put back."""
        here = shlex.quote(self._directory)
        lines = [
            "#!/bin/sh",
            "# Managed by edgestack.iot: takes back a change that nobody has confirmed. Can be run again when it was interrupted.",
            f"if [ -d {here} ]; then mv {here} {here}.reverting || exit 0; fi",
            f"cd {here}.reverting || exit 0",
            *self._commands(before),
        ]
        for number, change in enumerate(changes):
            target = shlex.quote(change.path)
            lines.append(f"rm -f {target}" if change.found.content is None else f"cp -a --remove-destination saved.{number} {target}")
        lines += [
            "sync",
            *self._commands(after),
            f"logger --tag edgestack 'nobody confirmed the change of {self.name}: it was taken back' || :",
            "cd /",
            f"rm -rf {here}.reverting",
        ]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _commands(commands: t.Sequence[str]) -> list[str]:
        """At boot nothing runs yet that would have to be told."""
        return ['if [ "$1" != boot ]; then', *(f"  {shlex.join(shlex.split(one))}" for one in commands), "fi"] if commands else []

    def arm(self, changes: t.Sequence[fileset.Change], before: t.Sequence[str], after: t.Sequence[str], seconds: int) -> None:
        """From now on the changes, which must not be made yet, are taken back in so many seconds."""
        os.makedirs(self._directory, mode=0o700)
        for number, change in enumerate(changes):
            if change.found.content is not None:
                shutil.copy2(change.path, os.path.join(self._directory, f"saved.{number}"), follow_symlinks=False)
                if change.found.mode != -1:
                    os.chown(os.path.join(self._directory, f"saved.{number}"), change.found.uid or 0, change.found.gid or 0)
        script = os.path.join(self._directory, "revert")
        fileset.write(script, self.script(changes, before, after).encode(), os.getuid(), os.getgid(), 0o700)
        os.sync()
        try:
            self._install_unit()
            done = self._call(
                *("systemd-run", "--quiet", "--collect", f"--unit={self._timer}", f"--on-active={seconds}s"),
                *("--timer-property=AccuracySec=1s", "/bin/sh", script),
            )
            if done.returncode != 0:
                raise GuardError(f"systemd-run: {done.stderr.strip() or done.returncode}")
        except (GuardError, OSError) as error:
            shutil.rmtree(self._directory)
            raise GuardError(f"{self.name} cannot be protected against a lock-out ({error}); nothing was changed") from error

    def _install_unit(self) -> None:
        wanted = _UNIT_TEXT.format(directory=self._top).encode()
        if fileset.look(self._unit).content == wanted:
            return
        fileset.write(self._unit, wanted, os.getuid(), os.getgid(), 0o644)
        self._call("systemctl", "daemon-reload")
        done = self._call("systemctl", "enable", os.path.basename(self._unit))
        if done.returncode != 0:
            os.unlink(self._unit)
            raise GuardError(f"systemctl enable: {done.stderr.strip()}")

    def confirm(self) -> None:
        """The change stays. Raises when it was taken back already."""
        kept = f"{self._directory}.confirmed"
        shutil.rmtree(kept, ignore_errors=True)
        try:
            os.rename(self._directory, kept)
        except FileNotFoundError:
            raise GuardError(f"the change of {self.name} was confirmed too late: the host had taken it back") from None
        self._call("systemctl", "stop", f"{self._timer}.timer")
        shutil.rmtree(kept)

    def take_back(self) -> bool:
        """Takes a change back that waits for its confirmation; whether there was one."""
        for directory in (self._directory, f"{self._directory}.reverting"):
            if os.path.isdir(directory):
                self._call("systemctl", "stop", f"{self._timer}.timer")
                done = self._call("/bin/sh", os.path.join(directory, "revert"))
                if os.path.isdir(f"{self._directory}.reverting"):
                    raise GuardError(f"{directory}/revert ended with {done.returncode}: {done.stderr.strip()}")
                return True
        return False
