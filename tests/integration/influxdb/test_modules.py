# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules as a user calls them: Ansible, a playbook, a real InfluxDB."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys

import pytest
import yaml
from stack.influxd import running_influxd
from stack.programs import ROOT

pytestmark = pytest.mark.integration


class Site:
    """A directory with a playbook's store and a token file; runs plays in it and keeps everything that they print."""

    def __init__(self, directory, url, token):
        self.directory = directory
        self.url = url
        self.token = token
        self.printed = ""
        self.store = directory / "secrets"
        (directory / "operator").write_text(token)
        (directory / "operator").chmod(0o600)

    def _play(self, tasks, check, callback):
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/edgestack.iot.influxdb2": {"url": self.url, "token_file": str(self.directory / "operator"), "retries": 1}},
            "tasks": [{"name": f"task {number}", **task} for number, task in enumerate(tasks)],
        }
        (self.directory / "play.yml").write_text(yaml.safe_dump([play]))
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        done = subprocess.run(
            [
                *(program, "-i", "localhost,", "-c", "local", "--diff", "-vvv", *(["--check"] if check else [])),
                *("-e", f"ansible_python_interpreter={sys.executable}", "play.yml"),
            ],
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
                "ANSIBLE_STDOUT_CALLBACK": callback,
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.printed += done.stdout + done.stderr
        return done

    def run(self, *tasks, check=False, fails=False):
        """The results of the tasks, in order."""
        done = self._play(tasks, check, "ansible.posix.json")
        found = re.search(r"^{$.*^}$", done.stdout, re.DOTALL | re.MULTILINE)
        assert found, done.stdout + done.stderr
        results = [task["hosts"]["localhost"] for task in json.loads(found.group(0))["plays"][0]["tasks"]]
        assert (done.returncode != 0) == fails, json.dumps(results, indent=1)
        return results

    def plain(self, *tasks):
        """What a person sees at -vvv."""
        done = self._play(tasks, False, "ansible.builtin.default")
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def site(influxdb, tmp_path):
    return Site(tmp_path, influxdb.url, influxdb.token)


def bucket(influxdb, **options):
    return {"edgestack.iot.influxdb2_bucket": {"organization": influxdb.organization, **options}}


def token_task(influxdb, site, *tokens):
    return {
        "edgestack.iot.influxdb2_token": {
            "organization": influxdb.organization,
            "secrets_dir": str(site.store),
            "tokens": list(tokens),
        }
    }


def test_buckets_in_one_task_with_check_and_diff(influxdb, site, prefix):
    many = bucket(influxdb, buckets=[{"name": f"{prefix}_a", "retention": "7d"}, {"name": f"{prefix}_b", "retention": "1h"}])
    predicted = site.run(many, check=True)[0]
    assert predicted["changed"] and predicted["buckets"] == []
    made, again, single = site.run(many, many, bucket(influxdb, name=f"{prefix}_a", retention="1d", description="x"))
    assert made["changed"] and made["diff"] == predicted["diff"]
    assert not again["changed"] and len(again["buckets"]) == 2
    assert single["diff"]["before"] == {f"bucket {prefix}_a": {"description": "", "retention": "7d"}}
    assert single["diff"]["after"] == {f"bucket {prefix}_a": {"description": "x", "retention": "1d"}}
    info = site.run({"edgestack.iot.influxdb2_info": {"organization": influxdb.organization, "gather": ["buckets", "tokens"]}})[0]
    assert not info["changed"] and f"{prefix}_a" in [one["name"] for one in info["buckets"]]
    assert influxdb.token not in site.printed


def test_a_tokens_value_reaches_the_store_and_nothing_else(influxdb, site, prefix):
    """Made, checked, replaced and read by the lookup, with everything that is printed at -vvv looked through."""
    task = token_task(
        influxdb,
        site,
        {
            "description": f"{prefix} telegraf",
            "store": "influxdb_token_telegraf",
            "permissions": [{"action": "write", "bucket": f"{prefix}_a"}],
        },
        {
            "description": f"{prefix} grafana",
            "store": "influxdb_token_grafana",
            "permissions": [{"action": "read", "bucket": f"{prefix}_a"}],
        },
    )
    site.run(bucket(influxdb, name=f"{prefix}_a"))
    predicted = site.run(task, check=True)[0]
    assert predicted["changed"] and not site.store.exists()
    made = site.run(task)[0]
    assert made["changed"] and sorted(made["stored"]) == ["influxdb_token_grafana", "influxdb_token_telegraf"]
    path = site.store / "influxdb_token_telegraf"
    first = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600 and len(first) > 20
    assert not site.run(task)[0]["changed"]
    assert not site.run(task, check=True)[0]["changed"]

    # Somebody puts another value there.
    path.write_text("lost")
    replaced = site.run(task)[0]
    second = path.read_text().strip()
    assert replaced["stored"] == ["influxdb_token_telegraf"] and second not in ("lost", first)
    assert "not accepted" in replaced["reasons"][f"{prefix} telegraf"]
    client = influxdb.client(first)
    with pytest.raises(Exception, match="401"):
        client.buckets("0" * 16)
    client.close()

    path.unlink()
    text = site.plain(task, bucket(influxdb, name=f"{prefix}_a"))
    assert "changed" in text
    third = path.read_text().strip()
    grafana = (site.store / "influxdb_token_grafana").read_text().strip()
    for value in (first, second, third, grafana, influxdb.token):
        assert value not in site.printed


def test_setup_with_chosen_token_and_wrong_one(tmp_path):
    token = secrets.token_hex(24)
    password = secrets.token_hex(12)
    with running_influxd(tmp_path / "data") as url:
        site = Site(tmp_path, url, token)
        task = {"edgestack.iot.influxdb2_setup": {"organization": "plant", "bucket": "readings", "retention": "7d", "password": password}}
        assert site.run(task, check=True)[0]["changed"]
        first, second = site.run(task, task)
        assert first["changed"] and not second["changed"] and second["already_set_up"]
        (tmp_path / "operator").write_text("another")
        failed = site.run(task, fails=True)[0]
        assert "does not accept this operator token" in failed["msg"]
    assert token not in site.printed and password not in site.printed


def test_mapping_and_query(influxdb, site, prefix):
    client = influxdb.client()
    results = site.run(
        bucket(influxdb, name=f"{prefix}_a"),
        {
            "edgestack.iot.influxdb2_dbrp": {
                "organization": influxdb.organization,
                "mappings": [{"database": f"{prefix}_db", "bucket": f"{prefix}_a", "default": True}],
            }
        },
    )
    assert results[1]["changed"]
    client.transport.request("POST", "/api/v2/write", query={"org": influxdb.organization, "bucket": f"{prefix}_a"}, body="m,device=d value=42.5")
    client.close()
    influxql = {"edgestack.iot.influxdb2_query": {"database": f"{prefix}_db", "query": "select value from m"}}
    flux = {
        "edgestack.iot.influxdb2_query": {
            "organization": influxdb.organization,
            "language": "flux",
            "query": f'from(bucket: "{prefix}_a") |> range(start: -1h)',
        }
    }
    first, second = site.run(influxql, flux, check=True)
    assert first["rows"][0]["value"] == 42.5 and second["rows"][0]["_value"] == 42.5
    refused = site.run({"edgestack.iot.influxdb2_query": {"database": f"{prefix}_db", "query": "drop measurement m"}}, fails=True)[0]
    assert "SELECT" in refused["msg"]


def test_a_failure_says_what_was_asked_and_what_to_do(influxdb, tmp_path):
    site = Site(tmp_path, influxdb.url, "wrong-token")
    failed = site.run(bucket(influxdb, name="x", state="absent"), fails=True)[0]
    assert failed["fault"]["status"] == 401 and failed["fault"]["method"] == "GET" and failed["fault"]["hint"]
    assert influxdb.url in failed["msg"] and "wrong-token" not in site.printed
    site.url = "http://127.0.0.1:9"
    failed = site.run(bucket(influxdb, name="x", state="absent"), fails=True)[0]
    assert failed["fault"]["kind"] == "connection" and failed["fault"]["attempts"] == 2
