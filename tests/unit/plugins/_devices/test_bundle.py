# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._devices import bundle, profiles, registry
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

PROFILES = profiles.read(_devices.collection_profiles())
BROKER = bundle.Broker("broker.example", 8883, 1884)


def made(name, profile, broker=BROKER, **options):
    return bundle.files(registry.Device(name, profile, **options), PROFILES[profile], broker, "pass-word-of-it-1")


def test_a_device_with_a_certificate():
    told = json.loads(made("dev-1", "raspberrypi")["device.json"][0])
    assert told == {
        "id": "dev-1", "profile": "raspberrypi", "server": "broker.example", "port": 8883, "tls": True, "client_id": "dev-1",
        "username": "dev-1", "password_file": "password", "qos": 1, "telemetry_topic": "sensor/raspberrypi/dev-1",
        "topics": {"publish": ["sensor/raspberrypi/dev-1"], "subscribe": ["command/raspberrypi/dev-1"]},
        "ca_file": "ca.pem", "certificate_file": "device.pem", "key_file": "device.key",
    }  # fmt: skip
    options = made("dev-1", "raspberrypi")["mosquitto_pub"][0].decode()
    assert "--cafile ca.pem\n--cert device.pem\n--key device.key\n" in options


def test_a_device_with_a_password():
    files = made("plug", "sonoff_pow", auth="password")
    told = json.loads(files["device.json"][0])
    assert told["port"] == 1884 and told["tls"] is False and "ca_file" not in told and "key_file" not in told
    assert "cafile" not in files["mosquitto_pub"][0].decode()
    told = json.loads(made("plug", "sonoff_pow", bundle.Broker("b", 8883, 8884, True), auth="password")["device.json"][0])
    assert told["tls"] is True and told["ca_file"] == "ca.pem" and "key_file" not in told


def test_the_password_is_in_one_file_that_nobody_else_reads():
    files = made("dev-1", "raspberrypi")
    assert [name for name, (content, _mode) in files.items() if b"pass-word-of-it-1" in content] == ["mosquitto_pub"]
    assert all(mode & 0o077 == 0 for _content, mode in files.values())


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_example_has_every_field(profile):
    payload = json.loads(bundle.example(PROFILES[profile]))
    for field in PROFILES[profile]["fields"]:
        value = payload
        for name in field["path"].split("."):
            value = value[name]
        assert isinstance(value, {"float": float, "int": int, "string": str, "bool": bool}[field["type"]])
    assert ("time" in payload) is (PROFILES[profile]["payload"]["time"] == "payload")


def test_a_time_that_is_written_out():
    profile = {**PROFILES["generic_json"], "payload": {"format": "json", "time": "payload", "time_path": "at", "time_format": "rfc3339"}}
    assert json.loads(bundle.example(profile))["at"].endswith("Z")


def test_the_script_publishes_as_the_device(tmp_path):
    """A mosquitto_pub of this test's own says how it was called."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mosquitto_pub").write_text('#!/bin/sh\necho "$XDG_CONFIG_HOME"; cat "$XDG_CONFIG_HOME/mosquitto_pub"; printf "%s\\n" "$@"\n')
    (tools / "mosquitto_pub").chmod(0o755)
    folder = tmp_path / "a directory"
    folder.mkdir()
    for name, (content, mode) in made("dev:1@x", "dht11").items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(mode)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    for arguments in ([], ['{"a": "b c"}']):
        done = subprocess.run([str(folder / "publish.sh"), *arguments], env=environment, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        assert lines[0] == "." and "-P pass-word-of-it-1" in lines
        assert lines[-4:-1] == ["-t", "sensor/dht11/dev:1@x", "-m"]
        assert lines[-1] == (arguments[0] if arguments else (folder / "example.json").read_text().strip())
