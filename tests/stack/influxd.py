# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""InfluxDB."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from free_ports import free_port

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client

from .programs import StackError, program


@dataclasses.dataclass
class Server:
    url: str
    token: str
    organization: str
    own: bool

    def client(self, token: str | None = None) -> Client:
        return Client.connect(self.url, self.token if token is None else token)


class Influxd:
    """An InfluxDB of our own, set up, with its data in a directory; it can be killed and started again."""

    def __init__(self, directory: pathlib.Path, *options: str, set_up: bool = True) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(self.url, secrets.token_hex(24), "edgestack", own=True)
        self._options = options
        self._set_up = set_up
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "influxd.log"
        command = [
            program("influxd", "influxdb"),
            f"--bolt-path={self.directory}/influxd.bolt",
            f"--sqlite-path={self.directory}/influxd.sqlite",
            f"--engine-path={self.directory}/engine",
            f"--http-bind-address=127.0.0.1:{self.port}",
            "--reporting-disabled",
            "--log-level=warn",
            *self._options,
        ]
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"influxd did not start:\n{log.read_text()[-2000:]}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                break
            time.sleep(0.1)
        if self._set_up:
            self._set_up = False
            client = Client.connect(self.url)
            password = secrets.token_hex(12)
            client.setup({"username": "admin", "password": password, "org": "edgestack", "bucket": "iotdata", "token": self.server.token})
            client.close()

    @property
    def log(self) -> str:
        return (self.directory / "influxd.log").read_text()

    def kill(self) -> None:
        """As a power cut would end it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Influxd:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def running_influxd(directory: pathlib.Path, *options: str):
    """An InfluxDB of our own, not set up; yields its address."""
    with Influxd(directory, *options, set_up=False) as influxd:
        yield influxd.url


@contextlib.contextmanager
def set_up_influxd(directory: pathlib.Path, *options: str):
    """An InfluxDB of our own with the organisation edgestack and an operator token."""
    with Influxd(directory, *options) as influxd:
        yield influxd.server
