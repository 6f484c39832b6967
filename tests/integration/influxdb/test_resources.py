# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backend against a real InfluxDB 2."""

from __future__ import annotations

import secrets

import pytest
from stack.influxd import running_influxd

from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import info, resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client, Refused
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.resources import Bucket, Mapping, Permission, Token

pytestmark = pytest.mark.integration


@pytest.fixture
def client(influxdb):
    client = influxdb.client()
    yield client
    client.close()


def write(client: Client, organization: str, bucket: str, lines: str) -> None:
    client.transport.request("POST", "/api/v2/write", query={"org": organization, "bucket": bucket}, body=lines)


def test_setup_of_a_new_one_and_what_comes_after(tmp_path):
    token = secrets.token_hex(24)
    wanted = resources.Setup("admin", "plant", "readings", "7d", password="a-long-password", token=token)
    with running_influxd(tmp_path / "data") as url:
        client = Client.connect(url, token)
        predicted = resources.setup(client, wanted, check=True)
        assert predicted.differences.changed and client.setup_allowed()

        done = resources.setup(client, wanted, check=False)
        assert done.differences.changed and done.values["organization_id"]
        shown = str(done.differences.diff())
        assert "7d" in shown and token not in shown and "a-long-password" not in shown

        again = resources.setup(client, wanted, check=False)
        assert not again.differences.changed and again.values["already_set_up"]
        bucket = next(one for one in info.info(client, "plant", ["buckets"])["buckets"] if one["name"] == "readings")
        assert bucket["retention"] == "7d"

        other = Client.connect(url, "another-token")
        with pytest.raises(Refused, match="does not accept this operator token"):
            resources.setup(other, wanted, check=True)
        with pytest.raises(Refused, match="no organisation"):
            resources.setup(client, resources.Setup("admin", "elsewhere", "b", "0", password="x", token=token), check=False)


def test_a_password_that_influxdb_refuses_leaves_no_half_set_up_server(tmp_path):
    with running_influxd(tmp_path / "data") as url:
        client = Client.connect(url, "t" * 20)
        with pytest.raises(Fault) as caught:
            resources.setup(client, resources.Setup("admin", "o", "b", "0", password="short", token="t" * 20), check=False)
        assert caught.value.status and "password" in caught.value.message
        assert client.setup_allowed()


def test_buckets_are_made_changed_left_alone_and_removed(influxdb, client, prefix):
    org = influxdb.organization
    wanted = [
        Bucket(f"{prefix}_a", retention="7d", description="readings", schema_type="implicit"),
        Bucket(f"{prefix}_b", retention="0"),
        Bucket(f"{prefix}_c", retention="1h"),
    ]
    before = client.transport.requests
    assert resources.buckets(client, org, wanted, check=True).differences.changed
    assert [one["name"] for one in client.buckets(client.organization_id(org)) if one["name"].startswith(prefix)] == []
    assert client.transport.requests - before <= 4 + 2

    made = resources.buckets(client, org, wanted, check=False)
    assert [action["action"] for action in made.differences.actions()] == ["create"] * 3
    assert {one["name"]: one["retention"] for one in made.values["buckets"]} == {
        f"{prefix}_a": "7d",
        f"{prefix}_b": "0",
        f"{prefix}_c": "1h",
    }
    assert not resources.buckets(client, org, wanted, check=False).differences.changed

    # From a week to an hour and back: the shards' duration goes with it, or InfluxDB would refuse.
    for retention in ("1h", "52w", "0", "7d"):
        changed = resources.buckets(client, org, [Bucket(f"{prefix}_a", retention=retention)], check=False)
        assert [action["action"] for action in changed.differences.actions()] == ["update"], retention
        assert changed.values["buckets"][0]["description"] == "readings"
        assert not resources.buckets(client, org, [Bucket(f"{prefix}_a", retention=retention)], check=False).differences.changed
    sharded = [Bucket(f"{prefix}_a", shard_duration="2d")]
    assert resources.buckets(client, org, sharded, check=False).values["buckets"][0]["shard_duration"] == "2d"
    assert not resources.buckets(client, org, sharded, check=False).differences.changed

    gone = [Bucket(f"{prefix}_{letter}", present=False) for letter in "abc"]
    assert resources.buckets(client, org, gone, check=True).differences.changed
    assert len(resources.buckets(client, org, gone, check=False).differences.actions()) == 3
    assert not resources.buckets(client, org, gone, check=False).differences.changed


def test_more_buckets_than_one_page(influxdb, client, prefix):
    wanted = [Bucket(f"{prefix}_{number:03}") for number in range(105)]
    resources.buckets(client, influxdb.organization, wanted, check=False)
    assert not resources.buckets(client, influxdb.organization, wanted, check=False).differences.changed


def test_what_cannot_be_is_refused(influxdb, client, prefix):
    with pytest.raises(Refused, match="belongs to InfluxDB"):
        resources.buckets(client, influxdb.organization, [Bucket("_monitoring", present=False)], check=False)
    with pytest.raises(Refused, match="no explicit schemas"):
        resources.buckets(client, influxdb.organization, [Bucket(f"{prefix}_x", schema_type="explicit")], check=True)
    with pytest.raises(Refused, match="no organisation"):
        resources.buckets(client, prefix, [Bucket("x")], check=True)
    with pytest.raises(Refused, match="there is no bucket"):
        resources.mappings(client, influxdb.organization, [Mapping("db", "rp", f"{prefix}_none")], check=False)


def test_mappings(influxdb, client, prefix):
    org = influxdb.organization
    resources.buckets(client, org, [Bucket(f"{prefix}_a"), Bucket(f"{prefix}_b")], check=False)
    virtual = [Mapping(f"{prefix}_a", "autogen", f"{prefix}_a", default=True)]
    assert not resources.mappings(client, org, virtual, check=False).differences.changed

    wanted = [Mapping(f"{prefix}_db", "autogen", f"{prefix}_a", default=True), Mapping(f"{prefix}_db", "long", f"{prefix}_b")]
    assert resources.mappings(client, org, wanted, check=True).differences.changed
    assert resources.mappings(client, org, wanted, check=False).differences.changed
    assert not resources.mappings(client, org, wanted, check=False).differences.changed
    write(client, org, f"{prefix}_a", "m,device=d value=1")
    assert [row["value"] for row in client.influxql("select value from m", f"{prefix}_db")] == [1]

    moved = [Mapping(f"{prefix}_db", "long", f"{prefix}_a", default=True)]
    assert resources.mappings(client, org, moved, check=False).differences.changed
    assert not resources.mappings(client, org, moved, check=False).differences.changed
    gone = [Mapping(f"{prefix}_db", "long", present=False), Mapping(f"{prefix}_a", "autogen", present=False)]
    assert len(resources.mappings(client, org, gone, check=False).differences.actions()) == 1
    assert not resources.mappings(client, org, gone, check=False).differences.changed

    # Something real in a virtual one's place.
    instead = [Mapping(f"{prefix}_b", "autogen", f"{prefix}_a", default=True)]
    assert resources.mappings(client, org, instead, check=False).differences.changed
    assert not resources.mappings(client, org, instead, check=False).differences.changed


def test_a_tokens_whole_life(influxdb, client, prefix):
    org = influxdb.organization
    resources.buckets(client, org, [Bucket(f"{prefix}_a"), Bucket(f"{prefix}_b")], check=False)
    description = f"{prefix} writer"
    rights = (Permission("write", "buckets", f"{prefix}_a"), Permission("read", "buckets", f"{prefix}_b"))

    def ensure(stored="", permissions=rights, check=False, present=True):
        wanted = [Token(description, permissions, stored, present)]
        return resources.tokens(client, lambda token: influxdb.client(token), org, wanted, check)

    def ids():
        return [one["id"] for one in client.authorizations(client.organization_id(org)) if one["description"] == description]

    outcome, made = ensure(check=True)
    assert outcome.differences.changed and made == [] and ids() == []
    outcome, made = ensure()
    value = made[0].value
    assert outcome.differences.changed and made[0].superseded == [] and len(ids()) == 1
    assert value not in str(outcome) and value not in repr(made) and value not in str(outcome.differences.diff())

    writer = influxdb.client(value)
    write(writer, org, f"{prefix}_a", "m value=1")
    with pytest.raises(Fault) as caught:
        write(writer, org, f"{prefix}_b", "m value=1")
    assert caught.value.status == 403 and value not in str(caught.value)
    writer.close()

    outcome, made = ensure(value)
    assert not outcome.differences.changed and made == []

    # A stored value that is not this token: rubbish, the operator's, one with other rights.
    for wrong in ("rubbish", influxdb.token):
        outcome, made = ensure(wrong, check=True)
        assert outcome.differences.changed, wrong
    assert "not accepted" in ensure("rubbish", check=True)[0].values["reasons"][description]
    assert "another token" in ensure(influxdb.token, check=True)[0].values["reasons"][description]

    # Interrupted between making and storing: the value is lost, the next run makes one that is stored.
    outcome, made = ensure("")
    assert "not in the store" in outcome.values["reasons"][description] and len(ids()) == 2
    outcome, made = ensure(value)
    assert "several" in outcome.values["reasons"][description] and len(made[0].superseded) == 2
    resources.forget(client, made[0].superseded)
    assert len(ids()) == 1 and not ensure(made[0].value)[0].differences.changed

    # Other rights.
    value = made[0].value
    outcome, made = ensure(value, (Permission("read", "buckets", f"{prefix}_a"),))
    assert "permissions" in outcome.values["reasons"][description]
    resources.forget(client, made[0].superseded)
    assert not ensure(made[0].value, (Permission("read", "buckets", f"{prefix}_a"),))[0].differences.changed

    # Switched off by somebody: not accepted any more, so it is made anew.
    client.update(f"/api/v2/authorizations/{ids()[0]}", {"status": "inactive"})
    outcome, made = ensure(made[0].value, (Permission("read", "buckets", f"{prefix}_a"),), check=True)
    assert outcome.differences.changed

    outcome, made = ensure(present=False, permissions=())
    assert outcome.differences.changed and ids() == []
    assert not ensure(present=False, permissions=())[0].differences.changed


def test_a_token_for_all_buckets_and_other_types(influxdb, client, prefix):
    org = influxdb.organization
    rights = (Permission("read", "buckets"), Permission("read", "tasks"))
    token = Token(f"{prefix} all", rights)
    _outcome, made = resources.tokens(client, lambda value: influxdb.client(value), org, [token], False)
    stored = Token(f"{prefix} all", rights, made[0].value)
    outcome, _made = resources.tokens(client, lambda value: influxdb.client(value), org, [stored], False)
    assert not outcome.differences.changed


def test_a_token_without_the_right_is_a_failure_and_not_absence(influxdb, client, prefix):
    org = influxdb.organization
    resources.buckets(client, org, [Bucket(f"{prefix}_a")], check=False)
    token = Token(f"{prefix} reader", (Permission("read", "buckets", f"{prefix}_a"),))
    _outcome, made = resources.tokens(client, lambda value: influxdb.client(value), org, [token], False)
    reader = influxdb.client(made[0].value)
    with pytest.raises(Refused, match="may not see it"):
        resources.buckets(reader, org, [Bucket(f"{prefix}_a", present=False)], check=False)
    with pytest.raises(Fault) as caught:
        influxdb.client("wrong").organization(org)
    assert caught.value.status == 401 and "token" in caught.value.hint


def test_queries(influxdb, client, prefix):
    org = influxdb.organization
    resources.buckets(client, org, [Bucket(f"{prefix}_a")], check=False)
    lines = "\n".join(
        [
            'm,device=d1 f=1.5,i=3i,s="a,b \\"c\\"",b=true 1700000000000000000',
            'm,device=d2 f=2.5,i=4i,s="",b=false 1700000000000000000',
        ]
    )
    write(client, org, f"{prefix}_a", lines)
    rows = client.influxql("select f, i, s, b from m group by device", f"{prefix}_a", epoch="ms")
    assert rows[0] == {"name": "m", "device": "d1", "time": 1700000000000, "f": 1.5, "i": 3, "s": 'a,b "c"', "b": True}
    assert rows[1]["device"] == "d2" and rows[1]["s"] == ""
    rows = client.flux(f'from(bucket: "{prefix}_a") |> range(start: 0) |> filter(fn: (r) => r._measurement == "m")', org)
    values = {(row["device"], row["_field"]): row["_value"] for row in rows}
    assert values == {
        ("d1", "f"): 1.5, ("d1", "i"): 3, ("d1", "s"): 'a,b "c"', ("d1", "b"): True,
        ("d2", "f"): 2.5, ("d2", "i"): 4, ("d2", "s"): "", ("d2", "b"): False,
    }  # fmt: skip
    assert client.flux(f'from(bucket: "{prefix}_a") |> range(start: -1m)', org) == []
    for call in (
        lambda: client.influxql("select f from", f"{prefix}_a"),
        lambda: client.influxql("select f from m", f"{prefix}_no_such"),
        lambda: client.flux('from(bucket: "none") |> range(start: 0)', org),
        lambda: client.flux("rubbish(", org),
        # An error in the middle of the rows.
        lambda: client.flux(f'from(bucket: "{prefix}_a") |> range(start: 0) |> map(fn: (r) => ({{r with x: 1 / 0}}))', org),
    ):
        with pytest.raises(Fault) as caught:
            call()
        assert caught.value.message


def test_info_has_no_secret(influxdb, client, prefix):
    found = info.info(client, influxdb.organization, ["buckets", "tokens", "mappings", "users", "v1_users", "tasks", "remotes", "replications"])
    assert found["version"].startswith("2.") and found["healthy"] and not found["setup_allowed"]
    assert influxdb.token not in str(found)
    assert any(one["name"] == "_tasks" for one in found["buckets"]) and found["mappings"][0]["virtual"]
    with pytest.raises(Refused, match="organization"):
        info.info(client, None, ["buckets"])
