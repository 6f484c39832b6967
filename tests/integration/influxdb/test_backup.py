# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of a real InfluxDB and their way back into another, in both directions with `influx backup` and `influx restore`."""

from __future__ import annotations

import gzip
import os
import pathlib
import subprocess

import pytest
from stack.influxd import set_up_influxd
from stack.programs import program

from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import backup, resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.backup import Wanted
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client, Refused
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.resources import Bucket, Permission, Token

from .test_modules import Site

pytestmark = pytest.mark.integration

HOUR = 3_600_000_000_000
START = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A server with data in several shards, and a backup of it."""
    directory = tmp_path_factory.mktemp("backup")
    with set_up_influxd(directory / "data") as server:
        client = server.client()
        resources.buckets(client, "edgestack", [Bucket("readings", retention="0", description="kept"), Bucket("empty", retention="7d")], check=False)
        lines = [f'm,device=d-{number % 7} value={number},text="t {number}" {START + number * HOUR}' for number in range(1000)]
        client.transport.request("POST", "/api/v2/write", query={"org": "edgestack", "bucket": "readings"}, body="\n".join(lines))
        rights = (Permission("read", "buckets", "readings"),)
        _outcome, made = resources.tokens(client, server.client, "edgestack", [Token("reader", rights)], False)
        done = backup.backup(client, str(directory / "backups" / "one"), check=False)
        assert done.differences.changed
        yield server, client, directory / "backups" / "one", made[0].value
        client.close()


@pytest.fixture
def target(tmp_path):
    with set_up_influxd(tmp_path / "target") as server:
        client = server.client()
        yield server, client
        client.close()


def readings(client: Client, bucket: str) -> list:
    return sorted((row["time"], row["device"], row["value"], row["text"]) for row in client.influxql("select * from m", bucket))


def influx(*words: object, server) -> subprocess.CompletedProcess:
    environment = {**os.environ, "INFLUX_HOST": server.url, "INFLUX_TOKEN": server.token, "INFLUX_CONFIGS_PATH": os.devnull}
    return subprocess.run([program("influx", "influxdb"), *map(str, words)], env=environment, capture_output=True, text=True, check=True)


def test_a_backup_is_private_whole_and_made_once(full, tmp_path):
    _server, client, path, _token = full
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}
    assert [file.name for file in path.parent.iterdir()] == ["one"]
    again = backup.backup(client, str(path), check=False)
    assert not again.differences.changed and "edgestack/readings" in again.values["buckets"] and again.values["size"] > 1000
    # Shards of a week each.
    assert len(list(path.glob("*.tar.gz"))) >= 6
    predicted = backup.backup(client, str(tmp_path / "new"), check=True)
    assert predicted.differences.changed and not (tmp_path / "new").exists()
    assert backup.backup(client, str(tmp_path / "new"), check=False).differences.diff() == predicted.differences.diff()


def test_a_backup_that_fails_leaves_nothing(full, tmp_path):
    server, client, _path, token = full
    with pytest.raises(Fault) as caught:
        backup.backup(server.client(token), str(tmp_path / "one"), check=False)
    assert caught.value.status in (401, 403) and list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refused, match="no directory"):
        backup.backup(client, str(tmp_path / "file"), check=False)
    with pytest.raises(Refused, match="cannot be written"):
        backup.backup(client, "/proc/none/one", check=False)


def damaged(full, tmp_path, change) -> str:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in full[2].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    change(copy)
    return str(copy)


def flip(path: pathlib.Path) -> None:
    file = next(path.glob("*.tar.gz"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip, "damaged"),
        (lambda path: next(path.glob("*.tar.gz")).unlink(), "damaged"),
        (lambda path: next(path.glob("*.bolt.gz")).write_bytes(gzip.compress(b"x")), "bytes"),
        (lambda path: next(path.glob("*.manifest")).write_text("{}"), "damaged manifest"),
        (lambda path: next(path.glob("*.manifest")).unlink(), "no backup"),
    ],
)
def test_of_a_damaged_backup_nothing_is_restored(full, tmp_path, change, message):
    _server, client, _path, _token = full
    path = damaged(full, tmp_path, change)
    for call in (
        lambda: backup.restore_all(client, path, "", check=False),
        lambda: backup.restore_buckets(client, path, "edgestack", "edgestack", [Wanted("readings", "restored")], check=False),
        lambda: backup.backup(client, path, check=False),
    ):
        with pytest.raises(Refused, match=message):
            call()
    assert len(readings(client, "readings")) == 1000
    assert "restored" not in [one["name"] for one in client.buckets(client.organization_id("edgestack"))]


def test_buckets_come_back_under_other_names_and_elsewhere(full, target):
    _server, client, path, _token = full
    _other, far = target
    wanted = [Wanted("readings", "restored"), Wanted("empty", "empty")]

    def run(check):
        return backup.restore_buckets(far, str(path), "edgestack", "edgestack", wanted, check)

    assert run(True).values["restored"] == ["restored", "empty"] and far.buckets(far.organization_id("edgestack"))[0]["name"] != "restored"
    assert run(False).differences.changed
    assert readings(far, "restored") == readings(client, "readings") and len(readings(far, "restored")) == 1000
    bucket = next(one for one in far.buckets(far.organization_id("edgestack")) if one["name"] == "restored")
    assert bucket["description"] == "kept" and bucket["retentionRules"][0]["everySeconds"] == 0
    assert not run(False).differences.changed
    for names, message in (([Wanted("none", "x")], "has no bucket none"), ([Wanted("readings", "x"), Wanted("empty", "x")], "several buckets")):
        with pytest.raises(Refused, match=message):
            backup.restore_buckets(far, str(path), "edgestack", "edgestack", names, False)


def test_half_a_bucket_is_taken_away_again(full, target, monkeypatch):
    _other, far = target
    calls = []

    def broken(client, source, path, entry):
        calls.append(path)
        raise Fault("broken", "POST", path, "cut off")

    monkeypatch.setattr(backup, "_upload", broken)
    with pytest.raises(Fault):
        backup.restore_buckets(far, str(full[2]), "edgestack", "edgestack", [Wanted("readings", "restored")], False)
    assert calls and "restored" not in [one["name"] for one in far.buckets(far.organization_id("edgestack"))]


def test_everything_comes_back_on_a_new_server(full, target):
    server, client, path, token = full
    other, far = target
    predicted = backup.restore_all(far, str(path), server.token, check=True)
    assert predicted.differences.changed and len(far.buckets(far.organization_id("edgestack"))) == 3
    assert backup.restore_all(far, str(path), server.token, check=False).differences.changed
    # Its operator is the backup's now, and every other token too.
    restored = Client.connect(other.url, server.token)
    assert readings(restored, "readings") == readings(client, "readings")
    reader = Client.connect(other.url, token)
    assert len(readings(reader, "readings")) == 1000
    with pytest.raises(Fault):
        Client.connect(other.url, other.token).organization_id("edgestack")
    restored.close()
    reader.close()


def test_a_wrong_operator_token_is_told_with_the_way_on(full, target):
    server, client, path, _token = full
    other, far = target
    with pytest.raises(Refused, match="Run this again with that one"):
        backup.restore_all(far, str(path), "wrong", check=False)
    again = Client.connect(other.url, server.token)
    assert backup.restore_all(again, str(path), server.token, check=False).differences.changed
    assert readings(again, "readings") == readings(client, "readings")
    again.close()


def test_the_vendors_program_restores_ours_and_we_restore_its(full, target, tmp_path):
    server, client, path, _token = full
    other, far = target
    influx("restore", path, "--bucket", "readings", "--org", "edgestack", "--new-bucket", "theirs", server=other)
    assert readings(far, "theirs") == readings(client, "readings")
    influx("backup", tmp_path / "vendors", server=server)
    backup.restore_buckets(far, str(tmp_path / "vendors"), "edgestack", "edgestack", [Wanted("readings", "ours")], False)
    assert readings(far, "ours") == readings(client, "readings")


def test_the_modules(full, target, tmp_path):
    server, client, _path, _token = full
    other, far = target
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    source, sink = Site(tmp_path / "from", server.url, server.token), Site(tmp_path / "to", other.url, other.token)
    task = {"edgestack.iot.influxdb2_backup": {"path": str(tmp_path / "made")}}
    assert source.run(task, check=True)[0]["changed"] and not (tmp_path / "made").exists()
    made, again = source.run(task, task)
    assert made["changed"] and not again["changed"] and made["size"] == again["size"]
    back = {"edgestack.iot.influxdb2_restore": {"path": str(tmp_path / "made"), "organization": "edgestack", "buckets": [{"name": "readings"}]}}
    assert sink.run(back, check=True)[0]["restored"] == ["readings"]
    first, second = sink.run(back, back)
    assert first["changed"] and not second["changed"] and readings(far, "readings") == readings(client, "readings")
    everything = {"edgestack.iot.influxdb2_restore": {"path": str(tmp_path / "made"), "full": True, "operator_token": server.token}}
    assert sink.run(everything)[0]["changed"]
    assert server.token not in source.printed + sink.printed and other.token not in sink.printed
