# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of it, to look at."""

from __future__ import annotations

import typing as t

from .client import Client, Refused
from .replication import queue_of, remote_view, replication_view
from .resources import bucket_view, token_view


def info(client: Client, organization: str | None, gather: t.Collection[str]) -> dict[str, t.Any]:
    """What there is. Secrets are never part of it: InfluxDB up to 2.8 shows tokens, they are left out."""
    health = client.health()
    values: dict[str, t.Any] = {
        "version": str(health.get("version", "")).lstrip("v"),
        "healthy": health.get("status") == "pass",
        "message": str(health.get("message", "")),
        "setup_allowed": client.setup_allowed(),
    }
    if not gather:
        return values
    if organization is None:
        raise Refused("say of which organization the " + ", ".join(sorted(gather)) + " are wanted")
    org_id = client.organization_id(organization)
    values["organization_id"] = org_id
    found = client.buckets(org_id)
    names = {bucket["id"]: bucket["name"] for bucket in found}
    if "buckets" in gather:
        values["buckets"] = [{"name": one["name"], "id": one["id"], "type": one.get("type", "user"), **bucket_view(one)} for one in found]
    if "tokens" in gather:
        values["tokens"] = [
            {
                "id": one["id"],
                "description": one.get("description", ""),
                "user": one.get("user", ""),
                **token_view(one, names),
            }
            for one in client.authorizations(org_id)
        ]
    if "mappings" in gather:
        values["mappings"] = [
            {
                "database": one["database"],
                "retention_policy": one["retention_policy"],
                "bucket": names.get(one["bucketID"], one["bucketID"]),
                "default": bool(one.get("default")),
                "virtual": bool(one.get("virtual")),
            }
            for one in client.mappings(org_id)
        ]
    if "users" in gather:
        values["users"] = [{"name": one["name"], "id": one["id"], "status": one.get("status", "active")} for one in client.listed("/api/v2/users", "users")]
    if "v1_users" in gather:
        values["v1_users"] = [
            {"username": one["token"], "id": one["id"], "description": one.get("description", ""), **token_view(one, names)}
            for one in client.v1_authorizations(org_id)
        ]
    if "tasks" in gather:
        values["tasks"] = [
            {key: one.get(key, "") for key in ("name", "id", "status", "description", "flux", "lastRunStatus", "lastRunError")} for one in client.tasks(org_id)
        ]
    remotes = {one["id"]: one for one in client.remotes(org_id)} if {"remotes", "replications"} & set(gather) else {}
    if "remotes" in gather:
        values["remotes"] = [{"name": one["name"], "id": one["id"], **remote_view(one)} for one in remotes.values()]
    if "replications" in gather:
        remote_names = {one_id: one["name"] for one_id, one in remotes.items()}
        values["replications"] = [
            {"name": one["name"], "id": one["id"], **replication_view(one, names, remote_names), **queue_of(one)} for one in client.replications(org_id)
        ]
    return values
