# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether git tracks files of a private directory."""

from __future__ import annotations

import os
import shutil
import subprocess


class GitUnavailable(Exception):
    """There is a repository, but git can't be asked."""


def _nearest_directory(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _in_repository(directory: str) -> bool:
    while True:
        if os.path.lexists(os.path.join(directory, ".git")):
            return True
        parent = os.path.dirname(directory)
        if parent == directory:
            return False
        directory = parent


def tracked_files(path: str) -> list[str]:
    """Files below the directory that git tracks, except .gitignore; also when they are deleted in the work tree.

    :raises GitUnavailable: when the directory is in a repository and git is missing or fails
    """
    real = os.path.realpath(path)
    directory = _nearest_directory(real)
    if not _in_repository(directory):
        return []
    git = shutil.which("git")
    if git is None:
        raise GitUnavailable(f"{path} is in a git repository, but there is no git command to ask whether it is tracked")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # safe.directory: an inventory that belongs to another user is still asked about; fsmonitor: no program that a
    # repository's configuration names is run for it.
    command = [git, "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", directory]
    command += ["ls-files", "-z", "--", os.path.relpath(real, directory)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise GitUnavailable(f"git can't say whether {path} is tracked: {result.stderr.strip()}")
    return sorted(name for name in result.stdout.split("\0") if name and os.path.basename(name) != ".gitignore")
