# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two real InfluxDBs, of which one has what the other lacks."""

from __future__ import annotations

import contextlib
import time

import pytest
from stack.influxd import set_up_influxd

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import reconcile, resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client, Refused
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.reconcile import Series
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.resources import Bucket, Permission, Token

from .test_modules import Site

pytestmark = pytest.mark.integration

HOUR = 3600
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(set_up_influxd(tmp_path_factory.mktemp(name) / "data")) for name in ("local", "remote"))


@pytest.fixture
def both(pair, request):
    """A client and an empty bucket on both sides."""
    name = f"t_{abs(hash(request.node.name))}"
    clients = [server.client() for server in pair]
    for client in clients:
        resources.buckets(client, "edgestack", [Bucket(name, retention="0")], check=False)
    yield *clients, name
    for client in clients:
        resources.buckets(client, "edgestack", [Bucket(name, present=False)], check=False)
        client.close()


def put(client: Client, bucket: str, *lines: str) -> None:
    query = {"org": "edgestack", "bucket": bucket, "precision": "s"}
    client.transport.request("POST", "/api/v2/write", query=query, body="\n".join(lines), accept=(422,))


def everything(client: Client, bucket: str) -> list[dict]:
    """An independent reader: Flux, with types."""
    rows = client.flux(f'from(bucket: "{bucket}") |> range(start: 0, stop: {NOW + 10 * HOUR})', "edgestack")
    return sorted(({key: row[key] for key in row if key not in ("result", "table", "_start", "_stop")} for row in rows), key=str)


def run(local, remote, bucket, check=False, **options):
    settings = {"since": 10 * HOUR, "settle": 60, "now": NOW, **options}
    return reconcile.reconcile(local, bucket, remote, bucket, check=check, **settings)


def test_what_is_missing_is_copied_exactly_and_once(both):
    local, remote, bucket = both
    lines = [
        f"temperature,device=d-{device} value={device}.5,raw={number}i,ok=true {NOW - 5 * HOUR + number * 60}" for device in range(3) for number in range(200)
    ]
    put(local, bucket, *lines)
    put(remote, bucket, *lines[:150], *lines[300:])
    before = everything(remote, bucket)
    predicted = run(local, remote, bucket, check=True)
    assert predicted.differences.changed and predicted.values["missing_points"] == 150 and predicted.values["copied_points"] == 0
    assert everything(remote, bucket) == before
    assert {row["device"] for row in predicted.values["missing"]} == {"d-0", "d-1"}
    done = run(local, remote, bucket)
    assert done.differences.diff() == predicted.differences.diff()
    assert (done.values["copied_points"], done.values["left_points"], done.values["refused"]) == (150, 0, [])
    assert everything(remote, bucket) == everything(local, bucket)
    again = run(local, remote, bucket)
    assert not again.differences.changed and again.values["missing"] == []
    # What the remote side has more is none of its business.
    put(remote, bucket, f"temperature,device=d-9 value=1 {NOW - HOUR}")
    assert not run(local, remote, bucket).differences.changed


@pytest.mark.parametrize(("hours", "value"), [(30, "{number}.5"), (2, "{number}i")])
def test_one_that_is_lost_and_one_too_many_do_not_make_up_for_one_another(both, hours, value):
    local, remote, bucket = both
    start = NOW - NOW % HOUR - hours * HOUR
    lines = [f"m,device=d value={value.format(number=number)},raw=3i {start + number * 60}" for number in range(50)]
    put(local, bucket, *lines)
    extra = f"m,device=d value={value.format(number=999)},raw=3i {start + 1234}"
    put(remote, bucket, *lines[:20], *lines[21:], extra)
    predicted = run(local, remote, bucket, check=True, since=40 * HOUR)
    assert predicted.values["missing_points"] == 1 and predicted.values["missing"][0]["lacking"] == 1
    assert predicted.values["missing"][0]["local"] == predicted.values["missing"][0]["remote"] == 50
    done = run(local, remote, bucket, since=40 * HOUR)
    assert done.differences.diff() == predicted.differences.diff()
    assert (done.values["copied_points"], done.values["left_points"]) == (1, 0)
    assert len(everything(remote, bucket)) == 2 * 51
    # What is too many there stays, and is no reason to copy again.
    again = run(local, remote, bucket, since=40 * HOUR)
    assert not again.differences.changed and again.values["missing_points"] == 0


def test_names_and_values_that_need_care(both):
    local, remote, bucket = both
    moment = NOW - 2 * HOUR
    put(
        local,
        bucket,
        'my\\ room,device=a\\ b\\,c\\=d,site="quoted"\'s f\\ 1=1.0,text="a \\"b\\" \\\\ c, d = e\nnew line",'
        f"n=-9223372036854775808i,u=18446744073709551615u,b=false {moment}",
        f"my\\ room,device=a\\ b\\,c\\=d f\\ 1=1e300,big=123456789012345680000.0 {moment}",
        f"my\\ room,device=ünï f\\ 1=0.1,n=9007199254740993i {moment}",
        f"no_tags value=1 {moment}",
        f"time,device=time count_x=3,name=\"n\" {moment}",
    )  # fmt: skip
    done = run(local, remote, bucket)
    assert done.values["refused"] == [] and done.values["left_points"] == 0
    assert len(everything(local, bucket)) == 12
    assert everything(remote, bucket) == everything(local, bucket)


def test_what_is_refused_stays_and_does_not_hold_up_the_rest(both):
    local, remote, bucket = both
    put(remote, bucket, f'm,device=d-1 value="text" {NOW - HOUR}', f"n,device=d-1 value=1 {NOW - 9 * HOUR}")
    put(local, bucket, *(f"m,device=d-{device} value={number} {NOW - HOUR + number}" for device in (1, 2) for number in range(10)))
    put(local, bucket, *(f"n,device=d-1 value={number} {NOW - HOUR + number}" for number in range(10)))
    done = run(local, remote, bucket)
    assert done.values["copied_points"] == 10 and done.values["left_points"] == 20
    assert ["type conflict" in one["reason"] for one in done.values["refused"]] == [True, True]
    assert done.values["refused"][0]["series"] == "m,device=d-1"
    # Tried again, told again, and nothing changes.
    again = run(local, remote, bucket)
    assert not again.differences.changed and again.values["left_points"] == 20 and len(again.values["refused"]) == 2


def test_more_than_one_answer_can_hold(both, monkeypatch):
    monkeypatch.setattr(reconcile, "ROWS", 100)
    monkeypatch.setattr(reconcile, "BATCH", 70)
    local, remote, bucket = both
    put(local, bucket, *(f"m,device=d value={number} {NOW - 3 * HOUR + number}" for number in range(3000)))
    assert run(local, remote, bucket).values["copied_points"] == 3000
    assert len(everything(remote, bucket)) == 3000


def test_the_span(both):
    local, remote, bucket = both
    put(local, bucket, *(f"m,device=d value=1 {NOW - age}" for age in (30, 90, 3 * HOUR, 30 * HOUR)))
    resources.buckets(remote, "edgestack", [Bucket(bucket, retention="0")], check=False)
    assert run(local, remote, bucket, check=True).values["missing_points"] == 2
    assert run(local, remote, bucket, check=True, since=40 * HOUR, settle=0).values["missing_points"] == 4
    with pytest.raises(Refused, match="nothing to compare"):
        run(local, remote, bucket, since=HOUR, settle=2 * HOUR)


def test_what_the_remote_side_does_not_keep_is_not_missing(both):
    local, remote, bucket = both
    resources.buckets(remote, "edgestack", [Bucket(bucket, retention="2h")], check=False)
    now = int(time.time())
    put(local, bucket, *(f"m,device=d value=1 {now - age}" for age in (120, 5 * HOUR)))
    done = reconcile.reconcile(local, bucket, remote, bucket, since=24 * HOUR, settle=60, check=False)
    assert done.values["copied_points"] == done.values["missing_points"] == 1 and done.values["refused"] == []


def test_a_token_that_may_not_read_is_told_and_nothing_is_copied(both, pair):
    local, remote, bucket = both
    put(local, bucket, f"m,device=d value=1 {NOW - HOUR}")
    token = Token(f"{bucket} writer", (Permission("write", "buckets", bucket),))
    _outcome, made = resources.tokens(remote, pair[1].client, "edgestack", [token], False)
    blind = pair[1].client(made[0].value)
    with pytest.raises(Refused, match="may not read it"):
        run(local, blind, bucket)
    blind.close()
    assert everything(remote, bucket) == []


def test_the_module(both, pair, tmp_path):
    local, remote, bucket = both
    now = int(time.time())
    put(local, bucket, *(f"m,device=d value={number} {now - 2 * HOUR + number}" for number in range(10)))
    site = Site(tmp_path, pair[0].url, pair[0].token)
    task = {"edgestack.iot.influxdb2_reconcile": {"bucket": bucket, "remote_url": pair[1].url, "remote_token": pair[1].token, "since": "1d"}}
    predicted = site.run(task, check=True)[0]
    assert predicted["changed"] and everything(remote, bucket) == []
    done, again = site.run(task, task)
    assert done["changed"] and done["diff"] == predicted["diff"] and done["copied_points"] == 10
    assert not again["changed"] and len(everything(remote, bucket)) == 10
    assert pair[0].token not in site.printed and pair[1].token not in site.printed
    task["edgestack.iot.influxdb2_reconcile"]["remote_url"] = "http://127.0.0.1:9"
    assert site.run(task, fails=True)[0]["fault"]["kind"] == "connection"


def test_a_series_says_whose_it_is():
    assert Series("m", (("device", "d-1"), ("host", "h"))).device == "d-1"
    assert Series("cpu", (("host", "h"),)).device == "h" and str(Series("cpu", (("host", "h"),))) == "cpu,host=h"
