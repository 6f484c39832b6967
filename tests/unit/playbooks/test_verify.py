# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/verify.yml, run as a user runs it, against small servers that stand for the stack.

A stack that works is proved; with each single thing broken, exactly that is in the report and the playbook fails.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.parse

import pytest
import yaml
from unit.plugins._mqtt.conftest import ONE, TWO, described, pki, start  # noqa: F401 - fixtures

ROOT = pathlib.Path(__file__).parents[3]
PROFILES = ROOT / "roles" / "devices" / "files" / "profiles"
PASSWORD = "Right-horse-7"


class Stack:
    """InfluxDB, Grafana, the broker's dashboard and the app, with the readings that the broker has let through."""

    def __init__(self, broker, pki):  # noqa: F811
        self.broker, self.pki = broker, pki
        self.stored = lambda rows: rows
        self.open_database = False
        self.grafana_password = PASSWORD
        self.grafana_locked = False
        self.dashboard = (401, {"code": "BAD_USERNAME_OR_PWD", "message": "Auth failed"})
        self.healthy = 200
        self.probes = 0
        profiles = [yaml.safe_load(path.read_text()) for path in PROFILES.glob("*.yml")]
        # Those of attached sensors have no topic.
        self.subscribed = [profile["telemetry"] for profile in profiles if "sensor" not in profile]

    def rows(self):
        rows = []
        for _client, topic, payload, _qos in list(self.broker.seen):
            with contextlib.suppress(ValueError):
                rows.append(json.loads(payload) | {"device": topic.rsplit("/", 1)[-1]})
        return self.stored(rows)

    def answer(self, method, path, query, headers, body):
        if path in ("/_stcore/health", "/api/v5/status"):
            return (self.healthy if "stcore" in path else 200), "ok"
        if path == "/api/v5/login":
            return self.dashboard
        if path == "/api/v5/nodes":
            return 200, [{"node": "emqx@127.0.0.1", "version": "5.8.9", "edition": "Opensource", "node_status": "running"}]
        if path == "/api/v5/subscriptions":
            data = [{"clientid": "telegraf-centre", "topic": topic, "qos": 1} for topic in self.subscribed]
            return 200, {"data": data, "meta": {"page": 1, "limit": 1000, "hasnext": False}}
        if path == "/query":
            return self.influxdb(query, headers)
        return self.grafana(path, headers, body)

    def influxdb(self, query, headers):
        if not headers.get("Authorization") and not self.open_database:
            return 401, {"code": "unauthorized", "message": "Unauthorized"}
        columns = ["time", "nonce", "value", "device"]
        series = {"name": "edgestack_verify", "columns": columns, "values": [[row[name] for name in columns] for row in self.rows()]}
        return 200, {"results": [{"statement_id": 0, **({"series": [series]} if series["values"] else {})}]}

    def grafana(self, path, headers, body):
        name, _colon, password = base64.b64decode(headers["Authorization"].split()[1]).decode().partition(":")
        if (name, password) == ("admin", "admin"):
            self.probes += 1
        if self.grafana_locked or (name, password) != ("admin", self.grafana_password):
            return 401, {"message": "invalid username or password"}
        if path == "/api/org":
            return 200, {"id": 1}
        wanted = body["queries"][0]["query"]
        found = [row for row in self.rows() if f"= {row['time']}ms" in wanted and f"'{row['device']}'" in wanted]
        frames = [{"data": {"values": [[row["time"] for row in found], [row["value"] for row in found]]}}] if found else []
        return 200, {"results": {"A": {"status": 200, "frames": frames}}}

    @contextlib.contextmanager
    def serve(self, tls):
        stack = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                parts = urllib.parse.urlsplit(self.path)
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                status, out = stack.answer(self.command, parts.path, urllib.parse.parse_qs(parts.query), self.headers, body)
                data = json.dumps(out).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_any

            def log_message(self, *_args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.pki / "server.pem", self.pki / "server.key")
                server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield server.server_address[1]
            server.shutdown()


@pytest.fixture
def site(tmp_path, pki, start):  # noqa: F811
    """An inventory whose one host is this machine, with the files that site.yml would have made."""
    with contextlib.ExitStack() as opened:

        def make(page=0, **changes):
            broker = start(**changes)
            stack = Stack(broker, pki)
            secure, plain = opened.enter_context(stack.serve(True)), opened.enter_context(stack.serve(False))
            for name in (ONE, TWO):
                bundle = tmp_path / "devices" / name
                bundle.mkdir(parents=True)
                shutil.copy(pki / f"{name}.pem", bundle / "device.pem")
                shutil.copy(pki / f"{name}.key", bundle / "device.key")
                shutil.copy(pki / f"{name}.password", bundle / "password")
                shutil.copy(pki / "ca.pem", bundle / "ca.pem")
            for component in ("influxdb", "grafana"):
                (tmp_path / component / "tls").mkdir(parents=True)
                shutil.copy(pki / "ca.pem", tmp_path / component / "tls" / "ca.pem")
            secrets = tmp_path / "secrets"
            secrets.mkdir(mode=0o700)
            for name, value in (("influxdb_token_verify", "a-token-0123456789"), ("grafana_admin_password", PASSWORD)):
                (secrets / name).write_text(value)
                (secrets / name).chmod(0o600)
            (tmp_path / "emqx").mkdir()
            (tmp_path / "emqx" / "api_secret").write_text("an-api-secret-0123456789")
            app = tmp_path / "app"
            app.mkdir()
            shown = {"ok": page == 0, "statistics": {"Mean": "1.5"}, "problems": [] if page == 0 else ["no such device"]}
            (app / "check").write_text(f"#!/bin/sh\ntest \"$3\" = --device={ONE} || exit 9\necho '{json.dumps(shown)}'\nexit {page}\n")
            (app / "check").chmod(0o755)
            host = {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "ansible_become": False,
                "ansible_host": "127.0.0.1",
                "iot_address": "127.0.0.1",
                "emqx_address": "127.0.0.1",
                "emqx_port": broker.port,
                "emqx_dashboard_port": plain,
                "_emqx_api_secret_file": str(tmp_path / "emqx" / "api_secret"),
                "influxdb_address": "127.0.0.1",
                "influxdb_port": secure,
                "_influxdb_etc": str(tmp_path / "influxdb"),
                "grafana_address": "127.0.0.1",
                "grafana_port": secure,
                "_grafana_etc": str(tmp_path / "grafana"),
                "streamlit_port": plain,
                "_streamlit_home": str(app),
                "devices_verify": [{"id": name, "profile": "edgestack_verify"} for name in (ONE, TWO)],
                "verify_retries": 1,
            }
            groups = {name: {"hosts": {"centre": None}} for name in ("emqx", "influxdb", "grafana", "streamlit", "telegraf", "mysql")}
            inventory = {"all": {"hosts": {"centre": {}}, "children": groups}}
            (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
            # Roles' own variables stand above an inventory's.
            (tmp_path / "variables.json").write_text(json.dumps(host))
            return stack

        yield make


@pytest.fixture
def verify(tmp_path):
    def run(*arguments):
        report = tmp_path / "report.json"
        command = [
            str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "hosts.yml"), "-e", f"@{tmp_path / 'variables.json'}",
            "-e", f"iot_verify_report={report}", str(ROOT / "playbooks/verify.yml"), *arguments,
        ]  # fmt: skip
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build/collections"),
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        out = done.stdout + done.stderr
        assert not [secret for secret in ("secret of", PASSWORD, "a-token-0123456789", "an-api-secret-0123456789") if secret in out]
        return done.returncode, json.loads(report.read_text()) if report.exists() else [], out

    return run


def failed(report):
    return sorted(entry["name"] for entry in report if not entry["ok"])


def test_a_stack_that_works_is_proved(site, verify):
    stack = site()
    status, report, out = verify("-vvv")
    assert (status, failed(report)) == (0, []), out
    assert len(report) > 25 and f"proved: {len(report)} of {len(report)}" in out
    assert "stored: a reading of a registered device" in {entry["name"] for entry in report}
    assert stack.probes == 1
    assert "changed=0" in out


def test_check_mode_tries_nothing(site, verify):
    stack = site()
    status, report, out = verify("--check")
    assert (status, report, stack.broker.connects, stack.probes) == (0, [], 0, 0), out


def test_what_the_servers_do_wrong_is_in_the_report(site, verify):
    stack = site(page=1, acl_publish=False, check_password=False)
    stack.open_database = True
    stack.grafana_password = "admin"
    stack.dashboard = (200, {"token": "x"})
    stack.healthy = 503
    stack.subscribed.remove("tele/+/SENSOR")
    # The database gives back other values than were sent.
    stack.stored = lambda rows: [row | {"value": row["value"] + 1} if row["device"] == ONE else row for row in rows]
    status, report, out = verify()
    assert status != 0
    names = failed(report)
    assert names == sorted([
        "a collector listens to every kind of device", "a wrong password", "a wrong password, MQTT 5",
        "publishing on another device's topic", "publishing on another device's topic, MQTT 5",
        "the default password of EMQX's dashboard", "a query without a token", "Grafana's default password",
        "the data source answers with the reading", "the app is up", "the app's page shows the metric",
        "stored: a reading of a registered device", "stored: a reading of a registered device, MQTT 5",
        "stored: publishing on another device's topic", "stored: publishing on another device's topic, MQTT 5",
    ]), out  # fmt: skip
    assert "not to tele/+/SENSOR" in out
    for name in names:
        assert f"not proved: centre: {name}: " in out


def test_a_locked_grafana_proves_nothing(site, verify):
    stack = site()
    stack.grafana_locked = True
    # Nor is another refusal of EMQX's dashboard one of the password.
    stack.dashboard = (401, {"code": "LOGIN_LOCKED", "message": "too many attempts"})
    status, report, out = verify()
    assert status != 0
    assert failed(report) == ["Grafana's default password", "the data source answers with the reading", "the default password of EMQX's dashboard"], out
    (entry,) = [entry for entry in report if entry["name"] == "Grafana's default password"]
    assert "locked" in entry["observed"] and "five minutes" in entry["advice"]


def test_nothing_runs_and_the_report_is_whole(site, verify, tmp_path):
    site()
    variables = json.loads((tmp_path / "variables.json").read_text())
    variables |= dict.fromkeys(("emqx_port", "emqx_dashboard_port", "influxdb_port", "grafana_port", "streamlit_port"), 1)
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    shutil.rmtree(tmp_path / "app")
    status, report, out = verify()
    assert status != 0, out
    # What the controller noted needs no server.
    assert [entry["name"] for entry in report if entry["ok"]] == ["revoked devices that this broker may still let in"]
    assert "nobody listens on 127.0.0.1:1" in out
