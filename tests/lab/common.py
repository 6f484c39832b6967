# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the lab needs: places, progress on the screen, commands with a log, reuse by digest."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

LAB = Path(__file__).resolve().parent
ROOT = LAB.parents[1]
BUILD = ROOT / "build"
STATE = BUILD / "lab"
LOGS = STATE / "log"
ARTEFACTS = STATE / "artefacts"
BUNDLE = BUILD / "bundle"

_screen = threading.Lock()
_started = time.monotonic()


class LabError(Exception):
    """Something that the reader can act on; printed without a traceback."""


def say(text: str) -> None:
    """One line of progress, with the seconds since the start."""
    with _screen:
        print(f"[lab {time.monotonic() - _started:6.1f}s] {text}", flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a long step, and say how long it took or that it failed."""
    say(f"{title} ...")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{title}: FAILED after {time.monotonic() - began:.1f} s")
        raise
    say(f"{title}: {time.monotonic() - began:.1f} s")


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a command whose output goes to build/lab/log/<log>.log; on failure its last lines are shown."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    words = [str(word) for word in command]
    with path.open("ab") as stream:
        stream.write(f"\n$ {' '.join(words)}\n".encode())
        stream.flush()
        try:
            done = subprocess.run(
                words, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=stream, stderr=subprocess.STDOUT, timeout=timeout, check=False,
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"{words[0]} did not end within {timeout:.0f} s; its output: {path}") from None
        except FileNotFoundError:
            raise LabError(f"{words[0]} is not installed") from None
    if done.returncode != 0:
        tail = "\n".join("    " + line for line in path.read_text(errors="replace").splitlines()[-25:])
        raise LabError(f"{words[0]} ended with status {done.returncode}; the whole output: {path}\n{tail}")


def output(command: Sequence[str | Path], *, check: bool = True, timeout: float | None = 60,
           env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a short command prints; an empty string when it fails and that is allowed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd,
                              env={**os.environ, **(env or {})}, timeout=timeout, check=False)
    except FileNotFoundError:
        if check:
            raise LabError(f"{words[0]} is not installed") from None
        return ""
    except subprocess.TimeoutExpired:
        if check:
            raise LabError(f"{' '.join(words[:3])} did not answer within {timeout:.0f} s") from None
        return ""
    if done.returncode != 0:
        if check:
            raise LabError(f"{' '.join(words)}: status {done.returncode}: {done.stderr.strip()}")
        return ""
    return done.stdout.strip()


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(*parts: object) -> str:
    """A digest of names, numbers and files' contents (a directory counts with all its files)."""
    result = hashlib.sha256()

    def add(data: bytes) -> None:
        result.update(len(data).to_bytes(8, "big") + data)

    for part in parts:
        if isinstance(part, Path):
            files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
            for file in files:
                if "__pycache__" in file.parts:
                    continue
                add(str(file.relative_to(part.parent)).encode())
                add(file.read_bytes())
        else:
            add(json.dumps(part, sort_keys=True).encode())
    return result.hexdigest()


def is_made(name: str, digest: str) -> bool:
    marker = ARTEFACTS / name / ".digest"
    return marker.is_file() and marker.read_text() == digest


def artefact(name: str, digest: str, make: Callable[[Path], None]) -> Path:
    """The directory with what `make` wrote for these inputs; made when it is not there yet.

    It is made beside its place and renamed, so a build that was killed leaves nothing that looks done.
    """
    place = ARTEFACTS / name
    if is_made(name, digest):
        say(f"{name}: reused")
        return place
    unfinished = ARTEFACTS / f".{name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with step(name):
        make(unfinished)
    (unfinished / ".digest").write_text(digest)
    shutil.rmtree(place, ignore_errors=True)
    unfinished.rename(place)
    return place


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One lab command at a time works on build/lab; a second one waits and says so."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lab.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another lab command is at work here: waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_root() -> bool:
    return os.geteuid() == 0


def is_debian_like() -> bool:
    return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


_apt_lock = threading.Lock()
_apt_updated = False


def install(packages: Sequence[str], why: str) -> None:
    """Packages of Debian, when this is root on Debian; otherwise the message says what to install."""
    global _apt_updated  # noqa: PLW0603
    if not (is_root() and is_debian_like()):
        raise LabError(f"{why}: as root on Debian\n    apt-get install --no-install-recommends {' '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with _apt_lock, step(f"installing {', '.join(packages)} from Debian ({why})"):
        if not _apt_updated:
            run(["apt-get", "update"], log="apt", env=quiet)
            _apt_updated = True
        run(["apt-get", "install", "-y", "--no-install-recommends", *packages], log="apt", env=quiet)


def need(programs: Mapping[str, str], why: str) -> None:
    """Programs that must be on PATH, with Debian's package for each; root on Debian gets them installed."""
    missing = {program: package for program, package in programs.items() if shutil.which(program) is None}
    if missing:
        install(sorted(set(missing.values())), f"{why} needs {', '.join(sorted(missing))}")
        still = [program for program in missing if shutil.which(program) is None]
        if still:
            raise LabError(f"{', '.join(missing.values())} installed, but {', '.join(still)} is still not on PATH")


def write_if_changed(path: Path, text: str, mode: int = 0o644) -> None:
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, mode)
        stream.write(text)
    temporary.replace(path)


def fail(text: str) -> int:
    print(f"lab: {text}", file=sys.stderr)
    return 1
