# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs EMQX modules in this process, and faults that a server or a proxy between can show them."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import importlib
import io
import json
import socket
import struct
import threading
import time
import urllib.parse
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.edgestack.iot.plugins.modules"
CLIENT = "ansible_collections.edgestack.iot.plugins.module_utils._emqx.arguments.Client"


def run_module(name, given, check=False, **client_options):
    """The module's result. A process for each would cost a quarter of a second; a test of the harness compares the two ways.

    client_options are those of the client that the module makes (timeout, backoff), which a user cannot set so small.
    """
    module = importlib.import_module(f"{MODULES}.{name}")
    arguments = {"_ansible_check_mode": check, "_ansible_diff": True, **{key: value for key, value in given.items() if value is not None}}
    out, warnings = io.StringIO(), []
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch_module_args(arguments))
        stack.enter_context(mock.patch.object(basic.AnsibleModule, "warn", lambda _self, text, **_options: warnings.append(text)))
        if client_options:
            real = importlib.import_module(CLIENT.rpartition(".")[0]).Client
            stack.enter_context(mock.patch(CLIENT, lambda *args, **options: real(*args, **{**options, **client_options})))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.suppress(SystemExit))
        module.main()
    return {"warnings": warnings, **json.loads(out.getvalue())}


# --- faults: each takes the request's handler and answers instead of EMQX


def answer(handler, status, body, kind="application/json"):
    raw = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    handler.send_response(status)
    if raw:
        handler.send_header("Content-Type", kind)
    if status != 204:
        handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


def _status(status, body=None, kind="application/json"):
    return lambda handler: answer(handler, status, body, kind)


def _cut_off(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.wfile.flush()
    handler.close_connection = True


def _reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def _stall(handler):
    time.sleep(0.4)
    handler.close_connection = True


def _redirect(handler):
    handler.send_response(302)
    handler.send_header("Location", "http://elsewhere/login")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


PAGE = "<html><head><title>502</title></head><body>Bad Gateway</body></html>"
FAULTS = {
    "401": _status(401, {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"}),
    "403": _status(403, {"code": "UNAUTHORIZED_ROLE", "message": "not allowed"}),
    "404 page": _status(404, PAGE, "text/html"),
    "429": _status(429, {"code": "TOO_MANY_REQUESTS", "message": "slow down"}),
    "500": _status(500, {"code": "INTERNAL_ERROR", "message": "boom"}),
    "502 page": _status(502, PAGE, "text/html"),
    "200 page": _status(200, PAGE, "text/html"),
    "200 empty": _status(200),
    "half JSON": _status(200, '{"data": [{"cli'),
    "cut off": _cut_off,
    "reset": _reset,
    "stall": _stall,
    "redirect": _redirect,
}


class Proxy:
    """Stands between a client and EMQX, carries everything, and shows a fault where it is told to."""

    def __init__(self, url):
        self.target = urllib.parse.urlsplit(url)
        self.fault = None
        self.when = lambda method, path: True
        self.writes = []
        self.bodies = []
        self.shown = 0
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_args):
                pass

            def any(self):
                proxy.carry(self)

            do_GET = do_POST = do_PUT = do_DELETE = any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def carry(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path = handler.path.split("?")[0].removeprefix("/api/v5")
        if path not in ("/status", "/login", "/logout"):
            if self.fault is not None and self.when(handler.command, path):
                self.shown += 1
                self.fault(handler)
                return
            if handler.command != "GET":
                self.writes.append((handler.command, path))
        secure = self.target.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        there = connect(self.target.hostname, self.target.port or (18084 if secure else 18083), timeout=60)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
            there.request(handler.command, handler.path, body or None, headers)
            got = there.getresponse()
            raw = got.read()
        finally:
            there.close()
        if handler.command != "GET" and got.status < 400:
            self.bodies.append((handler.command, path, handler.headers.get("Content-Type"), body))
        handler.send_response(got.status)
        if got.headers.get("Content-Type"):
            handler.send_header("Content-Type", got.headers["Content-Type"])
        if got.status != 204:
            handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)
