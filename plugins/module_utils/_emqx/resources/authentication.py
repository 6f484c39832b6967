# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticators, their chain and the users of the built-in database."""

from __future__ import annotations

import time
import typing as t

from ..client import Client, path_of
from ..difference import Difference, mask, prune
from ..versions import has, need
from .common import Json, Outcome, moved, prepare, rows_of, wait_until_connected


def authenticator_id(mechanism: str, backend: str | None) -> str:
    return f"{mechanism}:{backend}" if backend else mechanism


def authenticator(
    client: Client,
    wanted: dict[str, Json],
    *,
    present: bool = True,
    position: str | None = None,
    resend_secrets: bool = False,
    wait_connected: float = 0,
    check: bool = False,
    sleep: t.Callable[[float], None] = time.sleep,
    clock: t.Callable[[], float] = time.monotonic,
) -> Outcome:
    """One authenticator of the global chain, and its place in it."""
    wanted = prune(wanted)
    name = authenticator_id(wanted["mechanism"], wanted.get("backend"))
    if wanted["mechanism"] == "cinfo":
        need(client.server(), "cinfo", "mechanism")
    path = path_of("authentication", name)
    prepare(client, wanted)
    chain = rows_of(client, client.get("/authentication"), "/authentication")
    current = next((row for row in chain if row.get("id") == name), None)
    difference = Difference(
        wanted if present else None, current,
        files_shown=has(client.server(), "secret_files_shown"), resend_secrets=resend_secrets, read_only=("id",),
    )  # fmt: skip
    outcome = Outcome(result={"id": name})
    outcome.add(difference, name)
    if difference.changed and not check:
        if not present:
            client.delete(path)
        elif current is None:
            client.post("/authentication", difference.body())
        else:
            client.put(path, difference.body())
    order = [str(row.get("id")) for row in chain if row.get("id") != name or present]
    if present and current is None:
        order.append(name)
    if present and position is not None:
        new = moved(order, name, position)
        if new != order:
            outcome.note("position", "authentication order", {"order": order}, {"order": new})
            if not check:
                client.put(f"{path}/position/{_position(position)}")
            order = new
    outcome.result["order"] = order
    after = difference.after()
    outcome.result["authenticator"] = mask(after) if after is not None else None
    remote = wanted.get("backend") not in (None, "built_in_database") and (after or {}).get("enable", True) is not False
    if present and wait_connected and remote and not check:
        outcome.result["status"] = wait_until_connected(client, path, wait_connected, sleep, clock)
    return outcome


def _position(position: str) -> str:
    return path_of(position)[1:]
