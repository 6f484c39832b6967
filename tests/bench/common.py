# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmarks share: rows, measured runs, the machine."""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
SCRATCH = BUILD / "bench"


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure. peer: what others take for the same. limit: what is promised, at most for what costs and at least for rates."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    limit: float | None = None
    limit_name: str = ""
    note: str = ""

    @property
    def kept(self) -> bool:
        if self.limit is None:
            return True
        return self.ours >= self.limit if self.unit.endswith("/s") else self.ours <= self.limit

    @classmethod
    def parse(cls, data: dict[str, object]) -> Row:
        return cls(**{field.name: data[field.name] for field in dataclasses.fields(cls)})  # type: ignore[arg-type]


class BenchError(Exception):
    """Why a part cannot be measured here, and what is missing."""


@dataclasses.dataclass(frozen=True)
class Run:
    seconds: float
    megabytes: float
    output: str


def run(*words: str | os.PathLike[str], cwd: pathlib.Path | None = None, **environment: str) -> Run:
    """Runs a program and says how long it took, and what it and all that it started had in memory at most at a time."""
    began = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in words], cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        peak, ended = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        output = process.communicate()[0]
        seconds = time.perf_counter() - began
        ended.set()
        watcher.join()
    if process.returncode:
        raise BenchError(f"{words[0]} failed:\n{output[-3000:]}")
    return Run(seconds, peak[0] / 1024, output)


def _watch(root: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.1):
        peak[0] = max(peak[0], sum(proportional(pid) for pid in tree(root)))


def tree(root: int) -> list[int]:
    """A process and all that come from it."""
    found = [root]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                found += [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found


def proportional(pid: int) -> int:
    """KiB, where pages that several processes share count once."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def playbook(text: str, directory: pathlib.Path, **environment: str) -> Run:
    """Runs a play on this machine, as a user would, with nothing but the collection."""
    (directory / "play.yml").write_text(text)
    (directory / "hosts.yml").write_text(
        f"all: {{hosts: {{here: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}}}}}\n"
    )
    return run(
        pathlib.Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "play.yml", cwd=directory,
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(BUILD / "collections"), **environment,
    )  # fmt: skip


def site(lab: str, *arguments: str | os.PathLike[str], **environment: str) -> Run:
    """site.yml on the hosts of a lab."""
    return run(
        pathlib.Path(sys.executable).with_name("ansible-playbook"), *arguments, ROOT / "site.yml", cwd=ROOT, EDGESTACK_LAB=lab,
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(BUILD / "collections"), ANSIBLE_HOME=str(BUILD / "ansible"),
        **environment,
    )  # fmt: skip


def inside(container: str, *words: str, text: str = "") -> str:
    """What a command prints in a host of the lab; text is its standard input."""
    done = subprocess.run(["docker", "exec", "-i", container, *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{container}: {' '.join(words)}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return done.stdout


def table(rows: collections.abc.Sequence[Row]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"

    cells = [("", "what", "unit", "ours", "peer", "limit")]
    for row in rows:
        peer, limit = f"{number(row.peer)} {row.peer_name}", f"{number(row.limit)} {row.limit_name}"
        cells.append(("ok" if row.kept else "MISSED", row.name, row.unit, number(row.ours), peer.strip(), limit.strip()))
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    notes = [f"  {row.name}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, *(["", *notes] if notes else [])])
