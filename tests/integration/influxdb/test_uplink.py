# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway and its centre: real InfluxDBs, the role's own files and rights, and the program that the timer starts."""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import subprocess
import sys
import time

import pytest
import yaml
from stack.influxd import Influxd
from stack.programs import ROOT

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import replication, resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.replication import Remote, Replication
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.resources import Bucket, Permission, Token
from ansible_collections.edgestack.iot.plugins.module_utils._preflight import outage

pytestmark = pytest.mark.integration

ROLE = ROOT / "roles" / "influxdb"
INVENTORY = "[influxdb]\ncentre iot_address=centre.example.org\nlocalhost\n[gateways]\nlocalhost\n"


def render(directory: pathlib.Path, name: str, site: dict) -> dict:
    """Internal variables of the role, as a play of this host sees them."""
    for link in ("templates", "files"):
        if (ROLE / link).exists() and not (directory / link).exists():
            (directory / link).symlink_to(ROLE / link)
    (directory / "pki").mkdir(exist_ok=True)
    (directory / "pki" / "bundle.pem").write_text("the authority's certificate")
    play = {
        "hosts": name,
        "gather_facts": False,
        "vars_files": [str(ROLE.parent / "iot" / "defaults" / "main.yml"), str(ROLE.parent / "iot" / "vars" / "main.yml")]
        + [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": "{{ {'files': _influxdb_uplink_component.files, 'queues': _influxdb_queues_token, 'tokens': _influxdb_gateway_tokens,"
                    " 'replications': _influxdb_replications, 'remote': influxdb_remote_url, 'replicate': iot_replicate} | to_json }}",
                    "dest": str(directory / f"{name}.json"),
                    "mode": "0600",
                },
                "delegate_to": "localhost",
            }
        ],
    }
    (directory / "play.yml").write_text(yaml.safe_dump([play]))
    (directory / "hosts").write_text(INVENTORY)
    (directory / "site.json").write_text(json.dumps({"role_path": str(ROLE), "__iot_host": {"memory_mb": 1024}, **site}))
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    done = subprocess.run(
        [program, "-i", "hosts", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "-e", "@site.json", "play.yml"],
        cwd=directory,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((directory / f"{name}.json").read_text())


def write(client: Client, *lines: str) -> None:
    client.transport.request("POST", "/api/v2/write", query={"org": "edgestack", "bucket": "iotdata"}, body="\n".join(lines))


def values(client: Client, measurement: str) -> set:
    return {row["value"] for row in client.influxql(f'select value from "{measurement}"', "iotdata")}  # noqa: S608


def until(what, seconds: float = 30.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def permissions(items: list[dict]) -> tuple[Permission, ...]:
    return tuple(Permission(one["action"], one.get("type", "buckets"), one.get("bucket", "")) for one in items)


class Gateway:
    """Both sides, set up with what the role says."""

    def __init__(self, directory: pathlib.Path, edge: Influxd, centre: Influxd) -> None:
        self.directory, self.edge, self.centre = directory, edge, centre
        self.local, self.far = edge.server.client(), centre.server.client()
        self.settings = directory / "etc" / "settings.json"
        private = directory / "etc" / "secrets"
        private.mkdir(parents=True)
        site = {
            "_influxdb_uplink_home": str(directory / "home"),
            "_influxdb_uplink_etc": str(directory / "etc"),
            "_influxdb_local_url": edge.server.url,
            "influxdb_remote_url": centre.server.url,
            "_influxdb_queues_value": "-",
        }
        role = render(directory, "localhost", site)
        assert role["replicate"]
        for file in role["files"]:
            path = pathlib.Path(file["path"])
            if path.is_relative_to(directory):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file["content"])
        settings = json.loads(self.settings.read_text())
        # No TLS on the loopback; and nothing has to settle there.
        self.settings.write_text(json.dumps({**settings, "ca_file": "", "state_file": str(directory / "state.json"), "settle": "0"}))
        for client in (self.local, self.far):
            resources.buckets(client, "edgestack", [Bucket("iot_unparsed"), Bucket("iot_verify", retention="1h")], check=False)
        tokens = {one["store"]: one for one in render(directory, "centre", {})["tokens"]}
        for side, item, name in (
            (centre, tokens["influxdb_token_uplink_localhost"], "replication"),
            (centre, tokens["influxdb_token_reconcile_localhost"], "reconcile"),
            (edge, role["queues"][0], "queues"),
        ):
            token = Token(item["description"], permissions(item["permissions"]))
            _outcome, made = resources.tokens(side.server.client(), side.server.client, "edgestack", [token], False)
            (private / name).write_text(made[0].value)
        remote = Remote("centre", centre.server.url, (private / "replication").read_text(), "edgestack")
        replication.remotes(self.local, lambda url, token: Client.connect(url, token), "edgestack", [remote], False)
        wanted = [Replication(**one) for one in role["replications"]]
        assert wanted[0].max_queue_bytes == outage.MIN_REPLICATION_QUEUE and wanted[0].drop_refused
        assert replication.replications(self.local, "edgestack", wanted, False).differences.changed
        assert not replication.replications(self.local, "edgestack", wanted, False).differences.changed

    def look(self, code: int = 0) -> dict:
        """What the timer starts, as it is installed: the host's own Python, the standard library alone."""
        done = subprocess.run(
            ["/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable, "-I", "-c"]
            + ["import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('edgestack_uplink', run_name='__main__')"]
            + [str(self.directory / "home"), str(self.settings)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1]) if not code else {"error": done.stderr}

    def queue(self) -> dict:
        found = self.local.replications(self.local.organization_id("edgestack"))
        return next(replication.queue_of(one) for one in found if one["name"] == "iotdata")


@pytest.fixture
def gateway(tmp_path):
    with Influxd(tmp_path / "edge") as edge, Influxd(tmp_path / "centre") as centre:
        yield Gateway(tmp_path, edge, centre)


def test_rights_are_the_least(tmp_path):
    tokens = render(tmp_path, "centre", {})["tokens"]
    buckets = ["iot_unparsed", "iot_verify", "iotdata"]
    assert [(one["store"], sorted((p["action"], p.get("bucket", p.get("type"))) for p in one["permissions"])) for one in tokens] == [
        ("influxdb_token_uplink_localhost", [("read", "orgs"), *(("write", name) for name in buckets)]),
        ("influxdb_token_reconcile_localhost", [(action, name) for action in ("read", "write") for name in buckets]),
    ]
    gateway = render(tmp_path, "localhost", {"_influxdb_queues_value": "-"})
    assert gateway["remote"] == "https://centre.example.org:8086" and gateway["tokens"] == []


def test_readings_flow_are_kept_and_counted(gateway):
    write(gateway.local, "m value=1")
    until(lambda: values(gateway.far, "m") == {1})
    report = gateway.look()
    assert report["blocked"] == [] and [one["missing_points"] for one in report["reconciled"]] == [0, 0, 0]
    row = gateway.local.influxql("select * from uplink where queue = 'iotdata'", "iotdata")[0]
    assert row["host"] == "localhost" and row["blocked"] is False and row["remaining_bytes"] == 0
    # Not again within the hour.
    assert "reconciled" not in gateway.look()


def test_a_look_wakes_a_queue_that_waits(gateway):
    """After ten failures InfluxDB waits for a quarter of an hour, or the next write: which the look is, when it is due."""
    gateway.settings.write_text(json.dumps({**json.loads(gateway.settings.read_text()), "waiting": "0"}))
    gateway.centre.kill()
    for number in range(14):
        write(gateway.local, f"m value={number} {number + 1}")
        time.sleep(0.05)
    until(lambda: gateway.queue()["remaining_bytes"] > 0)
    report = gateway.look()
    assert report["waiting"] == ["iotdata"] and "away" in report
    gateway.centre.start()
    time.sleep(5)
    assert values(gateway.far, "m") == set()
    began = time.monotonic()
    gateway.look()
    until(lambda: values(gateway.far, "m") == set(range(14)))
    assert time.monotonic() - began < 20
    waiting = gateway.local.influxql("select max(waiting_seconds) from uplink where queue = 'iotdata'", "iotdata")[0]["max"]
    assert waiting >= 4


def test_nothing_that_was_taken_is_lost_when_both_die(gateway):
    """The centre is away, the gateway loses its power twice; everything that was acknowledged arrives, once."""
    gateway.centre.kill()
    for number in range(300):
        write(gateway.local, f"m value={number} {number + 1}")
    gateway.edge.kill()
    gateway.edge.start()
    for number in range(300, 500):
        write(gateway.local, f"m value={number} {number + 1}")
    gateway.edge.kill()
    gateway.edge.start()
    gateway.centre.start()
    gateway.look()
    until(lambda: values(gateway.far, "m") == set(range(500)))
    until(lambda: gateway.queue()["remaining_bytes"] == 0)


def test_a_type_that_the_centre_refuses_does_not_block_the_rest(gateway):
    """InfluxDB 2.9.1 repeats a partly refused batch (422) for ever, whatever it is told; so the queue is renewed, and the rest copied."""
    # Types are a shard's own: both sides have it in the same one. What is compared is at least a second old.
    then = time.time_ns() - 60 * 10**9
    write(gateway.far, f'm value="a text" {then}')
    write(gateway.local, f"m value=1 {then}", f"n value=1 {then}")
    until(lambda: gateway.queue()["latest_status"] == 422)
    write(gateway.local, f"n value=2 {then + 1}", f"m value=2 {then + 1}")
    time.sleep(2)
    # The default: the other readings stand behind the refused ones.
    assert 2 not in values(gateway.far, "n") and gateway.queue()["remaining_bytes"] > 0
    report = gateway.look()
    assert report["blocked"] == ["iotdata"]
    done = next(one for one in report["reconciled"] if one["replication"] == "iotdata")
    assert done["renewed"] and "type conflict" in done["refused"][0]["reason"] and done["left_points"] == 2
    assert values(gateway.far, "n") == {1, 2}
    write(gateway.local, "n value=3")
    until(lambda: values(gateway.far, "n") == {1, 2, 3})
    # What cannot be stored there is still here, and is shown.
    assert values(gateway.local, "m") == {1, 2}
    row = gateway.local.influxql("select * from uplink_reconcile where queue = 'iotdata'", "iotdata")[-1]
    assert row["refused_series"] == 1 and "type conflict" in row["error"]


def test_what_a_full_queue_drops_is_copied(gateway):
    """With a full queue the local write succeeds and its copy is dropped with a line in the log; the comparison brings it later."""
    small = Replication("iotdata", "centre", "iotdata", "iotdata", max_queue_bytes=replication.MIN_QUEUE)
    replication.replications(gateway.local, "edgestack", [small], False)
    gateway.centre.kill()
    then = time.time_ns() - 600 * 10**9
    total = 0
    while total < 80000:
        # Random texts cannot be compressed: 700 kB a write.
        write(gateway.local, *(f'm,device=d value={total + one},text="{secrets.token_urlsafe(520)}" {then + total + one}' for one in range(1000)))
        total += 1000
        if "queue is full" in gateway.edge.log:
            break
    assert "queue is full" in gateway.edge.log
    gateway.centre.start()
    write(gateway.local, "wakes value=1")
    until(lambda: gateway.queue()["remaining_bytes"] == 0, 60)
    arrived = len(values(gateway.far, "m"))
    assert 0 < arrived < total and len(values(gateway.local, "m")) == total
    done = next(one for one in gateway.look()["reconciled"] if one["replication"] == "iotdata")
    assert values(gateway.far, "m") == set(range(total)) and done["left_points"] == 0
    count = gateway.far.influxql("select count(text) from m", "iotdata")[0]["count"]
    assert count == total


def test_a_broken_configuration_says_so(gateway, tmp_path):
    gateway.settings.write_text(json.dumps({**json.loads(gateway.settings.read_text()), "replications": [{"name": "none", "bucket": "iotdata"}]}))
    assert "there is no replication none" in gateway.look(code=1)["error"]
    (tmp_path / "etc" / "secrets" / "queues").write_text("wrong")
    assert "401" in gateway.look(code=1)["error"]
    gateway.settings.write_text("{")
    assert "cannot use" in gateway.look(code=1)["error"]
