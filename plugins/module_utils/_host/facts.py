# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight and the component engine must know of a host, read in one round trip and without changing anything."""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import subprocess
import typing as t


def packages(run: t.Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> dict[str, str]:
    """Installed Debian packages (state ii) and their versions."""
    done = run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${Version}\n"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found = {}
    for line in done.stdout.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[0].startswith("ii"):
            found[fields[1]] = fields[2]
    return found


def architecture(run: t.Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> str:
    """The userland's architecture in Debian's words; the kernel's says aarch64 also under a 32-bit Raspberry Pi OS."""
    return run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False).stdout.strip()


def os_release(path: str = "/etc/os-release") -> dict[str, str]:
    """Keys and values of os-release(5)."""
    out = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, equals, value = line.strip().partition("=")
            if equals:
                out[key] = value.strip("\"'")
    return out


def memory_mb(path: str = "/proc/meminfo", limit_path: str = "/sys/fs/cgroup/memory.max") -> int:
    """Memory in MiB that this host may use: the smaller of the machine's and its cgroup's limit."""
    with open(path, encoding="utf-8") as file:
        match = re.search(r"^MemTotal:\s+(\d+) kB", file.read(), re.MULTILINE)
    total = int(match.group(1)) // 1024 if match else 0
    try:
        with open(limit_path, encoding="utf-8") as file:
            text = file.read().strip()
    except OSError:
        return total
    return min(total, int(text) // 1048576) if text.isdigit() else total


def free_disk_mb(path: str = "/var/lib") -> int:
    """Free space in MiB for everyone where the components keep their data."""
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize // 1048576


def disk_mb(path: str = "/var/lib") -> int:
    """Size in MiB of the file system where the components keep their data: unlike what is free, it stays the same."""
    info = os.statvfs(path)
    return info.f_blocks * info.f_frsize // 1048576


_PROCESS = re.compile(r'users:\(\("(?P<name>[^"]+)"')
_UID = re.compile(r"\buid:(?P<uid>\d+)")


def listeners(run: t.Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> list[dict[str, t.Any]]:
    """TCP sockets that are listened on: address, port, process and user.

    The process is an empty text where the kernel hides it (in a container without CAP_SYS_PTRACE); the user is always known.
    """
    if shutil.which("ss") is None:
        return []
    done = run(["ss", "-Hltnpe"], capture_output=True, text=True, errors="replace", check=False)
    found = []
    for line in done.stdout.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 4:
            continue
        address, _colon, port = fields[3].rpartition(":")
        process, uid = _PROCESS.search(line), _UID.search(line)
        found.append(
            {
                "address": address.strip("[]").partition("%")[0],
                "port": int(port),
                "process": process.group("name") if process else "",
                # ss leaves the uid out for root.
                "user": _user(int(uid.group("uid")) if uid else 0),
                "uid": int(uid.group("uid")) if uid else 0,
            }
        )
    return found


def users() -> list[str]:
    """Names of the host's users."""
    return sorted(entry.pw_name for entry in pwd.getpwall())


def units(directory: str = "/etc/systemd/system") -> list[str]:
    """Units of the collection's own."""
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(directory, "edgestack-*")))


def whole(directory: str = "/opt/edgestack") -> list[str]:
    """Directories below the collection's own that were filled to the end, as a file .complete in them says."""
    return sorted(os.path.dirname(path) for path in glob.glob(os.path.join(directory, "*", "*", ".complete")))


_PUBLISHED = re.compile(r'published: "(\d+)"')


def projects(directory: str = "/opt/edgestack") -> dict[str, list[int]]:
    """Components that are containers on this host, those with a Compose project, and the TCP ports that each publishes."""
    found = {}
    for path in sorted(glob.glob(os.path.join(directory, "*", "compose.yaml"))):
        with open(path, encoding="utf-8", errors="replace") as file:
            found[os.path.basename(os.path.dirname(path))] = [int(port) for port in _PUBLISHED.findall(file.read())]
    return found


# A file that the one server makes beside its databases, and the other never.
_DATABASES = {"mariadb": "aria_log_control", "mysql": "mysql.ibd"}


def database(directory: str = "/var/lib/edgestack/data/mysql/data") -> str:
    """Which server made the data of the database's container: a key of _DATABASES, or empty."""
    return next((server for server, name in _DATABASES.items() if os.path.exists(os.path.join(directory, name))), "")


def engine(run: t.Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> dict[str, t.Any]:
    """The Docker engine: whether its client is here, version of the engine that answers, version of Compose, and the images by name.

    An image is named as repository:tag, and as repository@digest where it came from a registry. Empty texts: does not answer, is missing.
    """
    found: dict[str, t.Any] = {"client": shutil.which("docker") is not None, "version": "", "compose": "", "images": []}
    if not found["client"]:
        return found

    def ask(*words: str) -> str:
        try:
            done = run(["docker", *words], capture_output=True, text=True, errors="replace", check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    found["version"] = ask("version", "--format", "{{.Server.Version}}")
    found["compose"] = ask("compose", "version", "--short").removeprefix("v")
    if found["version"]:
        names = ask("image", "ls", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}").split()
        found["images"] = sorted({name for name in names if "<none>" not in name})
    return found


def memory_cgroup(cgroup2: str = "/sys/fs/cgroup/cgroup.controllers", cgroup1: str = "/proc/cgroups") -> bool:
    """Whether the kernel can limit memory; a Raspberry Pi's default command line has that switched off."""
    try:
        with open(cgroup2, encoding="utf-8") as file:
            return "memory" in file.read().split()
    except OSError:
        pass
    try:
        with open(cgroup1, encoding="utf-8") as file:
            return any(line.split()[0] == "memory" and line.split()[-1] == "1" for line in file if line.strip())
    except OSError:
        return False


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
