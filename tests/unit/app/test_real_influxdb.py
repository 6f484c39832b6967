# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The app's queries against a real InfluxDB: the one that the lab built, or EDGESTACK_INFLUXD."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = pathlib.Path(os.environ.get("EDGESTACK_INFLUXD", ROOT / "build" / "lab" / "artefacts" / "influxdb-amd64" / "influxd"))
TOKEN = "token-of-the-test"
pytestmark = [pytest.mark.integration, pytest.mark.skipif(not PROGRAM.exists(), reason="the lab has built no InfluxDB: tests/lab/lab build")]


def post(url, path, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers={"Authorization": f"Token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    directory = tmp_path_factory.mktemp("influxd")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), "--http-bind-address", f"127.0.0.1:{port}", "--bolt-path", str(directory / "bolt"), "--sqlite-path",
             str(directory / "sqlite"), "--engine-path", str(directory / "engine"), "--reporting-disabled"],
            stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(directory)})
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{url}/health", timeout=5):
                break
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.1)
        setup = {"username": "admin", "password": "Test-pass-1", "org": "edgestack", "bucket": "iotdata", "token": TOKEN}
        assert post(url, "/api/v2/setup", setup) == 201
        now = int(time.time())
        lines = [f"m,device=o'pi v={value},on={flag} {now - age}" for value, flag, age in ((1, "true", 30), (2, "false", 20), (6, "true", 10))]
        lines += [f"m,device=other v=100 {now - 5}", f"m,device=o'pi v=50 {now - 7200}"]
        assert post(url, "/api/v2/write?org=edgestack&bucket=iotdata&precision=s", "\n".join(lines).encode()) == 204
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_the_statistics_are_those_of_the_device_and_the_range(real):
    from influx import Influx

    database = Influx(real, TOKEN)
    assert database.devices("iotdata", "m") == ["o'pi", "other"]
    readings = database.readings("iotdata", "m", "v", "o'pi", 900)
    assert readings.values == [1.0, 2.0, 6.0] and readings.times == sorted(readings.times)
    numbers = dict(readings.statistics)
    assert numbers.pop("stddev") == pytest.approx(2.6457513)
    assert numbers == {"mean": 3, "median": 2, "min": 1, "max": 6, "count": 3}
    assert database.readings("iotdata", "m", "v", "o'pi", 86400).statistics["max"] == 50
    assert database.readings("iotdata", "m", "on", "o'pi", 900, boolean=True).values == [1.0, 0.0, 1.0]


def test_nothing_and_faults(real):
    import influx

    database = influx.Influx(real, TOKEN)
    assert database.devices("iotdata", "nothing") == []
    nothing = database.readings("iotdata", "nothing", "v", "x", 900)
    assert nothing.values == [] and nothing.statistics["count"] is None
    with pytest.raises(influx.NoDatabase):
        database.devices("of_nobody", "m")
    with pytest.raises(influx.Refused):
        influx.Influx(real, "wrong").devices("iotdata", "m")
