# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real InfluxDB cannot be made to answer at will: answers by a script. The rest is tried on real ones (tests/integration)."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault, Response
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import accounts, backup, info, reconcile, replication, tasks, uplink
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client, InfluxDialect, Refused

ORG = {"id": "0000000000000001", "name": "edgestack"}


class Script:
    """Stands for the transport: answers by method and path; what was asked is kept."""

    def __init__(self, url="http://local:8086", **answers):
        self.base_url = url
        self.dialect = InfluxDialect()
        self.headers = {}
        self.answers = {"GET /api/v2/orgs": {"orgs": [ORG]}, **answers}
        self.asked = []

    def request(self, method, path, *, body=None, query=None, headers=None, retry=None, accept=(), absent=False, into=None):
        self.asked.append((method, path, body, query))
        found = self.answers.get(f"{method} {path}")
        if callable(found):
            found = found(body, query)
        if isinstance(found, Exception):
            raise found
        status, data, head = found if isinstance(found, tuple) else (200, found, {})
        if data is None:
            if absent:
                return None
            raise Fault("status", method, path, "not found", status=404, code="not found")
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        if into is not None:
            into.seek(0)
            into.truncate()
            into.write(raw)
            raw = b""
        return Response(method, self.base_url + path, status, head, raw)

    def add_secret(self, _secret):
        pass

    def close(self):
        pass

    def of(self, method, path):
        return [(body, query) for asked, where, body, query in self.asked if (asked, where) == (method, path)]


def client(**answers):
    return Client(Script(**answers))


# -- reconcile -----------------------------------------------------------------------------------------------------


def test_of_a_batch_that_is_refused_whole_the_bad_line_is_found():
    def answer(body, _query):
        return (400, {"code": "invalid", "message": "bad line"}, {}) if "bad" in body else (204, b"", {})

    there = client(**{"POST /api/v2/write": answer})
    refused, why = reconcile.write(there, "1", "b", ["a", "b", "bad", "c", "d"])
    assert (refused, why) == (1, "bad line")
    stored = {line for body, _query in there.transport.of("POST", "/api/v2/write") if "bad" not in body for line in body.split("\n")}
    assert stored == {"a", "b", "c", "d"}


def test_too_much_at_a_time_is_sent_in_halves():
    there = client(**{"POST /api/v2/write": lambda body, _query: (413, {"code": "too large", "message": "x"}, {}) if body.count("\n") > 1 else (204, b"", {})})
    assert reconcile.write(there, "1", "b", ["a", "b", "c", "d", "e"]) == (0, "")


def test_how_many_were_refused_of_a_partly_stored_batch():
    there = client(**{"POST /api/v2/write": (422, {"code": "unprocessable entity", "message": "partial write: type conflict dropped=3"}, {})})
    assert reconcile.write(there, "1", "b", ["a"] * 9)[0] == 3


@pytest.mark.parametrize(
    ("found", "kind", "text"),
    [
        (1, "float", "1.0"),
        (1, "integer", "1i"),
        (1, "unsigned", "1u"),
        (True, "boolean", "true"),
        (False, "", "false"),
        ('a"b\\', "string", '"a\\"b\\\\"'),
        (2, "", "2.0"),
        ("x", "", '"x"'),
        (0.1 + 0.2, "float", "0.30000000000000004"),
    ],
)
def test_values_of_line_protocol(found, kind, text):
    assert reconcile.value(found, kind) == text


def test_names_are_quoted():
    assert reconcile.quote('a"b\\c\n') == '"a\\"b\\\\c\\n"' and reconcile.literal("a'b\\\n") == "'a\\'b\\\\\\n'"
    assert reconcile.escape("a, b=c\n") == "a\\,\\ b\\=c\\n"


def test_a_field_of_two_types_is_taken_as_it_looks():
    rows = {"results": [{"series": [{"name": "m", "columns": ["fieldKey", "fieldType"], "values": [["f", "float"], ["f", "string"], ["g", "float"]]}]}]}
    assert reconcile.field_types(client(**{"GET /query": rows}), "b") == {"m": {"f": "", "g": "float"}}


def test_an_answer_that_is_cut_off_is_a_failure():
    with pytest.raises(Fault, match="cut off"):
        reconcile.contents(client(**{"GET /query": {"results": [{"partial": True}]}}), "b", reconcile.Span(0, 3600))


# -- replication ---------------------------------------------------------------------------------------------------

QUEUE = {
    "id": "a", "orgID": ORG["id"], "name": "iotdata", "remoteID": "r", "localBucketID": "b", "RemoteBucketName": "iotdata",
    "maxQueueSizeBytes": 67108860, "maxAgeSeconds": 604800, "dropNonRetryableData": True, "currentQueueSizeBytes": 90, "remainingBytesToBeSynced": 82,
}  # fmt: skip


def queues(**changes):
    return {"GET /api/v2/replications": {"replications": [{**QUEUE, **changes}]}}


@pytest.mark.parametrize(
    ("status", "remaining", "stuck"), [(422, 82, True), (400, 82, True), (413, 82, True), (503, 82, False), (422, 0, False), (None, 82, False)]
)
def test_which_queue_is_blocked(status, remaining, stuck):
    assert replication.blocked({**QUEUE, "latestResponseCode": status, "remainingBytesToBeSynced": remaining}) is stuck


def test_a_torn_batch_blocks():
    """Seen in the lab: the disk was full while InfluxDB wrote it to its queue."""
    error = "invalid response code 500, must be 204: 500 Internal Server Error: unable to read data: unexpected EOF"
    torn = {**QUEUE, "latestResponseCode": 500, "latestErrorMessage": error}
    assert replication.blocked({**torn, "remainingBytesToBeSynced": 10}) and not replication.blocked({**torn, "remainingBytesToBeSynced": 0})


def test_a_blocked_queue_is_made_anew_as_it_was():
    there = client(
        **queues(latestResponseCode=422, latestErrorMessage="conflict"), **{"DELETE /api/v2/replications/a": (204, b"", {}), "POST /api/v2/replications": {}}
    )
    assert replication.renew(there, "edgestack", "iotdata", check=True).differences.changed
    assert there.transport.of("POST", "/api/v2/replications") == []
    done = replication.renew(there, "edgestack", "iotdata", check=False)
    assert done.values["renewed"] and done.differences.diff()["before"]["replication iotdata"]["reason"] == "conflict"
    ((body, _query),) = there.transport.of("POST", "/api/v2/replications")
    assert body == {
        "orgID": ORG["id"], "name": "iotdata", "localBucketID": "b", "remoteID": "r", "remoteBucketName": "iotdata",
        "maxQueueSizeBytes": 67108860, "maxAgeSeconds": 604800, "dropNonRetryableData": True,
    }  # fmt: skip
    assert not replication.renew(client(**queues()), "edgestack", "iotdata", check=False).values["renewed"]
    with pytest.raises(Refused, match="no replication other"):
        replication.renew(there, "edgestack", "other", check=False)


def test_two_of_a_name_are_not_guessed_at():
    with pytest.raises(Refused, match="several replications called iotdata"):
        replication.renew(client(**{"GET /api/v2/replications": {"replications": [QUEUE, {**QUEUE, "id": "z"}]}}), "edgestack", "iotdata", check=True)


# -- lists ---------------------------------------------------------------------------------------------------------


def test_nothing_is_null_and_rubbish_is_a_failure():
    assert client(**{"GET /api/v2/remotes": {"remotes": None}}).remotes("1") == []
    for wrong in ({}, {"remotes": "x"}, {"remotes": ["x"]}):
        with pytest.raises(Fault, match="no list of remotes"):
            client(**{"GET /api/v2/remotes": wrong}).remotes("1")


@pytest.mark.parametrize("call", [
    lambda there: accounts.organizations(there, [accounts.Organization("edgestack", present=False)], False),
    lambda there: tasks.tasks(there, "edgestack", [tasks.Task("t", present=False)], False),
    lambda there: info.info(there, "edgestack", ["tasks"]),
])  # fmt: skip
def test_a_fault_is_never_absence(call):
    for fault in (Fault("timeout", "GET", "x", "no answer"), Fault("status", "GET", "x", "no", status=401), Fault("body", "GET", "x", "a page")):
        with pytest.raises(Fault):
            call(client(**{"GET /api/v2/orgs": fault, "GET /health": {"status": "pass"}, "GET /api/v2/setup": {"allowed": False}}))


# -- backup --------------------------------------------------------------------------------------------------------

SHARDS = [{"name": "autogen", "shardGroups": [{"id": 1, "shards": [{"id": 1, "shardOwners": []}, {"id": 2, "shardOwners": []}]}]}]


def metadata(*left_out):
    parts = {
        "kv": b"bolt\r\n\x00\xff--",
        "sql": b"sqlite",
        "buckets": json.dumps([{"organizationName": "o", "bucketName": "b", "retentionPolicies": SHARDS}]).encode(),
    }
    text = b"".join(
        b'--xyz\r\nContent-Disposition: attachment; name="' + name.encode() + b'"\r\n\r\n' + data + b"\r\n"
        for name, data in parts.items()
        if name not in left_out
    )
    return (200, text + b"--xyz--\r\n", {"Content-Type": "multipart/mixed; boundary=xyz"})


def tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w"):
        pass
    return target.getvalue()


def answers(**more):
    return {
        "GET /api/v2/buckets": {"buckets": []},
        "GET /api/v2/backup/metadata": metadata(),
        # Expired while the backup ran; small, and so not compressed.
        "GET /api/v2/backup/shards/1": (404, None, {}),
        "GET /api/v2/backup/shards/2": (200, tar(), {}),
        **more,
    }


def test_a_shard_that_went_meanwhile_and_one_that_comes_uncompressed(tmp_path):
    path = tmp_path / "one"
    backup.backup(client(**answers()), str(path), check=False)
    there = backup.inspect(str(path))
    (shard,) = backup.shards(there.buckets[0])
    assert shard["id"] == 2 and gzip.decompress((path / shard["fileName"]).read_bytes()) == tar()
    assert gzip.decompress((path / there.manifest["kv"]["fileName"]).read_bytes()) == b"bolt\r\n\x00\xff--"


@pytest.mark.parametrize(
    "metadata_answer",
    [
        metadata("sql"),
        metadata("buckets"),
        (200, b"no parts", {"Content-Type": "text/plain"}),
        (200, b"--xyz\r\ncut", {"Content-Type": "multipart/mixed; boundary=xyz"}),
    ],
)
def test_metadata_without_its_parts_is_no_backup(tmp_path, metadata_answer):
    with pytest.raises(Fault):
        backup.backup(client(**answers(**{"GET /api/v2/backup/metadata": metadata_answer})), str(tmp_path / "one"), check=False)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_fails_in_the_middle_leaves_nothing(tmp_path):
    with pytest.raises(Fault):
        backup.backup(client(**answers(**{"GET /api/v2/backup/shards/2": Fault("broken", "GET", "x", "cut off")})), str(tmp_path / "one"), check=False)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_without_a_place_takes_the_bucket_back(tmp_path):
    path = tmp_path / "one"
    backup.backup(client(**answers()), str(path), check=False)
    there = client(**{
        "GET /api/v2/buckets": {"buckets": []},
        "POST /api/v2/restore/bucketMetadata": {"id": "new", "shardMappings": []},
        "DELETE /api/v2/buckets/new": (204, b"", {}),
    })  # fmt: skip
    with pytest.raises(Refused, match="no place for shard 2"):
        backup.restore_buckets(there, str(path), "o", "edgestack", [backup.Wanted("b", "c")], check=False)
    assert len(there.transport.of("DELETE", "/api/v2/buckets/new")) == 1
    ((body, _query),) = there.transport.of("POST", "/api/v2/restore/bucketMetadata")
    assert body["bucketName"] == "c" and "fileName" not in str(body)


def test_another_failure_while_everything_is_restored_is_told_as_it_is(tmp_path):
    path = tmp_path / "one"
    backup.backup(client(**answers()), str(path), check=False)
    there = client(**{"POST /api/v2/restore/kv": {"token": ""}, "POST /api/v2/restore/sql": Fault("status", "POST", "x", "broken", status=500)})
    with pytest.raises(Fault):
        backup.restore_all(there, str(path), "t", check=False)


# -- the gateway's look at its uplink ------------------------------------------------------------------------------


def settings(tmp_path, **changes):
    for name in ("queues", "reconcile"):
        (tmp_path / name).write_text("token")
    data = {
        "host": "gateway 1", "url": "http://local:8086", "token_file": str(tmp_path / "queues"), "ca_file": "", "organization": "edgestack",
        "remote_url": "http://centre:8086", "remote_token_file": str(tmp_path / "reconcile"), "state_file": str(tmp_path / "state.json"),
        "replications": [{"name": "iotdata", "bucket": "iotdata", "remote_bucket": "iotdata"}], **changes,
    }  # fmt: skip
    (tmp_path / "settings.json").write_text(json.dumps(data))
    return uplink.Settings.read(str(tmp_path / "settings.json"))


@pytest.fixture
def sides(monkeypatch):
    bucket = {"buckets": [{"id": "b", "name": "iotdata", "orgID": ORG["id"], "retentionRules": []}]}
    both = {
        "local": Script(**queues(), **{"POST /api/v2/write": (204, b"", {}), "GET /api/v2/buckets": bucket, "GET /query": {"results": [{}]}}),
        "centre": Script("http://centre:8086", **{"GET /api/v2/buckets": bucket, "GET /query": {"results": [{}]}}),
    }
    monkeypatch.setattr(uplink, "connect", lambda url, token_file, ca_file: Client(both["centre" if "centre" in url else "local"]))
    return both


def test_a_look_stores_how_the_queue_stands_and_compares_when_it_is_due(tmp_path, sides):
    wanted = settings(tmp_path)
    report = uplink.run(wanted, 1_001_000.0)
    assert report["waiting"] == ["iotdata"] and report["blocked"] == [] and report["reconciled"][0]["missing_points"] == 0
    first, second = (body for body, _query in sides["local"].of("POST", "/api/v2/write"))
    assert first.startswith("uplink,host=gateway\\ 1,queue=iotdata queue_bytes=90i,remaining_bytes=82i,waiting_seconds=0i,latest_status=0i,blocked=false")
    assert second.startswith("uplink_reconcile,host=gateway\\ 1,queue=iotdata missing_points=0i,")
    assert "reconciled" not in uplink.run(wanted, 1_001_060.0)
    assert "waiting_seconds=60i" in sides["local"].of("POST", "/api/v2/write")[-1][0]
    # An hour later; with a clock that was set back; with a queue that is blocked.
    assert "reconciled" in uplink.run(wanted, 1_004_700.0)
    assert "reconciled" in uplink.run(wanted, 1_000_010.0)
    sides["local"].answers |= {**queues(latestResponseCode=422), "DELETE /api/v2/replications/a": (204, b"", {}), "POST /api/v2/replications": {}}
    report = uplink.run(wanted, 1_000_020.0)
    assert report["blocked"] == ["iotdata"] and report["reconciled"][0]["renewed"]
    assert "reconciled" not in uplink.run(settings(tmp_path, reconcile=False), 1_000_030.0)
    sides["local"].answers |= queues(remainingBytesToBeSynced=0)
    assert uplink.run(wanted, 1_000_025.0)["waiting"] == []


def test_figures_of_a_queue_that_waits_for_long_are_stored_seldom(tmp_path, sides):
    """Each write is one more failure of the queue, which costs an SD card more than the write itself."""
    wanted = settings(tmp_path, reconcile=False)
    local, told = sides["local"], []

    def looks(*moments, **queue):
        """How often was stored in these looks."""
        local.answers |= queues(**queue)
        before = len(local.of("POST", "/api/v2/write"))
        for moment in moments:
            told.extend(uplink.run(wanted, 1_001_000.0 + moment)["news"])
        return len(local.of("POST", "/api/v2/write")) - before

    away = {"latestErrorMessage": "no route to host"}
    # The first look of all. Then what waits once is on its way.
    assert looks(0, 60, 120, remainingBytesToBeSynced=0) == 1
    assert looks(180, **away) == 0
    assert looks(240, remainingBytesToBeSynced=0) == 0 and told == []
    # From the second look on it waits, and is stored every ten minutes.
    assert looks(300, 360, **away) == 1
    assert told == ["the queue iotdata has waited for http://centre:8086 for 60 s: no route to host"]
    assert looks(*range(420, 960, 60), **away) == 0
    assert looks(*range(960, 2160, 60), **away) == 2
    assert "waiting_seconds=1260i" in local.of("POST", "/api/v2/write")[-1][0]
    # Its end is stored at once, and said.
    assert looks(2160, 2220, remainingBytesToBeSynced=0) == 1
    assert told[1:] == ["the queue iotdata is copied to http://centre:8086 again"]


def test_empty_queues_are_written_now_and_then_and_the_card_is_spared(tmp_path, sides):
    wanted = settings(tmp_path, reconcile=False)
    written = lambda: len(sides["local"].of("POST", "/api/v2/write"))  # noqa: E731
    sides["local"].answers |= queues(remainingBytesToBeSynced=0)
    uplink.run(wanted, 1_001_000.0)
    assert written() == 1
    file = (tmp_path / "state.json").stat()
    uplink.run(wanted, 1_001_060.0)
    assert written() == 1 and (tmp_path / "state.json").stat().st_ino == file.st_ino
    uplink.run(wanted, 1_004_540.0)
    assert written() == 1
    uplink.run(wanted, 1_004_600.0)
    assert written() == 2
    # A clock that was set back.
    uplink.run(wanted, 1_000_000.0)
    assert written() == 3


def test_an_uplink_that_is_away_is_no_failure_and_anything_else_is(tmp_path, sides):
    wanted = settings(tmp_path)
    sides["centre"].answers["GET /api/v2/buckets"] = Fault("connection", "GET", "http://centre:8086/api/v2/buckets", "nobody there")
    report = uplink.run(wanted, 1_001_000.0)
    assert "nobody there" in report["away"] and "reconciled" not in report
    # Due again at once.
    assert "away" in uplink.run(wanted, 1_001_060.0)
    for fault in (Fault("status", "GET", "http://centre:8086/x", "no", status=401), Fault("connection", "GET", "http://local:8086/x", "away")):
        sides["centre"].answers["GET /api/v2/buckets"] = fault
        with pytest.raises(Fault):
            uplink.run(wanted, 1_001_120.0)


def test_a_replication_that_is_not_there_is_told(tmp_path, sides):
    with pytest.raises(Refused, match="no replication other"):
        uplink.run(settings(tmp_path, replications=[{"name": "other", "bucket": "b", "remote_bucket": "b"}]), time.time())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reconciled": "x", "waiting": {}}', '{"reconciled": 1, "waiting": []}'])
def test_a_broken_state_begins_anew(tmp_path, text):
    (tmp_path / "state").write_text(text)
    assert uplink.State.read(str(tmp_path / "state")) == uplink.State()
    state = uplink.State(5.0, 6.0, {"a": 1.0})
    state.write(str(tmp_path / "state"))
    assert uplink.State.read(str(tmp_path / "state")) == state


def test_the_programs_ending(tmp_path, sides):
    settings(tmp_path)
    path = str(tmp_path / "settings.json")
    # The journal's marks: news, and an error.
    (tmp_path / "state.json").write_text(json.dumps({"reconciled": 0, "stored": 0, "waiting": {"iotdata": 5}, "late": []}))
    code, (news, report) = uplink.main(["uplink", path])
    assert code == 0 and news.startswith("<5>the queue iotdata has waited for ") and json.loads(report)["blocked"] == []
    code, (text,) = uplink.main(["uplink"])
    assert code == 2 and text.startswith("<3>usage")
    (tmp_path / "settings.json").write_text('{"unknown": 1}')
    code, (text,) = uplink.main(["uplink", path])
    assert code == 1 and text.startswith("<3>the uplink could not be looked at: cannot use")


def test_the_connection_takes_its_token_from_the_file(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    there = uplink.connect("http://127.0.0.1:1", str(tmp_path / "token"), "")
    assert there.transport.headers == {"Authorization": "Token secret"}
    there.close()
    with pytest.raises(Refused, match="cannot read"):
        uplink.connect("http://127.0.0.1:1", str(tmp_path / "none"), "")


# -- reconcile and restore as a whole ------------------------------------------------------------------------------

HOUR = 1_800_000_000


def counted(value):
    series = [{"name": "m", "tags": {"device": "d", "unused": ""}, "columns": ["time", "count_value"], "values": [[HOUR, value]]}]
    return {"results": [{"series": series if value else []}]}


def test_what_is_missing_is_compared_and_copied():
    bucket = {"buckets": [{"id": "b", "name": "iotdata", "orgID": "1", "retentionRules": [{"everySeconds": 7 * 86400}]}]}

    def local(_body, query):
        if query["q"].startswith("SHOW"):
            return {"results": [{"series": [{"name": "m", "columns": ["fieldKey", "fieldType"], "values": [["value", "integer"]]}]}]}
        if "count" in query["q"] or "sum" in query["q"]:
            return counted(2)
        points = [[HOUR * 10**9 + 1, 1], [HOUR * 10**9 + 2, None], [HOUR * 10**9 + 3, 2]]
        other = {"name": "m", "tags": {"device": "d", "more": "x"}, "columns": ["time", "value"], "values": [[1, 9]]}
        return {"results": [{"series": [{"name": "m", "tags": {"device": "d"}, "columns": ["time", "value"], "values": points}, other]}]}

    here = client(**{"GET /api/v2/buckets": bucket, "GET /query": local})
    there = client(**{"GET /api/v2/buckets": bucket, "POST /api/v2/write": (204, b"", {})})
    there.transport.answers["GET /query"] = lambda _body, _query: counted(2 if there.transport.of("POST", "/api/v2/write") else 0)

    def run(check, **options):
        settings = {"since": 7200, "settle": 60, "now": HOUR + 3700.0, **options}
        return reconcile.reconcile(here, "iotdata", there, "iotdata", check=check, **settings)

    predicted = run(True)
    assert predicted.values["missing_points"] == 2 and predicted.values["copied_points"] == 0 and predicted.differences.changed
    assert predicted.values["missing"] == [{"measurement": "m", "device": "d", "hour": "2027-01-15T08:00:00Z", "local": 2, "remote": 0, "lacking": 2}]
    done = run(False)
    assert done.differences.diff() == predicted.differences.diff() and done.values["copied_points"] == 2 and done.values["left_points"] == 0
    ((body, _query),) = there.transport.of("POST", "/api/v2/write")
    assert body == f"m,device=d value=1i {HOUR * 10**9 + 1}\nm,device=d value=2i {HOUR * 10**9 + 3}"
    assert not run(False).differences.changed
    with pytest.raises(Refused, match="nothing to compare"):
        run(True, settle=8000)
    # In the first minutes of an hour a bucket that keeps one hour has none to compare.
    kept = {"buckets": [{**bucket["buckets"][0], "retentionRules": [{"type": "expire", "everySeconds": 3600}]}]}
    brief = client(**{"GET /api/v2/buckets": kept, "GET /query": local})
    found = reconcile.reconcile(brief, "iotdata", brief, "iotdata", since=7200, settle=300, check=False, now=HOUR + 60.0).values
    assert found["compared_hours"] == found["missing_points"] == 0
    with pytest.raises(Refused, match="has no bucket"):
        reconcile.reconcile(here, "iotdata", client(**{"GET /api/v2/buckets": {"buckets": []}}), "x", since=60, settle=0, check=True)


def test_a_copy_that_is_refused_is_told():
    bucket = {"buckets": [{"id": "b", "name": "iotdata", "orgID": "1", "retentionRules": []}]}
    answers_here = {"GET /api/v2/buckets": bucket}

    def local(_body, query):
        if query["q"].startswith("SHOW"):
            return {"results": [{"series": [{"name": "m", "columns": ["fieldKey", "fieldType"], "values": [["value", "float"]]}]}]}
        if "count" in query["q"] or "sum" in query["q"]:
            return counted(1)
        return {"results": [{"series": [{"name": "m", "tags": {"device": "d"}, "columns": ["time", "value"], "values": [[HOUR * 10**9, 1]]}]}]}

    here = client(**answers_here, **{"GET /query": local})
    refusal = (422, {"code": "unprocessable entity", "message": "type conflict dropped=1"}, {})
    there = client(**answers_here, **{"GET /query": counted(0), "POST /api/v2/write": refusal})
    done = reconcile.reconcile(here, "iotdata", there, "iotdata", since=7200, settle=60, check=False, now=HOUR + 3700.0)
    assert not done.differences.changed and done.values["left_points"] == 1
    assert done.values["refused"] == [{"series": "m,device=d", "reason": "type conflict dropped=1"}]


def test_a_backup_that_is_there_is_left_alone_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "one"
    there = client(**answers(**{"GET /api/v2/buckets": {"buckets": [{"id": "b", "name": "b"}]}}))
    assert backup.backup(there, str(path), check=True).differences.changed and not path.exists()
    backup.backup(there, str(path), check=False)
    assert not backup.backup(there, str(path), check=False).differences.changed
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="no directory"):
        backup.backup(there, str(tmp_path / "file"), check=True)
    file = next(path.glob("*.tar.gz"))
    whole = file.read_bytes()
    for data in (whole[:-9] + b"\0" * 9, whole[:20] + b"\xff" * (len(whole) - 20), whole[:-4], whole + b"x"):
        file.write_bytes(data)
        with pytest.raises(Refused, match="damaged"):
            backup.inspect(str(path))
    manifest = next(path.glob("*.manifest"))
    manifest.write_text("{}")
    with pytest.raises(Refused, match="damaged manifest"):
        backup.inspect(str(path))
    manifest.unlink()
    with pytest.raises(Refused, match="no backup"):
        backup.inspect(str(path))


def test_everything_is_restored_in_order_with_the_backups_own_token(tmp_path):
    path = tmp_path / "one"
    backup.backup(client(**answers()), str(path), check=False)
    good = {"POST /api/v2/restore/kv": {"token": ""}, "POST /api/v2/restore/sql": (204, b"", {}), "POST /api/v2/restore/shards/2": (204, b"", {})}
    there = client(**good)
    assert backup.restore_all(there, str(path), "theirs", check=True).differences.changed and len(there.transport.asked) == 1
    assert backup.restore_all(there, str(path), "theirs", check=False).values["restored"] == ["o/b"]
    assert there.transport.headers == {"Authorization": "Token theirs"}
    assert [where for method, where, _body, _query in there.transport.asked if method == "POST"] == [name.split()[1] for name in good]
    wrong = client(**{**good, "POST /api/v2/restore/sql": Fault("status", "POST", "x", "no", status=401)})
    with pytest.raises(Refused, match="Run this again with that one"):
        backup.restore_all(wrong, str(path), "wrong", check=False)
    assert not wrong.transport.of("POST", "/api/v2/restore/shards/2")


def test_buckets_are_restored_once(tmp_path):
    path = tmp_path / "one"
    backup.backup(client(**answers()), str(path), check=False)
    mapping = {"id": "new", "shardMappings": [{"oldId": 2, "newId": 77}]}
    there = client(**{"GET /api/v2/buckets": {"buckets": []}, "POST /api/v2/restore/bucketMetadata": mapping, "POST /api/v2/restore/shards/77": (204, b"", {})})
    wanted = [backup.Wanted("b", "c")]
    assert backup.restore_buckets(there, str(path), "o", "edgestack", wanted, check=True).values["restored"] == ["c"]
    assert backup.restore_buckets(there, str(path), "o", "edgestack", wanted, check=False).differences.changed
    assert len(there.transport.of("POST", "/api/v2/restore/shards/77")) == 1
    there.transport.answers["GET /api/v2/buckets"] = {"buckets": [{"id": "new", "name": "c"}]}
    assert not backup.restore_buckets(there, str(path), "o", "edgestack", wanted, check=False).differences.changed
    for names, message in (([backup.Wanted("none", "x")], "has no bucket none"), ([backup.Wanted("b", "x"), backup.Wanted("b", "x")], "several buckets")):
        with pytest.raises(Refused, match=message):
            backup.restore_buckets(there, str(path), "o", "edgestack", names, check=False)
