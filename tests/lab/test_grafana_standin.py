# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Grafana stand-in answers as a recorded Grafana did: every exchange is replayed, in order, on a fresh instance.

Behind it is a real InfluxDB when the lab has built one (`tests/lab/lab build`, or EDGESTACK_INFLUXD), else a small server
that gives InfluxDB's recorded answers.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
import yaml
from free_ports import free_port

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "lab" / "standins" / "grafana"
RECORDINGS = [json.loads(line) for line in
              (ROOT / "tests" / "contracts" / "grafana" / "recordings-9.5.2.jsonl").read_text().splitlines()]
PASSWORD = "First-pass-1"
TOKEN = "replay-token-of-the-test"
QUERY_LAST = 'SELECT last("v") FROM "mqtt_consumer" WHERE $timeFilter GROUP BY "topic"'

# What is another one's by nature: the release, times, random identifiers, secrets, and what depends on the data behind.
VOLATILE = {"commit", "version", "createdAt", "updatedAt", "created", "updated", "accessErrorId", "key", "folderUid", "folderUID",
            "folderUrl", "fingerprint", "generatorURL", "startsAt", "endsAt", "lastEvaluation", "evaluationTime", "activeAt",
            "executedQueryString", "values", "topic", "__value_string__", "__values__"}
# Random identifiers and the test's own ports, wherever they stand.
RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|http://127\.0\.0\.1:\d+")


def call(port, method, path, body=None, headers=None, context=None):
    """One request; no proxy, no redirect: (status, content type, body)."""
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    connection = kind("127.0.0.1", port, timeout=20, **({"context": context} if context else {}))
    try:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        content = answer.read().decode()
        kind = answer.getheader("Content-Type", "")
        return answer.status, kind, json.loads(content) if kind.startswith("application/json") and content else content
    finally:
        connection.close()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def wait_for(test, what: str, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if result := test():
                return result
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)


class RecordedInflux(http.server.BaseHTTPRequestHandler):
    """InfluxDB's answers to the statements of the recordings, for machines on which none was built."""

    topics = ("bench/dev0", "bench/dev1", "t1/dev0")

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        statement = urllib.parse.parse_qs(form)["q"][0]
        if self.headers["Authorization"] != f"Token {TOKEN}":
            return self.answer(401, {"code": "unauthorized", "message": "unauthorized access"})
        now = int(time.time() * 1000)
        series = []
        if statement == "SHOW measurements":
            series = [{"name": "measurements", "columns": ["name"], "values": [["mqtt_consumer"], ["cpu"]]}]
        elif statement.startswith('SELECT count("v")'):
            series = [{"name": "mqtt_consumer", "columns": ["time", "count"], "values": [[now - 86400000, 6]]}]
        elif re.match(r'SELECT (mean|last)\("v"\) FROM "mqtt_consumer"', statement):
            function = statement[7:11]
            series = [{"name": "mqtt_consumer", "tags": {"topic": topic}, "columns": ["time", function],
                       "values": [[now - 7200000, None], [now - 3600000, 20.5]]} for topic in self.topics]
        elif not statement.startswith("SELECT"):
            return self.answer(400, {"error": "error parsing query: found SELEC, expected SELECT"})
        return self.answer(200, {"results": [{"statement_id": 0, **({"series": series} if series else {})}]})

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("the stand-in is built with Go, which is not here")
    target = tmp_path_factory.mktemp("standin") / "grafana"
    subprocess.run(["go", "build", "-trimpath", "-o", str(target), "."], cwd=SOURCE, check=True, env={**os.environ, "CGO_ENABLED": "0"})
    return target


@pytest.fixture(scope="module")
def influxdb(tmp_path_factory):
    """The address of an InfluxDB with a day of readings in `iotdata`."""
    program = pathlib.Path(os.environ.get("EDGESTACK_INFLUXD", ROOT / "build" / "lab" / "artefacts" / "influxdb-amd64" / "influxd"))
    if not program.exists():
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RecordedInflux) as fake:
            threading.Thread(target=fake.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{fake.server_port}"
            fake.shutdown()
        return
    directory = tmp_path_factory.mktemp("influxd")
    port = free_port()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "--http-bind-address", f"127.0.0.1:{port}", "--bolt-path", str(directory / "influxd.bolt"),
             "--sqlite-path", str(directory / "influxd.sqlite"), "--engine-path", str(directory / "engine"), "--reporting-disabled"],
            stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(directory)})
    try:
        wait_for(lambda: call(port, "GET", "/health")[0] == 200, "InfluxDB's start")
        status, _, _ = call(port, "POST", "/api/v2/setup", {"username": "admin", "password": "Replay-pass-1", "org": "edgestack",
                                                            "bucket": "iotdata", "token": TOKEN})
        assert status == 201
        now = int(time.time())
        lines = [f"mqtt_consumer,topic={topic} v={value} {now - 600 * step}" for topic, value in
                 (("bench/dev0", 21.5), ("bench/dev1", 22), ("t1/dev0", 20.5)) for step in range(12)] + [f"cpu v=1 {now}"]
        status, _, _ = call(port, "POST", "/api/v2/write?org=edgestack&bucket=iotdata&precision=s", "\n".join(lines).encode(),
                            {"Authorization": f"Token {TOKEN}", "Content-Type": "text/plain"})
        assert status == 204
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class StandIn:
    """A stand-in with files of its own, below a directory of the test's."""

    def __init__(self, binary, directory, influxdb, **server):
        self.binary, self.directory, self.port = binary, directory, free_port()
        self.context = None
        self.log = directory / "console.log"
        self.process = None
        (directory / "secrets").mkdir()
        (directory / "secrets" / "admin").write_text(PASSWORD + "\n")
        (directory / "secrets" / "influxdb").write_text(TOKEN + "\n")
        options = {"protocol": "http", "http_addr": "127.0.0.1", "http_port": self.port, **server}
        self.ini = directory / "grafana.ini"
        self.ini.write_text(f"""[paths]
provisioning = {directory}/provisioning
[server]
{"".join(f"{name} = {value}{chr(10)}" for name, value in options.items())}
[security]
admin_password = $__file{{{directory}/secrets/admin}}
secret_key = a key of the test's
[log]
mode = console
""")
        source = {"name": "InfluxDB", "uid": "iot-influxdb", "type": "influxdb", "access": "proxy", "url": influxdb, "isDefault": True,
                  "jsonData": {"dbName": "iotdata", "httpMode": "POST", "httpHeaderName1": "Authorization"},
                  "secureJsonData": {"httpHeaderValue1": f"Token $__file{{{directory}/secrets/influxdb}}"}}
        self.provision("datasources", {"apiVersion": 1, "datasources": [source]})
        self.provision("dashboards", {"apiVersion": 1, "providers": [
            {"name": "iot", "folder": "IoT", "folderUid": "iot-folder", "type": "file", "updateIntervalSeconds": 1,
             "options": {"path": f"{directory}/dashboards"}}]})
        (directory / "dashboards").mkdir()
        self.dashboard = self.recorded_dashboard()
        (directory / "dashboards" / "one.json").write_text(json.dumps(self.dashboard))

    @staticmethod
    def recorded_dashboard():
        recorded = next(line for line in RECORDINGS if line["request"]["path"] == "/api/dashboards/uid/iot-one")
        dashboard = dict(recorded["response"]["body"]["dashboard"])
        return {name: value for name, value in dashboard.items() if name not in ("id", "version")}

    def provision(self, kind, document):
        folder = self.directory / "provisioning" / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "iot.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def provision_alerts(self):
        expression = {"datasourceUid": "__expr__"}
        rule = {"uid": "iot-high", "title": "value too high", "condition": "C", "for": "0s", "noDataState": "OK", "execErrState": "Error",
                "annotations": {"summary": "too high $$x"}, "labels": {"severity": "warning"},
                "data": [{"refId": "A", "datasourceUid": "iot-influxdb", "relativeTimeRange": {"from": 86400, "to": 0},
                          "model": {"refId": "A", "query": QUERY_LAST, "rawQuery": True, "resultFormat": "time_series"}},
                         {"refId": "C", **expression, "model": {"refId": "C", "type": "threshold", "expression": "B", "conditions": [
                             {"evaluator": {"type": "gt", "params": [20]}}]}},
                         {"refId": "B", **expression, "model": {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"}}]}
        self.provision("alerting", {
            "apiVersion": 1, "groups": [{"orgId": 1, "name": "iot", "folder": "IoT", "interval": "10s", "rules": [rule]}],
            "contactPoints": [{"orgId": 1, "name": "hook", "receivers": [
                {"uid": "iot-hook", "type": "webhook", "settings": {"url": "http://127.0.0.1:9999/"}}]}],
            "policies": [{"orgId": 1, "receiver": "hook"}]})

    def start(self):
        # As the packaged unit starts it.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "server", f"--config={self.ini}", "--homepath=/usr/share/grafana", "--packaging=deb",
                 f"cfg:default.paths.logs={self.directory}/logs", f"cfg:default.paths.data={self.directory}/data"],
                stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: self.process.poll() is not None or self.get("/api/health")[0] == 200, "the stand-in's start", 15)
            assert self.process.poll() is None
        except AssertionError:
            raise AssertionError(self.log.read_text()) from None
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(10) == 0
            self.process = None

    def get(self, path, user="admin", password=PASSWORD):
        return call(self.port, "GET", path, None, basic(user, password), self.context)

    def reset_password(self, password):
        return subprocess.run(
            [str(self.binary), "cli", "--homepath", "/usr/share/grafana", "--config", str(self.ini), "--configOverrides",
             f"cfg:default.paths.data={self.directory}/data", "admin", "reset-admin-password", "--password-from-stdin"],
            input=password, text=True, capture_output=True, check=False)


@pytest.fixture
def standin(binary, influxdb, tmp_path):
    made = StandIn(binary, tmp_path, influxdb)
    yield made
    made.stop()


def differences(wanted, got, path="$", name=""):
    """Where an answer has another shape than the recorded one, or another value where values are stable."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        if wanted == {"...": "left out"}:
            return [] if got else [f"{path}: empty"]
        found = [f"{path}: {word} {sorted(keys)}" for word, keys in
                 (("lacks", wanted.keys() - got.keys()), ("has too much:", got.keys() - wanted.keys())) if keys]
        for key in wanted.keys() & got.keys():
            found += differences(wanted[key], got[key], f"{path}.{key}", key)
        return found
    if isinstance(wanted, list) and isinstance(got, list):
        # Lists were shortened when they were recorded, and depend on the data: each element is like one of the recorded.
        if bool(wanted) != bool(got) and name != "values":
            return [f"{path}: {len(got)} elements where {len(wanted)} were recorded"]
        found = []
        for index, element in enumerate(got):
            tried = [differences(other, element, f"{path}[{index}]", name) for other in wanted]
            if tried and all(tried):
                found += min(tried, key=len)
        return found
    number = (int, float)
    same_kind = type(wanted) is type(got) or (
        isinstance(wanted, number) and isinstance(got, number) and bool not in (type(wanted), type(got)))
    if not same_kind and not (name == "values" and (wanted is None or got is None)):
        return [f"{path}: {got!r} where {wanted!r} was recorded"]
    if name in VOLATILE or path.startswith("$.results") and name in ("name", "displayNameFromDS"):
        return []
    if isinstance(wanted, str):
        wanted, got = RANDOM.sub("?", wanted), RANDOM.sub("?", got)
    return [] if wanted == got else [f"{path}: {got!r} where {wanted!r} was recorded"]


def test_the_comparison_can_fail():
    assert differences({"a": 1}, {"a": 1}) == []
    assert differences({"a": 1}, {"a": 2}) and differences({"a": 1}, {"a": "1"}) and differences({"a": 1}, {})
    assert differences({"a": 1}, {"a": 1, "b": 1}) and differences([{"a": 1}], [{"b": 1}]) and differences([1], [])
    assert differences({"version": "9.5.2"}, {"version": "12.4.0"}) == [] and differences({"version": "9.5.2"}, {"version": 1})


def test_every_recorded_exchange(standin):
    standin.provision_alerts()
    standin.start()

    def firing():
        return standin.get("/api/prometheus/grafana/api/v1/rules")[2]["data"]["groups"][0]["rules"][0]["state"] == "firing"

    wait_for(firing, "the rule's alert")
    token = "glsa_of_nobody"
    passwords = {"op": "Oper-pass-2"}
    failed = []
    for number, exchange in enumerate(RECORDINGS, 1):
        request, recorded = exchange["request"], exchange["response"]
        headers = {}
        kind, _, user = request["auth"].partition(":")
        if kind == "basic":
            wrong = exchange["step"] in ("default password", "unknown user") or re.match(r"wrong \d", exchange["step"])
            headers = basic(user, "admin" if wrong else passwords.get(user, PASSWORD))
        elif kind == "token":
            headers = {"Authorization": f"Bearer {token}"}
        status, content_type, body = call(standin.port, request["method"], request["path"], request["body"], headers)
        where = f"{number} {exchange['scenario']}/{exchange['step']} {request['method']} {request['path']}"
        if status != recorded["status"] or content_type != recorded["content_type"]:
            failed.append(f"{where}: {status} {content_type} {str(body)[:200]}, recorded {recorded['status']} {recorded['content_type']}")
        elif recorded["body"] is None:
            if body:
                failed.append(f"{where}: {body!r} where nothing was recorded")
        elif recorded["body"] != "...(left out)":
            found = differences(recorded["body"], body)
            # How many measurements there are is the data's, that the sentence counts them is not.
            found = [line for line in found if "measurements found" not in line or not re.search(r"\. \d+ measurements found' where", line)]
            failed += [f"{where}: {line}" for line in found]
        if isinstance(body, dict) and str(body.get("key", "")).startswith("glsa_"):
            token = body["key"]
    assert failed == []


def test_numbers_and_macros_come_from_the_database(standin):
    standin.start()
    query = {"refId": "A", "datasource": {"uid": "iot-influxdb"}, "rawQuery": True, "intervalMs": 1000, "maxDataPoints": 100}
    status, _, body = call(standin.port, "POST", "/api/ds/query", {"from": "now-24h", "to": "now", "queries": [
        {**query, "query": QUERY_LAST, "alias": "$tag_topic"}]}, basic("admin", PASSWORD))
    assert status == 200
    frames = {frame["schema"]["fields"][1]["labels"]["topic"]: frame for frame in body["results"]["A"]["frames"]}
    assert frames["t1/dev0"]["data"]["values"][1][-1] == 20.5
    assert frames["t1/dev0"]["schema"]["name"] == "t1/dev0"
    status, _, body = call(standin.port, "POST", "/api/ds/query", {"from": "1700000000000", "to": "1700086400000", "queries": [
        {**query, "query": 'SELECT mean("v") FROM "mqtt_consumer" WHERE $timeFilter GROUP BY time($__interval)', "refId": "B"}]},
        basic("admin", PASSWORD))
    assert (status, body["results"]["B"]["status"]) == (200, 200)
    for frame in body["results"]["B"]["frames"]:
        assert "time >= 1700000000000ms and time <= 1700086400000ms GROUP BY time(15m)" in frame["schema"]["meta"]["executedQueryString"]


def test_the_proxy_adds_the_data_sources_own_credentials(standin):
    standin.start()
    body = urllib.parse.urlencode({"q": "SHOW measurements", "db": "iotdata"}).encode()
    headers = {**basic("admin", PASSWORD), "Content-Type": "application/x-www-form-urlencoded"}
    status, _, answer = call(standin.port, "POST", "/api/datasources/proxy/uid/iot-influxdb/query", body, headers)
    assert status == 200 and ["mqtt_consumer"] in answer["results"][0]["series"][0]["values"]
    assert call(standin.port, "POST", "/api/datasources/proxy/uid/iot-influxdb/query", body)[0] == 401


def test_the_admin_password_counts_at_the_first_start_only_and_is_reset_by_the_client(standin):
    standin.start()
    standin.stop()
    (standin.directory / "secrets" / "admin").write_text("Another-pass-2")
    standin.start()
    assert standin.get("/api/org", password="Another-pass-2")[0] == 401
    assert standin.get("/api/org")[0] == 200
    result = standin.reset_password("Another-pass-2\n")
    assert result.returncode == 0 and "changed successfully" in result.stdout and "Another" not in result.stdout
    # A running server sees it at once.
    assert standin.get("/api/org", password="Another-pass-2")[0] == 200
    assert standin.reset_password("abc").returncode != 0


def test_a_locked_user_shows_in_the_log_only(standin):
    standin.start()
    wrong = [standin.get("/api/org", password="wrong")[2] for _ in range(5)]
    assert "login-attempt.blocked" not in standin.log.read_text()
    status, _, body = standin.get("/api/org")
    assert status == 401 and body == wrong[0]
    assert "login-attempt.blocked" in standin.log.read_text()
    # The lock-out outlives a restart and a reset of the password.
    standin.stop()
    assert standin.reset_password(PASSWORD).returncode == 0
    standin.start()
    assert standin.get("/api/org")[0] == 401
    assert PASSWORD not in standin.log.read_text() and TOKEN not in standin.log.read_text()


def test_the_provider_follows_changed_and_removed_files(standin):
    standin.start()
    folders = standin.get("/api/folders")[2]
    assert [(each["title"], each["uid"]) for each in folders] == [("IoT", "iot-folder")]
    file = standin.directory / "dashboards" / "one.json"
    file.write_text(json.dumps({**standin.dashboard, "title": "Two"}))
    found = wait_for(lambda: [answer := standin.get("/api/dashboards/uid/iot-one")[2]["dashboard"]] and answer["title"] == "Two" and answer,
                     "the change", 10)
    assert (found["id"], found["version"]) == (2, 2)
    file.write_text("{ broken")
    time.sleep(2.5)
    assert standin.get("/api/dashboards/uid/iot-one")[0] == 200
    file.unlink()
    wait_for(lambda: standin.get("/api/dashboards/uid/iot-one")[0] == 404, "the removal", 10)


def test_settings_that_cannot_work_stop_the_start(standin):
    (standin.directory / "secrets" / "influxdb").unlink()
    with pytest.raises(AssertionError, match="provisioning error"):
        standin.start()
    standin.process.wait(10)
    standin.process = None


def test_pages_name_the_stand_in_and_show_current_values(standin):
    standin.start()
    status, kind, body = call(standin.port, "GET", "/login")
    assert (status, kind) == (200, "text/html; charset=UTF-8") and "stand-in" in body
    assert call(standin.port, "GET", "/")[0] == 302 and call(standin.port, "GET", "/d/iot-one")[0] == 302
    status, _, body = standin.get("/d/iot-one")
    assert status == 200 and "stand-in" in body and "<polyline" in body and "20.5 °C" in body
    assert "stand-in" in standin.get("/api/health")[2]["version"] and "stand-in" in standin.log.read_text()


def test_https_and_the_environment(binary, influxdb, tmp_path, monkeypatch):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=grafana", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"),
                    "-out", str(tmp_path / "cert.pem")], check=True, capture_output=True)
    monkeypatch.setenv("GF_SECURITY_ADMIN_USER", "boss")
    (tmp_path / "password").write_text("From-a-file-3\n")
    monkeypatch.setenv("GF_SECURITY_ADMIN_PASSWORD__FILE", str(tmp_path / "password"))
    made = StandIn(binary, tmp_path, influxdb, protocol="https", cert_file=tmp_path / "cert.pem", cert_key=tmp_path / "key.pem")
    made.context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    try:
        made.start()
        assert made.get("/api/org", "boss", "From-a-file-3")[0] == 200
        assert made.get("/api/org", "boss", PASSWORD)[0] == 401
    finally:
        made.stop()
