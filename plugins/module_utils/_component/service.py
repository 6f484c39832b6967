# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of a component: a systemd unit or a Compose project, and whether it answers."""

from __future__ import annotations

import dataclasses
import http.client
import os
import socket
import ssl
import subprocess
import time
import typing as t
import urllib.parse


@dataclasses.dataclass(frozen=True)
class Health:
    """How to ask whether a component is healthy. Exactly one of url, port, command is used; timeout in seconds."""

    url: str | None = None
    ca_file: str | None = None
    status: tuple[int, ...] = (200,)
    host: str = "127.0.0.1"
    port: int | None = None
    command: tuple[str, ...] = ()
    timeout: float = 60


def ask(health: Health, patience: float = 5) -> str | None:
    """Asks once. None: healthy; else what was asked and what came back."""
    if health.url:
        return _ask_http(health.url, health, patience)
    if health.port:
        try:
            with socket.create_connection((health.host, health.port), timeout=patience):
                return None
        except OSError as error:
            return f"{health.host}:{health.port} does not accept connections ({error})"
    if health.command:
        try:
            done = subprocess.run(health.command, capture_output=True, text=True, errors="replace", timeout=patience, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{health.command[0]} could not be run ({error})"
        return None if done.returncode == 0 else f"'{' '.join(health.command)}' ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    return None


def _ask_http(url: str, health: Health, patience: float) -> str | None:
    parts = urllib.parse.urlsplit(url)
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            # Without a CA file the host's own trust store decides; never unverified.
            context = ssl.create_default_context(cafile=health.ca_file)
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 443, timeout=patience, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=patience)
        try:
            connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""))
            answer = connection.getresponse()
            answer.read(65536)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"GET {url}: {error or type(error).__name__}"
    return None if answer.status in health.status else f"GET {url} answered {answer.status} {answer.reason}"


Run = t.Callable[..., "subprocess.CompletedProcess[str]"]


class Service(t.Protocol):
    """What the engine asks of a service, whatever runs it. The words of state() are systemd's."""

    unit: str

    def state(self) -> dict[str, str]: ...

    def reload_units(self) -> None: ...

    def enable(self) -> None: ...

    def restart(self) -> str | None: ...

    def journal(self, lines: int = 60) -> str: ...


class Systemd:
    """One unit. Every call runs systemctl; errors carry what systemctl said."""

    def __init__(self, unit: str, run: Run = subprocess.run) -> None:
        self.unit = unit
        self._run = run

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run(["systemctl", *words], capture_output=True, text=True, errors="replace", check=False)

    def state(self) -> dict[str, str]:
        """LoadState, ActiveState, SubState, UnitFileState, NeedDaemonReload, NRestarts as systemd names them."""
        done = self._call("show", self.unit, "--property=LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,NRestarts")
        pairs = (line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        return {pair[0]: pair[1] for pair in pairs}

    def reload_units(self) -> None:
        self._call("daemon-reload")

    def enable(self) -> None:
        done = self._call("enable", self.unit)
        if done.returncode != 0:
            raise ServiceError(f"systemctl enable {self.unit}: {done.stderr.strip()}")

    def restart(self) -> str | None:
        """Restarts; None when systemd is content, else what it said (the journal says why)."""
        self._call("reset-failed", self.unit)
        done = self._call("restart", self.unit)
        return None if done.returncode == 0 else (done.stderr.strip() or f"systemctl restart {self.unit} ended with {done.returncode}")

    def journal(self, lines: int = 60) -> str:
        return _journal(self._run, ["--unit", self.unit], lines)


def container_name(component: str) -> str:
    """Of a component's only container, and of its Compose project."""
    return f"edgestack-{component}"


class Compose:
    """One Compose project with one container. Every call runs docker; errors carry what it said.

    The container is made anew at every restart, so that it reads every file as it is now. That it comes back after a reboot is its own
    restart policy, so there is nothing to enable.
    """

    # How long docker may take for an answer, and for a container to stop and another to be made, in seconds.
    ANSWER = 30
    RECREATE = 600

    def __init__(self, component: str, directory: str, run: Run = subprocess.run) -> None:
        self.container = container_name(component)
        self.unit = f"container {self.container}"
        self.directory = directory
        self.file = os.path.join(directory, "compose.yaml")
        self._run = run

    def _call(self, timeout: float, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return self._run(["docker", *words], capture_output=True, text=True, errors="replace", check=False, timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(["docker", *words], 125, "", f"docker {words[0]}: {error}")

    # What systemd would call the states of a container.
    _ACTIVE = {"running": "active", "restarting": "activating", "created": "activating", "exited": "inactive", "dead": "failed"}

    def state(self) -> dict[str, str]:
        """LoadState, ActiveState, SubState and UnitFileState in systemd's words, so that the engine needs no others."""
        done = self._call(self.ANSWER, "container", "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", self.container)
        status, _space, code = done.stdout.strip().partition(" ")
        if done.returncode != 0 or not status:
            loaded = "loaded" if os.path.exists(self.file) else "not-found"
            return {"LoadState": loaded, "ActiveState": "inactive", "SubState": "no container", "UnitFileState": "static"}
        # "restarting" is a container between two attempts: not started yet, perhaps never.
        sub = status if status == "running" else f"{status}, last exit code {code}"
        return {"LoadState": "loaded", "ActiveState": self._ACTIVE.get(status, status), "SubState": sub, "UnitFileState": "static"}

    def reload_units(self) -> None:
        """The project's file is read at every restart."""

    def enable(self) -> None:
        """The container's restart policy is in the project's file."""

    def restart(self) -> str | None:
        """Makes the container anew; None when docker is content, else what it said."""
        done = self._call(
            self.RECREATE,
            *("compose", "--project-directory", self.directory, "--file", self.file),
            *("up", "--detach", "--force-recreate", "--remove-orphans", "--no-build"),
        )
        return None if done.returncode == 0 else (done.stderr.strip()[-1000:] or f"docker compose up ended with {done.returncode}")

    def journal(self, lines: int = 60) -> str:
        return _journal(self._run, [f"CONTAINER_NAME={self.container}"], lines)


def _journal(run: Run, which: t.Sequence[str], lines: int) -> str:
    done = run(
        ["journalctl", *which, "--lines", str(lines), "--no-pager", "--output", "short-iso"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout


class ServiceError(Exception):
    """What systemd refused."""


def wait_until_healthy(
    unit: Service,
    health: Health,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
    ask_once: t.Callable[[Health], str | None] = ask,
) -> str | None:
    """None as soon as the unit is active and answers; else, at the time limit or when the unit has failed, the reason."""
    end = clock() + health.timeout
    pause = 0.1
    while True:
        state = unit.state()
        active = state.get("ActiveState", "unknown")
        if active == "failed":
            return f"{unit.unit} has failed ({state.get('SubState')})"
        problem = ask_once(health) if active == "active" else f"{unit.unit} is {active} ({state.get('SubState')})"
        if problem is None:
            return None
        if clock() >= end:
            return f"not healthy after {health.timeout:g} s: {problem}"
        sleep(pause)
        pause = min(pause * 1.5, 1.0)
