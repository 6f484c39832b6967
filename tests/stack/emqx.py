# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's broker with the configuration that the role writes; it drops what EMQX would drop."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

import yaml
from free_ports import free_port

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client, Credentials
from ansible_collections.edgestack.iot.plugins.module_utils._preflight import outage

from .programs import ROOT, StackError, program

ROLE = ROOT / "roles" / "emqx"
# Of the API key "bench".
SECRET = "bench-secret-0123456789"
# What EMQX has when nobody says otherwise.
DEFAULTS = {"emqx_max_inflight": 32, "emqx_max_queue": 1000, "emqx_max_mailbox": 1000, "emqx_max_heap": "32MB", "emqx_session_expiry": "2h"}


class Emqx:
    """A broker with a plain listener on the loopback, open to everyone who is there."""

    def __init__(self, directory: pathlib.Path, memory_mb: int = 4096, **variables: object) -> None:
        self.directory = directory
        self.port, self._api = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self._api}"
        self.process: subprocess.Popen | None = None
        for name in ("etc/certs", "data", "log", "secrets"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        for name in ("templates",):
            (directory / name).symlink_to(ROLE / name)
        (directory / "secrets" / "emqx.conf").write_text('node.cookie = "cookie"\ndashboard.default_password = "public-123"\n')
        (directory / "secrets" / "api_keys").write_text(f"bench:{SECRET}:administrator\n")
        (directory / "etc" / "acl.conf").write_text("{allow, all}.\n")
        extra = (
            f'node.data_dir = "{directory}/data"\nlog.file.default.path = "{directory}/log/emqx.log"\n'
            f'listeners.tcp.default {{ enable = true, bind = "127.0.0.1:{self.port}" }}\n'
        )
        site = {
            "_iot_plan": outage.plan(3600, 20, memory_mb).as_dict(),
            "__iot_host": {"memory_mb": memory_mb},
            "iot_address": "localhost",
            "iot_install_method": "package",
            "_emqx_secrets": str(directory / "secrets"),
            "emqx_dashboard_port": self._api,
            "emqx_extra_configuration": extra,
            **variables,
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
            "tasks": [{"ansible.builtin.template": {"src": "emqx.conf.j2", "dest": str(directory / "etc" / "emqx.conf"), "mode": "0600"}}],
        }
        (directory / "play.yml").write_text(yaml.safe_dump([play]))
        (directory / "site.json").write_text(json.dumps(site))
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", "localhost,", "-c", "local"]
            + ["-e", f"ansible_python_interpreter={sys.executable}", "-e", "@site.json", "play.yml"],
            cwd=directory,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(done.stdout + done.stderr)

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EMQX_")}
        environment |= {"EMQX_ETC_DIR": f"{self.directory}/etc", "EMQX_DATA_DIR": f"{self.directory}/data", "EMQX_LOG_DIR": f"{self.directory}/log"}
        with (self.directory / "console.log").open("ab") as log:
            self.process = subprocess.Popen([program("emqx-standin", "standin-emqx"), "foreground"], env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{self._api}/status", timeout=5).close()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StackError("the broker did not start:\n" + (self.directory / "console.log").read_text()[-2000:])
            time.sleep(0.05)

    def get(self, path: str) -> object:
        credentials = base64.b64encode(f"bench:{SECRET}".encode()).decode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._api}/api/v5{path}", headers={"Authorization": f"Basic {credentials}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def client(self) -> Client:
        """The collection's own client of the API."""
        return Client(self.api, Credentials("bench", SECRET, None, None))

    def metric(self, name: str) -> int:
        nodes = self.get("/metrics")
        return sum(node.get(name, 0) for node in nodes)

    def subscribed(self, client_id: str) -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            return bool(self.get(f"/clients/{client_id}/subscriptions"))
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Emqx:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
