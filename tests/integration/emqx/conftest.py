# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules, run as Ansible runs them, against any EMQX: EMQX_URL with EMQX_KEY and EMQX_SECRET, or EMQX_USER and EMQX_PASSWORD.

Without EMQX_URL the stand-in that the lab built is started (or EMQX_STANDIN), as the version EMQX_COMPAT.
Only names with the prefix `edgestack-test` are touched.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from free_ports import free_port

ROOT = pathlib.Path(__file__).parents[3]
PREFIX = "edgestack-test"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
STANDIN = ROOT / "build" / "lab" / "artefacts" / f"standin-emqx-{ARCHITECTURE}" / "emqx-standin"


class Emqx:
    """A server, our way of running modules against it, and a reader of its own that shares no code with them."""

    def __init__(self, url, credentials):
        self.url = url.rstrip("/")
        self.credentials = credentials
        self.token = None

    def run(self, module, check=False, **arguments):
        given = {"url": self.url, **self.credentials, "wait_timeout": 30, **arguments}
        given = {"_ansible_check_mode": check, "_ansible_diff": True, **{key: value for key, value in given.items() if value is not None}}
        done = subprocess.run(
            [sys.executable, "-m", f"ansible_collections.edgestack.iot.plugins.modules.{module}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": given}), capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "build" / "collections")},
        )  # fmt: skip
        assert done.stdout.strip(), done.stderr
        for secret in (self.credentials.get("api_secret"), self.credentials.get("password")):
            # The invocation shows what was given, with the secrets taken out.
            assert not secret or secret not in done.stdout, "a secret is in the module's output"
        return json.loads(done.stdout)

    def read(self, path, method="GET", body=None):
        headers = {"Authorization": self._authorization(), "Accept": "application/json"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(f"{self.url}/api/v5{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                raw = answer.read()
                return json.loads(raw) if raw else None
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def _authorization(self):
        if "api_key" in self.credentials:
            pair = f"{self.credentials['api_key']}:{self.credentials['api_secret']}"
            return "Basic " + base64.b64encode(pair.encode()).decode()
        if self.token is None:
            body = json.dumps({"username": self.credentials["username"], "password": self.credentials["password"]}).encode()
            request = urllib.request.Request(f"{self.url}/api/v5/login", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.token = json.load(answer)["token"]
        return "Bearer " + self.token


@pytest.fixture(scope="session")
def emqx(tmp_path_factory):
    url = os.environ.get("EMQX_URL")
    if url:
        if os.environ.get("EMQX_KEY"):
            yield Emqx(url, {"api_key": os.environ["EMQX_KEY"], "api_secret": os.environ["EMQX_SECRET"]})
        else:
            yield Emqx(url, {"username": os.environ["EMQX_USER"], "password": os.environ["EMQX_PASSWORD"]})
        return
    program = pathlib.Path(os.environ.get("EMQX_STANDIN", STANDIN))
    if not program.exists():
        pytest.fail("no EMQX: set EMQX_URL, or build the lab's stand-in (make lab)", pytrace=False)
    base = tmp_path_factory.mktemp("emqx")
    for name in ("etc", "data", "log"):
        (base / name).mkdir()
    port = free_port()
    (base / "etc" / "api_keys").write_text("edgestack-test:secret-of-the-test-1\n")
    (base / "etc" / "acl.conf").write_text("{deny, all}.\n")
    (base / "etc" / "emqx.conf").write_text(
        f'node {{ name = "emqx@127.0.0.1", cookie = "test", data_dir = "{base / "data"}" }}\n'
        f'dashboard.listeners.http.bind = "127.0.0.1:{port}"\n'
        f'api_key.bootstrap_file = "{base / "etc" / "api_keys"}"\n'
        + "".join(f"listeners.{kind}.default.enable = false\n" for kind in ("tcp", "ssl", "ws", "wss"))
    )
    environment = {**os.environ, "EMQX_ETC_DIR": str(base / "etc"), "EMQX_LOG_DIR": str(base / "log")}
    environment["EMQX_STANDIN_COMPAT"] = os.environ.get("EMQX_COMPAT", "5.8.9")
    with open(base / "out", "wb") as out:
        process = subprocess.Popen([str(program), "foreground"], env=environment, stdout=out, stderr=out)
        try:
            server = Emqx(f"http://127.0.0.1:{port}", {"api_key": "edgestack-test", "api_secret": "secret-of-the-test-1"})
            end = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"{server.url}/api/v5/status", timeout=2).close()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < end, (base / "out").read_text()
                    time.sleep(0.05)
            yield server
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
def port():
    return free_port()


@pytest.fixture(autouse=True)
def clean(emqx):
    """What a failed test left goes away, and nothing else."""
    yield
    emqx.read(f"/listeners/tcp:{PREFIX}", "DELETE")
    for row in (emqx.read("/banned?page=1&limit=1000") or {"data": []})["data"]:
        if row["who"].startswith(PREFIX):
            emqx.read(f"/banned/{row['as']}/{row['who']}", "DELETE")
