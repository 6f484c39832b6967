# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listeners, made, changed, started and stopped."""

from __future__ import annotations

from ..client import Client, EmqxError, path_of
from ..difference import Difference, mask, prune
from .common import Json, Outcome, prepare

_LISTENER_READ_ONLY = ("id", "name", "type", "running", "current_connections", "node_status", "status", "number")


def listener(
    client: Client,
    wanted: dict[str, Json],
    *,
    kind: str,
    name: str,
    state: str = "present",
    check: bool = False,
) -> Outcome:
    """One listener. state: present, started, stopped, restarted (always a change), absent."""
    wanted = prune(wanted)
    listener_id = f"{kind}:{name}"
    path = path_of("listeners", listener_id)
    prepare(client, wanted)
    current = client.find(path)
    if current is not None and not isinstance(current, dict):
        raise client.unexpected(path, "a listener")
    have = None if current is None else {key: current[key] for key in current if key not in _LISTENER_READ_ONLY}
    if state == "absent":
        difference = Difference(None, have)
    else:
        if have is None and "bind" not in wanted:
            raise EmqxError(f"listener {listener_id} does not exist, and bind is not given", "Give bind to create it")
        difference = Difference(wanted, have, merges=True)
    outcome = Outcome(result={"id": listener_id})
    outcome.add(difference, f"listener {listener_id}")
    if difference.changed and not check:
        if state == "absent":
            client.delete(path)
        elif have is None:
            client.post("/listeners", {**difference.body(), "type": kind, "name": name})
        else:
            client.put(path, {**difference.body(), "type": kind, "id": listener_id})
    after = difference.after()
    if state == "absent":
        outcome.result["listener"] = None
        return outcome
    running = bool((after or {}).get("enable", True)) if current is None or difference.changed else _running(current)
    if state in ("started", "stopped", "restarted"):
        want_running = state != "stopped"
        if state == "restarted" or running != want_running:
            outcome.note("running", f"listener {listener_id}", {"running": running}, {"running": want_running})
            if not check:
                operation = {"started": "start", "stopped": "stop", "restarted": "restart"}[state]
                client.post(f"{path}/{operation}", empty=True)
                # EMQX answers with nothing, as a proxy may too.
                if _running(client.get(path)) is not want_running:
                    raise EmqxError(
                        f"POST {path}/{operation} was answered, and the listener is {'not ' if want_running else ''}running",
                        "Check what answers at url, whether the port is free, and EMQX's log",
                    )
        running = want_running
    outcome.result["listener"] = {**mask(after or {}), "running": running}
    return outcome


def _running(current: dict[str, Json]) -> bool:
    return current.get("running") not in (False, "false")
