# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticators, their chain and the users of the built-in database."""

from __future__ import annotations

import time
import typing as t

from ..client import Client, EmqxError, path_of
from ..difference import Difference, mask, prune, secrets_in
from ..versions import has, need
from .common import Batch, Json, Outcome, by_name, moved, prepare, rows_of, wait_until_connected


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
        outcome.result["status"] = wait_until_connected(client, f"{path}/status", wait_connected, sleep, clock)
    return outcome


def _position(position: str) -> str:
    return path_of(position)[1:]


# --- users of the built-in database ---

# From so many entries on the whole list is fetched, a thousand at a time, instead of each one.
_FEW = 10


def users(
    client: Client,
    entries: t.Sequence[dict[str, Json]],
    *,
    authenticator_id: str = "password_based:built_in_database",
    present: bool = True,
    exclusive: bool = False,
    update_password: bool = False,
    check: bool = False,
) -> Outcome:
    """Many users at once. Passwords cannot be read, so an existing one is replaced only when that is asked for (a change each time).

    One request a user: EMQX's import of a file overwrites passwords, and before 5.8 takes hashes alone.
    """
    if exclusive and not present:
        raise EmqxError("exclusive goes with state: present only")
    wanted = by_name(map(prune, entries), lambda entry: entry["user_id"], "users")
    client.redact(secrets_in(list(wanted.values())))
    path = path_of("authentication", authenticator_id)
    batch = Batch(f"users of {authenticator_id}")
    warnings: list[str] = []
    there: dict[str, dict[str, Json]] = {}
    if client.find(path) is None:
        if not check:
            raise EmqxError(f"there is no authenticator {authenticator_id}", "Make it first (emqx_authentication)")
        warnings.append(f"There is no authenticator {authenticator_id} yet; a run without one fails")
    elif exclusive or len(wanted) > _FEW:
        there = {str(row.get("user_id")): row for row in client.pages(f"{path}/users")}
    else:
        found = {name: client.find(f"{path}/users{path_of(name)}") for name in wanted}
        there = {name: row for name, row in found.items() if row is not None}
    for name, entry in wanted.items() if present else ():
        have = there.get(name)
        superuser = entry.get("is_superuser")
        differs = have is not None and superuser is not None and bool(have.get("is_superuser")) is not superuser
        if have is not None and not differs and not (update_password and "password" in entry):
            continue
        if "password" not in entry:
            raise EmqxError(
                f"users: {name!r} needs a password",
                "EMQX takes no user without one" if have is None else "EMQX changes is_superuser together with the password only",
            )
        if have is None:
            batch.add(name, entry)
            batch.step(client.post, f"{path}/users", entry)
        else:
            body = {"password": entry["password"], "is_superuser": bool(have.get("is_superuser")) if superuser is None else superuser}
            batch.change(name, {"is_superuser": have.get("is_superuser"), "password": "previous"}, {**body, "password": "new"})
            batch.step(client.put, f"{path}/users{path_of(name)}", body)
    for name in there if exclusive else [] if present else wanted:
        if name in there and not (present and name in wanted):
            batch.remove(name, there[name])
            batch.step(client.delete, f"{path}/users{path_of(name)}")
    outcome = batch.run(check)
    outcome.warnings = warnings
    return outcome
