# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides which parts of a gateway's preparation a host can have. Reads only; root is the file system's."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import typing as t

from . import boot

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip("\0\n ")
    except OSError:
        return ""


def _said(run: Run, *words: str) -> str:
    try:
        return run(list(words), capture_output=True, text=True, errors="replace", check=False, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def ssh_ports(run: Run = subprocess.run) -> list[int]:
    """The ports that the SSH server is configured for; empty without one."""
    return sorted({int(port) for port in re.findall(r"^port (\d+)$", _said(run, "sshd", "-T"), re.MULTILINE)})


def mounts(path: str = "/proc/mounts") -> dict[str, tuple[str, str]]:
    """Device and type by mount point."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[1]: (row[0], row[2]) for row in rows if len(row) >= 3}


def look(root: str = "/", run: Run = subprocess.run) -> dict[str, t.Any]:
    """Everything at once."""

    def at(*parts: str) -> str:
        return os.path.join(root, *parts)

    mounted = mounts(at("proc/mounts"))
    swaps = [line.split()[0] for line in _text(at("proc/swaps")).splitlines()[1:]]
    done = run(["systemd-detect-virt", "--container"], capture_output=True, text=True, check=False)
    return {
        "model": _text(at("proc/device-tree/model")),
        # A container has no kernel of its own: no boot files, no kernel settings, no watchdog, no clock.
        "container": done.stdout.strip() if done.returncode == 0 else "",
        "boot_directory": boot.directory(at(*place.strip("/").split("/")) for place in boot.DIRECTORIES),
        "watchdog": bool(glob.glob(at("dev/watchdog*"))),
        "leds": sorted(os.path.basename(path) for path in glob.glob(at("sys/class/leds/*"))),
        "rtc": bool(glob.glob(at("sys/class/rtc/rtc*"))),
        "kernel_settings": os.access(at("proc/sys/vm/dirty_expire_centisecs"), os.W_OK) and os.access(at("proc/sys/vm"), os.R_OK),
        "root_type": mounted.get("/", ("", ""))[1],
        "tmp_in_memory": mounted.get("/tmp", ("", ""))[1] == "tmpfs",  # noqa: S108
        "swaps": swaps,
        "udev": os.path.exists(at("run/udev/control")),
        "ssh_ports": ssh_ports(run),
        "ssh_includes": bool(re.search(r"^\s*Include\s+/etc/ssh/sshd_config\.d/\*\.conf", _text(at("etc/ssh/sshd_config")), re.MULTILINE)),
        # Units that this collection wrote in places where others write as well.
        "ours": sorted(
            "/" + os.path.relpath(path, root)
            for name in ("edgestack-*", "tmp.mount")
            for path in glob.glob(at("etc/systemd/system", name))
            if _text(path).startswith("# Managed by edgestack.iot")
        ),
        "groups": sorted(line.partition(":")[0] for line in _text(at("etc/group")).splitlines() if ":" in line),
    }
