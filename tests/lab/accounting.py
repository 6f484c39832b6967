# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab's host uses, as this machine's kernel counts it: bytes written, resident memory, processes that it had to kill.

Needs nothing else of the lab: the benchmarks and the scenarios use it too.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


class UnknownError(Exception):
    """What this machine does not say."""


@dataclass(frozen=True)
class Process:
    pid: int
    name: str
    written: int  # bytes, with those of its children that ended
    resident: int  # bytes, where pages that several processes share count once


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise UnknownError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def main_process(container: str) -> int:
    pid = int(_docker("container", "inspect", "--format", "{{.State.Pid}}", container))
    if not pid:
        raise UnknownError(f"{container} does not run")
    return pid


def memory_group(container: str) -> Path:
    """The host's own control group for memory; with cgroup 1 there is one for each controller."""
    version2 = None
    for line in Path(f"/proc/{main_process(container)}/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        # What systemd inside has made for itself lies below the one that the engine made.
        own = Path(re.sub(r"/init\.scope$", "", path).lstrip("/"))
        if "memory" in names.split(","):
            return CGROUPS / "memory" / own
        if number == "0":
            version2 = CGROUPS / own
    if version2 is None or not (version2 / "cgroup.controllers").is_file():
        raise UnknownError(f"no control group for the memory of {container} is found on this machine")
    return version2


def processes(container: str) -> list[Process]:
    """Those that run now. What one has dirtied counts as written, whether or not the kernel has it on the device yet."""
    found = []
    for line in _docker("container", "top", container, "-eo", "pid,comm").splitlines()[1:]:
        pid, name = line.split(maxsplit=1)
        try:
            counters = dict(re.findall(r"^(\w+): (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE))
            memory = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        written = int(counters["write_bytes"]) - int(counters["cancelled_write_bytes"])
        found.append(Process(int(pid), name, written, int(memory[1]) * 1024 if memory else 0))
    return found


def device_writes(container: str) -> int:
    """Bytes that went to the host's own disk (`:disk`), with the file system's journal and metadata; what waits is written first."""
    mounts = json.loads(_docker("container", "inspect", "--format", "{{json .Mounts}}", container))
    name = next((one["Name"] for one in mounts if one["Destination"] == "/var" and one["Type"] == "volume"), None)
    if name is None:
        raise UnknownError(f"{container} has no disk of its own")
    device = Path(json.loads(_docker("volume", "inspect", "--format", "{{json .Options}}", name))["device"])
    _docker("container", "exec", container, "sync", "--file-system", "/var")
    # In sectors of 512 bytes whatever the device's own are: Documentation/block/stat.rst of the kernel.
    return int(Path("/sys/block", device.name, "stat").read_text().split()[6]) * 512


def memory_peak(container: str) -> int:
    """Bytes, the most at a time since the host was started, with the page cache."""
    place = memory_group(container)
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        if (place / name).is_file():
            return int((place / name).read_text())
    raise UnknownError(f"this kernel does not say what {container} had in memory at most")


def killed_for_memory(container: str) -> int:
    """Processes that the kernel ended because the host's memory was full."""
    total = 0
    place = memory_group(container)
    for name in ("memory.events", "memory.oom_control"):
        # With cgroup 2 the top counts what lies below it; with cgroup 1 each group counts its own.
        paths = [place / name] if name == "memory.events" else place.rglob(name)
        for path in paths:
            if path.is_file():
                match = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
                total += int(match[1]) if match else 0
    return total
