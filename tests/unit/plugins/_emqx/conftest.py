# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small EMQX in this process. Its answers have the shape of the recordings of real servers, request bodies are checked
with the server's own OpenAPI document (unknown fields refused), and any request can be made to fail."""

from __future__ import annotations

import base64
import copy
import functools
import http.server
import json
import re
import threading
import urllib.parse

import jsonschema
import pytest
from emqx_contract import CONTRACTS, Contract
from emqx_modules import FAULTS, answer

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client, Credentials

API = "/api/v5"
KEY = "edgestack"
SECRET = "s3cret-of-the-key"
USER = "admin"
PASSWORD = "Pass-of-the-user1"


@functools.cache
def contract_of(version):
    return Contract(version)


@functools.cache
def recordings(version):
    with open(CONTRACTS / f"recordings-{version}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def recorded(version, scenario, step):
    """The body of a recorded answer."""
    for one in recordings(version):
        if one["scenario"] == scenario and one["step"] == step:
            return copy.deepcopy(one["response"]["body"])
    raise KeyError((scenario, step))


def recorded_retainer(version):
    """As the document says that it is; the answer was not recorded."""
    settings = {"enable": True, "max_payload_size": "1MB", "msg_expiry_interval": "0s", "stop_publish_clear_msg": False}
    return settings | {"backend": {"type": "built_in_database", "storage_type": "ram", "max_retained_messages": 0, "index_specs": [[1, 2, 3], []]}}


# Of the Enterprise edition: read in its sources, in none of the documents that we have.
NOT_IN_THE_DOCUMENTS = ("/license", "/load_rebalance")


class FakeEmqx:
    def __init__(self, version, edition="Opensource"):
        self.version = version
        self.edition = edition
        self.contract = contract_of(version)
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
        self.things = {name: {} for name in ("connectors", "actions", "sources", "bridges", "rules")}
        self.users = {"admin": {"username": "admin", "description": "administrator", "password": PASSWORD}}
        self.keys = {}
        self.built_in_users = {}
        self.built_in_rules = {"users": {}, "clients": {}, "all": []}
        self.config = {"alarm": {"size_limit": 1000, "validity_period": "24h"}, "durable_sessions": {"enable": False}}
        self.takes_config = True
        self.retainer = recorded_retainer(version)
        self.kept = {}
        self.backups = {}
        self.plugins = {}
        self.allows_plugins = True
        self.members = ["emqx@127.0.0.1"]
        self.evacuating = {}
        self.licence = {"customer": "Foo", "email": "a@foo.com", "deployment": "plant", "start_at": "2022-01-11", "type": "trial"}
        self.licence_settings = {"connection_high_watermark": "80%"}
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
        return [(method, path) for method, path, _body in self.log if method != "GET" and path not in ("/login", "/logout")]

    def state(self):
        """Everything a client could change, for an independent look."""
        return copy.deepcopy({
            name: value for name, value in vars(self).items()
            if isinstance(value, (dict, list)) and name not in ("log", "violations") and not name.endswith("_defaults")
        })  # fmt: skip

    # --- HTTP

    def handle(self, handler):
        size = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(size)
        parts = urllib.parse.urlsplit(handler.path)
        path = urllib.parse.unquote(parts.path.removeprefix(API))
        query = urllib.parse.parse_qs(parts.query)
        kind = handler.headers.get("Content-Type") or ""
        body = (raw if kind.startswith("multipart") else json.loads(raw)) if raw else None
        method = handler.command
        if path == "/status":
            if self.not_ready > 0:
                self.not_ready -= 1
                answer(handler, 503, None)
            else:
                answer(handler, 200, "Node emqx@127.0.0.1 is started\nemqx is running", "text/plain")
            return
        self.log.append((method, path, body))
        if self.fault is not None and self.fault_when(method, path):
            self.fault(handler)
            return
        if path != "/login" and not self.authorized(handler):
            answer(handler, 401, {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"})
            return
        try:
            if not path.startswith(NOT_IN_THE_DOCUMENTS):
                self.contract.check_request(method, parts.path.removeprefix(API), kind, raw)
        except (AssertionError, jsonschema.ValidationError) as error:
            self.violations.append(f"{method} {path}: {error}")
            answer(handler, 400, {"code": "BAD_REQUEST", "message": str(error)[:300]})
            return
        if path == "/configs" and handler.headers.get("Accept") == "text/plain":
            answer(handler, 200, f"{query['key'][0]} " + json.dumps(self.config.get(query["key"][0], {})), "text/plain")
            return
        if path.startswith("/data/files/") and method == "GET" and path.rpartition("/")[2] in self.backups:
            content = self.backups[path.rpartition("/")[2]]
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
            return
        status, result = self.route(method, parts.path.removeprefix(API) if path.startswith("/mqtt") else path, query, body)
        answer(handler, status, result)

    def authorized(self, handler):
        given = handler.headers.get("Authorization") or ""
        return given in ("Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode(), "Bearer token-1")

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
            user = self.users.get(body["username"])
            if user and user["password"] == body["password"]:
                return 200, {"token": "token-1", "version": self.version}
            return 401, {"code": "BAD_USERNAME_OR_PWD", "message": "Auth failed"}
        if path == "/nodes":
            return 200, [{"node": name, "version": self.version, "edition": self.edition, "node_status": "running"} for name in self.members]
        for prefix, handle in (
            ("/users", self.route_users), ("/api_key", self.route_keys), ("/mqtt/retainer", self.route_retained), ("/publish", self.route_publish),
            ("/data", self.route_data), ("/plugins", self.route_plugins), ("/cluster", self.route_cluster), ("/load_rebalance", self.route_cluster),
            ("/license", self.route_licence), ("/authorization/sources/built_in_database/rules", self.route_rules),
            *((f"/{name}", self.route_things) for name in self.things),
        ):  # fmt: skip
            if path.startswith(prefix) and (prefix != "/cluster" or method != "GET" or path == "/cluster"):
                return handle(method, path, query, body)
        if path == "/logout":
            return 204, None
        if path == "/configs" and method == "PUT":
            if self.takes_config:
                for root, part in body.items():
                    self.config.setdefault(root, {}).update(part)
            return 200, None
        if path in ("/stats", "/configs"):
            return 200, {"path": path, "dashboard": {"default_password": "plain-one"}}
        if path == "/metrics":
            return 200, {"messages.received": 1}
        if path == "/alarms":
            rows = [{"name": "high_memory", "activated": query.get("activated", ["true"])[0]}, {"name": "other"}]
            return 200, {"data": rows, "meta": {"page": 1, "limit": 1000, "count": 2, "hasnext": False}}
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
        if parts[1:2] == ["users"]:
            return self.route_built_in_users(method, parts[2:], body)
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

    @staticmethod
    def page(rows):
        return 200, {"data": rows, "meta": {"page": 1, "limit": 1000, "count": len(rows), "hasnext": False}}

    def route_built_in_users(self, method, parts, body):
        if not parts:
            if method == "GET":
                return self.page([{"user_id": name, "is_superuser": row["is_superuser"]} for name, row in self.built_in_users.items()])
            self.built_in_users[body["user_id"]] = {"is_superuser": False, **body}
            return 201, {"user_id": body["user_id"], "is_superuser": False}
        name = "/".join(parts)
        row = self.built_in_users.get(name)
        if row is None:
            return 404, {"code": "NOT_FOUND", "message": "User not found"}
        if method == "DELETE":
            del self.built_in_users[name]
            return 204, None
        row.update(body or {})
        return 200, {"user_id": name, "is_superuser": row["is_superuser"]}

    def route_rules(self, method, path, query, body):
        kind, name = (path.removeprefix("/authorization/sources/built_in_database/rules/").split("/", 1) + [None])[:2]
        field = {"users": "username", "clients": "clientid"}.get(kind)

        def full(rules):
            return [{"qos": [0, 1, 2], "retain": "all", **rule} for rule in rules]

        if kind == "all":
            if method == "GET":
                return 200, {"rules": full(self.built_in_rules["all"])}
            self.built_in_rules["all"] = body["rules"] if body else []
            return 204, None
        there = self.built_in_rules[kind]
        if method == "GET":
            return self.page([{field: one, "rules": full(rules)} for one, rules in there.items()])
        if method == "POST":
            for row in body:
                there[row[field]] = row["rules"]
        elif method == "PUT":
            there[name] = body["rules"]
        else:
            del there[name]
        return 204, None

    def route_users(self, method, path, query, body):
        parts = path.split("/")[2:]
        if method == "GET":
            return 200, [{key: row[key] for key in row if key != "password"} for row in self.users.values()]
        if not parts:
            self.users[body["username"]] = body
            return 200, {"username": body["username"], "description": body["description"]}
        row = self.users[parts[0]]
        if method == "DELETE":
            del self.users[parts[0]]
            return 204, None
        if parts[1:]:
            if body["old_pwd"] != row["password"]:
                return 400, {"code": "ERROR_PWD_NOT_MATCH", "message": "Old password not match"}
            row["password"] = body["new_pwd"]
            return 204, None
        row.update(body)
        return 200, {"username": parts[0]}

    def route_keys(self, method, path, query, body):
        parts = path.split("/")[2:]
        if not parts:
            self.keys[body["name"]] = {**body, "api_key": f"id{len(self.log)}", "created_at": "2026-11-24T02:53:15+00:00", "expired": False}
            return 200, {**self.keys[body["name"]], "api_secret": f"secret-of-{len(self.log)}"}
        row = self.keys.get(parts[0])
        if row is None:
            return 404, {"code": "NOT_FOUND", "message": "Name NOT FOUND"}
        if method == "DELETE":
            del self.keys[parts[0]]
            return 204, None
        if method == "PUT":
            row.update({"expired_at": "infinity", **body})
        return 200, row

    def route_things(self, method, path, query, body):
        kind, name = (path[1:].split("/") + [None])[:2]
        there = self.things[kind]
        if name is None:
            if method == "GET":
                rows = [self.thing(kind, one) for one in there]
                return self.page(rows) if kind == "rules" else (200, rows)
            name = body["id"] if kind == "rules" else f"{body['type']}:{body['name']}"
            there[name] = body
            return 201, self.thing(kind, name)
        if name not in there:
            return 404, {"code": "NOT_FOUND", "message": f"{name} does not exist."}
        if method == "DELETE":
            if any(name in rule.get("actions", []) for rule in self.things["rules"].values()):
                return 400, {"code": "BAD_REQUEST", "message": "Cannot delete action while active rules are depending on it"}
            del there[name]
            return 204, None
        if method == "PUT":
            if body.get("password") == "******":
                body["password"] = there[name].get("password")
            there[name] = {**body, **{key: there[name][key] for key in ("type", "name", "id") if key in there[name] and key not in body}}
        return 200, self.thing(kind, name)

    def thing(self, kind, name):
        row = {"enable": True, **self.things[kind][name]}
        if kind == "rules":
            return {**row, "from": ["a"], "created_at": "2026-11-24T02:53:32.798+00:00"}
        if "password" in row and not row["password"].startswith("file://"):
            row["password"] = "******"
        return {**row, "status": self.connected, "node_status": [{"node": "n", "status": self.connected}], "status_reason": "refused"}

    def route_retained(self, method, path, query, body):
        name = urllib.parse.unquote(path.removeprefix("/mqtt/retainer/message/"))
        if path == "/mqtt/retainer":
            if method == "PUT":
                self.retainer = body
            return 200, self.retainer
        if path.endswith("/messages"):
            return self.page([{"topic": topic} for topic in self.kept])
        if name not in self.kept:
            return 404, {"code": "NOT_FOUND", "message": "Viewed message doesn't exist"}
        if method == "DELETE":
            del self.kept[name]
            return 204, None
        return 200, {"topic": name, **self.kept[name]}

    def route_publish(self, method, path, query, body):
        answers = []
        for one in body if isinstance(body, list) else [body]:
            raw = base64.b64decode(one["payload"]) if one.get("payload_encoding") == "base64" else one["payload"].encode()
            if one.get("retain") and len(raw) < 1000:
                self.kept[one["topic"]] = {"payload": base64.b64encode(raw).decode(), "qos": one.get("qos", 0)}
            odd = {"reason_code": 144, "message": "topic_name_invalid"} if one["topic"] == "odd" else {"id": "0006"}
            answers.append({"reason_code": 16, "message": "no_matching_subscribers"} if one["topic"].startswith("nobody") else odd)
        return (200, answers) if isinstance(body, list) else (202, answers[0])

    def route_data(self, method, path, query, body):
        name = path.rpartition("/")[2]
        if path == "/data/export":
            self.backups["new.tar.gz"] = b"\x1f\x8bnew"
            return 200, {"filename": "new.tar.gz", "node": "emqx@127.0.0.1", "created_at": "x", "size": 5}
        if path == "/data/import":
            return (204, None) if body["filename"] in self.backups else (400, {"code": "BAD_REQUEST", "message": "backup file not found"})
        if path == "/data/files":
            if method == "POST":
                self.backups[re.search(rb'filename="([^"]+)"', body).group(1).decode()] = body
                return 204, None
            return self.page([{"filename": one, "node": "emqx@127.0.0.1", "size": len(content)} for one, content in self.backups.items()])
        return (204, None) if self.backups.pop(name, None) else (404, {"code": "NOT_FOUND", "message": "File not found"})

    def route_plugins(self, method, path, query, body):
        parts = path.split("/")[2:]
        if not parts:
            return 200, [self.plugin(name) for name in self.plugins]
        if parts == ["install"]:
            if not self.allows_plugins:
                return 403, {"code": "FORBIDDEN", "message": "not allowed"}
            name = re.search(rb'filename="([^"]+)\.tar\.gz"', body).group(1).decode()
            self.plugins[name] = {"running": False, "config": {"level": 1}}
            return 204, None
        name, what = (parts + [None])[:2]
        if name not in self.plugins:
            return 404, {"code": "NOT_FOUND", "message": "not found"}
        if what in ("start", "stop"):
            self.plugins[name]["running"] = what == "start"
            return 204, None
        if what == "config":
            self.plugins[name]["config"] = body or self.plugins[name]["config"]
            return (200, self.plugins[name]["config"]) if method == "GET" else (204, None)
        if what == "move":
            rest = [one for one in self.plugins if one != name]
            order = [name, *rest] if body["position"] == "front" else [*rest, name]
            self.plugins = {one: self.plugins[one] for one in order}
            return 204, None
        if method == "DELETE":
            del self.plugins[name]
            return 204, None
        return 200, self.plugin(name)

    def plugin(self, name):
        label, _dash, version = name.partition("-")
        status = "running" if self.plugins[name]["running"] else "stopped"
        return {"name": label, "rel_vsn": version, "running_status": [{"node": "n", "status": status}]}

    def route_cluster(self, method, path, query, body):
        if path == "/cluster":
            return 200, {"name": "emqxcl", "nodes": self.members, "self": self.members[0]}
        if path == "/load_rebalance/global_status":
            return 200, {"evacuations": [{"node": name, **row} for name, row in self.evacuating.items()], "purges": [], "rebalances": []}
        node = path.split("/")[2]
        if path.endswith("/invite"):
            if node == "lone@host":
                return 400, {"code": "BAD_REQUEST", "message": "single node license"}
            if node == "far@host":
                return 400, {"code": "BAD_REQUEST", "message": "node_down"}
            self.members = [*self.members, node]
            return 200, None
        if path.endswith("/force_leave"):
            self.members = [name for name in self.members if name != node]
            return 204, None
        if path.endswith("/start"):
            self.evacuating[node] = {"state": "prohibiting" if body else "evicting_conns", "stats": {"current_connected": 3}}
        else:
            self.evacuating.pop(node)
        return 200, {}

    def route_licence(self, method, path, query, body):
        if path == "/license/setting":
            self.licence_settings = body or self.licence_settings
            return 200, self.licence_settings
        if method == "POST":
            self.licence = {**self.licence, "customer": "Bar", "type": "official"}
        return 200, self.licence

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
