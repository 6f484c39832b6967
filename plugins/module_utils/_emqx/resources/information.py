# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server says of itself."""

from __future__ import annotations

import typing as t

from ..client import Client
from ..difference import mask
from ..versions import need
from .clients import find_clients
from .common import Json


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
        "plugins": "/plugins",
        "retainer": "/mqtt/retainer",
    }
    for name, path in plain.items():
        if name in gather:
            result[name] = mask(client.get(path))
    for name, capability in (("actions", "has_connectors"), ("connectors", "has_connectors"), ("sources", "has_connectors"), ("bridges", "has_bridges")):
        if name in gather:
            need(server, capability, f"gather: {name}")
            result[name] = mask(client.get(f"/{name}"))
    if "rules" in gather:
        result["rules"] = client.pages("/rules")
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


def alarms(client: Client, *, activated: bool = True, names: t.Collection[str] = ()) -> list[dict[str, Json]]:
    """Alarms that are active, or those that are over."""
    rows = client.pages("/alarms", {"activated": "true" if activated else "false"})
    return [row for row in rows if not names or row.get("name") in names]
