# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Docker engine that answers: the one that is there, or Debian's, started here when nothing else starts it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from common import STATE, LabError, is_debian_like, is_root, need, output, say, step

RECORD = STATE / "dockerd.json"
LOG = STATE / "dockerd.log"


def docker(*arguments: str | Path, check: bool = True, timeout: float = 120) -> str:
    return output(["docker", *arguments], check=check, timeout=timeout)


def answers() -> bool:
    return bool(docker("version", "--format", "{{.Server.Version}}", check=False, timeout=20))


def ensure() -> str:
    """Make sure that an engine answers, and return its version."""
    if shutil.which("docker") is None or not answers():
        _provide()
    return docker("version", "--format", "{{.Server.Version}}")


def _provide() -> None:
    endpoint = os.environ.get("DOCKER_HOST", "")
    if endpoint:
        raise LabError(f"DOCKER_HOST is {endpoint}, but no Docker engine answers there")
    if not is_root():
        raise LabError(
            "no Docker engine answers. Install one and let this user use it:\n"
            "    sudo apt-get install docker.io && sudo usermod -aG docker $USER   (then log in again)"
        )
    if not is_debian_like():
        raise LabError("no Docker engine answers; install and start Docker Engine, then run this again")
    packages = {"dockerd": "docker.io", "iptables": "iptables"}
    # From trixie on the client is a package of its own; before, docker.io has both.
    split = bool(output(["apt-cache", "show", "docker-cli"], check=False))
    packages["docker"] = "docker-cli" if split else "docker.io"
    need(packages, "the lab")
    if Path("/run/systemd/system").is_dir():
        with step("starting docker.service"):
            output(["systemctl", "enable", "--now", "docker.service"], timeout=120)
            _wait(None)
    elif not answers():
        _start_in_background()


def _start_in_background() -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        raise LabError("dockerd is not on PATH although docker.io is installed")
    with step("starting dockerd in the background (no service manager runs here)"), LOG.open("ab") as stream:
        process = subprocess.Popen([dockerd], stdin=subprocess.DEVNULL, stdout=stream,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        RECORD.write_text(json.dumps({"pid": process.pid, "started": _start_time(process.pid)}))
        _wait(process)


def _wait(process: subprocess.Popen[bytes] | None, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers():
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.5)
    tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-15:]) if LOG.is_file() else ""
    raise LabError(f"the Docker engine did not come up; its log: {LOG}\n{tail}")


def _start_time(pid: int) -> str:
    """The kernel's start time of a process: with the id it names one process, also after ids were reused."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def stop_ours() -> None:
    """Stop the dockerd that the lab started; one that somebody else started is left alone."""
    if not RECORD.is_file():
        return
    record = json.loads(RECORD.read_text())
    pid = int(record["pid"])
    if record["started"] and _start_time(pid) == record["started"]:
        with step(f"stopping the dockerd that the lab started (process {pid})"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 60
            while _start_time(pid) == record["started"] and time.monotonic() < end:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.2)
            if _start_time(pid) == record["started"]:
                raise LabError(f"dockerd (process {pid}) did not stop within 60 s")
    else:
        say("the dockerd that the lab started is gone already")
    RECORD.unlink()
