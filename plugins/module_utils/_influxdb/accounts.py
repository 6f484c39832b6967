# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may come in: organisations, users and their passwords, and the user names of InfluxDB 1's API."""

from __future__ import annotations

import dataclasses
import typing as t

from .client import Client, Refused
from .difference import Difference, Differences
from .resources import Outcome, Permission, token_view, unique

# -- organisations -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Organization:
    """An organisation. None leaves the description alone."""

    name: str
    description: str | None = None
    present: bool = True


def organizations(client: Client, wanted: t.Sequence[Organization], check: bool) -> Outcome:
    """Any number of organisations. One that goes takes its buckets, tokens and everything else with it."""
    unique([one.name for one in wanted], "organization")
    there = {one.name: _organization(client, one.name) for one in wanted}
    differences = []
    for one in wanted:
        found = there[one.name]
        current = {"description": found.get("description", "")} if found is not None else None
        view: dict[str, t.Any] | None = None
        if one.present:
            view = {} if one.description is None else {"description": one.description}
        difference = Difference("organization", one.name, view, current)
        differences.append(difference)
        if check:
            continue
        if difference.action == "create":
            there[one.name] = client.create("/api/v2/orgs", {"name": one.name, **difference.changes})
        elif difference.action == "update" and found is not None:
            there[one.name] = client.update(f"/api/v2/orgs/{found['id']}", difference.changes)
        elif difference.action == "delete" and found is not None:
            client.delete(f"/api/v2/orgs/{found['id']}")
            there[one.name] = None
    result = [{"name": name, "id": found["id"], "description": found.get("description", "")} for name, found in there.items() if found]
    return Outcome(Differences(differences), {"organizations": result})


def _organization(client: Client, name: str) -> dict[str, t.Any] | None:
    return client.named("/api/v2/orgs", "orgs", {"org": name}, f"the organisation {name}")


# -- users ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class User:
    """A user. roles: member, owner or none by the organisation's name; those that are not named are left alone."""

    name: str
    active: bool = True
    password: str | None = dataclasses.field(default=None, repr=False)
    keep_password: bool = False
    roles: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    present: bool = True


def users(client: Client, wanted: t.Sequence[User], check: bool) -> Outcome:
    """Any number of users. A password cannot be read: it is tried, and set when it is not the one."""
    unique([one.name for one in wanted], "user")
    for one in wanted:
        if one.password is not None and not 8 <= len(one.password.encode()) <= 72:
            raise Refused(f"user {one.name}: InfluxDB takes passwords of 8 to 72 characters")
    org_ids = {name: client.organization_id(name) for name in sorted({name for one in wanted for name in one.roles})}
    roles = {name: _roles(client, org_id) for name, org_id in org_ids.items()}
    there = {one.name: client.named("/api/v2/users", "users", {"name": one.name}, f"the user {one.name}") for one in wanted}
    differences = []
    for one in wanted:
        found = there[one.name]
        view: dict[str, t.Any] | None = None
        current: dict[str, t.Any] | None = None
        if found is not None:
            current = {"status": found.get("status", "active")}
            current |= {f"role in {name}": roles[name].get(found["id"], "none") for name in one.roles}
        if one.present:
            view = {"status": "active" if one.active else "inactive", **{f"role in {name}": role for name, role in one.roles.items()}}
            if one.password is not None and not (one.keep_password and found is not None):
                view["sign-in"] = "as given"
                if current is not None:
                    known = client.accepts_password("/api/v2/signin", one.name, one.password, ())
                    current["sign-in"] = "as given" if known else "another"
        difference = Difference("user", one.name, view, current)
        differences.append(difference)
        if check or not difference.action:
            continue
        if difference.action == "delete" and found is not None:
            client.delete(f"/api/v2/users/{found['id']}")
            there[one.name] = None
            continue
        if found is None:
            found = there[one.name] = client.create("/api/v2/users", {"name": one.name, "status": view["status"] if view else "active"})
        elif "status" in difference.changes:
            client.update(f"/api/v2/users/{found['id']}", {"status": difference.changes["status"]})
        if "sign-in" in difference.changes:
            # Sets a value: to repeat it does no harm.
            client.transport.request("POST", f"/api/v2/users/{found['id']}/password", body={"password": one.password}, retry=True)
        for name, role in one.roles.items():
            if f"role in {name}" in difference.changes:
                _set_role(client, org_ids[name], str(found["id"]), roles[name].get(found["id"], "none"), role)
    result = [{"name": name, "id": found["id"]} for name, found in there.items() if found]
    return Outcome(Differences(differences), {"users": result})


def _roles(client: Client, org_id: str) -> dict[str, str]:
    """Members and owners of an organisation by the user's id."""
    found: dict[str, str] = {}
    for role in ("member", "owner"):
        found |= {one["id"]: role for one in client.listed(f"/api/v2/orgs/{org_id}/{role}s", "users", paged=False)}
    return found


def _set_role(client: Client, org_id: str, user_id: str, old: str, new: str) -> None:
    # A user has one role in an organisation: the other one first goes.
    if old != "none":
        client.delete(f"/api/v2/orgs/{org_id}/{old}s/{user_id}")
    if new != "none":
        client.create(f"/api/v2/orgs/{org_id}/{new}s", {"id": user_id})


# -- user names and passwords of InfluxDB 1's API ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class V1Auth:
    """A user name and password for programs that speak InfluxDB 1, with rights on buckets by their names."""

    username: str
    password: str | None = dataclasses.field(default=None, repr=False)
    keep_password: bool = False
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    description: str | None = None
    active: bool = True
    present: bool = True

    @property
    def permissions(self) -> list[Permission]:
        return [Permission(action, "buckets", name) for action, names in (("read", self.read), ("write", self.write)) for name in names]


def v1_auths(client: Client, organization: str, wanted: t.Sequence[V1Auth], check: bool) -> Outcome:
    """Any number of them. Rights cannot be changed, so one with other rights is made anew."""
    unique([one.username for one in wanted], "user name")
    for one in wanted:
        if one.present and not one.permissions:
            raise Refused(f"user name {one.username}: it has no buckets, so it could do nothing")
        if one.present and not one.password:
            raise Refused(f"user name {one.username}: it needs a password")
    org_id = client.organization_id(organization)
    bucket_ids = {one["name"]: str(one["id"]) for one in client.buckets(org_id)}
    names = {bucket_id: name for name, bucket_id in bucket_ids.items()}
    for one in wanted:
        missing = sorted({right.bucket for right in one.permissions} - set(bucket_ids)) if one.present else []
        if missing and not check:
            raise Refused(f"user name {one.username}: there is no bucket {', '.join(missing)} in the organisation {organization}")
    there = {one["token"]: one for one in client.v1_authorizations(org_id)}
    differences = []
    for one in wanted:
        found = there.get(one.username)
        view: dict[str, t.Any] | None = None
        current: dict[str, t.Any] | None = None
        if found is not None:
            current = {**token_view(found, names), "description": found.get("description", "")}
        if one.present:
            view = {"permissions": sorted(str(right) for right in one.permissions), "status": "active" if one.active else "inactive"}
            if one.description is not None:
                view["description"] = one.description
            # An inactive one is refused whatever its password is.
            if found is None or (not one.keep_password and current is not None and current["status"] == "active"):
                view["sign-in"] = "as given"
                if current is not None:
                    known = client.accepts_password("/query", one.username, one.password or "", (400,))
                    current["sign-in"] = "as given" if known else "another"
        difference = Difference("v1 user", one.username, view, current)
        differences.append(difference)
        if check or not difference.action:
            continue
        path = "/private/legacy/authorizations"
        anew = found is None or "permissions" in difference.changes
        if found is not None and (difference.action == "delete" or anew):
            client.delete(f"{path}/{found['id']}")
        if view is None:
            continue
        if anew:
            rights = [{"action": right.action, "resource": {"type": "buckets", "orgID": org_id, "id": bucket_ids[right.bucket]}} for right in one.permissions]
            description = one.description if one.description is not None else (found or {}).get("description", "")
            body = {"orgID": org_id, "token": one.username, "description": description, "status": view["status"], "permissions": rights}
            found = client.create(path, body)
        elif found is not None and set(difference.changes) - {"sign-in"}:
            client.update(f"{path}/{found['id']}", {key: value for key, value in difference.changes.items() if key in ("status", "description")})
        if found is not None and (anew or "sign-in" in difference.changes):
            client.transport.request("POST", f"{path}/{found['id']}/password", body={"password": one.password}, retry=True)
    return Outcome(Differences(differences), {})
