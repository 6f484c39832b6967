# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a whole InfluxDB, and their way back, through the API, in the files that `influx backup` and `influx restore` use.

Not by the `influx` program: it would take the operator token of the backup as an argument, which every user of the host can see, and it
ends well when it has backed up or restored nothing because a name was wrong.
"""

from __future__ import annotations

import copy
import dataclasses
import glob
import gzip
import json
import mmap
import os
import re
import shutil
import time
import typing as t
import zlib

from .._http import Fault, Response
from .client import Client, Refused
from .difference import Difference, Differences
from .resources import Outcome

GZIP = 1


@dataclasses.dataclass(frozen=True)
class Backup:
    """A backup that was looked through: every file is there and whole."""

    path: str
    manifest: dict[str, t.Any]
    size: int

    @property
    def buckets(self) -> list[dict[str, t.Any]]:
        return list(self.manifest["buckets"])

    def names(self) -> list[str]:
        return sorted(f"{one['organizationName']}/{one['bucketName']}" for one in self.buckets)


def shards(bucket: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """The shards of a bucket in a manifest."""
    for policy in bucket["retentionPolicies"]:
        for group in policy["shardGroups"]:
            yield from group["shards"]


def inspect(path: str) -> Backup:
    """Reads a backup to its last byte; Refused when something is missing or damaged."""
    manifests = sorted(glob.glob(os.path.join(glob.escape(path), "*.manifest")))
    if len(manifests) != 1:
        raise Refused(f"{path} is no backup: it has {len(manifests)} manifests, not one")
    try:
        with open(manifests[0], encoding="utf-8") as file:
            manifest = json.load(file)
        files = [manifest["kv"], manifest["sql"], *(shard for bucket in manifest["buckets"] for shard in shards(bucket))]
        wanted = [(str(one["fileName"]), int(one["size"]), int(one["compression"])) for one in files]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Refused(f"the backup in {path} has a damaged manifest: {error!r}") from None
    for name, size, compression in wanted:
        _whole(os.path.join(path, os.path.basename(name)), size, compression)
    return Backup(path, manifest, sum(size for _name, size, _compression in wanted))


def _whole(path: str, size: int, compression: int) -> None:
    try:
        if os.path.getsize(path) != size:
            raise Refused(f"the backup is damaged: {path} has {os.path.getsize(path)} bytes, {size} are in its manifest")
        if compression == GZIP:
            # The checksum is at the end.
            with gzip.open(path) as file:
                while file.read(1048576):
                    pass
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"the backup is damaged: {path}: {error}") from None


def backup(client: Client, path: str, check: bool) -> Outcome:
    """A backup of everything in a directory that must not be there yet; one that is there and whole is left alone."""
    if os.path.isdir(path):
        there = inspect(path)
        view = {"buckets": there.names()}
        return Outcome(Differences([Difference("backup", path, view, view)]), _values(there))
    if os.path.lexists(path):
        raise Refused(f"{path} is there and is no directory")
    names = [f"{org['name']}/{bucket['name']}" for org in client.listed("/api/v2/orgs", "orgs") for bucket in client.buckets(org["id"])]
    difference = Difference("backup", path, {"buckets": sorted(names)}, None)
    if check:
        return Outcome(Differences([difference]), {"path": path})
    # The name says that it is whole, so it gets it at the end.
    partial = f"{path}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        os.makedirs(partial, mode=0o700)
        _download(client, partial)
        there = inspect(partial)
        os.rename(partial, path)
    except OSError as error:
        raise Refused(f"the backup cannot be written to {path}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync(os.path.dirname(os.path.abspath(path)))
    made = Difference("backup", path, {"buckets": there.names()}, None)
    return Outcome(Differences([made]), {**_values(there), "path": path})


def _values(there: Backup) -> dict[str, t.Any]:
    return {"path": there.path, "buckets": there.names(), "size": there.size}


def _download(client: Client, path: str) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    raw = os.path.join(path, "metadata")
    with _create(raw) as file:
        response = client.transport.request("GET", "/api/v2/backup/metadata", into=file)
    parts = {"kv": f"{stamp}.bolt.gz", "sql": f"{stamp}.sqlite.gz"}
    manifest: dict[str, t.Any] = {"manifestVersion": 2}
    described: list[dict[str, t.Any]] | None = None
    with open(raw, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name, start, end in _multipart(data, response):
            if name in parts:
                manifest[name] = _compress(memoryview(data)[start:end], os.path.join(path, parts[name]))
            elif name == "buckets":
                described = json.loads(data[start:end])
    os.unlink(raw)
    if described is None or set(manifest) != {"manifestVersion", "kv", "sql"}:
        raise Fault("body", "GET", response.url, "the answer lacks a part", status=response.status, hint="InfluxDB 2.1 or newer is needed")
    manifest["buckets"] = described
    for bucket in described:
        for policy in bucket["retentionPolicies"]:
            for group in policy["shardGroups"]:
                found = [(shard, _shard(client, path, stamp, int(shard["id"]))) for shard in group["shards"]]
                # One that expired meanwhile is not missed.
                group["shards"] = [{**shard, **entry} for shard, entry in found if entry is not None]
    with _create(os.path.join(path, f"{stamp}.manifest")) as file:
        file.write(json.dumps(manifest, indent=2).encode())
        _flush(file)
    _sync(path)


def _multipart(data: mmap.mmap, response: Response) -> t.Iterator[tuple[str, int, int]]:
    """Name, beginning and end of each part."""
    boundary = re.search(r'boundary="?([^";]+)"?', response.headers.get("content-type", ""))
    if not boundary:
        raise Fault("body", "GET", response.url, "the answer has no parts", status=response.status)
    mark = b"--" + boundary.group(1).encode()
    position = data.find(mark)
    while position >= 0:
        start = data.find(b"\r\n\r\n", position)
        following = data.find(b"\r\n" + mark, start)
        if start < 0 or following < 0:
            return
        name = re.search(rb'name="([^"]+)"', data[position:start])
        yield (name.group(1).decode() if name else ""), start + 4, following
        position = following + 2


def _shard(client: Client, path: str, stamp: str, shard_id: int) -> dict[str, t.Any] | None:
    name = f"{stamp}.{shard_id}.tar.gz"
    full = os.path.join(path, name)
    with _create(full) as file:
        response = client.transport.request("GET", f"/api/v2/backup/shards/{shard_id}", headers={"Accept-Encoding": "gzip"}, absent=True, into=file)
        _flush(file)
    if response is None:
        os.unlink(full)
        return None
    if response.headers.get("content-encoding") != "gzip":
        # A small answer comes as it is.
        plain = full + ".plain"
        os.rename(full, plain)
        with open(plain, "rb") as file:
            entry = _compress(file.read(), full)
        os.unlink(plain)
        return entry
    return {"fileName": name, "size": os.path.getsize(full), "compression": GZIP}


def _compress(data: t.Any, path: str) -> dict[str, t.Any]:
    with _create(path) as file:
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as zipped:
            for start in range(0, len(data), 1048576):
                zipped.write(data[start : start + 1048576])
        _flush(file)
    if isinstance(data, memoryview):
        data.release()
    return {"fileName": os.path.basename(path), "size": os.path.getsize(path), "compression": GZIP}


def _create(path: str) -> t.BinaryIO:
    # All tokens and users are in it.
    return t.cast("t.BinaryIO", os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b"))


def _flush(file: t.BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- the way back --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A bucket of a backup, and its name here."""

    name: str
    new_name: str


def restore_buckets(client: Client, path: str, from_organization: str, organization: str, wanted: t.Sequence[Wanted], check: bool) -> Outcome:
    """Makes buckets with the data of a backup. A bucket that is there already is left alone: InfluxDB restores into new ones only."""
    source = inspect(path)
    known = {one["bucketName"]: one for one in source.buckets if one["organizationName"] == from_organization}
    missing = sorted({one.name for one in wanted} - set(known))
    if missing:
        raise Refused(f"the backup in {path} has no bucket {', '.join(missing)} of the organisation {from_organization}; it has {', '.join(source.names())}")
    twice = sorted({one.new_name for one in wanted if [other.new_name for other in wanted].count(one.new_name) > 1})
    if twice:
        raise Refused(f"several buckets would be called {', '.join(twice)}")
    org_id = client.organization_id(organization)
    there = {one["name"] for one in client.buckets(org_id)}
    differences = []
    for one in wanted:
        view = {"from": f"{source.path}: {one.name}"}
        difference = Difference("bucket", one.new_name, view, view if one.new_name in there else None)
        differences.append(difference)
        if difference.action and not check:
            _restore_bucket(client, source, known[one.name], org_id, organization, one.new_name)
    return Outcome(Differences(differences), {"restored": [one.name for one in differences if one.action]})


def _restore_bucket(client: Client, source: Backup, described: dict[str, t.Any], org_id: str, organization: str, name: str) -> None:
    body = copy.deepcopy(described)
    body |= {"organizationID": org_id, "organizationName": organization, "bucketName": name}
    for shard in shards(body):
        for key in ("fileName", "size", "compression"):
            del shard[key]
    answer = client.transport.request("POST", "/api/v2/restore/bucketMetadata", body=body).json_dict()
    mapping = {int(one["oldId"]): int(one["newId"]) for one in answer.get("shardMappings") or []}
    try:
        for shard in shards(described):
            if int(shard["id"]) not in mapping:
                raise Refused(f"InfluxDB gave no place for shard {shard['id']} of the bucket {name}")
            _upload(client, source, f"/api/v2/restore/shards/{mapping[int(shard['id'])]}", shard)
    except BaseException:
        # Half of a bucket would be taken for the whole by the next run.
        client.delete(f"/api/v2/buckets/{answer['id']}")
        raise


def restore_all(client: Client, path: str, operator_token: str, check: bool) -> Outcome:
    """Replaces everything in an InfluxDB by a backup: users, tokens, buckets and data."""
    source = inspect(path)
    organizations = [org["name"] for org in client.listed("/api/v2/orgs", "orgs")]
    difference = Difference("server", client.transport.base_url, {"from": source.path, "buckets": source.names()}, {"organizations": organizations})
    if check:
        return Outcome(Differences([difference]), {"restored": source.names()})
    answer = _upload(client, source, "/api/v2/restore/kv", source.manifest["kv"]).json_dict()
    # From here on the tokens are those of the backup. A hashed one cannot be told.
    token = str(answer.get("token") or operator_token)
    client.transport.add_secret(token)
    client.transport.headers["Authorization"] = f"Token {token}"
    try:
        _upload(client, source, "/api/v2/restore/sql", source.manifest["sql"])
    except Fault as fault:
        if fault.status != 401:
            raise
        raise Refused(
            "the users and tokens of the backup are restored, its data is not: the operator token is not the one of the time of the backup."
            " Run this again with that one, as token and as operator_token"
        ) from fault
    for bucket in source.buckets:
        for shard in shards(bucket):
            _upload(client, source, f"/api/v2/restore/shards/{shard['id']}", shard)
    return Outcome(Differences([difference]), {"restored": source.names()})


def _upload(client: Client, source: Backup, path: str, entry: dict[str, t.Any]) -> Response:
    full = os.path.join(source.path, os.path.basename(entry["fileName"]))
    headers = {"Content-Encoding": "gzip"} if entry["compression"] == GZIP else {}
    with open(full, "rb") as file:
        # Sets what is there: to repeat it does no harm.
        return client.transport.request("POST", path, body=file, headers=headers, retry=True)
