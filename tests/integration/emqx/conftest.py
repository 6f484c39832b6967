# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules against any EMQX: EMQX_URL with EMQX_KEY and EMQX_SECRET, or EMQX_USER and EMQX_PASSWORD, or all four (a user is
needed for API keys and users of the dashboard).

Without EMQX_URL the stand-in that the lab built is started (or EMQX_STANDIN), as 5.8.9 and as 5.3.0 (or as EMQX_COMPAT alone).
Only names with the prefix `edgestack-test` are touched.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import platform
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from emqx_contract import Contract
from emqx_modules import Proxy, run_module
from free_ports import free_port

ROOT = pathlib.Path(__file__).parents[3]
PREFIX = "edgestack-test"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
STANDIN = ROOT / "build" / "lab" / "artefacts" / f"standin-emqx-{ARCHITECTURE}" / "emqx-standin"
NEEDS_USER = {"emqx_api_key", "emqx_dashboard_user"}


class Emqx:
    """A server, our way of running modules against it, and a reader of its own that shares no code with them."""

    def __init__(self, url, key=None, user=None, standin=False):
        self.url = url.rstrip("/")
        self.key = key
        self.user = user
        self.standin = standin
        self.token = None
        self.version = self.read("/nodes")[0]["version"].split("-")[0]
        # Modules come through a proxy, which keeps what they send.
        self.proxy = Proxy(self.url)

    @property
    def number(self):
        return tuple(int(part) for part in self.version.split("-")[0].split(".")[:2])

    def _need_user(self):
        if not self.user:
            pytest.skip("EMQX lets only users of the dashboard do this: give EMQX_USER and EMQX_PASSWORD")

    def credentials(self, module):
        if module in NEEDS_USER or not self.key:
            self._need_user()
            return {"username": self.user[0], "password": self.user[1]}
        return {"api_key": self.key[0], "api_secret": self.key[1]}

    def run(self, module, check=False, url=None, client_options=None, **arguments):
        given = {"url": url or self.proxy.url, **self.credentials(module), "wait_timeout": 30, **arguments}
        result = run_module(module, given, check, **(client_options or {}))
        for secret in (*(self.key or ())[1:], *(self.user or ())[1:]):
            # The invocation shows what was given, with the secrets taken out.
            assert secret not in json.dumps(result), "a secret is in the module's output"
        return result

    def read(self, path, method="GET", body=None, accept="application/json"):
        headers = {"Authorization": self._authorization(path), "Accept": accept}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(f"{self.url}/api/v5{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                raw = answer.read()
                return (json.loads(raw) if accept == "application/json" else raw.decode()) if raw else None
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def all(self, path):
        """Every row of a list, paged or not."""
        body = self.read(f"{path}{'&' if '?' in path else '?'}page=1&limit=1000")
        return (body["data"] if isinstance(body, dict) else body) or []

    def _authorization(self, path):
        if self.key and not path.startswith(("/users", "/api_key")):
            return "Basic " + base64.b64encode(":".join(self.key).encode()).decode()
        self._need_user()
        if self.token is None:
            body = json.dumps(dict(zip(("username", "password"), self.user, strict=True))).encode()
            request = urllib.request.Request(f"{self.url}/api/v5/login", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.token = json.load(answer)["token"]
        return "Bearer " + self.token


@contextlib.contextmanager
def running_standin(base, compat):
    """The stand-in with its data in a directory; yields its address."""
    program = pathlib.Path(os.environ.get("EMQX_STANDIN", STANDIN))
    if not program.exists():
        pytest.fail("no EMQX: set EMQX_URL, or build the lab's stand-in (make lab)", pytrace=False)
    for name in ("etc", "data", "log"):
        (base / name).mkdir()
    port = free_port()
    (base / "etc" / "api_keys").write_text("edgestack-test:secret-of-the-test-1\n")
    (base / "etc" / "acl.conf").write_text("{deny, all}.\n")
    (base / "etc" / "emqx.conf").write_text(
        f'node {{ name = "emqx@127.0.0.1", cookie = "test", data_dir = "{base / "data"}" }}\n'
        f'dashboard.listeners.http.bind = "127.0.0.1:{port}"\n'
        f'dashboard.default_username = "admin"\ndashboard.default_password = "Pass-of-the-test-1"\n'
        f'api_key.bootstrap_file = "{base / "etc" / "api_keys"}"\n'
        + "".join(f"listeners.{kind}.default.enable = false\n" for kind in ("tcp", "ssl", "ws", "wss"))
    )
    environment = {**os.environ, "EMQX_ETC_DIR": str(base / "etc"), "EMQX_LOG_DIR": str(base / "log"), "EMQX_STANDIN_COMPAT": compat}
    with open(base / "out", "wb") as out:
        process = subprocess.Popen([str(program), "foreground"], env=environment, stdout=out, stderr=out)
        try:
            url = f"http://127.0.0.1:{port}"
            end = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"{url}/api/v5/status", timeout=2).close()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < end, (base / "out").read_text()
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _servers():
    if os.environ.get("EMQX_URL"):
        return ["given"]
    return [os.environ["EMQX_COMPAT"]] if os.environ.get("EMQX_COMPAT") else ["5.8.9", "5.3.0"]


@pytest.fixture(scope="session", params=_servers())
def emqx(request, tmp_path_factory):
    url = os.environ.get("EMQX_URL")
    if url:
        key = (os.environ["EMQX_KEY"], os.environ["EMQX_SECRET"]) if os.environ.get("EMQX_KEY") else None
        user = (os.environ["EMQX_USER"], os.environ["EMQX_PASSWORD"]) if os.environ.get("EMQX_USER") else None
        yield Emqx(url, key, user)
        return
    with running_standin(tmp_path_factory.mktemp("emqx"), request.param) as url:
        yield Emqx(url, ("edgestack-test", "secret-of-the-test-1"), ("admin", "Pass-of-the-test-1"), standin=True)


@pytest.fixture(scope="session")
def contract(emqx):
    """The server's own OpenAPI document, where we have it."""
    return Contract(emqx.version) if emqx.version in ("5.3.0", "5.8.9") else None


@pytest.fixture
def port():
    return free_port()


@pytest.fixture(autouse=True)
def clean(emqx, contract):
    """What a failed test left goes away, and nothing else. What was sent is what the server's document allows."""
    emqx.proxy.bodies.clear()
    yield
    emqx.proxy.fault = None
    sweep(emqx)
    for request in emqx.proxy.bodies if contract else ():
        contract.check_request(*request)


def sweep(emqx):
    def remove(path):
        with contextlib.suppress(urllib.error.HTTPError):
            emqx.read(path, "DELETE")

    for row in emqx.read("/listeners"):
        if row["id"].endswith(f":{PREFIX}"):
            remove(f"/listeners/{row['id']}")
    for row in emqx.all("/rules"):
        if row["id"].startswith(PREFIX):
            remove(f"/rules/{row['id']}")
    for kind in ("actions", "sources", "bridges", "connectors"):
        for row in emqx.read(f"/{kind}") or []:
            if row["name"].startswith(PREFIX):
                remove(f"/{kind}/{row['type']}:{row['name']}")
    for row in emqx.all("/banned"):
        if row["who"].startswith(PREFIX):
            remove(f"/banned/{row['as']}/{row['who']}")
    for row in emqx.all("/mqtt/retainer/messages"):
        if row["topic"].startswith(PREFIX):
            remove(f"/mqtt/retainer/message/{urllib.parse.quote(row['topic'], safe='')}")
    if emqx.user:
        for row in emqx.read("/api_key"):
            if row["name"].startswith(PREFIX):
                remove(f"/api_key/{row['name']}")
        for row in emqx.read("/users"):
            if row["username"].startswith(PREFIX):
                remove(f"/users/{row['username']}")
