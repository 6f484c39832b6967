# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import json
import pathlib
import re
import sys
import threading
import urllib.parse

import pytest

APP = pathlib.Path(__file__).parents[3] / "roles" / "streamlit" / "files" / "app"
TOKEN = "token-of-the-test"
NOW = 1_700_000_000_000


@pytest.fixture(autouse=True)
def _app_path(monkeypatch):
    """The app's modules are imported as the app imports them, and forgotten again: `settings` is a common name."""
    monkeypatch.syspath_prepend(str(APP))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in ("settings", "stats", "influx", "check"):
        sys.modules.pop(name, None)


class FakeInflux(http.server.ThreadingHTTPServer):
    """InfluxDB's /query for the statements that the app sends: it computes nothing, it answers what a test put in."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.devices = {"raspberrypi": ["pi-1", "o'pi"], "sonoff_pow": []}
        self.points = [[NOW, 20.0], [NOW + 10_000, None], [NOW + 20_000, 22.0]]
        self.total = [0, 21.0, 21.0, 20.0, 22.0, 1.4142, 2]
        self.failure = None
        self.statements = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, database, statement):
        self.statements.append((database, statement))
        if database == "missing":
            return {"error": "database not found: missing"}
        if found := re.match(r'SHOW TAG VALUES FROM "(\w+)" WITH KEY = "device"', statement):
            values = [["device", device] for device in self.devices.get(found[1], [])]
            return {"series": [{"name": found[1], "columns": ["key", "value"], "values": values}]} if values else {}
        if not self.points:
            return {}
        if "GROUP BY time" in statement or statement.startswith('SELECT "'):
            return {"series": [{"name": "m", "columns": ["time", "mean"], "values": self.points}]}
        return {"series": [{"name": "m", "columns": ["time"], "values": [self.total]}]}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        database = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["db"][0]
        if self.server.failure:
            return self.send(*self.server.failure)
        if self.headers["Authorization"] != f"Token {TOKEN}":
            return self.send(401, {"code": "unauthorized", "message": "unauthorized access"})
        results = [self.server.answer(database, statement) for statement in form["q"][0].split("; ")]
        return self.send(200, {"results": [{"statement_id": number, **result} for number, result in enumerate(results)]})

    def send(self, status, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def influxdb():
    with FakeInflux() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def site(tmp_path, influxdb, monkeypatch):
    """A directory with the app's settings, as the role writes them."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "settings.json").write_text(json.dumps(
        {"title": "Site", "url": influxdb.url, "database": "iotdata", "token_file": str(tmp_path / "token"), "ca_file": ""}))
    (tmp_path / "metrics.json").write_text(json.dumps([
        {"name": "edgestack_verify", "label": "Check", "measurement": "edgestack_verify", "database": "iot_verify", "hidden": True,
         "fields": [{"name": "value"}]},
        {"name": "empty", "label": "Nothing to measure", "measurement": "empty", "fields": []},
        {"name": "raspberrypi", "label": "Raspberry Pi", "measurement": "raspberrypi", "hidden": False, "fields": [
            {"name": "cpu_temp", "label": "CPU temperature", "unit": "celsius", "type": "float", "warn": 80},
            {"name": "cpu_usage", "label": "CPU usage", "unit": "percent", "type": "float"}]},
        {"name": "sonoff_pow", "label": "Power plug", "measurement": "sonoff_pow", "hidden": False, "fields": [
            {"name": "on", "label": "On", "type": "boolean"}]},
    ]))
    monkeypatch.setenv("EDGESTACK_STREAMLIT_SETTINGS", str(tmp_path / "settings.json"))
    return tmp_path
