# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running broker has to be told after rows have changed: it keeps sessions and decisions of its own."""

from __future__ import annotations

import dataclasses
import typing as t

from .._emqx.client import Client
from .._emqx.resources import clients

BY = "edgestack.iot"


@dataclasses.dataclass
class Settled:
    """Names of what was (check: would be) done."""

    banned: list[str] = dataclasses.field(default_factory=list)
    lifted: list[str] = dataclasses.field(default_factory=list)
    ended: list[str] = dataclasses.field(default_factory=list)
    cleaned: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.banned or self.lifted or self.ended)


def settle(client: Client, revoked: t.Collection[str], removed: t.Collection[str], changed: t.Collection[str], *, check: bool = False) -> Settled:
    """After the rows are gone: ban, forget what was authorized, end the sessions, in this order. A ban alone leaves the session alive,
    and a session that is ended alone comes back.

    revoked: all of them; bans of ours that are not among them are lifted. removed: users without rows. changed: with other permissions.
    """
    mine = {str(row["who"]) for row in _rows(client) if row.get("as") == "username" and row.get("by") == BY}
    ban, lift = sorted(set(revoked) - mine), sorted(mine - set(revoked))
    if ban:
        entries: list[dict[str, t.Any]] = [{"as": "username", "who": name, "by": BY, "reason": "revoked"} for name in ban]
        clients.banned(client, entries, check=check)
    ended = clients.end_sessions(client, usernames=sorted({*ban, *removed}), check=check).result["clients"] if ban or removed else []
    cleaned = clients.end_sessions(client, usernames=sorted(changed), kick=False, check=check).result["clients"] if changed else []
    # Last: whoever comes back has its new rows already.
    if lift:
        clients.banned(client, [{"as": "username", "who": name} for name in lift], present=False, check=check)
    return Settled(ban, lift, ended, cleaned)


def _rows(client: Client) -> list[dict[str, t.Any]]:
    return [row for row in client.pages("/banned") if isinstance(row, dict)]
