# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Organisations, users, InfluxDB 1's user names, tasks, remotes and replications on a real InfluxDB 2."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault, Transport
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import accounts, replication, resources, tasks
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.accounts import Organization, User, V1Auth
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import InfluxDialect, Refused
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.replication import Remote, Replication
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.resources import Bucket, Permission, Token
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.tasks import Task

from .test_modules import Site

pytestmark = pytest.mark.integration

PASSWORD = "a-first-password"
OTHER = "a-second-password"


@pytest.fixture
def client(influxdb):
    client = influxdb.client()
    yield client
    client.close()


@pytest.fixture
def raw(influxdb):
    """An independent reader: the API itself."""
    transport = Transport(influxdb.url, InfluxDialect(), headers={"Authorization": f"Token {influxdb.token}"})

    def get(path, **query):
        response = transport.request("GET", path, query=query, absent=True)
        return None if response is None else response.json_dict()

    yield get
    transport.close()


def weak(influxdb, client, prefix):
    """A client whose token may write one bucket and nothing else."""
    resources.buckets(client, influxdb.organization, [Bucket(f"{prefix}_w")], check=False)
    token = Token(f"{prefix} weak", (Permission("write", "buckets", f"{prefix}_w"),))
    _outcome, made = resources.tokens(client, influxdb.client, influxdb.organization, [token], False)
    return influxdb.client(made[0].value)


def actions(outcome):
    return [action["action"] for action in outcome.differences.actions()]


def signs_in(influxdb, name, password, path="/api/v2/signin", method="POST"):
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    transport = Transport(influxdb.url, InfluxDialect(), headers={"Authorization": f"Basic {basic}"})
    try:
        return transport.request(method, path, accept=(400, 401, 403)).status
    finally:
        transport.close()


def test_organizations(influxdb, client, raw, prefix):
    wanted = [Organization(f"{prefix}_a", "first"), Organization(f"{prefix}_b")]
    assert actions(accounts.organizations(client, wanted, check=True)) == ["create", "create"]
    assert raw("/api/v2/orgs", org=f"{prefix}_a") is None
    made = accounts.organizations(client, wanted, check=False)
    assert actions(made) == ["create", "create"] and made.values["organizations"][0]["id"]
    assert raw("/api/v2/orgs", org=f"{prefix}_a")["orgs"][0]["description"] == "first"
    assert actions(accounts.organizations(client, wanted, check=False)) == []
    # A description that is not given stays.
    assert actions(accounts.organizations(client, [Organization(f"{prefix}_a")], check=False)) == []
    changed = accounts.organizations(client, [Organization(f"{prefix}_a", "second")], check=False)
    assert changed.differences.diff()["before"] == {f"organization {prefix}_a": {"description": "first"}}
    assert raw("/api/v2/orgs", org=f"{prefix}_a")["orgs"][0]["description"] == "second"
    gone = [Organization(f"{prefix}_a", present=False), Organization(f"{prefix}_b", present=False)]
    assert actions(accounts.organizations(client, gone, check=True)) == ["delete", "delete"]
    assert raw("/api/v2/orgs", org=f"{prefix}_a") is not None
    assert actions(accounts.organizations(client, gone, check=False)) == ["delete", "delete"]
    assert raw("/api/v2/orgs", org=f"{prefix}_a") is None
    assert actions(accounts.organizations(client, gone, check=False)) == []
    with pytest.raises(Refused, match="more than once"):
        accounts.organizations(client, [wanted[0], wanted[0]], check=True)


def test_what_a_token_may_not_see_is_not_absent(influxdb, client, prefix):
    accounts.organizations(client, [Organization(f"{prefix}_a")], check=False)
    accounts.users(client, [User(f"{prefix}_u")], check=False)
    blind = weak(influxdb, client, prefix)
    with pytest.raises(Refused, match="may not see it"):
        accounts.organizations(blind, [Organization(f"{prefix}_a", present=False)], check=False)
    with pytest.raises(Refused, match="may not see it"):
        accounts.users(blind, [User(f"{prefix}_u", present=False)], check=False)
    for call in (
        lambda: accounts.v1_auths(blind, influxdb.organization, [V1Auth("x", present=False)], check=False),
        lambda: tasks.tasks(blind, influxdb.organization, [Task("x", present=False)], check=False),
        lambda: replication.remotes(blind, None, influxdb.organization, [Remote("x", present=False)], check=False),
        lambda: replication.replications(blind, influxdb.organization, [Replication("x", present=False)], check=False),
    ):
        with pytest.raises(Refused, match="may not see it"):
            call()
    with pytest.raises(Fault) as caught:
        accounts.users(influxdb.client("wrong"), [User(f"{prefix}_u", present=False)], check=False)
    assert caught.value.status == 401
    blind.close()


def test_users_with_passwords_and_roles(influxdb, client, raw, prefix):
    org = influxdb.organization
    org_id = client.organization_id(org)
    name = f"{prefix}_alice"
    wanted = [User(name, password=PASSWORD, roles={org: "member"})]
    predicted = accounts.users(client, wanted, check=True)
    assert actions(predicted) == ["create"] and raw("/api/v2/users", name=name) is None
    made = accounts.users(client, wanted, check=False)
    assert made.differences.diff() == predicted.differences.diff() and PASSWORD not in str(made)
    assert signs_in(influxdb, name, PASSWORD) == 204 and signs_in(influxdb, name, OTHER) == 401
    assert [one["name"] for one in raw(f"/api/v2/orgs/{org_id}/members")["users"] if one["name"] == name] == [name]
    assert actions(accounts.users(client, wanted, check=False)) == []

    owner = [User(name, password=OTHER, roles={org: "owner"})]
    assert accounts.users(client, owner, check=True).differences.diff()["before"] == {
        f"user {name}": {"status": "active", f"role in {org}": "member", "sign-in": "another"}
    }
    assert signs_in(influxdb, name, PASSWORD) == 204
    assert actions(accounts.users(client, owner, check=False)) == ["update"]
    assert signs_in(influxdb, name, OTHER) == 204 and signs_in(influxdb, name, PASSWORD) == 401
    assert [one["name"] for one in raw(f"/api/v2/orgs/{org_id}/owners")["users"] if one["name"] == name] == [name]
    assert actions(accounts.users(client, owner, check=False)) == []
    # Kept, whatever it is.
    assert actions(accounts.users(client, [User(name, password=PASSWORD, keep_password=True)], check=False)) == []
    assert actions(accounts.users(client, [User(name, active=False, roles={org: "none"})], check=False)) == ["update"]
    assert raw("/api/v2/users", name=name)["users"][0]["status"] == "inactive"
    assert [one for one in raw(f"/api/v2/orgs/{org_id}/owners")["users"] if one["name"] == name] == []
    assert actions(accounts.users(client, [User(name, present=False)], check=False)) == ["delete"]
    assert raw("/api/v2/users", name=name) is None
    assert actions(accounts.users(client, [User(name, present=False)], check=False)) == []
    with pytest.raises(Refused, match="8 to 72"):
        accounts.users(client, [User(name, password="short")], check=True)
    assert raw("/api/v2/users", name=name) is None


def test_v1_user_names(influxdb, client, raw, prefix):
    org = influxdb.organization
    resources.buckets(client, org, [Bucket(f"{prefix}_a"), Bucket(f"{prefix}_b")], check=False)

    def ensure(check=False, **options):
        settings = {"username": f"{prefix}_logger", "password": PASSWORD, "write": (f"{prefix}_a",), **options}
        return accounts.v1_auths(client, org, [V1Auth(**settings)], check)

    def there():
        found = raw("/private/legacy/authorizations")["authorizations"]
        return [one for one in found if one["token"] == f"{prefix}_logger"]

    assert actions(ensure(check=True)) == ["create"] and there() == []
    made = ensure()
    assert actions(made) == ["create"] and PASSWORD not in str(made) + str(made.differences.diff())
    assert len(there()) == 1
    assert signs_in(influxdb, f"{prefix}_logger", PASSWORD, f"/write?db={prefix}_a", "POST") in (204, 400)
    assert signs_in(influxdb, f"{prefix}_logger", OTHER, f"/write?db={prefix}_a", "POST") == 401
    assert actions(ensure()) == []
    assert actions(ensure(password=OTHER)) == ["update"] and actions(ensure(password=OTHER)) == []
    assert actions(ensure(password=PASSWORD, keep_password=True)) == []
    assert actions(ensure(password=OTHER, description="old", active=False)) == ["update"]
    assert there()[0]["status"] == "inactive" and there()[0]["description"] == "old"
    # Other rights: made anew, with what it had.
    assert actions(ensure(password=OTHER, read=(f"{prefix}_b",))) == ["update"]
    assert len(there()) == 1 and there()[0]["description"] == "old" and len(there()[0]["permissions"]) == 2
    assert actions(ensure(password=OTHER, read=(f"{prefix}_b",))) == []
    assert actions(ensure(present=False)) == ["delete"] and there() == [] and actions(ensure(present=False)) == []
    for options, message in (({"write": ()}, "no buckets"), ({"password": None}, "needs a password"), ({"write": ("none",)}, "no bucket none")):
        with pytest.raises(Refused, match=message):
            ensure(**options)


def test_tasks(influxdb, client, raw, prefix):
    org = influxdb.organization
    query = f'from(bucket: "{prefix}_a") |> range(start: -task.every)'
    one = Task(f"{prefix} hourly", query, every="1h", offset="5m", description="means")
    assert actions(tasks.tasks(client, org, [one], check=True)) == ["create"]
    assert raw("/api/v2/tasks", org=org, name=one.name)["tasks"] == []
    assert actions(tasks.tasks(client, org, [one], check=False)) == ["create"]
    found = raw("/api/v2/tasks", org=org, name=one.name)["tasks"][0]
    assert (found["every"], found["offset"], found["description"], found["status"]) == ("1h", "5m", "means", "active")
    assert actions(tasks.tasks(client, org, [one], check=False)) == []
    other = Task(one.name, query, cron="0 3 * * *", active=False)
    assert actions(tasks.tasks(client, org, [other], check=False)) == ["update"]
    found = raw("/api/v2/tasks", org=org, name=one.name)["tasks"][0]
    assert (found["cron"], found["status"], found["description"]) == ("0 3 * * *", "inactive", "means")
    assert actions(tasks.tasks(client, org, [other], check=False)) == []
    client.create("/api/v2/tasks", {"orgID": client.organization_id(org), "flux": one.flux()})
    with pytest.raises(Refused, match="several with this name"):
        tasks.tasks(client, org, [one], check=False)
    client.delete(f"/api/v2/tasks/{found['id']}")
    assert actions(tasks.tasks(client, org, [Task(one.name, present=False)], check=False)) == ["delete"]
    assert actions(tasks.tasks(client, org, [Task(one.name, present=False)], check=False)) == []
    with pytest.raises(Fault) as caught:
        tasks.tasks(client, org, [Task(f"{prefix} bad", "rubbish(", every="1h")], check=False)
    assert caught.value.status == 400 and raw("/api/v2/tasks", org=org, name=f"{prefix} bad")["tasks"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": " "}, "needs a query"),
        ({"query": 'option task = {name: "x"}\nx'}, "leave `option task` out"),
        ({"every": None}, "every or cron"),
        ({"cron": "0 0 * * *"}, "every or cron"),
        ({"every": "hourly"}, "not a duration"),
        ({"offset": "5 minutes"}, "not a duration"),
    ],
)
def test_tasks_that_cannot_be(options, message):
    with pytest.raises(Refused, match=message):
        Task(**{"name": "t", "query": "x", "every": "1h", **options}).flux()


def test_more_tasks_than_one_page(influxdb, client, prefix):
    wanted = [Task(f"{prefix} {number}", "x = 1", every="1h", active=False) for number in range(103)]
    for one in wanted:
        client.create("/api/v2/tasks", {"orgID": client.organization_id(influxdb.organization), "flux": one.flux(), "status": "inactive"})
    assert actions(tasks.tasks(client, influxdb.organization, wanted, check=True)) == []


def test_remotes_and_replications(influxdb, client, raw, prefix):
    """Here the other InfluxDB is this one."""
    org = influxdb.organization
    org_id = client.organization_id(org)
    resources.buckets(client, org, [Bucket(f"{prefix}_{letter}") for letter in "abc"], check=False)
    rights = (Permission("write", "buckets", f"{prefix}_b"), Permission("read", "orgs"))
    outcome, made = resources.tokens(client, influxdb.client, org, [Token(f"{prefix} uplink", rights)], False)
    token = made[0].value
    again, _made = resources.tokens(client, influxdb.client, org, [Token(f"{prefix} uplink", rights, token)], False)
    assert not again.differences.changed and token not in str(outcome)
    asked = []

    def there(url, value):
        asked.append(url)
        return influxdb.client(value)

    def connections(check=False, **options):
        settings = {"name": f"{prefix}_centre", "url": influxdb.url, "token": token, "organization": org, **options}
        return replication.remotes(client, there, org, [Remote(**settings)], check)

    assert actions(connections(check=True)) == ["create"] and asked == []
    done = connections(description="centre")
    assert actions(done) == ["create"] and asked == [influxdb.url] and token not in str(done) + str(done.differences.diff())
    found = next(one for one in raw("/api/v2/remotes", orgID=org_id)["remotes"] if one["name"] == f"{prefix}_centre")
    assert found["remoteOrgID"] == org_id and found["allowInsecureTLS"] is False
    assert actions(connections()) == [] and asked == [influxdb.url]
    # A token that differs is noticed, and none is ever shown.
    changed = connections(check=True, token="another-token")
    assert actions(changed) == ["update"] and "another-token" not in str(changed.differences.diff())
    assert actions(connections(organization="", organization_id=org_id)) == []
    with pytest.raises(Refused, match="right to read orgs"):
        weak_token = weak(influxdb, client, prefix).transport.headers["Authorization"].removeprefix("Token ")
        connections(token=weak_token)
    with pytest.raises(Refused, match="not an address"):
        connections(url="centre:8086")
    with pytest.raises(Refused, match="needs an address"):
        connections(token="")

    def copies(check=False, **options):
        settings = {"name": f"{prefix}_r", "remote": f"{prefix}_centre", "bucket": f"{prefix}_a", "remote_bucket": f"{prefix}_b", **options}
        return replication.replications(client, org, [Replication(**settings)], check)

    assert actions(copies(check=True)) == ["create"] and not raw("/api/v2/replications", orgID=org_id)["replications"]
    assert actions(copies()) == ["create"] and actions(copies()) == []
    client.transport.request("POST", "/api/v2/write", query={"org": org, "bucket": f"{prefix}_a"}, body="m,device=d value=1 1700000000000000000")
    for _attempt in range(100):
        rows = client.influxql("select value from m", f"{prefix}_b")
        if rows:
            break
    assert [row["value"] for row in rows] == [1]
    assert actions(copies(max_queue_bytes=40000000, max_age_seconds=3600, drop_refused=True)) == ["update"]
    shown = copies(max_queue_bytes=40000000, max_age_seconds=3600, drop_refused=True)
    assert actions(shown) == [] and shown.values["replications"][0]["max_queue_bytes"] == 40000000
    # Another local bucket: made anew.
    before = shown.values["replications"][0]["id"]
    moved = copies(bucket=f"{prefix}_c")
    assert actions(moved) == ["update"] and moved.values["replications"][0]["id"] != before
    assert actions(copies(bucket=f"{prefix}_c")) == []
    for options, message in (
        ({"max_queue_bytes": 1}, "max_queue_bytes"),
        ({"max_age_seconds": 59}, "max_age_seconds"),
        ({"bucket": "none"}, "no bucket none"),
        ({"remote": "none"}, "no remote none"),
        ({"remote_bucket": ""}, "needs a remote"),
    ):
        with pytest.raises(Refused, match=message):
            copies(**options)
    assert actions(copies(present=False)) == ["delete"] and actions(copies(present=False)) == []
    assert actions(connections(present=False)) == ["delete"] and actions(connections(present=False)) == []


def test_all_modules_with_check_mode_diff_and_nothing_secret(influxdb, tmp_path, prefix, raw):
    """Each module: predicts and changes nothing, does it, does it no second time, and undoes it."""
    site = Site(tmp_path, influxdb.url, influxdb.token)
    org = influxdb.organization
    site.run({"edgestack.iot.influxdb2_bucket": {"organization": org, "name": f"{prefix}_a"}})
    uplink = "an-uplink-token-that-nobody-may-see"
    present = [
        {"edgestack.iot.influxdb2_organization": {"organizations": [{"name": f"{prefix}_org", "description": "x"}]}},
        {"edgestack.iot.influxdb2_user": {"users": [{"name": f"{prefix}_u", "password": PASSWORD, "roles": [{"organization": org}]}]}},
        {
            "edgestack.iot.influxdb2_v1_auth": {
                "organization": org,
                "users": [{"username": f"{prefix}_v", "password": OTHER, "read_buckets": [f"{prefix}_a"]}],
            }
        },
        {"edgestack.iot.influxdb2_task": {"organization": org, "tasks": [{"name": f"{prefix} t", "every": "1h", "query": "x = 1", "status": "inactive"}]}},
        {
            "edgestack.iot.influxdb2_remote": {
                "organization": org,
                "remotes": [{"name": f"{prefix}_r", "url": influxdb.url, "token": uplink, "organization_id": "0" * 15 + "1"}],
            }
        },
        {
            "edgestack.iot.influxdb2_replication": {
                "organization": org,
                "replications": [{"name": f"{prefix}_x", "remote": f"{prefix}_r", "bucket": f"{prefix}_a", "remote_bucket": "b"}],
            }
        },
    ]
    predicted = site.run(*present, check=True)
    assert [one["changed"] for one in predicted] == [True] * 6
    assert raw("/api/v2/orgs", org=f"{prefix}_org") is None and raw("/api/v2/users", name=f"{prefix}_u") is None
    done = site.run(*present)
    assert [one["diff"] for one in done] == [one["diff"] for one in predicted]
    assert [one["changed"] for one in site.run(*present)] == [False] * 6
    info = site.run({"edgestack.iot.influxdb2_info": {"organization": org, "gather": ["users", "v1_users", "tasks", "remotes", "replications"]}})[0]
    assert [one["remote"] for one in info["replications"] if one["name"] == f"{prefix}_x"] == [f"{prefix}_r"]
    assert f"{prefix}_v" in [one["username"] for one in info["v1_users"]] and f"{prefix} t" in [one["name"] for one in info["tasks"]]
    absent = [
        {name: {key: [{**item, "state": "absent"} for item in value] if isinstance(value, list) else value for key, value in options.items()}}
        for task in reversed(present)
        for name, options in task.items()
    ]
    assert [one["changed"] for one in site.run(*absent, check=True)] == [True] * 6
    assert raw("/api/v2/orgs", org=f"{prefix}_org") is not None
    assert [one["changed"] for one in site.run(*absent)] == [True] * 6
    assert [one["changed"] for one in site.run(*absent)] == [False] * 6
    for secret in (PASSWORD, OTHER, uplink, influxdb.token):
        assert secret not in site.printed
