# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorization: sources, their order, settings, and the rules of the built-in database and the file."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ..client import Client, EmqxError, path_of
from ..difference import Difference, prune
from ..versions import has, need
from .common import Batch, Json, Outcome, by_name, moved, prepare, rows_of, wait_until_connected


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
            outcome.result.setdefault("status", {})[kind] = wait_until_connected(client, f"{path}/status", wait_connected, sleep, clock)
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


# --- rules of the built-in database ---

_BUILT_IN = "/authorization/sources/built_in_database/rules"
# Rules of so many users or clients go into one request.
_CHUNK = 500


def rules(
    client: Client,
    *,
    users: t.Sequence[dict[str, Json]] = (),
    clients: t.Sequence[dict[str, Json]] = (),
    everyone: t.Sequence[dict[str, Json]] | None = None,
    present: bool = True,
    exclusive: bool = False,
    check: bool = False,
) -> Outcome:
    """Rules of many users and clients, and those for all, at once. Rules of one name are replaced as a whole: their order matters."""
    if exclusive and not present:
        raise EmqxError("exclusive goes with state: present only")
    if not users and not clients and everyone is None and not exclusive:
        raise EmqxError("no rules are named", "Give users, clients or everyone")
    batch = Batch("authorization rules")
    warnings: list[str] = []
    missing = client.find("/authorization/sources/built_in_database") is None
    if missing and not check:
        raise EmqxError("there is no authorization source built_in_database", "Make it first (emqx_authorization)")
    if missing:
        warnings.append("There is no authorization source built_in_database yet; a run without one fails")
    for kind, field, entries in (("users", "username", users), ("clients", "clientid", clients)):
        wanted = by_name(entries, lambda entry: entry["name"], kind)
        if wanted or exclusive:
            rows = [] if missing else client.pages(f"{_BUILT_IN}/{kind}")
            there = {str(row.get(field)): row.get("rules") or [] for row in rows}
            _rules_of(client, batch, kind, field, wanted, there, present, exclusive)
    if everyone is not None or exclusive:
        answer = {} if missing else client.get(f"{_BUILT_IN}/all")
        have = _rules(answer.get("rules") or [])
        want = _rules(everyone or []) if present else []
        if _differ(want, have):
            if not have:
                batch.add("all", want)
            elif want:
                batch.change("all", have, want)
            else:
                batch.remove("all", have)
            if want:
                batch.step(client.post, f"{_BUILT_IN}/all", {"rules": want})
            else:
                batch.step(client.delete, f"{_BUILT_IN}/all")
    outcome = batch.run(check)
    outcome.warnings = warnings
    return outcome


def _rules_of(
    client: Client,
    batch: Batch,
    kind: str,
    field: str,
    wanted: dict[str, dict[str, Json]],
    there: dict[str, list[Json]],
    present: bool,
    exclusive: bool,
) -> None:
    path = f"{_BUILT_IN}/{kind}"
    new: list[dict[str, Json]] = []
    for name, entry in wanted.items() if present else ():
        want = _rules(entry.get("rules") or [])
        if not want:
            raise EmqxError(f"{kind}: {name!r} has no rules", "Give rules, or remove those that are there with state: absent")
        if name not in there:
            batch.add(f"{field} {name}", want)
            new.append({field: name, "rules": want})
        elif _differ(want, there[name]):
            batch.change(f"{field} {name}", _rules(there[name]), want)
            batch.step(client.put, f"{path}{path_of(name)}", {field: name, "rules": want})
    for start in range(0, len(new), _CHUNK):
        batch.step(client.post, path, new[start : start + _CHUNK])
    for name in there if exclusive else [] if present else wanted:
        if name in there and not (present and name in wanted):
            batch.remove(f"{field} {name}", _rules(there[name]))
            batch.step(client.delete, f"{path}{path_of(name)}")


def _rules(rows: t.Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    """Rules as EMQX answers them: with every qos and with retain, which may be left out."""
    result = []
    for row in rows:
        row = prune(dict(row))
        retain = row.get("retain", "all")
        result.append({**row, "qos": sorted(row.get("qos") or [0, 1, 2]), "retain": {"true": True, "false": False}.get(str(retain).lower(), "all")})
    return result


def _differ(want: list[dict[str, Json]], have: t.Sequence[dict[str, Json]]) -> bool:
    """Another rule, or another order; what newer versions add to each is no difference."""
    return len(want) != len(have) or Difference({"list": want}, {"list": _rules(have)}).changed


# --- the file of rules ---


def acl_file(client: Client, text: str, *, enable: bool | None = None, check: bool = False) -> Outcome:
    """The whole of the rules in the source `file`."""
    outcome = sources(client, wanted=[{"type": "file", "enable": enable, "rules": text}], check=check)
    return dataclasses.replace(outcome, result={"rules": text, **outcome.result})


def acl_text(rows: t.Sequence[dict[str, Json]]) -> str:
    """Structured rules in EMQX's syntax, one a line."""
    return "".join(_acl_term(row, f"rules[{number}]") + "\n" for number, row in enumerate(rows))


def _acl_term(row: dict[str, Json], where: str) -> str:
    who = []
    for field in ("username", "clientid"):
        if row.get(field) is not None:
            who.append(f"{{{field}, {_quoted(row[field], where)}}}")
        if row.get(f"{field}_regex") is not None:
            who.append(f"{{{field}, {{re, {_quoted(row[f'{field}_regex'], where)}}}}}")
    if row.get("addresses"):
        who.append(f"{{ipaddrs, [{', '.join(_quoted(one, where) for one in row['addresses'])}]}}")
    subject = "all" if not who else who[0] if len(who) == 1 else f"{{'and', [{', '.join(who)}]}}"
    permission, action, topics = row["permission"], row.get("action") or "all", row.get("topics") or []
    if not topics:
        if action != "all":
            raise EmqxError(f"{where} has an action and no topics", "Name the topics, # for all of them")
        return f"{{{permission}, {subject}}}."
    shown = (f"{{eq, {_quoted(one.removeprefix('eq '), where)}}}" if one.startswith("eq ") else _quoted(one, where) for one in topics)
    return f"{{{permission}, {subject}, {action}, [{', '.join(shown)}]}}."


def _quoted(text: str, where: str) -> str:
    if not text or not text.isprintable():
        raise EmqxError(f"{where}: {text!r} cannot stand in a rule", "Use texts that are not empty and have no control characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
