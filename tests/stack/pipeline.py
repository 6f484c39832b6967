# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way of a reading: devices, broker, Telegraf, InfluxDB, with the roles' settings or with the programs' own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
import typing as t

from free_ports import free_port

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.resources import Bucket, Permission, Token

from . import emqx
from .influxd import Influxd
from .programs import StackError, program
from .telegraf import Place

# What Telegraf's own documentation has as defaults.
TELEGRAF_DEFAULTS = {
    "telegraf_flush_interval": "10s",
    "telegraf_metric_batch_size": 1000,
    "telegraf_metric_buffer_limit": 10000,
    "telegraf_max_undelivered_messages": 1000,
}


class Telegraf:
    """Telegraf with a configuration; it can be killed and started again."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with (self.place.directory / "telegraf.log").open("ab") as log:
            command = [program("telegraf", "telegraf"), "--config", str(self.place.directory / "telegraf.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Pipeline:
    """Everything, started; defaults: with the programs' own settings instead of the roles'."""

    def __init__(self, directory: pathlib.Path, *, defaults: bool = False, broker: dict | None = None, **telegraf: object) -> None:
        self.directory = directory
        for name in ("broker", "telegraf"):
            (directory / name).mkdir(parents=True)
        self.influxd = Influxd(directory / "influxdb")
        self.broker = emqx.Emqx(directory / "broker", **(emqx.DEFAULTS if defaults else {}), **(broker or {}))
        self.place = Place(directory / "telegraf")
        self.telegraf = Telegraf(self.place)
        self._variables = {**(TELEGRAF_DEFAULTS if defaults else {}), **telegraf}

    def __enter__(self) -> Pipeline:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.influxd.start()
        self.broker.start()
        server = self.influxd.server
        self.client = server.client()
        buckets = [Bucket("iot_verify", retention="1h"), Bucket("iot_unparsed", retention="7d")]
        resources.buckets(self.client, server.organization, buckets, check=False)
        rights = tuple(Permission("write", "buckets", name) for name in ("iotdata", "iot_verify", "iot_unparsed"))
        _outcome, made = resources.tokens(self.client, server.client, server.organization, [Token("telegraf", rights)], False)
        (self.place.credentials / "influxdb_token").write_text(made[0].value)
        (self.place.credentials / "mqtt_password").write_text("none")
        (self.place.credentials / "emqx_monitor").write_text(emqx.SECRET)
        self.render()
        self.telegraf.start()
        self.until(lambda: self.broker.subscribed("telegraf-localhost"), 30, "Telegraf did not subscribe")

    def render(self, place: Place | None = None, **more: object) -> None:
        """Telegraf's configuration, by the role's template."""
        (place or self.place).render(
            telegraf_influxdb_url=self.influxd.server.url,
            telegraf_mqtt=True,
            telegraf_mqtt_tls=False,
            telegraf_mqtt_address="127.0.0.1",
            telegraf_mqtt_port=self.broker.port,
            telegraf_mqtt_reconnect_interval="1s",
            telegraf_broker_url=self.broker.api,
            telegraf_broker_key="bench",
            telegraf_host_metrics=False,
            telegraf_health_port=free_port(),
            **{**self._variables, **more},
        )

    @contextlib.contextmanager
    def another(self, name: str, directory: pathlib.Path) -> t.Iterator[Telegraf]:
        """A second Telegraf with a session of its own."""
        directory.mkdir()
        place = Place(directory)
        for path in self.place.credentials.iterdir():
            shutil.copy(path, place.credentials)
        self.render(place, _telegraf_mqtt_name=name)
        telegraf = Telegraf(place)
        telegraf.start()
        try:
            self.until(lambda: self.broker.subscribed(name), 30, f"{name} did not subscribe")
            yield telegraf
        finally:
            telegraf.kill()

    def profiles(self) -> dict:
        """The profiles in that configuration."""
        text = (self.place.directory / "telegraf.conf").read_text()
        return json.loads(text.partition("settings = '''")[2].partition("'''")[0])["profiles"]

    def __exit__(self, *_error: object) -> None:
        self.telegraf.kill()
        self.broker.kill()
        self.influxd.__exit__()
        shutil.rmtree(self.directory, ignore_errors=True)

    def until(self, what, seconds: float, message: str, pause: float = 0.1) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                log = self.place.directory / "telegraf.log"
                raise StackError(f"{message}; Telegraf's log ends with:\n{log.read_text()[-2000:] if log.exists() else ''}")
            time.sleep(pause)

    def stored(self) -> list[tuple[str, int]]:
        """Device and number of every row, from the database itself."""
        found = []
        for series in self.client.influxql_series("SELECT value FROM generic_json GROUP BY device", "iotdata", epoch="ms"):
            column = series["columns"].index("value")
            found += [(series["tags"]["device"], int(row[column])) for row in series["values"]]
        return found

    def count(self) -> int:
        rows = self.client.influxql("SELECT count(value) FROM generic_json", "iotdata")
        return rows[0]["count"] if rows else 0

    def settle(self, expected: int, seconds: float) -> list[tuple[str, int]]:
        """What is stored when all of it is, or when nothing has come for a while."""
        deadline = time.monotonic() + seconds
        last, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            now = self.count()
            if now >= expected:
                break
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > max(15.0, seconds / 6):
                break
            time.sleep(0.1)
        return self.stored()

    def usage(self) -> dict[str, tuple[float, float]]:
        """CPU seconds and resident memory in MiB of each part."""
        processes = {"broker": self.broker.process, "telegraf": self.telegraf.process, "influxdb": self.influxd.process}
        return {name: usage(process.pid) for name, process in processes.items() if process is not None}


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far, and the resident memory in MiB."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1048576
