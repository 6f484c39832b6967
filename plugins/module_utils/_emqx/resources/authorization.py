# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorization: sources, their order, settings, and the rules of the built-in database and the file."""

from __future__ import annotations

import time
import typing as t

from ..client import Client, EmqxError, path_of
from ..difference import Difference, prune
from ..versions import has, need
from .common import Json, Outcome, moved, prepare, rows_of, wait_until_connected


def _rules_text(text: str) -> str:
    """The rules of an acl file without comments and blank lines, which EMQX may drop."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("%"))


def _source_difference(client: Client, want: dict[str, Json], have: dict[str, Json] | None, resend_secrets: bool) -> Difference:
    is_file = have is not None and want["type"] == "file" and isinstance(want.get("rules"), str)
    if have is not None and is_file and _rules_text(want["rules"]) == _rules_text(str(have.get("rules") or "")):
        want = {**want, "rules": have.get("rules")}
    return Difference(
        want, have, files_shown=has(client.server(), "secret_files_shown"), resend_secrets=resend_secrets
    )  # fmt: skip


def sources(
    client: Client,
    *,
    wanted: t.Sequence[dict[str, Json]] = (),
    order: t.Sequence[str] = (),
    exclusive: bool = False,
    settings: dict[str, Json] | None = None,
    resend_secrets: bool = False,
    wait_connected: float = 0,
    check: bool = False,
    sleep: t.Callable[[float], None] = time.sleep,
    clock: t.Callable[[], float] = time.monotonic,
) -> Outcome:
    """Sources (each with `state`), their order, and what happens when none of them decides."""
    outcome = Outcome()
    body = client.get("/authorization/sources")
    rows = rows_of(client, body.get("sources") if isinstance(body, dict) else None, "/authorization/sources")
    there = {str(row.get("type")): row for row in rows}
    now = [str(row.get("type")) for row in rows]
    asked: set[str] = set()
    connected: list[str] = []
    # The stricter setting first: between the writes nothing may be open that was not open before.
    if settings:
        _settings(client, settings, outcome, check)
    for source in wanted:
        want = prune({key: value for key, value in source.items() if key != "state"})
        kind = str(want["type"])
        if kind in asked:
            raise EmqxError(f"sources: {kind} is named more than once", "EMQX allows one source of a type")
        asked.add(kind)
        prepare(client, want)
        have = there.get(kind)
        if source.get("state") == "absent":
            gone = Difference(None, have)
            outcome.add(gone, f"authorization source {kind}")
            if gone.changed:
                now.remove(kind)
                if not check:
                    client.delete(path_of("authorization", "sources", kind))
            continue
        difference = _source_difference(client, want, have, resend_secrets)
        outcome.add(difference, f"authorization source {kind}")
        if difference.changed and not check:
            if have is None:
                client.post("/authorization/sources", difference.body())
            else:
                client.put(path_of("authorization", "sources", kind), difference.body())
        if have is None:
            # EMQX puts a new source in front of the others.
            now.insert(0, kind)
        if kind not in ("file", "built_in_database") and want.get("enable", True) is not False:
            connected.append(kind)
    if exclusive:
        for kind in [kind for kind in now if kind not in asked]:
            gone = Difference(None, there[kind])
            outcome.add(gone, f"authorization source {kind}")
            now.remove(kind)
            if not check:
                client.delete(path_of("authorization", "sources", kind))
    if order:
        now = _set_order(client, now, list(order), outcome, check)
    outcome.result["order"] = now
    if wait_connected and not check:
        for kind in connected:
            path = path_of("authorization", "sources", kind)
            outcome.result.setdefault("status", {})[kind] = wait_until_connected(client, path, wait_connected, sleep, clock)
    return outcome


def _settings(client: Client, settings: dict[str, Json], outcome: Outcome, check: bool) -> None:
    wanted = prune(settings)
    if isinstance(wanted.get("cache"), dict) and wanted["cache"].get("excludes"):
        need(client.server(), "authz_cache_excludes", "cache.excludes")
    current = client.get("/authorization/settings")
    # This PUT resets what it does not name, so Difference sends all of what is there with the wanted part in it.
    difference = Difference(wanted, current)
    outcome.add(difference, "authorization settings")
    outcome.result["settings"] = difference.after()
    if difference.changed and not check:
        client.put("/authorization/settings", difference.body())


def _set_order(client: Client, now: list[str], order: list[str], outcome: Outcome, check: bool) -> list[str]:
    missing = [kind for kind in order if kind not in now]
    if missing:
        raise EmqxError(f"order: there is no source {', '.join(missing)}", f"There are: {', '.join(now) or 'none'}")
    # What is not named keeps its place behind those that are.
    wanted = [*order, *(kind for kind in now if kind not in order)]
    if wanted == now:
        return now
    outcome.note("order", "authorization order", {"order": now}, {"order": wanted})
    if not check:
        if has(client.server(), "authz_order"):
            client.put("/authorization/sources/order", [{"type": kind} for kind in wanted])
        else:
            moving = list(now)
            for at, kind in enumerate(wanted):
                if moving[at] != kind:
                    position = "front" if at == 0 else f"after:{wanted[at - 1]}"
                    client.post(path_of("authorization", "sources", kind, "move"), {"position": position})
                    moving = moved(moving, kind, position)
    return wanted
