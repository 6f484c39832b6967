# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user of Grafana, against a small server that keeps users as Grafana does."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import urllib.parse

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._grafana import user
from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault

ADMIN = "the-administrators-1"


class Grafana:
    def __init__(self):
        self.users = {1: {"login": "admin", "password": ADMIN, "role": "Admin", "server": True}}
        self.asked = []
        self.missing = (404, {"message": "user not found"})
        grafana = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else {}
                name, _colon, password = base64.b64decode(self.headers["Authorization"].split()[1]).decode().partition(":")
                status, out = grafana.answer(self.command, urllib.parse.urlsplit(self.path), name, password, body)
                data = json.dumps(out).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = handle_any

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method, parts, name, password, body):
        known = next((one for one in self.users.values() if one["login"] == name and one["password"] == password), None)
        self.asked.append((method, parts.path, name))
        if known is None:
            return 401, {"message": "Invalid username or password"}
        if parts.path == "/api/user":
            return 200, {"login": name}
        if not known["server"]:
            return 403, {"message": "Permission denied"}
        words = parts.path.split("/")
        if parts.path == "/api/users/lookup":
            wanted = urllib.parse.parse_qs(parts.query)["loginOrEmail"][0]
            return next(((200, {"id": key, "isGrafanaAdmin": one["server"]}) for key, one in self.users.items() if one["login"] == wanted), self.missing)
        if parts.path == "/api/org/users":
            return 200, [{"userId": key, "role": one["role"]} for key, one in self.users.items() if one["role"]]
        if (method, parts.path) == ("POST", "/api/admin/users"):
            self.users[7] = {"login": body["login"], "password": body["password"], "role": "Viewer", "server": False}
            return 200, {"id": 7}
        self.users[int(words[4])].update(body)
        return 200, {"message": "done"}

    def ensure(self, role="Viewer", password="wanted-1", check=False, login="looker"):
        secrets = [ADMIN, password]

        def connect(name, word):
            return user.connect(self.url, name, word, secrets=secrets)

        admin = connect("admin", ADMIN)
        try:
            return user.ensure(admin, connect, login, password, role, check)
        finally:
            admin.close()


@pytest.fixture
def grafana():
    made = Grafana()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_users_life(grafana):
    assert grafana.ensure(check=True)[0] == {} and len(grafana.users) == 1
    before, after = grafana.ensure(role="Editor")
    assert before == {} and after == {"login": "looker", "role": "Editor", "password": "the wanted one"}
    assert grafana.users[7] == {"login": "looker", "password": "wanted-1", "role": "Editor", "server": False}
    grafana.asked.clear()
    before, after = grafana.ensure(role="Editor")
    assert before == after and {method for method, _path, _name in grafana.asked} == {"GET"}
    # One sign-in as the user, no more: wrong ones count.
    assert [path for _method, path, name in grafana.asked if name == "looker"] == ["/api/user"]


def test_what_differs_is_set(grafana):
    grafana.ensure()
    grafana.users[7].update(password="other", role="")
    kept = dict(grafana.users[7])
    before, after = grafana.ensure(check=True)
    assert (before["password"], before["role"]) == ("another one", "") and before != after and grafana.users[7] == kept
    assert grafana.ensure() == (before, after)
    assert (grafana.users[7]["password"], grafana.users[7]["role"]) == ("wanted-1", "Viewer")


def test_what_is_refused_changes_nothing_and_shows_no_secret(grafana):
    with pytest.raises(Fault, match="administrator of the server"):
        grafana.ensure(login="admin")
    # Only Grafana's own words say that there is none.
    grafana.missing = (404, {"message": "page gone"})
    with pytest.raises(Fault, match="404"):
        grafana.ensure()
    grafana.users[1]["password"] = "changed"
    with pytest.raises(Fault, match="401") as fault:
        grafana.ensure()
    assert "wanted-1" not in str(fault.value) and ADMIN not in str(fault.value)
    assert len(grafana.users) == 1
