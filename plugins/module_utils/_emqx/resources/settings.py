# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's settings: parts of its configuration, and the licence."""

from __future__ import annotations

import base64
import binascii
import json
import typing as t

from ..client import Client, EmqxError
from ..difference import Difference, mask, prune
from ..hocon import HoconError, parse
from ..versions import need
from .common import Json, Outcome, prepare

# EMQX reads these at its start only; they belong into emqx.conf.
READ_ONLY_ROOTS = ("node", "rpc", "cluster")


def configuration(client: Client, wanted: dict[str, Json], *, check: bool = False) -> Outcome:
    """Parts of the configuration, by their roots, and what the server made of them."""
    wanted = prune(wanted)
    for root in wanted:
        if root in READ_ONLY_ROOTS:
            raise EmqxError(f"config: {root} cannot be changed while EMQX runs", "Write it into emqx.conf, and restart EMQX")
        if not isinstance(wanted[root], dict):
            raise EmqxError(f"config: {root} is no part of the configuration", "Write it as a dictionary, for example mqtt: {max_packet_size: 2MB}")
    prepare(client, wanted)
    current = _roots(client, wanted)
    outcome = Outcome()
    _durable_sessions(client, wanted, current, outcome)
    difference = Difference(wanted, current, merges=True)
    outcome.add(difference, "configuration")
    if difference.changed and not check:
        # JSON is HOCON.
        client.put_text("/configs", json.dumps(difference.body(), ensure_ascii=False), {"mode": "merge"})
        current = _roots(client, wanted)
        left = Difference(wanted, current, merges=True)
        if left.changed:
            raise EmqxError(
                f"EMQX said that it took the configuration, and did not: {', '.join(left.fields)}",
                "A value that EMQX cannot read, or one that stands in the environment or emqx.conf too; see EMQX's log",
            )
        outcome.result["config"] = mask(current)
    else:
        outcome.result["config"] = mask(difference.after() or {})
    return outcome


def _roots(client: Client, wanted: t.Iterable[str]) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for root in wanted:
        try:
            found = parse(client.text("/configs", {"key": root})).get(root)
        except HoconError as error:
            raise client.unexpected("/configs", f"HOCON ({error.problem})") from error
        result[root] = found if isinstance(found, dict) else {}
    return result


def _durable_sessions(client: Client, wanted: dict[str, Json], current: dict[str, Json], outcome: Outcome) -> None:
    part = wanted.get("durable_sessions")
    if part is None:
        return
    need(client.server(), "durable_sessions", "config: durable_sessions")
    on = str(current["durable_sessions"].get("enable", False)).lower() == "true"
    want_on = str(part.get("enable", on)).lower() == "true"
    others = sorted(name for name in part if name != "enable")
    if others and not want_on:
        raise EmqxError(f"config: durable_sessions are off, so {', '.join(others)} would do nothing", "Set durable_sessions.enable too")
    if want_on and not on:
        outcome.warnings.append("durable_sessions.enable takes effect when EMQX is restarted; it needs a build with RocksDB")


# --- licence ---

_KEYWORDS = {"default": "community", "evaluation": "evaluation"}


def licence(client: Client, key: str | None, *, settings: dict[str, Json] | None = None, force: bool = False, check: bool = False) -> Outcome:
    """The licence key, recognised by what EMQX says of the licence that is in force, and its settings."""
    client.redact([key] if key and key not in _KEYWORDS and not key.startswith("file://") else [])
    need(client.server(), "has_license", "licence")
    outcome = Outcome()
    current = client.get("/license")
    if not isinstance(current, dict):
        raise client.unexpected("/license", "a licence")
    if key is not None and (force or not _in_force(key, current)):
        about = {name: current.get(name) for name in ("customer", "type", "expiry_at", "max_sessions", "max_connections") if name in current}
        outcome.note("key", "licence", about, {**describe_key(key)})
        if not check:
            current = client.post("/license", {"key": key})
    wanted = prune(settings or {})
    if wanted:
        difference = Difference(wanted, client.get("/license/setting"))
        outcome.add(difference, "licence settings")
        if difference.changed and not check:
            client.put("/license/setting", difference.body())
    outcome.result["license"] = mask(current)
    return outcome


def describe_key(key: str) -> dict[str, Json]:
    """What a licence key says of itself; a key is base64 of lines, a dot and a signature."""
    if key in _KEYWORDS:
        return {"type": _KEYWORDS[key]}
    if key.startswith("file://"):
        return {"key": key}
    try:
        lines = base64.b64decode(key.strip().partition(".")[0], validate=True).decode().split("\n")
    except (binascii.Error, UnicodeDecodeError):
        lines = []
    if len(lines) < 9:
        raise EmqxError("key is no licence key", "Give the text that EMQ sent, default, evaluation, or file:///path on EMQX's host")
    start = lines[6]
    return {"customer": lines[3], "email": lines[4], "deployment": lines[5], "start_at": f"{start[:4]}-{start[4:6]}-{start[6:8]}"}


def _in_force(key: str, current: dict[str, Json]) -> bool:
    about = describe_key(key)
    # Whether a file has changed only EMQX knows; it reads it anew by itself.
    return "key" not in about and all(current.get(name) == value for name, value in about.items())
