# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules manage: read, compared, and (when it is no prediction) changed, each by one function.

Every function returns an Outcome; `check` makes it a prediction by the same way up to the first write. A write is made
only for a difference, because EMQX leaves a backup of its configuration for each.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
import typing as t

from .client import Client, EmqxError, path_of
from .difference import MASK, Difference, mask, normal, prune, secrets_in
from .versions import has, need

Json = t.Any


@dataclasses.dataclass
class Outcome:
    """changed, what differed, what is (or will be) there without secrets, and what else the module returns."""

    changed: bool = False
    diff: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    fields: list[str] = dataclasses.field(default_factory=list)
    result: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def add(self, difference: Difference, header: str) -> None:
        if difference.changed:
            self.changed = True
            self.fields += difference.fields
            self.diff.append(difference.diff(header))


def _refuse_mask(value: Json, where: str) -> None:
    """The mask means "as it is" to EMQX; taken from an answer into a playbook it would become a secret or keep one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_mask(inner, f"{where}.{name}" if where else str(name))
    elif value == MASK:
        raise EmqxError(f"{where} is {MASK}, which is what EMQX shows instead of a secret", "Leave it out, or give the secret")


def _prepare(client: Client, wanted: dict[str, Json]) -> None:
    _refuse_mask(wanted, "")
    client.redact(secrets_in(wanted))
    for path, text in _texts(wanted):
        if text.startswith("file://") and path.rpartition(".")[2] in ("password", "secret", "token"):
            need(client.server(), "secret_files", path)


def _texts(value: Json, path: str = "") -> t.Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, str):
        yield path, value


def _rows(client: Client, body: Json, path: str) -> list[dict[str, Json]]:
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise client.unexpected(path, "a list")
    return body


def _moved(order: list[str], name: str, position: str) -> list[str]:
    """The order after the move of one entry; an unknown neighbour is an error."""
    rest = [other for other in order if other != name]
    if position == "front":
        return [name, *rest]
    if position == "rear":
        return [*rest, name]
    where, _colon, neighbour = position.partition(":")
    if where not in ("before", "after") or not neighbour:
        raise EmqxError(f"position {position!r} is none", "Write front, rear, before:NAME or after:NAME")
    if neighbour not in rest:
        raise EmqxError(f"position {position!r}: there is no {neighbour!r}", f"There are: {', '.join(rest) or 'none'}")
    at = rest.index(neighbour) + (where == "after")
    return [*rest[:at], name, *rest[at:]]


def _wait_connected(client: Client, path: str, limit: float, sleep: t.Callable[[float], None], clock: t.Callable[[], float]) -> str:
    """EMQX answers a creation with 200 although its database is down: asked until it is connected."""
    end = clock() + limit
    while True:
        body = client.get(path + "/status")
        status = str(body.get("status")) if isinstance(body, dict) else "unknown"
        if status == "connected":
            return status
        if clock() >= end:
            nodes = body.get("node_error") if isinstance(body, dict) else None
            detail = f" ({nodes})" if nodes else ""
            raise EmqxError(
                f"{path[1:]} is saved, and {status} after {limit:g} s{detail}",
                "Check server, database, user and password (a file:// must be readable by EMQX's user), and EMQX's log",
            )  # fmt: skip
        sleep(0.3)


# --- authentication -----------------------------------------------------------------------------------------------


def authenticator_id(mechanism: str, backend: str | None) -> str:
    return f"{mechanism}:{backend}" if backend else mechanism


def authentication(
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
    _prepare(client, wanted)
    chain = _rows(client, client.get("/authentication"), "/authentication")
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
        new = _moved(order, name, position)
        if new != order:
            outcome.changed = True
            outcome.fields.append("position")
            outcome.diff.append(_order_diff("authentication order", order, new))
            if not check:
                client.put(f"{path}/position/{_position(position)}")
            order = new
    outcome.result["order"] = order
    after = difference.after()
    outcome.result["authenticator"] = mask(after) if after is not None else None
    remote = wanted.get("backend") not in (None, "built_in_database") and (after or {}).get("enable", True) is not False
    if present and wait_connected and remote and not check:
        outcome.result["status"] = _wait_connected(client, path, wait_connected, sleep, clock)
    return outcome


def _position(position: str) -> str:
    return path_of(position)[1:]


def _order_diff(header: str, before: list[str], after: list[str]) -> dict[str, t.Any]:
    return {"before_header": header, "after_header": header, "before": {"order": before}, "after": {"order": after}}


# --- authorization ------------------------------------------------------------------------------------------------


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


def authorization(
    client: Client,
    *,
    sources: t.Sequence[dict[str, Json]] = (),
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
    rows = _rows(client, body.get("sources") if isinstance(body, dict) else None, "/authorization/sources")
    there = {str(row.get("type")): row for row in rows}
    now = [str(row.get("type")) for row in rows]
    asked: set[str] = set()
    connected: list[str] = []
    # The stricter setting first: between the writes nothing may be open that was not open before.
    if settings:
        _settings(client, settings, outcome, check)
    for source in sources:
        want = prune({key: value for key, value in source.items() if key != "state"})
        kind = str(want["type"])
        if kind in asked:
            raise EmqxError(f"sources: {kind} is named more than once", "EMQX allows one source of a type")
        asked.add(kind)
        _prepare(client, want)
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
            outcome.result.setdefault("status", {})[kind] = _wait_connected(client, path, wait_connected, sleep, clock)
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
    outcome.changed = True
    outcome.fields.append("order")
    outcome.diff.append(_order_diff("authorization order", now, wanted))
    if not check:
        if has(client.server(), "authz_order"):
            client.put("/authorization/sources/order", [{"type": kind} for kind in wanted])
        else:
            moving = list(now)
            for at, kind in enumerate(wanted):
                if moving[at] != kind:
                    position = "front" if at == 0 else f"after:{wanted[at - 1]}"
                    client.post(path_of("authorization", "sources", kind, "move"), {"position": position})
                    moving = _moved(moving, kind, position)
    return wanted


# --- listeners ----------------------------------------------------------------------------------------------------

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
    _prepare(client, wanted)
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
            outcome.changed = True
            outcome.fields.append("running")
            header = f"listener {listener_id}"
            outcome.diff.append({
                "before_header": header, "after_header": header,
                "before": {"running": running}, "after": {"running": want_running},
            })  # fmt: skip
            if not check:
                operation = {"started": "start", "stopped": "stop", "restarted": "restart"}[state]
                client.post(f"{path}/{operation}")
        running = want_running
    outcome.result["listener"] = {**mask(after or {}), "running": running}
    return outcome


def _running(current: dict[str, Json]) -> bool:
    return current.get("running") not in (False, "false")


# --- banned -------------------------------------------------------------------------------------------------------

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
    wanted: dict[tuple[str, str], dict[str, Json]] = {}
    for number, entry in enumerate(entries):
        row = prune(dict(entry))
        if row["as"] in ("clientid_re", "username_re", "peerhost_net"):
            need(server, "ban_patterns", f"entries[{number}].as")
        if row.get("until") == "infinity":
            need(server, "ban_infinity", f"entries[{number}].until")
        key = (str(row["as"]), str(row["who"]))
        if key in wanted:
            raise EmqxError(f"entries: {key[0]} {key[1]!r} is named more than once")
        wanted[key] = row
    there = {(str(row.get("as")), str(row.get("who"))): row for row in client.pages("/banned")}
    outcome = Outcome()
    added: list[str] = []
    removed: list[str] = []
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}

    def drop(key: tuple[str, str]) -> None:
        if not check:
            client.delete(path_of("banned", *key))

    if present:
        for key, row in wanted.items():
            have = there.get(key)
            fields = {name: row[name] for name in _BAN_FIELDS if name in row}
            if have is not None and not Difference(_ban(fields), _ban(have)).changed:
                continue
            label = f"{key[0]} {key[1]}"
            if have is not None:
                before[label] = {name: have.get(name) for name in _BAN_FIELDS}
                drop(key)
            after[label] = fields
            added.append(label)
            if not check:
                client.post("/banned", row)
    gone = [key for key in there if exclusive and key not in wanted] if present else [key for key in wanted if key in there]
    for key in gone:
        label = f"{key[0]} {key[1]}"
        before[label] = {name: there[key].get(name) for name in _BAN_FIELDS}
        removed.append(label)
        drop(key)
    outcome.changed = bool(added or removed)
    if outcome.changed:
        outcome.diff.append({"before_header": "banned", "after_header": "banned", "before": before, "after": after})
    outcome.result = {"added": added, "removed": removed}
    return outcome


def _ban(row: dict[str, Json]) -> dict[str, Json]:
    return {**row, "until": _instant(row["until"])} if row.get("until") is not None else dict(row)


def _instant(value: Json) -> Json:
    """A time as seconds since 1970, whether written as a number or in RFC 3339."""
    if isinstance(value, str) and not value.isdigit():
        found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", value)
        if not found:
            return value
        zone = "+00:00" if found.group(2) == "Z" else found.group(2)
        return int(datetime.datetime.fromisoformat(found.group(1) + zone).timestamp())
    return normal(value)


# --- clients ------------------------------------------------------------------------------------------------------

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


# --- information --------------------------------------------------------------------------------------------------


def information(
    client: Client,
    gather: t.Collection[str],
    *,
    clientids: t.Sequence[str] = (),
    usernames: t.Sequence[str] = (),
    query: dict[str, Json] | None = None,
) -> dict[str, Json]:
    """What is asked for, without secrets (before 5.8 EMQX answers with plain ones)."""
    server = client.server()
    result: dict[str, Json] = {
        "version": server.version,
        "edition": server.edition,
        "nodes": list(server.nodes),
    }
    plain = {
        "cluster": "/cluster",
        "stats": "/stats",
        "listeners": "/listeners",
        "authentication": "/authentication",
        "authorization_settings": "/authorization/settings",
        "configuration": "/configs",
    }
    for name, path in plain.items():
        if name in gather:
            result[name] = mask(client.get(path))
    if "metrics" in gather:
        result["metrics"] = client.get("/metrics", {"aggregate": "true"})
    if "authorization_sources" in gather:
        result["authorization_sources"] = mask(client.get("/authorization/sources")["sources"])
    if "alarms" in gather:
        result["alarms"] = client.pages("/alarms")
    if "banned" in gather:
        result["banned"] = client.pages("/banned")
    if "clients" in gather:
        if clientids or usernames or query:
            result["clients"] = find_clients(client, clientids=clientids, usernames=usernames, query=query)
        else:
            result["clients"] = client.pages("/clients")
    if "subscriptions" in gather:
        if clientids:
            rows: list[Json] = []
            for name in clientids:
                rows += client.pages("/subscriptions", {"clientid": name})
            result["subscriptions"] = rows
        else:
            result["subscriptions"] = client.pages("/subscriptions")
    return result
