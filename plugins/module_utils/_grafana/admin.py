# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of Grafana's administrator: asked with one sign-in, set through its command line client.

Grafana takes the password of its configuration at the first start only. Five wrong sign-ins within five minutes lock the user for
five minutes, the right password too, and the answer is the same 401: only Grafana's log tells a locked user from a wrong password.
"""

from __future__ import annotations

import base64
import dataclasses
import http.client
import ssl
import subprocess
import time
import typing as t
import urllib.parse

# What Grafana's log says of a sign-in that it did not even try: the error's identifier since 9.5, and its text.
BLOCKED = ("login-attempt.blocked", "too many consecutive incorrect login attempts")
# Any word of a refused sign-in: that the log has the line of ours.
REFUSED = ("Failed to authenticate request", "status=401", *BLOCKED)

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]


class AdminError(Exception):
    """What was asked, what came back and what to do."""


@dataclasses.dataclass(frozen=True)
class Server:
    """Where Grafana answers and how its files are called; user is the system's, login the one in Grafana."""

    url: str
    login: str = "admin"
    ca_file: str | None = None
    homepath: str = "/usr/share/grafana"
    config: str = "/etc/grafana/grafana.ini"
    program: str = "/usr/sbin/grafana"
    user: str = "grafana"
    unit: str = "grafana-server.service"
    timeout: float = 20.0
    container: str | None = None
    """Name of the container that Grafana runs in; its client then runs there too, and its journal is that of the container."""


def sign_in(server: Server, password: str) -> int:
    """The status of GET /api/org with name and password; nothing of it is ever repeated, since each try counts."""
    parts = urllib.parse.urlsplit(server.url)
    token = base64.b64encode(f"{server.login}:{password}".encode()).decode()
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=server.ca_file)
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 443, timeout=server.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=server.timeout)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/api/org", headers={"Authorization": f"Basic {token}"})
            answer = connection.getresponse()
            answer.read(65536)
            return answer.status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise AdminError(f"GET {server.url}/api/org: {error or type(error).__name__}. Is {server.unit} running?") from error


def locked(server: Server, since: float, run: Run = subprocess.run, sleep: t.Callable[[float], None] = time.sleep) -> bool:
    """Whether the log says that the user is locked; False as well when the log says nothing of it."""
    which = f"CONTAINER_NAME={server.container}" if server.container else f"--unit={server.unit}"
    for attempt in range(5):
        if attempt:
            sleep(0.3)  # the journal is written a moment after the answer
        done = run(
            ["journalctl", which, f"--since=@{int(since)}", "--output=cat", "--no-pager"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if any(text in done.stdout for text in BLOCKED):
            return True
        if any(text in done.stdout for text in REFUSED):
            return False
    return False


def reset(server: Server, password: str, run: Run = subprocess.run) -> None:
    """Sets the password of user 1, the first administrator, which goes to the client through a pipe."""
    words = [server.program, "cli", "--homepath", server.homepath, "--config", server.config, "admin", "reset-admin-password"]
    # As Grafana's own user, so that no file of its database comes to belong to root. In a container there is no other.
    inside = ["docker", "exec", "--interactive", server.container] if server.container else ["runuser", "-u", server.user, "--"]
    done = run(
        [*inside, *words, "--password-from-stdin"],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").replace(password, "********")[-500:]
        raise AdminError(f"grafana cli admin reset-admin-password ended with {done.returncode} and said: {said}")


def ensure(
    server: Server,
    password: str,
    check: bool,
    ask: t.Callable[[Server, str], int] = sign_in,
    is_locked: t.Callable[[Server, float], bool] = locked,
    set_password: t.Callable[[Server, str], None] = reset,
    clock: t.Callable[[], float] = time.time,
) -> bool:
    """True when the password was (check: would be) set. One sign-in when it is right already, a second one only after setting it."""
    since = clock()
    status = ask(server, password)
    if status == 200:
        return False
    if status != 401:
        raise AdminError(f"GET {server.url}/api/org with the name {server.login!r} answered {status}, expected 200 or 401")
    if is_locked(server, since):
        raise AdminError(
            f"Grafana has locked {server.login!r} after five wrong passwords, for five minutes after the last one. Whether the password "
            "is the wanted one cannot be told before; nothing was changed. Find who tries passwords, wait and run again."
        )
    if check:
        return True
    set_password(server, password)
    status = ask(server, password)
    if status != 200:
        raise AdminError(
            f"the password of {server.login!r} was set, but Grafana answers {status}. Either {server.login!r} is locked after wrong "
            f"passwords (wait five minutes and run again), or it is not the user with the number 1, or {server.config} names another "
            "database than the one the service uses"
        )
    return True
