# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edge Data Replication: connections to other InfluxDBs, and buckets that are copied there through a queue on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t

from .client import Client, Refused
from .difference import Difference, Differences
from .resources import Outcome, unique

# InfluxDB's own limits (2.9.1).
MIN_QUEUE = 33554430
MIN_AGE = 60
MAX_AGE = 5184000

_MARK = re.compile(r"\s*\[token ([0-9a-f]{12}|none)\]$")


@dataclasses.dataclass(frozen=True)
class Remote:
    """A connection to another InfluxDB; of its organisation the name or the id. None leaves the description alone."""

    name: str
    url: str = ""
    token: str = dataclasses.field(default="", repr=False)
    organization: str = ""
    organization_id: str = ""
    description: str | None = None
    present: bool = True


def fingerprint(token: str) -> str:
    """What is shown of a token: the beginning of its digest, of which nothing can be told of a random text."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def remotes(client: Client, connect: t.Callable[[str, str], Client], organization: str, wanted: t.Sequence[Remote], check: bool) -> Outcome:
    """Any number of connections. connect makes a client for an address and a token, to ask the other side for its organisation's id.

    The other side is asked only about a connection that is new or differs: an existing one is compared while it cannot be reached.

    InfluxDB never shows the token of a connection, so its fingerprint is kept at the end of the description: that is how a changed
    token is noticed. Certificates are always verified, with what SSL_CERT_FILE names in influxd's environment.
    """
    unique([one.name for one in wanted], "remote")
    for one in wanted:
        if one.present and not (one.url and one.token and (one.organization or one.organization_id)):
            raise Refused(f"remote {one.name}: it needs an address, a token and the organization there")
        if one.present and not re.match(r"https?://[^/\s]+", one.url):
            raise Refused(f"remote {one.name}: {one.url} is not an address; write it as https://host:8086")
    org_id = client.organization_id(organization)
    found = _by_name(client.remotes(org_id), "remote")
    differences = []
    result = []
    for one in wanted:
        there = found.get(one.name)
        current = remote_view(there) if there is not None else None
        view: dict[str, t.Any] | None = None
        if one.present:
            client.transport.add_secret(one.token)
            view = {"url": one.url, "token": fingerprint(one.token), "verify": True}
            if one.organization_id:
                view["organization_id"] = one.organization_id
            if one.description is not None:
                view["description"] = one.description
        difference = Difference("remote", one.name, view, current)
        differences.append(difference)
        if not check and difference.action:
            if difference.action == "delete" and there is not None:
                client.delete(f"/api/v2/remotes/{there['id']}")
                there = None
            elif view is not None:
                org = one.organization_id or _organization_id(connect, one)
                text = one.description if one.description is not None else (current or {}).get("description", "")
                body = {
                    "name": one.name,
                    "description": f"{text} [token {fingerprint(one.token)}]".lstrip(),
                    "remoteURL": one.url,
                    "remoteAPIToken": one.token,
                    "remoteOrgID": org,
                    "allowInsecureTLS": False,
                }
                if there is None:
                    there = client.create("/api/v2/remotes", {"orgID": org_id, **body})
                else:
                    there = client.update(f"/api/v2/remotes/{there['id']}", body)
        if there is not None:
            result.append({"name": one.name, "id": there["id"], **remote_view(there)})
    return Outcome(Differences(differences), {"remotes": result})


def _organization_id(connect: t.Callable[[str, str], Client], one: Remote) -> str:
    there = connect(one.url, one.token)
    try:
        return there.organization_id(one.organization)
    except Refused as refused:
        raise Refused(f"remote {one.name}: {refused}. Its token needs the right to read orgs, or give organization_id") from None
    finally:
        there.close()


def remote_view(found: dict[str, t.Any]) -> dict[str, t.Any]:
    description = found.get("description") or ""
    mark = _MARK.search(description)
    return {
        "url": found["remoteURL"],
        "organization_id": found.get("remoteOrgID") or "",
        "token": mark.group(1) if mark else "unknown",
        "verify": not found.get("allowInsecureTLS"),
        "description": _MARK.sub("", description),
    }


@dataclasses.dataclass(frozen=True)
class Replication:
    """A local bucket that is copied to a remote one. None leaves what is there, or InfluxDB's default, alone."""

    name: str
    remote: str = ""
    bucket: str = ""
    remote_bucket: str = ""
    max_queue_bytes: int | None = None
    max_age_seconds: int | None = None
    drop_refused: bool | None = None
    description: str | None = None
    present: bool = True


_SETTINGS = {
    "remote_bucket": "remoteBucketName",
    "max_queue_bytes": "maxQueueSizeBytes",
    "max_age_seconds": "maxAgeSeconds",
    "drop_refused": "dropNonRetryableData",
    "description": "description",
}


def replications(client: Client, organization: str, wanted: t.Sequence[Replication], check: bool) -> Outcome:
    """Any number of replications. One whose local bucket changes is made anew, and what waited in its queue is gone then."""
    unique([one.name for one in wanted], "replication")
    for one in wanted:
        _validate(one)
    org_id = client.organization_id(organization)
    bucket_ids = {one["name"]: str(one["id"]) for one in client.buckets(org_id)}
    bucket_names = {value: name for name, value in bucket_ids.items()}
    remote_ids = {one["name"]: str(one["id"]) for one in client.remotes(org_id)}
    remote_names = {value: name for name, value in remote_ids.items()}
    found = _by_name(client.replications(org_id), "replication")
    differences = []
    result = []
    for one in wanted:
        there = found.get(one.name)
        current = replication_view(there, bucket_names, remote_names) if there is not None else None
        view = _replication_wanted(one)
        if view is not None and not check:
            for kind, name, known in (("bucket", one.bucket, bucket_ids), ("remote", one.remote, remote_ids)):
                if name not in known:
                    raise Refused(f"replication {one.name}: there is no {kind} {name} in the organisation {organization}")
        difference = Difference("replication", one.name, view, current)
        differences.append(difference)
        if not check and difference.action:
            changes = difference.changes
            if there is not None and (difference.action == "delete" or "bucket" in changes):
                client.delete(f"/api/v2/replications/{there['id']}")
                there = None
            if view is not None and there is None:
                there = client.create("/api/v2/replications", replication_body(org_id, one, bucket_ids[one.bucket], remote_ids[one.remote]))
            elif view is not None and there is not None:
                body = {_SETTINGS[key]: value for key, value in changes.items() if key in _SETTINGS}
                if "remote" in changes:
                    body["remoteID"] = remote_ids[one.remote]
                there = client.update(f"/api/v2/replications/{there['id']}", body)
        if there is not None:
            result.append({"name": one.name, "id": there["id"], **replication_view(there, bucket_names, remote_names), **queue_of(there)})
    return Outcome(Differences(differences), {"replications": result})


def replication_body(org_id: str, one: Replication, bucket_id: str, remote_id: str) -> dict[str, t.Any]:
    """The request that makes it."""
    settings = {_SETTINGS[key]: getattr(one, key) for key in _SETTINGS if getattr(one, key) is not None}
    # Both have no default on the server: 0 for the size is refused, and no age keeps what is refused for ever.
    return {
        "orgID": org_id,
        "name": one.name,
        "localBucketID": bucket_id,
        "remoteID": remote_id,
        "maxQueueSizeBytes": 2 * MIN_QUEUE,
        "maxAgeSeconds": 604800,
        **settings,
    }


def queue_of(found: dict[str, t.Any]) -> dict[str, t.Any]:
    """How the copying stands."""
    return {
        "queue_bytes": int(found.get("currentQueueSizeBytes") or 0),
        "remaining_bytes": int(found.get("remainingBytesToBeSynced") or 0),
        "latest_status": int(found.get("latestResponseCode") or 0),
        "latest_error": str(found.get("latestErrorMessage") or ""),
    }


# The other side refuses the batch, and will at every repetition. 422 is "in part": a value of another type than its column, or a time
# before what the bucket keeps. InfluxDB 2.9.1 gives up a batch after 400 at most (and only with drop_refused), never after 422.
_REFUSED = frozenset({400, 413, 422})
# What a centre of 2.9.1 says (with 500) of a batch of which the gateway's full disk kept only the beginning.
_TORN = "unable to read data"


def blocked(found: dict[str, t.Any]) -> bool:
    """Whether a replication repeats a batch that is never taken, with everything behind it."""
    queue = queue_of(found)
    return queue["remaining_bytes"] > 0 and (queue["latest_status"] in _REFUSED or _TORN in queue["latest_error"])


def renew(client: Client, organization: str, name: str, check: bool) -> Outcome:
    """Makes a replication anew when its queue is blocked. What waited in it is still in the local bucket, for reconcile to copy."""
    org_id = client.organization_id(organization)
    there = _by_name(client.replications(org_id), "replication").get(name)
    if there is None:
        raise Refused(f"there is no replication {name} in the organisation {organization}")
    queue = queue_of(there)
    current = {"blocked": blocked(there), "reason": queue["latest_error"] if blocked(there) else ""}
    difference = Difference("replication", name, {"blocked": False, "reason": ""}, current)
    if difference.action and not check:
        client.delete(f"/api/v2/replications/{there['id']}")
        body = {key: there.get(key) for key in ("orgID", "name", "localBucketID", "remoteID", *_SETTINGS.values()) if there.get(key) is not None}
        body["remoteBucketName"] = there.get("RemoteBucketName") or body.get("remoteBucketName")
        client.create("/api/v2/replications", body)
    return Outcome(Differences([difference]), {"queue": queue, "renewed": bool(difference.action)})


def _validate(one: Replication) -> None:
    if not one.present:
        return
    if not (one.remote and one.bucket and one.remote_bucket):
        raise Refused(f"replication {one.name}: it needs a remote, a bucket and the remote bucket")
    if one.max_queue_bytes is not None and one.max_queue_bytes < MIN_QUEUE:
        raise Refused(f"replication {one.name}: max_queue_bytes is at least {MIN_QUEUE}, not {one.max_queue_bytes}")
    if one.max_age_seconds is not None and one.max_age_seconds and not MIN_AGE <= one.max_age_seconds <= MAX_AGE:
        raise Refused(f"replication {one.name}: max_age_seconds is 0 (for ever) or from {MIN_AGE} to {MAX_AGE}, not {one.max_age_seconds}")


def _replication_wanted(one: Replication) -> dict[str, t.Any] | None:
    if not one.present:
        return None
    view = {"bucket": one.bucket, "remote": one.remote}
    view.update({key: getattr(one, key) for key in _SETTINGS if getattr(one, key) is not None})
    return view


def replication_view(found: dict[str, t.Any], buckets: dict[str, str], remotes_: dict[str, str]) -> dict[str, t.Any]:
    return {
        "bucket": buckets.get(found["localBucketID"], found["localBucketID"]),
        "remote": remotes_.get(found["remoteID"], found["remoteID"]),
        # The capital is InfluxDB's own.
        "remote_bucket": found.get("RemoteBucketName") or found.get("remoteBucketName") or "",
        "max_queue_bytes": found["maxQueueSizeBytes"],
        "max_age_seconds": found.get("maxAgeSeconds", 0),
        "drop_refused": bool(found.get("dropNonRetryableData")),
        "description": found.get("description") or "",
    }


def _by_name(items: list[dict[str, t.Any]], what: str) -> dict[str, dict[str, t.Any]]:
    found: dict[str, dict[str, t.Any]] = {}
    for item in items:
        if item["name"] in found:
            raise Refused(f"there are several {what}s called {item['name']} ({found[item['name']]['id']}, {item['id']}); remove all but one")
        found[item["name"]] = item
    return found
