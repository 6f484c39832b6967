# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attached sensors, read by a real Telegraf with the role's configuration: a tree as the kernel's, a Modbus server, a serial line."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import socketserver
import struct
import threading
import time

import pytest
from stack.programs import ROOT
from stack.telegraf import ROLE, Place

pytestmark = pytest.mark.integration
PROFILES = ROOT / "roles" / "devices" / "files" / "profiles"
REGISTERS = {0: 230.5, 6: 1.25, 12: 288.125, 70: 50.0, 342: 1234.5}


class Meter(socketserver.BaseRequestHandler):
    """A Modbus TCP server with input registers, two of which are one float."""

    def handle(self):
        while header := self.request.recv(7, socket.MSG_WAITALL):
            transaction, _protocol, length, unit = struct.unpack(">HHHB", header)
            function, start, count = struct.unpack(">BHH", self.request.recv(length - 1, socket.MSG_WAITALL))
            assert (unit, function) == (3, 4)
            words = bytearray()
            for register in range(start, start + count):
                whole = struct.pack(">f", REGISTERS.get(register - register % 2, 0.0))
                words += whole[register % 2 * 2 : register % 2 * 2 + 2]
            self.request.sendall(struct.pack(">HHHBBB", transaction, 0, 3 + len(words), unit, function, len(words)) + words)


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    # The collection's own profiles, for a tree that is not the kernel's.
    (tmp_path / "profiles").mkdir()
    for path in PROFILES.glob("*.yml"):
        text = path.read_text()
        if "sensor:" in text:
            (tmp_path / "profiles" / path.name).write_text(text.replace("/sys/", f"{tmp_path}/sys/").replace("${script}", str(ROLE / "files" / "sensor.py")))
    yield place
    shutil.rmtree(tmp_path, ignore_errors=True)


def put(place, path, text):
    full = place.directory / path
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_text(text)


def test_readings_of_attached_sensors_arrive(place):
    put(place, "sys/bus/w1/devices/28-0316a2793aff/temperature", "21437\n")
    put(place, "sys/bus/w1/devices/28-0316a2793b00/temperature", "-1250\n")
    put(place, "sys/bus/iio/devices/iio:device0/in_temp_input", "23000\n")
    put(place, "sys/bus/iio/devices/iio:device0/in_humidityrelative_input", "41500\n")
    put(place, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    ours, theirs = pty.openpty()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Meter)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sensors = [
        {"name": "cellar", "profile": "ds18b20", "parameters": {"id": "28-0316a2793aff"}},
        {"name": "freezer", "profile": "ds18b20", "parameters": {"id": "28-0316a2793b00"}, "interval": "500ms"},
        {"name": "kitchen", "profile": "dht11_iio"},
        {"name": "board", "profile": "pi_temperature"},
        {"name": "meter", "profile": "sdm120", "parameters": {"controller": f"tcp://127.0.0.1:{server.server_address[1]}", "slave": 3}},
        {"name": "arduino", "profile": "serial_json", "parameters": {"device": os.ttyname(theirs), "baud": 9600}},
    ]
    out = place.directory / "out.json"
    extra = f'[[outputs.file]]\n  files = ["{out}"]\n  data_format = "json"\n'
    place.render(telegraf_sensors=sensors, telegraf_extra_config=extra, telegraf_interval="1s", telegraf_flush_interval="200ms", telegraf_mqtt=False,
                 telegraf_influxdb_url="http://127.0.0.1:9", telegraf_influxdb_token="none", telegraf_host_metrics=False)  # fmt: skip
    place.check()
    wanted = {
        ("ds18b20", "cellar"): {"temperature": 21.437},
        ("ds18b20", "freezer"): {"temperature": -1.25},
        ("dht11_iio", "kitchen"): {"temperature": 23.0, "humidity": 41.5},
        ("pi_temperature", "board"): {"temperature": 48.312},
        ("sdm120", "meter"): {"voltage": 230.5, "current": 1.25, "power": 288.125, "frequency": 50.0, "energy": 1234.5},
        ("serial_json", "arduino"): {"temperature": 19.5, "humidity": 55.0},
    }
    found: dict = {}
    unparsed: list = []
    # Half a line first, as when the reader comes while the device is speaking.
    os.write(ours, b'perature": 1}\r\n')
    try:
        with place.running():
            end = time.monotonic() + 30
            while time.monotonic() < end and any(found.get(key) != fields for key, fields in wanted.items()):
                os.write(ours, b'{"temperature": 19.5, "humidity": 55}\r\n')
                time.sleep(0.5)
                found, unparsed = {}, []
                for line in out.read_text().splitlines() if out.exists() else []:
                    metric = json.loads(line)
                    if metric["name"] == "unparsed":
                        unparsed.append(metric)
                    elif "device" in metric["tags"]:
                        assert set(metric["tags"]) == {"device"}
                        found.setdefault((metric["name"], metric["tags"]["device"]), {}).update(metric["fields"])
    finally:
        server.shutdown()
        server.server_close()
        os.close(ours)
        os.close(theirs)
    assert found == wanted, place.log[-2000:]
    assert unparsed == []


def test_what_is_no_reading_is_kept_with_the_reason(place):
    put(place, "profiles/odd.yml", f"""---
sensor:
  plugin: file
  settings: {{files: ["{place.directory}/odd"], data_format: value, data_type: string}}
fields:
  - {{name: temperature, path: value, type: float}}
""")
    put(place, "odd", "broken\n")
    out = place.directory / "out.json"
    extra = f'[[outputs.file]]\n  files = ["{out}"]\n  data_format = "json"\n'
    place.render(telegraf_sensors=[{"name": "x", "profile": "odd"}], telegraf_extra_config=extra, telegraf_interval="1s", telegraf_flush_interval="200ms",
                 telegraf_mqtt=False, telegraf_influxdb_url="http://127.0.0.1:9", telegraf_influxdb_token="none", telegraf_host_metrics=False)  # fmt: skip
    place.check()
    with place.running():
        end = time.monotonic() + 15
        while time.monotonic() < end and "unparsed" not in (out.read_text() if out.exists() else ""):
            time.sleep(0.2)
    (metric, *_) = [one for one in map(json.loads, out.read_text().splitlines()) if one["name"] == "unparsed"]
    assert metric["tags"] == {"bucket": "iot_unparsed", "device": "x", "profile": "odd", "reason": "type"}
    assert metric["fields"]["detail"] == "temperature is no float" and "broken" in metric["fields"]["payload"]
