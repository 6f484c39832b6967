# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A component's configuration files, compared, validated and replaced as one set.

Nothing here knows Ansible. All functions work on the local file system; errors are `FileSetError` with a text for people.
"""

from __future__ import annotations

import dataclasses
import grp
import hashlib
import os
import pwd
import shlex
import stat
import subprocess
import typing as t


class FileSetError(Exception):
    """What went wrong with a file, which one, and what to do."""


@dataclasses.dataclass(frozen=True)
class Image:
    """Where a validator runs that is not on the host: in a container of the component's own image, without network, as its user.

    directory is mounted at its own path, so that the staged file is found where it is; at is another place for the staged file.
    """

    name: str
    user: str
    directory: str
    at: str | None = None

    def command(self, words: t.Sequence[str], staged: str) -> list[str]:
        place = [f"--volume={staged}:{self.at}:ro"] if self.at else []
        return [
            *("docker", "run", "--rm", "--pull=never", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
            *("--log-driver=none", f"--user={self.user}", "--tmpfs=/tmp", f"--volume={self.directory}:{self.directory}:ro"),
            *(*place, f"--entrypoint={words[0]}", self.name, *words[1:]),
        ]


@dataclasses.dataclass(frozen=True)
class WantedFile:
    """One file as it shall be.

    mode is the numeric permission (0o640). validate is a command in which %s stands for the staged file; with an image it runs in a
    container of that image.
    A secret file's content appears in no diff. restart tells whether the service must restart for a change.
    """

    path: str
    content: bytes
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    validate: str | None = None
    secret: bool = False
    restart: bool = True
    image: Image | None = None


@dataclasses.dataclass(frozen=True)
class FoundFile:
    """One file as it is: permission bits, numeric owner and group, content (None: it does not exist)."""

    content: bytes | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclasses.dataclass
class Change:
    """The difference of one file between what is there and what is wanted; wanted None means: to be removed."""

    path: str
    found: FoundFile
    wanted: WantedFile | None
    content: bool
    attributes: list[str]

    @property
    def secret(self) -> bool:
        return self.wanted is not None and self.wanted.secret


def numeric_owner(owner: str, group: str) -> tuple[int | None, int | None]:
    """Numbers of a user and a group; None for one that does not exist (yet: a package makes it)."""
    uid: int | None
    gid: int | None
    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        uid = None
    try:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        gid = None
    return uid, gid


def look(path: str) -> FoundFile:
    """Reads one file without following a link: a link in the place of a configuration file counts as another content."""
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FoundFile()
    if stat.S_ISDIR(info.st_mode):
        raise FileSetError(f"{path} is a directory, a file is wanted there; move it away")
    content = b"" if stat.S_ISLNK(info.st_mode) else _read(path)
    mode = -1 if stat.S_ISLNK(info.st_mode) else stat.S_IMODE(info.st_mode)
    return FoundFile(content, mode, info.st_uid, info.st_gid)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def compare(wanted: t.Sequence[WantedFile], obsolete: t.Iterable[str] = ()) -> list[Change]:
    """The changes that make the wanted set true; obsolete files (ours of an earlier run) are to be removed."""
    changes = []
    for file in wanted:
        found = look(file.path)
        uid, gid = numeric_owner(file.owner, file.group)
        attributes = []
        if found.content is not None:
            if found.mode != file.mode:
                attributes.append("mode")
            if found.uid != uid:
                attributes.append("owner")
            if found.gid != gid:
                attributes.append("group")
        content = found.content != file.content or found.mode == -1
        if content or attributes:
            changes.append(Change(file.path, found, file, content, attributes))
    names = {file.path for file in wanted}
    for path in sorted(set(obsolete) - names):
        found = look(path)
        if found.content is not None:
            changes.append(Change(path, found, None, True, []))
    return changes


def digest(wanted: t.Iterable[WantedFile], extra: t.Iterable[str] = ()) -> str:
    """SHA-256 over everything whose change needs a restart: files (restart=True) and further texts, in a fixed order."""
    total = hashlib.sha256()
    for file in sorted(wanted, key=lambda one: one.path):
        if file.restart:
            for part in (file.path.encode(), file.content):
                total.update(len(part).to_bytes(8, "big") + part)
    for text in extra:
        total.update(b"\0" + text.encode())
    return total.hexdigest()


def _text(content: bytes | None) -> str:
    if content is None:
        return ""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"(binary, {len(content)} bytes)\n"


def diff(changes: t.Iterable[Change], hidden: t.Container[str] = ()) -> list[dict[str, str]]:
    """Ansible's diff list. Of a secret file (by what is wanted, or by its path in hidden) only the attributes are shown."""
    out = []
    for change in changes:
        entry = {"before_header": change.path, "after_header": change.path}
        if change.secret or change.path in hidden:
            before, after = "", ""
            if change.content:
                before = "(secret)\n" if change.found.content is not None else ""
                after = "(another secret)\n" if before and change.wanted else ("(secret)\n" if change.wanted else "")
        elif change.content:
            before = _text(change.found.content)
            after = _text(change.wanted.content) if change.wanted else ""
        else:
            before, after = "", ""
        if change.attributes and change.wanted is not None:
            found_mode = change.found.mode or 0
            before += f"# mode {found_mode:04o} owner {change.found.uid} group {change.found.gid}\n"
            after += f"# mode {change.wanted.mode:04o} owner {change.wanted.owner} group {change.wanted.group}\n"
        entry["before"], entry["after"] = before, after
        out.append(entry)
    return out


def _staged_path(path: str) -> str:
    # Beside its target, so that rename is atomic; the suffix keeps conf.d directories from reading it.
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.edgestack-new")


def write(path: str, content: bytes, uid: int, gid: int, mode: int) -> None:
    """Writes a file that nobody can read earlier than with its final owner and mode, and flushes it to the disk."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def stage(changes: t.Sequence[Change]) -> None:
    """Writes all new contents beside their targets and runs the validators; on an error nothing of it stays."""
    try:
        for change in changes:
            if change.wanted is None:
                continue
            uid, gid = numeric_owner(change.wanted.owner, change.wanted.group)
            if uid is None or gid is None:
                missing = change.wanted.owner if uid is None else change.wanted.group
                raise FileSetError(f"{change.path}: there is no user or group {missing!r} on this host; is the package installed?")
            os.makedirs(os.path.dirname(change.path), mode=0o755, exist_ok=True)
            write(_staged_path(change.path), change.wanted.content, uid, gid, change.wanted.mode)
        for change in changes:
            if change.wanted is not None and change.content and change.wanted.validate:
                _validate(change.wanted, _staged_path(change.path))
    except OSError as error:
        discard(changes)
        raise FileSetError(f"cannot write {error.filename}: {error.strerror}; nothing was changed") from error
    except FileSetError:
        discard(changes)
        raise


def _validate(file: WantedFile, staged: str) -> None:
    command = [part.replace("%s", staged) for part in shlex.split(file.validate or "")]
    if file.image:
        command = file.image.command(command, staged)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileSetError(f"{file.path}: its validator {command[0]} could not run ({error}); nothing was changed") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no output")[-2000:]
        raise FileSetError(
            f"{file.path}: the new content is refused by '{file.validate}' (exit {done.returncode}); nothing was changed. It said: {said}"
        )


def discard(changes: t.Iterable[Change]) -> None:
    """Removes what stage() wrote."""
    for change in changes:
        try:
            os.unlink(_staged_path(change.path))
        except (FileNotFoundError, NotADirectoryError):
            pass


def swap(changes: t.Iterable[Change]) -> None:
    """Renames the staged files over their targets and removes obsolete ones."""
    folders = set()
    for change in changes:
        if change.wanted is None:
            os.unlink(change.path)
        else:
            os.replace(_staged_path(change.path), change.path)
        folders.add(os.path.dirname(change.path))
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
