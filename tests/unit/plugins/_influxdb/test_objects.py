# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each kind of object through its life, with a small InfluxDB in memory; the same lives are tried on a real one (tests/integration)."""

from __future__ import annotations

import base64
import itertools
import json
import re

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault, Response
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import accounts, info, replication, resources, tasks
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client, InfluxDialect, Refused

ORG = "edgestack"
LISTS = {
    "/api/v2/orgs": "orgs", "/api/v2/users": "users", "/api/v2/buckets": "buckets", "/api/v2/tasks": "tasks", "/api/v2/remotes": "remotes",
    "/api/v2/replications": "replications", "/private/legacy/authorizations": "authorizations", "/api/v2/dbrps": "content",
}  # fmt: skip


class Memory:
    """As much of InfluxDB's API as the backends use; writes are counted."""

    base_url = "http://memory:8086"

    def __init__(self):
        self.dialect = InfluxDialect()
        self.headers = {}
        self.ids = itertools.count(1)
        self.lists = {path: [] for path in LISTS}
        self.passwords = {}
        self.roles = {}
        self.writes = 0
        self.org = self.make("/api/v2/orgs", {"name": ORG})["id"]

    def make(self, path, body):
        found = {"id": f"{next(self.ids):016x}", **body}
        self.fill(path, found)
        self.lists[path].append(found)
        return found

    @staticmethod
    def fill(path, found):
        if path == "/api/v2/tasks":
            found["name"] = re.search(r'name: "([^"]*)"', found["flux"])[1]
        if path == "/api/v2/replications" and "remoteBucketName" in found:
            found["RemoteBucketName"] = found.pop("remoteBucketName")
        found.setdefault("status", "active")

    def request(self, method, path, *, body=None, query=None, headers=None, retry=None, accept=(), absent=False, into=None):
        self.writes += method != "GET" and "sign" not in path
        status, data, head = self.answer(method, path, body, query or {}, headers or {})
        if status == 404 and absent:
            return None
        if status >= 400 and status not in accept:
            raise Fault("status", method, path, "no", status=status)
        return Response(method, self.base_url + path, status, head, json.dumps(data).encode() if data is not None else b"")

    def answer(self, method, path, body, query, headers):
        if path in ("/health", "/api/v2/setup"):
            return 200, {"status": "pass", "version": "v2.9.1", "allowed": False}, {"X-Influxdb-Build": "OSS"}
        if path in ("/api/v2/signin", "/query"):
            name, _colon, password = base64.b64decode(headers["Authorization"].split()[1]).decode().partition(":")
            known = self.passwords.get(name) == password
            return (204 if path.endswith("signin") else 400, None, {"Set-Cookie": "session=1; Path=/"}) if known else (401, None, {})
        if path == "/api/v2/signout":
            return 204, None, {}
        parts = re.fullmatch(r"(.*?)/([0-9a-f]{16})(?:/(\w+)(?:/([0-9a-f]{16}))?)?", path)
        if parts and parts[3] == "password":
            found = self.find(parts[1], parts[2])
            self.passwords[found.get("token", found.get("name"))] = body["password"]
            return 204, None, {}
        if parts and parts[3]:
            return self.members(method, parts, body)
        if parts:
            return self.one(method, parts[1], parts[2], body)
        if method == "POST":
            return 201, self.make(path, body), {}
        return self.listed(path, query)

    def listed(self, path, query):
        found = [one for one in self.lists[path] if query.get("orgID") in (None, one.get("orgID"))]
        name = query.get("org") or query.get("name")
        if name:
            found = [one for one in found if one["name"] == name]
            if not found:
                return 404, {"code": "not found", "message": "none"}, {}
        if "after" in query:
            found = [one for one in found if one["id"] > query["after"]]
        start = int(query.get("offset") or 0)
        return 200, {LISTS[path]: found[start : start + int(query.get("limit") or 1000)]}, {}

    def find(self, path, one_id):
        return next(one for one in self.lists[path] if one["id"] == one_id)

    def one(self, method, path, one_id, body):
        if method == "DELETE":
            self.lists[path] = [one for one in self.lists[path] if one["id"] != one_id]
            return 204, None, {}
        found = self.find(path, one_id)
        found.update(body)
        self.fill(path, found)
        return 200, found, {}

    def members(self, method, parts, body):
        users = self.roles.setdefault((parts[2], parts[3]), set())
        if method == "POST":
            users.add(body["id"])
        elif method == "DELETE":
            users.discard(parts[4])
        return 200, {"users": [{"id": one} for one in users]}, {}

    def add_secret(self, _secret):
        pass

    def close(self):
        pass


@pytest.fixture
def client():
    client = Client(Memory())
    for name in ("a", "b"):
        client.transport.make("/api/v2/buckets", {"orgID": client.transport.org, "name": name, "type": "user", "retentionRules": []})
    return client


def life(client, call, steps):
    """Each step is predicted without a write, done, and not done again."""
    for wanted, action in steps:
        before = client.transport.writes
        predicted = call(wanted, True)
        assert client.transport.writes == before
        assert [one["action"] for one in predicted.differences.actions()] == ([action] if action else [])
        done = call(wanted, False)
        assert done.differences.diff() == predicted.differences.diff()
        assert not call(wanted, False).differences.changed, wanted


def test_organizations(client):
    one = accounts.Organization
    steps = [(one("x", "d"), "create"), (one("x"), ""), (one("x", "e"), "update"), (one("x", present=False), "delete")]
    life(client, lambda wanted, check: accounts.organizations(client, [wanted], check), steps)
    client.transport.listed = lambda path, query: (200, {"orgs": []}, {})
    with pytest.raises(Refused, match="may not see it"):
        accounts.organizations(client, [one("x", present=False)], False)


def test_users(client):
    def one(**options):
        return accounts.User("alice", **options)

    steps = [
        (one(password="password-1", roles={ORG: "member"}), "create"),
        (one(password="password-2"), "update"),
        (one(password="password-3", keep_password=True), ""),
        (one(active=False, roles={ORG: "owner"}), "update"),
        (one(roles={ORG: "none"}), "update"),
        (one(present=False), "delete"),
    ]
    life(client, lambda wanted, check: accounts.users(client, [wanted], check), steps)
    assert client.transport.passwords["alice"] == "password-2"
    with pytest.raises(Refused, match="8 to 72"):
        accounts.users(client, [one(password="short")], False)


def test_v1_user_names(client):
    def one(**options):
        return accounts.V1Auth("logger", **{"password": "password-1", "write": ("a",), **options})

    steps = [
        (one(description="d"), "create"),
        (one(), ""),
        (one(password="password-2"), "update"),
        (one(password="password-3", keep_password=True), ""),
        (one(password="password-2", read=("b",)), "update"),
        (one(password="password-2", read=("b",), active=False, description="e"), "update"),
        (one(present=False), "delete"),
    ]
    life(client, lambda wanted, check: accounts.v1_auths(client, ORG, [wanted], check), steps)
    for options, message in (({"write": ()}, "no buckets"), ({"password": None}, "needs a password"), ({"read": ("none",)}, "no bucket none")):
        with pytest.raises(Refused, match=message):
            accounts.v1_auths(client, ORG, [one(**options)], False)


def test_tasks(client):
    def one(**options):
        return tasks.Task("t", **{"query": "x = 1", "every": "1h", **options})

    steps = [
        (one(offset="5m", description="d"), "create"),
        (one(every=None, cron="0 3 * * *"), "update"),
        (one(active=False), "update"),
        (one(present=False), "delete"),
    ]
    life(client, lambda wanted, check: tasks.tasks(client, ORG, [wanted], check), steps)
    for options, message in (
        ({"query": ""}, "needs a query"),
        ({"query": "option task = {}"}, "leave"),
        ({"cron": "x"}, "every or cron"),
        ({"every": "soon"}, "not a duration"),
    ):
        with pytest.raises(Refused, match=message):
            tasks.tasks(client, ORG, [one(**options)], True)
    for _twice in range(2):
        client.transport.make("/api/v2/tasks", {"orgID": client.transport.org, "flux": one().flux()})
    with pytest.raises(Refused, match="several with this name"):
        tasks.tasks(client, ORG, [one()], True)


def test_buckets_and_mappings(client):
    one = resources.Bucket
    steps = [(one("x", retention="7d", description="d", schema_type="implicit"), "create"), (one("x", retention="1h"), "update")]
    steps += [(one("x", shard_duration="30m"), "update"), (one("x", present=False), "delete")]
    life(client, lambda wanted, check: resources.buckets(client, ORG, [wanted], check), steps)
    for wanted, message in ((one("x", retention="1m"), "shortest"), (one("x", schema_type="explicit"), "no explicit schemas")):
        with pytest.raises(Refused, match=message):
            resources.buckets(client, ORG, [wanted], True)
    mapping = resources.Mapping
    life(
        client,
        lambda wanted, check: resources.mappings(client, ORG, [wanted], check),
        [(mapping("d", "r", "a"), "create"), (mapping("d", "r", "b"), "update"), (mapping("d", "r", "b", default=True), "update")]
        + [(mapping("d", "r", present=False), "delete")],
    )


def test_remotes_and_replications(client):
    asked = []

    def there(url, token):
        asked.append((url, token))
        return client

    def remote(**options):
        return replication.Remote("centre", **{"url": "https://centre:8086", "token": "t-1", "organization": ORG, **options})

    def call(wanted, check):
        return replication.remotes(client, there, ORG, [wanted], check)

    life(client, call, [(remote(description="d"), "create"), (remote(), ""), (remote(token="t-2"), "update"), (remote(url="https://other:8086"), "update")])
    # Only for what is new or differs.
    assert asked == [("https://centre:8086", "t-1"), ("https://centre:8086", "t-2"), ("https://other:8086", "t-1")]
    assert "t-1" not in str(client.remotes(client.transport.org)[0]["description"])
    for options, message in (({"url": "centre"}, "not an address"), ({"token": ""}, "needs an address")):
        with pytest.raises(Refused, match=message):
            call(remote(**options), True)
    with pytest.raises(Refused, match="right to read orgs"):
        call(remote(token="t-3", organization="none"), False)

    def copies(**options):
        return replication.Replication("r", **{"remote": "centre", "bucket": "a", "remote_bucket": "z", **options})

    steps = [
        (copies(), "create"),
        (copies(max_queue_bytes=40000000, max_age_seconds=0, drop_refused=True, description="d"), "update"),
        (copies(bucket="b"), "update"),
        (copies(bucket="b", remote_bucket="y"), "update"),
        (copies(present=False), "delete"),
    ]
    life(client, lambda wanted, check: replication.replications(client, ORG, [wanted], check), steps)
    for options, message in (
        ({"bucket": "none"}, "no bucket none"),
        ({"remote": "none"}, "no remote none"),
        ({"remote_bucket": ""}, "needs a remote"),
        ({"max_queue_bytes": 5}, "max_queue_bytes"),
        ({"max_age_seconds": 5}, "max_age_seconds"),
    ):
        with pytest.raises(Refused, match=message):
            replication.replications(client, ORG, [copies(**options)], False)
    client.transport.make("/api/v2/remotes", {"orgID": client.transport.org, "name": "second", "remoteURL": "https://x"})
    replication.replications(client, ORG, [copies()], False)
    assert [one["action"] for one in replication.replications(client, ORG, [copies(remote="second")], False).differences.actions()] == ["update"]
    call(remote(present=False), False)
    assert [one["name"] for one in client.remotes(client.transport.org)] == ["second"]


def test_all_of_it_to_look_at(client):
    accounts.users(client, [accounts.User("alice")], False)
    accounts.v1_auths(client, ORG, [accounts.V1Auth("logger", password="password-1", write=("a",))], False)
    tasks.tasks(client, ORG, [tasks.Task("t", query="x = 1", every="1h")], False)
    replication.remotes(client, lambda url, token: client, ORG, [replication.Remote("c", "https://c", "token", ORG)], False)
    replication.replications(client, ORG, [replication.Replication("r", "c", "a", "z")], False)
    resources.mappings(client, ORG, [resources.Mapping("d", "r", "a")], False)
    found = info.info(client, ORG, ["buckets", "mappings", "users", "v1_users", "tasks", "remotes", "replications"])
    assert found["version"] == "2.9.1" and found["healthy"] and [one["name"] for one in found["users"]] == ["alice"]
    assert found["v1_users"][0]["permissions"] == ["write buckets/a"] and found["tasks"][0]["name"] == "t"
    assert (found["replications"][0]["remote"], found["replications"][0]["bucket"], found["mappings"][0]["bucket"]) == ("c", "a", "a")
    assert "password-1" not in str(found) and info.info(client, None, [])["version"] == "2.9.1"
    with pytest.raises(Refused, match="which organization"):
        info.info(client, None, ["users"])
