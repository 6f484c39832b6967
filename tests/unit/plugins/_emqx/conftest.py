# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small EMQX in this process. Its answers have the shape of the recordings of real servers, request bodies are checked
with the server's own OpenAPI document (unknown fields refused), and any request can be made to fail."""

from __future__ import annotations

import base64
import copy
import http.server
import json
import pathlib
import re
import socket
import struct
import threading
import time
import urllib.parse

import jsonschema
import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client, Credentials

CONTRACTS = pathlib.Path(__file__).parents[3] / "contracts" / "emqx"
API = "/api/v5"
KEY = "edgestack"
SECRET = "s3cret-of-the-key"
USER = "admin"
PASSWORD = "Pass-of-the-user1"


def recordings(version):
    with open(CONTRACTS / f"recordings-{version}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def recorded(version, scenario, step):
    """The body of a recorded answer."""
    for one in recordings(version):
        if one["scenario"] == scenario and one["step"] == step:
            return copy.deepcopy(one["response"]["body"])
    raise KeyError((scenario, step))


class Contract:
    """Checks bodies with an OpenAPI document. Objects with known fields take no others, as EMQX does."""

    def __init__(self, version):
        with open(CONTRACTS / f"openapi-{version}.json", encoding="utf-8") as file:
            self.document = self._strict(json.load(file))
        self.paths = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + r"\Z"), operations) for path, operations in self.document["paths"].items()]

    def _strict(self, node):
        if isinstance(node, list):
            return [self._strict(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: self._strict(value) for key, value in node.items()}
        if node.get("type") == "object" and isinstance(node.get("properties"), dict):
            node["additionalProperties"] = False
        if "enum" in node and isinstance(node["enum"], list):
            # The documents say "string" of enumerations that hold true and false.
            node.pop("type", None)
        if isinstance(node.get("oneOf"), list):
            node["anyOf"] = node.pop("oneOf")
        return node

    def check(self, method, path, body):
        fixed = [pair for pair in self.paths if pair[0].match(path)]
        assert fixed, f"{path} is in no document"
        # "/authorization/sources/order" also looks like "/authorization/sources/{type}".
        operations = max(fixed, key=lambda pair: -pair[0].pattern.count("[^/]+"))[1]
        assert method.lower() in operations, f"{method} {path} is in no document"
        wanted = operations[method.lower()].get("requestBody")
        if wanted is None:
            assert body is None, f"{method} {path} takes no body"
            return
        schema = {**wanted["content"]["application/json"]["schema"], "components": self.document["components"]}
        jsonschema.Draft7Validator(schema).validate(body)


class FakeEmqx:
    def __init__(self, version, edition="Opensource"):
        self.version = version
        self.edition = edition
        self.contract = Contract(version)
        self.masks = version != "5.3.0"
        self.log = []
        self.violations = []
        self.fault = None
        self.fault_when = lambda method, path: True
        self.not_ready = 0
        self.connected = "connected"
        self.authn = []
        self.sources = [recorded(version, "authz", "file get")]
        self.settings = recorded(version, "authz", "settings")
        self.listeners = {"ssl:default": recorded(version, "listeners", "ssl default get")}
        self.banned = {}
        self.clients = {}
        self.authn_defaults = {key: value for key, value in recorded(version, "authn_mysql", "create").items() if key not in ("id", "password")}
        self.source_defaults = {key: value for key, value in recorded(version, "authz", "mysql get").items() if key not in ("password", "query")}
        self.listener_defaults = {key: value for key, value in recorded(version, "listeners", "create").items() if key not in ("id", "type", "bind")}
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_args):
                pass

            def handle_any(self):
                fake.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def client(self, **options):
        options.setdefault("sleep", lambda _seconds: None)
        options.setdefault("timeout", 2)
        return Client(self.url, Credentials(KEY, SECRET), **options)

    @property
    def writes(self):
        return [(method, path) for method, path, _body in self.log if method != "GET" and path != "/login"]

    def state(self):
        """Everything a client could change, for an independent look."""
        return copy.deepcopy((self.authn, self.sources, self.settings, self.listeners, self.banned))

    # --- HTTP

    def handle(self, handler):
        size = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(size)
        parts = urllib.parse.urlsplit(handler.path)
        path = urllib.parse.unquote(parts.path.removeprefix(API))
        query = urllib.parse.parse_qs(parts.query)
        body = json.loads(raw) if raw else None
        method = handler.command
        if path == "/status":
            if self.not_ready > 0:
                self.not_ready -= 1
                self.answer(handler, 503, None)
            else:
                self.answer(handler, 200, "Node emqx@127.0.0.1 is started\nemqx is running", "text/plain")
            return
        self.log.append((method, path, body))
        if self.fault is not None and self.fault_when(method, path):
            self.fault(self, handler)
            return
        if path != "/login" and not self.authorized(handler):
            self.answer(handler, 401, {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"})
            return
        try:
            self.contract.check(method, parts.path.removeprefix(API), body)
        except (AssertionError, jsonschema.ValidationError) as error:
            self.violations.append(f"{method} {path}: {error}")
            self.answer(handler, 400, {"code": "BAD_REQUEST", "message": str(error)[:300]})
            return
        status, result = self.route(method, path, query, body)
        self.answer(handler, status, result)

    def authorized(self, handler):
        given = handler.headers.get("Authorization") or ""
        return given in ("Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode(), "Bearer token-1")

    def answer(self, handler, status, body, kind="application/json"):
        raw = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        handler.send_response(status)
        if raw:
            handler.send_header("Content-Type", kind)
        if status != 204:
            handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    # --- EMQX

    def shown(self, row):
        row = copy.deepcopy(row)
        for key in ("password", "secret"):
            # Paths of files are shown, by 5.3.0 as all else.
            if key in row and self.masks and not row[key].startswith("file://"):
                row[key] = "******"
        return row

    def route(self, method, path, query, body):
        missing = 404, {"code": "NOT_FOUND", "message": f"{path} not found"}
        if path == "/login":
            if body == {"username": USER, "password": PASSWORD}:
                return 200, {"token": "token-1", "version": self.version}
            return 401, {"code": "BAD_USERNAME_OR_PWD", "message": "Auth failed"}
        if path == "/nodes":
            return 200, [{"node": "emqx@127.0.0.1", "version": self.version, "edition": self.edition}]
        if path in ("/cluster", "/stats", "/configs"):
            return 200, {"path": path, "dashboard": {"default_password": "plain-one"}}
        if path == "/metrics":
            return 200, {"messages.received": 1}
        if path == "/alarms":
            return 200, {"data": [], "meta": {"page": 1, "limit": 1000, "count": 0, "hasnext": False}}
        if path.startswith("/authentication"):
            return self.route_authentication(method, path, body, missing)
        if path.startswith("/authorization"):
            return self.route_authorization(method, path, body, missing)
        if path.startswith("/listeners"):
            return self.route_listeners(method, path, body)
        if path.startswith("/banned"):
            return self.route_banned(method, path, query, body, missing)
        if path.startswith("/clients") or path == "/subscriptions":
            return self.route_clients(method, path, query, body)
        return missing

    def route_authentication(self, method, path, body, missing):
        parts = path.split("/")[2:]
        if not parts:
            if method == "GET":
                return 200, [self.shown(row) for row in self.authn]
            name = f"{body['mechanism']}:{body['backend']}"
            if any(row["id"] == name for row in self.authn):
                return 409, {"code": "ALREADY_EXISTS", "message": f"Authenticator '{name}' already exist"}
            row = {**(self.authn_defaults if body["backend"] == "mysql" else {}), **body, "id": name}
            if "ssl" in body and "ssl" in self.authn_defaults:
                row["ssl"] = {**self.authn_defaults["ssl"], **body["ssl"]}
            self.authn.append(row)
            return 200, row
        row = next((row for row in self.authn if row["id"] == parts[0]), None)
        if row is None:
            # 5.8 answers 204 to a second DELETE.
            return (204, None) if method == "DELETE" and self.masks else missing
        if parts[1:] == ["status"]:
            return 200, {"status": self.connected, "node_error": []}
        if parts[1:2] == ["position"]:
            self.authn.remove(row)
            where, _colon, other = parts[2].partition(":")
            names = [one["id"] for one in self.authn]
            at = {"front": 0, "rear": len(names)}.get(where)
            if at is None:
                at = names.index(other) + (where == "after")
            self.authn.insert(at, row)
            return 204, None
        if method == "GET":
            return 200, self.shown(row)
        if method == "DELETE":
            self.authn.remove(row)
            return 204, None
        new = {**body, "id": row["id"]}
        if new.get("password") == "******":
            new["password"] = row.get("password")
        self.authn[self.authn.index(row)] = new
        return 204, None

    def route_authorization(self, method, path, body, missing):
        if path == "/authorization/settings":
            if method == "PUT":
                # What is left out goes back to its default.
                self.settings = {**recorded(self.version, "authz", "settings"), "no_match": "allow", **body}
            return 200, self.settings
        parts = path.split("/")[3:]
        if not parts:
            if method == "GET":
                return 200, {"sources": [self.shown(row) for row in self.sources]}
            if any(row["type"] == body["type"] for row in self.sources):
                return 400, {"code": "BAD_REQUEST", "message": f"{{duplicated_authz_source_type,{body['type']}}}"}
            row = {**(self.source_defaults if body["type"] == "mysql" else {"enable": True}), **body}
            if "ssl" in body:
                row["ssl"] = {**self.source_defaults["ssl"], **body["ssl"]}
            self.sources.insert(0, row)
            return 204, None
        if parts == ["order"]:
            named = {row["type"]: row for row in self.sources}
            self.sources = [named[one["type"]] for one in body]
            return 204, None
        row = next((row for row in self.sources if row["type"] == parts[0]), None)
        if row is None:
            return missing
        if parts[1:] == ["status"]:
            return 200, {"status": self.connected}
        if parts[1:] == ["move"]:
            self.sources.remove(row)
            where, _colon, other = body["position"].partition(":")
            names = [one["type"] for one in self.sources]
            at = 0 if where == "front" else names.index(other) + 1
            self.sources.insert(at, row)
            return 204, None
        if method == "GET":
            return 200, self.shown(row)
        if method == "DELETE":
            self.sources.remove(row)
            return 204, None
        new = copy.deepcopy(body)
        if new.get("password") == "******":
            new["password"] = row["password"]
        self.sources[self.sources.index(row)] = new
        return 204, None

    def route_listeners(self, method, path, body):
        missing = 404, {"code": "BAD_LISTENER_ID", "message": "Listener id not found"}
        parts = path.split("/")[2:]
        if not parts:
            if method == "GET":
                return 200, [{"id": name, "type": name.split(":")[0]} for name in self.listeners]
            name = f"{body['type']}:{body['name']}"
            if name in self.listeners:
                return 400, {"code": "BAD_LISTENER_ID", "message": "Already Exist"}
            row = {**self.listener_defaults, **{key: value for key, value in body.items() if key != "name"}, "id": name}
            self.listeners[name] = row
            return 200, row
        row = self.listeners.get(parts[0])
        if row is None:
            return missing
        if parts[1:]:
            row["running"] = parts[1] != "stop"
            return 200, None
        if method == "DELETE":
            del self.listeners[parts[0]]
            return 204, None
        if method == "PUT":
            for key, value in body.items():
                row[key] = {**row[key], **value} if isinstance(value, dict) and isinstance(row.get(key), dict) else value
        return 200, row

    def route_banned(self, method, path, query, body, missing):
        parts = path.split("/", 3)[2:]
        if method == "GET":
            page, limit = int(query["page"][0]), int(query["limit"][0])
            rows = list(self.banned.values())[(page - 1) * limit : page * limit]
            return 200, {"data": rows, "meta": {"page": page, "limit": limit, "count": len(self.banned)}}
        if method == "POST":
            key = (body["as"], body["who"])
            if key in self.banned:
                return 400, {"code": "ALREADY_EXISTS", "message": "exists"}
            self.banned[key] = {"reason": "", "by": "mgmt_api", "until": "infinity", "at": "2026-11-24T02:53:28+00:00", **body}
            return 200, self.banned[key]
        return (204, None) if self.banned.pop(tuple(parts), None) else missing

    def route_clients(self, method, path, query, body):
        missing = 404, {"code": "CLIENTID_NOT_FOUND", "message": "Client ID not found"}
        if method == "GET" and path in ("/clients", "/subscriptions"):
            rows = [
                row
                for row in self.clients.values()
                if row["clientid"] in query.get("clientid", [row["clientid"]]) and row["username"] in query.get("username", [row["username"]])
            ]
            page, limit = int(query["page"][0]), int(query["limit"][0])
            part = rows[(page - 1) * limit : page * limit]
            return 200, {"data": part, "meta": {"page": page, "limit": limit, "count": len(rows), "hasnext": page * limit < len(rows)}}
        if path == "/clients/kickout/bulk":
            for name in body:
                self.clients.pop(name, None)
            return 204, None
        parts = path.split("/")[2:]
        if parts[0] not in self.clients:
            return missing
        topics = self.clients[parts[0]].setdefault("topics", {})
        if parts[1:] == ["subscriptions"]:
            return 200, [{"clientid": parts[0], "topic": topic, "qos": qos, "node": "emqx@127.0.0.1"} for topic, qos in topics.items()]
        if parts[1:] == ["subscribe", "bulk"]:
            topics.update({one["topic"]: one["qos"] for one in body})
            return 200, []
        if parts[1:] == ["unsubscribe", "bulk"]:
            for one in body:
                topics.pop(one["topic"], None)
            return 204, None
        return (204, None) if method == "DELETE" else (200, self.clients[parts[0]])


# --- faults: each takes the fake and the request's handler


def status_fault(status, body=None, kind="application/json"):
    return lambda fake, handler: fake.answer(handler, status, body, kind)


def half_json(fake, handler):
    fake.answer(handler, 200, '{"data": [{"cli', "application/json")


def cut_off(_fake, handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.wfile.flush()
    handler.close_connection = True


def reset(_fake, handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def stall(_fake, handler):
    time.sleep(0.6)
    handler.close_connection = True


def redirect(_fake, handler):
    handler.send_response(302)
    handler.send_header("Location", "http://elsewhere/login")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


PAGE = "<html><head><title>502</title></head><body>Bad Gateway</body></html>"
FAULTS = {
    "401": status_fault(401, {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"}),
    "403": status_fault(403, {"code": "UNAUTHORIZED_ROLE", "message": "not allowed"}),
    "404 page": status_fault(404, PAGE, "text/html"),
    "429": status_fault(429, {"code": "TOO_MANY_REQUESTS", "message": "slow down"}),
    "500": status_fault(500, {"code": "INTERNAL_ERROR", "message": "boom"}),
    "502 page": status_fault(502, PAGE, "text/html"),
    "200 page": status_fault(200, PAGE, "text/html"),
    "half JSON": half_json,
    "cut off": cut_off,
    "reset": reset,
    "stall": stall,
    "redirect": redirect,
}


@pytest.fixture(params=["5.3.0", "5.8.9"])
def emqx(request):
    fake = FakeEmqx(request.param)
    yield fake
    fake.close()
    assert fake.violations == [], "request bodies that the server's own document does not allow"


@pytest.fixture
def emqx589():
    fake = FakeEmqx("5.8.9")
    yield fake
    fake.close()
    assert fake.violations == []


@pytest.fixture(params=sorted(FAULTS))
def fault(request):
    return FAULTS[request.param]


@pytest.fixture
def faults():
    return FAULTS
