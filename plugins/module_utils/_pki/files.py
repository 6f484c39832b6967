# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of private material: atomic writes, locks, private directories."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import typing as t

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
DIRECTORY_MODE = 0o700

GITIGNORE = "# Private material: nothing in this directory belongs into a repository.\n*\n"


def read_optional(path: str) -> bytes | None:
    """The file's content, or None when there is no such file (any other trouble is raised)."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def fsync_directory(path: str) -> None:
    """Makes renames in the directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(
    path: str, data: bytes, mode: int = PRIVATE_MODE, uid: int = -1, gid: int = -1, sync: bool = True
) -> None:
    """Writes a file that is put in its place later; what a killed run left under this name goes away.

    It is never readable for more than its owner before it has its final owner and mode, and a symbolic link that
    somebody put there is removed, not followed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        if uid != -1 or gid != -1:
            os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        stream.flush()
        if sync:
            os.fsync(descriptor)


def temporary_name(path: str) -> str:
    """A name beside the file, always the same: what a killed run leaves is overwritten by the next one."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


def write_atomic(
    path: str, data: bytes, mode: int = PRIVATE_MODE, uid: int = -1, gid: int = -1, sync: bool = True
) -> None:
    """The file has either its old content or the new one, also after a power cut."""
    temporary = temporary_name(path)
    try:
        write_new(temporary, data, mode, uid, gid, sync)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if sync:
        fsync_directory(os.path.dirname(path) or ".")


@contextlib.contextmanager
def locked(path: str) -> t.Iterator[None]:
    """An exclusive lock that ends with the process: Ansible's forks, and other runs, wait for one another."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def private_directory(path: str, lock: str) -> t.Iterator[None]:
    """Makes the directory (0700, with a .gitignore that keeps everything in it out of a repository) and locks it."""
    os.makedirs(path, mode=DIRECTORY_MODE, exist_ok=True)
    if os.stat(path).st_mode & 0o777 != DIRECTORY_MODE:
        os.chmod(path, DIRECTORY_MODE)
    with locked(os.path.join(path, lock)):
        gitignore = os.path.join(path, ".gitignore")
        if not os.path.lexists(gitignore):
            write_atomic(gitignore, GITIGNORE.encode(), PUBLIC_MODE)
        yield


def sync_filesystem(path: str) -> None:
    """One flush for many files: per-file fsync of thousands of small files costs ten times as much."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None or syncfs(descriptor) != 0:
            os.sync()
    finally:
        os.close(descriptor)
