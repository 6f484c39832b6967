# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients: bans, and the end of sessions."""

from __future__ import annotations

import typing as t

from ..client import Client, path_of
from ..difference import Difference, prune
from ..versions import has, need
from .common import Batch, Json, Outcome, by_name, instant, need_instant

# --- bans ---

_BAN_FIELDS = ("reason", "by", "until")


def banned(
    client: Client,
    entries: t.Sequence[dict[str, Json]],
    *,
    present: bool = True,
    exclusive: bool = False,
    check: bool = False,
) -> Outcome:
    """Many bans at once. A ban cannot be changed, so one that differs is removed and made anew."""
    server = client.server()
    rows = [prune(dict(entry)) for entry in entries]
    for number, row in enumerate(rows):
        if row["as"] in ("clientid_re", "username_re", "peerhost_net"):
            need(server, "ban_patterns", f"entries[{number}].as")
        if row.get("until") == "infinity":
            need(server, "ban_infinity", f"entries[{number}].until")
        need_instant(row.get("until"), f"entries[{number}].until")
    wanted = by_name(rows, lambda row: (str(row["as"]), str(row["who"])), "entries")
    there = {(str(row.get("as")), str(row.get("who"))): row for row in client.pages("/banned")}
    batch = Batch("banned")

    def remove(key: tuple[str, str]) -> None:
        batch.remove(" ".join(key), {name: there[key].get(name) for name in _BAN_FIELDS})
        batch.step(client.delete, path_of("banned", *key))

    for key, row in wanted.items() if present else ():
        have = there.get(key)
        fields = {name: row[name] for name in _BAN_FIELDS if name in row}
        if have is None:
            batch.add(" ".join(key), fields)
        elif Difference(_ban(fields), _ban(have)).changed:
            batch.change(" ".join(key), {name: have.get(name) for name in _BAN_FIELDS}, fields)
            batch.step(client.delete, path_of("banned", *key))
        else:
            continue
        batch.step(client.post, "/banned", row)
    for key in there if present and exclusive else [] if present else wanted:
        if key in there and not (present and key in wanted):
            remove(key)
    return batch.run(check)


def _ban(row: dict[str, Json]) -> dict[str, Json]:
    return {**row, "until": instant(row["until"])} if row.get("until") is not None else dict(row)


# --- sessions ---

_CHUNK = 100


def find_clients(
    client: Client, *, clientids: t.Sequence[str] = (), usernames: t.Sequence[str] = (), query: dict[str, Json] | None = None
) -> list[dict[str, Json]]:
    """Sessions (also of clients that are not connected) by id, by user, or by the API's query, each once."""
    found: dict[str, dict[str, Json]] = {}

    def take(rows: t.Iterable[dict[str, Json]]) -> None:
        for row in rows:
            found[str(row.get("clientid"))] = row

    many = has(client.server(), "clients_query_many")
    if many:
        for start in range(0, len(clientids), _CHUNK):
            take(client.pages("/clients", {"clientid": list(clientids[start : start + _CHUNK])}))
        for start in range(0, len(usernames), _CHUNK):
            take(client.pages("/clients", {"username": list(usernames[start : start + _CHUNK])}))
    else:
        for name in clientids:
            row = client.find(path_of("clients", name))
            if row is not None:
                take([row])
        for name in usernames:
            take(client.pages("/clients", {"username": name}))
    if query:
        take(client.pages("/clients", query))
    return [found[name] for name in sorted(found)]


def end_sessions(
    client: Client,
    *,
    clientids: t.Sequence[str] = (),
    usernames: t.Sequence[str] = (),
    query: dict[str, Json] | None = None,
    kick: bool = True,
    clean_cache: bool = True,
    check: bool = False,
) -> Outcome:
    """Forgets what was authorized for these clients, then ends their sessions."""
    rows = find_clients(client, clientids=clientids, usernames=usernames, query=query)
    names = [str(row.get("clientid")) for row in rows]
    outcome = Outcome(result={"clients": names})
    if not names:
        return outcome
    outcome.changed = True
    what = " and ".join(text for text, asked in (("cache cleaned", clean_cache), ("session ended", kick)) if asked)
    outcome.diff.append({
        "before_header": "clients", "after_header": "clients",
        "before": {name: "connected" if row.get("connected") else "session" for name, row in zip(names, rows, strict=True)},
        "after": dict.fromkeys(names, what),
    })  # fmt: skip
    if check:
        return outcome
    if clean_cache:
        for name in names:
            # A client that left meanwhile is absent, which is as good.
            client.delete(path_of("clients", name, "authorization", "cache"))
    if kick:
        for start in range(0, len(names), _CHUNK):
            client.post("/clients/kickout/bulk", names[start : start + _CHUNK])
    return outcome
