# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setup, buckets, mappings of InfluxQL's databases, and tokens. Each function compares, and changes unless it only predicts."""

from __future__ import annotations

import dataclasses
import typing as t

from .._http import Fault
from . import duration
from .client import Client, Refused
from .difference import Difference, Differences


@dataclasses.dataclass
class Outcome:
    """What was (with check: would be) done, and the values for the module's result."""

    differences: Differences
    values: dict[str, t.Any] = dataclasses.field(default_factory=dict)


# -- setup ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Setup:
    """The first user, organisation and bucket, and the operator token, which can be chosen only here."""

    username: str
    organization: str
    bucket: str
    retention: str
    password: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(repr=False)


def setup(client: Client, wanted: Setup, check: bool) -> Outcome:
    """Sets InfluxDB up; of one that is set up already it only makes sure that the operator token is the one here."""
    period = duration.seconds(wanted.retention, "retention")
    if not wanted.token or not wanted.password:
        raise Refused("setup needs the operator token and the password of the first user")
    shown = {"organization": wanted.organization, "bucket": wanted.bucket, "username": wanted.username}
    if client.setup_allowed():
        difference = Difference("setup", wanted.organization, {**shown, "retention": duration.text(period)}, None)
        values: dict[str, t.Any] = {"already_set_up": False}
        if not check:
            answer = client.setup(
                {
                    "username": wanted.username,
                    "password": wanted.password,
                    "org": wanted.organization,
                    "bucket": wanted.bucket,
                    "retentionPeriodSeconds": period,
                    "token": wanted.token,
                }
            )
            values["organization_id"] = answer.get("org", {}).get("id")
        return Outcome(Differences([difference]), values)
    try:
        organization = client.organization(wanted.organization)
    except Fault as fault:
        if fault.status != 401:
            raise
        raise Refused(
            f"InfluxDB at {client.transport.base_url} is already set up, but does not accept this operator token. Put the token"
            " that it was set up with into the secret (a token cannot be read back from InfluxDB), or make a new one on its host"
            " with `influxd recovery auth create-operator` while the service is stopped"
        ) from fault
    if organization is None:
        raise Refused(
            f"InfluxDB at {client.transport.base_url} is already set up and accepts this token, but has no organisation"
            f" {wanted.organization}, or this is no operator token. Check the organisation's name"
        )
    return Outcome(
        Differences([Difference("setup", wanted.organization, shown, shown)]),
        {"already_set_up": True, "organization_id": organization["id"]},
    )


# -- buckets -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket. None leaves what is there (or InfluxDB's default) alone."""

    name: str
    retention: str | None = None
    shard_duration: str | None = None
    description: str | None = None
    schema_type: str | None = None
    present: bool = True


def bucket_view(found: dict[str, t.Any]) -> dict[str, t.Any]:
    rule = (found.get("retentionRules") or [{}])[0]
    return {
        "description": found.get("description", ""),
        "retention": duration.text(int(rule.get("everySeconds", 0))),
        "shard_duration": duration.text(int(rule.get("shardGroupDurationSeconds", 0))),
        "schema_type": found.get("schemaType") or "implicit",
    }


def _bucket_wanted(bucket: Bucket) -> dict[str, t.Any] | None:
    if not bucket.present:
        return None
    wanted: dict[str, t.Any] = {}
    if bucket.description is not None:
        wanted["description"] = bucket.description
    if bucket.schema_type is not None:
        wanted["schema_type"] = bucket.schema_type
    if bucket.retention is not None:
        period = duration.seconds(bucket.retention, f"bucket {bucket.name}: retention")
        if 0 < period < 3600:
            raise Refused(f"bucket {bucket.name}: the shortest retention of InfluxDB is 1h, not {bucket.retention}")
        wanted["retention"] = duration.text(period)
    if bucket.shard_duration is not None:
        wanted["shard_duration"] = duration.text(duration.seconds(bucket.shard_duration, f"bucket {bucket.name}: shard_duration"))
    return wanted


def _bucket_body(difference: Difference, current: dict[str, t.Any] | None) -> dict[str, t.Any]:
    changes = difference.changes
    body: dict[str, t.Any] = {}
    if "description" in changes:
        body["description"] = changes["description"]
    if changes.get("schema_type") == "explicit":
        body["schemaType"] = "explicit"
    rule: dict[str, t.Any] = {}
    if "retention" in changes:
        rule["everySeconds"] = duration.seconds(changes["retention"], "retention")
    if "shard_duration" in changes:
        rule["shardGroupDurationSeconds"] = duration.seconds(changes["shard_duration"], "shard_duration")
    elif "retention" in changes and current is not None:
        # 0 lets the server choose again, as it does for a new bucket: the old one may be longer than the new retention.
        rule["shardGroupDurationSeconds"] = 0
    if rule:
        body["retentionRules"] = [{"type": "expire", **rule}]
    return body


def buckets(client: Client, organization: str, wanted: t.Sequence[Bucket], check: bool) -> Outcome:
    """Any number of buckets, compared with one list."""
    unique([bucket.name for bucket in wanted], "bucket")
    views = [(bucket, _bucket_wanted(bucket)) for bucket in wanted]
    org_id = client.organization_id(organization)
    found = {bucket["name"]: bucket for bucket in client.buckets(org_id)}
    explicit = sorted(bucket.name for bucket in wanted if bucket.schema_type == "explicit")
    if explicit and client.build() == "OSS":
        # It would take the property and store whatever comes.
        raise Refused(f"bucket {', '.join(explicit)}: the open-source InfluxDB has no explicit schemas; leave schema_type out")
    differences = []
    for bucket, view in views:
        there = found.get(bucket.name)
        if view is not None and "schema_type" in view and there is not None and view["schema_type"] != bucket_view(there)["schema_type"]:
            raise Refused(f"bucket {bucket.name}: the schema_type of a bucket cannot be changed; make another bucket")
        if there is not None and there.get("type") == "system" and view != {}:
            raise Refused(f"bucket {bucket.name} belongs to InfluxDB itself and is not changed")
        current = bucket_view(there) if there is not None else None
        difference = Difference("bucket", bucket.name, view, current)
        differences.append(difference)
        if check:
            continue
        if difference.action == "create":
            body = _bucket_body(difference, None)
            found[bucket.name] = client.create("/api/v2/buckets", {"orgID": org_id, "name": bucket.name, **body})
        elif difference.action == "update" and there is not None:
            found[bucket.name] = client.update(f"/api/v2/buckets/{there['id']}", _bucket_body(difference, current))
        elif difference.action == "delete" and there is not None:
            client.delete(f"/api/v2/buckets/{there['id']}")
            del found[bucket.name]
    result = [{"name": bucket.name, "id": found[bucket.name]["id"], **bucket_view(found[bucket.name])} for bucket in wanted if bucket.name in found]
    return Outcome(Differences(differences), {"buckets": result})


# -- mappings of InfluxQL's databases ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mapping:
    """An InfluxQL database and retention policy that stand for a bucket. default: make it its database's default."""

    database: str
    retention_policy: str
    bucket: str = ""
    default: bool = False
    present: bool = True


def mappings(client: Client, organization: str, wanted: t.Sequence[Mapping], check: bool) -> Outcome:
    """Any number of mappings. InfluxDB's own (virtual) ones count as what they are: good enough when they say the same."""
    unique([f"{one.database}/{one.retention_policy}" for one in wanted], "mapping")
    org_id = client.organization_id(organization)
    bucket_ids = {bucket["name"]: bucket["id"] for bucket in client.buckets(org_id)} if any(one.present for one in wanted) else {}
    names = {bucket_id: name for name, bucket_id in bucket_ids.items()}
    found = {(one["database"], one["retention_policy"]): one for one in client.mappings(org_id)}
    differences = []
    query = {"orgID": org_id}
    for one in wanted:
        name = f"{one.database}/{one.retention_policy}"
        there = found.get((one.database, one.retention_policy))
        view: dict[str, t.Any] | None = None
        if one.present:
            if one.bucket not in bucket_ids and not check:
                raise Refused(f"mapping {name}: there is no bucket {one.bucket} in the organisation {organization}")
            view = {"bucket": one.bucket, **({"default": True} if one.default else {})}
        elif there is not None and there.get("virtual"):
            # A virtual mapping is there as long as its bucket is.
            there = None
        current = None
        if there is not None:
            current = {"bucket": names.get(there["bucketID"], there["bucketID"]), "default": bool(there.get("default"))}
            if there.get("virtual") and view is not None and any(current.get(key) != value for key, value in view.items()):
                # Something real takes the virtual one's place.
                there = current = None
        difference = Difference("mapping", name, view, current)
        differences.append(difference)
        if check or not difference.action:
            continue
        if there is not None and (difference.action == "delete" or "bucket" in difference.changes):
            # The bucket of a mapping cannot be changed.
            client.delete(f"/api/v2/dbrps/{there['id']}", query)
            there = None
        if view is not None and there is None:
            client.create(
                "/api/v2/dbrps",
                {
                    "orgID": org_id,
                    "bucketID": bucket_ids[one.bucket],
                    "database": one.database,
                    "retention_policy": one.retention_policy,
                    "default": one.default,
                },
            )
        elif view is not None and there is not None:
            client.update(f"/api/v2/dbrps/{there['id']}", {"default": True}, query)
    return Outcome(Differences(differences), {})


# -- tokens --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, order=True)
class Permission:
    """One right. bucket is a bucket's name, only for the type `buckets`; empty means all objects of the type in the organisation, and
    for the type `orgs` the organisation itself."""

    action: str
    type: str
    bucket: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.type}{'/' + self.bucket if self.bucket else ''}"


@dataclasses.dataclass(frozen=True)
class Token:
    """A token, known by its description. stored is the value that the site's store has (empty: none)."""

    description: str
    permissions: tuple[Permission, ...] = ()
    stored: str = dataclasses.field(default="", repr=False)
    present: bool = True


@dataclasses.dataclass
class NewToken:
    """A token that was just made. superseded are the ids of those that it replaces, deleted once it is stored."""

    description: str
    value: str = dataclasses.field(repr=False)
    superseded: list[str] = dataclasses.field(default_factory=list)


def tokens(client: Client, probe: t.Callable[[str], Client], organization: str, wanted: t.Sequence[Token], check: bool) -> tuple[Outcome, list[NewToken]]:
    """Any number of tokens. probe makes a client with another token, to try a stored one.

    InfluxDB keeps tokens as hashes, so that a value cannot be compared: the stored one is tried. A new token is made before the old
    one goes, and the caller deletes the old one (`forget`) only after the new one is safe, so that an interruption at any point
    leaves something that the next run puts right.
    """
    unique([token.description for token in wanted], "token")
    for token in wanted:
        if not token.description:
            raise Refused("a token needs a description: that is what it is known by")
        if token.present and not token.permissions:
            raise Refused(f"token {token.description}: it has no permissions, so it could do nothing")
        for permission in token.permissions:
            if permission.bucket and permission.type != "buckets":
                raise Refused(f"token {token.description}: {permission.type} has no bucket")
    org_id = client.organization_id(organization)
    # InfluxDB's own buckets are seen by operators only.
    bucket_ids = {one["name"]: str(one["id"]) for one in client.buckets(org_id) if one.get("type") != "system"}
    names = {bucket_id: name for name, bucket_id in bucket_ids.items()}
    found: dict[str, list[dict[str, t.Any]]] = {}
    for authorization in client.authorizations(org_id):
        found.setdefault(authorization.get("description", ""), []).append(authorization)

    differences = []
    made = []
    reasons: dict[str, str] = {}
    for token in wanted:
        there = found.get(token.description, [])
        view = {"permissions": sorted(str(one) for one in token.permissions), "status": "active"} if token.present else None
        current = token_view(there[0], names) if there else None
        if view is not None:
            reason = _reason(client, probe, org_id, token, view, there, current, bucket_ids)
            if reason:
                reasons[token.description] = reason
                # What makes a token new is part of what is compared, so that the diff says it.
                view = {**view, "value": "new"}
                if current is not None:
                    current = {**current, "value": reason}
        difference = Difference("token", token.description, view, current)
        differences.append(difference)
        if check or not difference.action:
            continue
        old = [str(one["id"]) for one in there]
        if difference.action == "delete":
            forget(client, old)
        else:
            made.append(NewToken(token.description, _create(client, org_id, token, bucket_ids), old))
    return Outcome(Differences(differences), {"reasons": reasons}), made


def forget(client: Client, ids: t.Iterable[str]) -> None:
    """Deletes authorizations by their ids."""
    for one in ids:
        client.delete(f"/api/v2/authorizations/{one}")


def token_view(authorization: dict[str, t.Any], names: dict[str, str]) -> dict[str, t.Any]:
    permissions = []
    for permission in authorization.get("permissions") or []:
        resource = permission.get("resource", {})
        identifier = resource.get("id", "") if resource.get("type") != "orgs" else ""
        bucket = names.get(identifier, identifier)
        permissions.append(str(Permission(permission["action"], resource.get("type", ""), bucket)))
    return {"permissions": sorted(permissions), "status": authorization.get("status", "")}


def _reason(
    client: Client,
    probe: t.Callable[[str], Client],
    org_id: str,
    token: Token,
    view: dict[str, t.Any],
    there: list[dict[str, t.Any]],
    current: dict[str, t.Any] | None,
    bucket_ids: dict[str, str],
) -> str:
    """Why the token must be made anew; empty when it need not."""
    if not there:
        return "there is none with this description"
    if len(there) > 1:
        # An earlier run was interrupted after it had made the new one: which of them is stored cannot be told.
        return "there are several with this description"
    if current != view:
        return "its permissions or its status differ"
    if not token.stored:
        return "its value is not in the store"
    client.transport.add_secret(token.stored)
    tried = probe(token.stored)
    try:
        return _try(tried, org_id, token, bucket_ids)
    finally:
        tried.close()


def _try(tried: Client, org_id: str, token: Token, bucket_ids: dict[str, str]) -> str:
    """Whether the stored value is this token: it must be accepted and have just these rights on buckets."""
    buckets_of = [one for one in token.permissions if one.type == "buckets"]
    everything = {one.action for one in buckets_of if not one.bucket}
    try:
        # Who may read the organisation sees InfluxDB's own buckets too.
        visible = {bucket["name"] for bucket in tried.buckets(org_id) if bucket.get("type") != "system"}
    except Fault as fault:
        if fault.status == 401:
            return "the stored value is not accepted"
        raise
    readable = set(bucket_ids) if "read" in everything else {one.bucket for one in buckets_of if one.action == "read"}
    if visible != readable:
        return "the stored value is another token"
    for one in buckets_of:
        # Writing nothing changes nothing, and is refused without the right to write.
        if one.action == "write" and one.bucket:
            query = {"orgID": org_id, "bucket": bucket_ids[one.bucket]}
            answer = tried.transport.request("POST", "/api/v2/write", query=query, body="", retry=True, accept=(401, 403, 404))
            if answer.status >= 400:
                return "the stored value is another token"
    return ""


def _create(client: Client, org_id: str, token: Token, bucket_ids: dict[str, str]) -> str:
    permissions = []
    for one in token.permissions:
        # A right on "all organisations of an organisation" would be taken, and allow nothing.
        resource: dict[str, str] = {"type": one.type, "id" if one.type == "orgs" else "orgID": org_id}
        if one.bucket:
            if one.bucket not in bucket_ids:
                raise Refused(f"token {token.description}: there is no bucket {one.bucket}")
            resource["id"] = bucket_ids[one.bucket]
        permissions.append({"action": one.action, "resource": resource})
    answer = client.create("/api/v2/authorizations", {"orgID": org_id, "description": token.description, "permissions": permissions})
    value = answer.get("token")
    if not isinstance(value, str) or not value:
        raise Fault("body", "POST", f"{client.transport.base_url}/api/v2/authorizations", "the answer has no token in it")
    client.transport.add_secret(value)
    return value


def unique(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(f"{what} named more than once: {', '.join(twice)}")
