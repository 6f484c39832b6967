# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from ansible_collections.edgestack.iot.plugins.module_utils._devices import bundle, profiles, registry
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
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
    assert set(files) <= set(bundle.NAMES)
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


# What is pasted and flashed: each is read by what reads it, or by a parser of the same language

PEM = bundle.Material("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nBBBB\n", "-----BEGIN KEY-----\nCCCC\n")


def flashed(name, profile="generic_json", broker=BROKER, password="pass-word-of-it-1", **options):
    profile = {**PROFILES[profile], "bundle": list(profiles.BUNDLES)}
    made = bundle.files(registry.Device(name, "generic_json", **options), profile, broker, password, PEM)
    return {key: content.decode() for key, (content, _mode) in made.items()}


def test_a_tasmota_backlog():
    text = flashed("plug-1", "sonoff_pow", auth="password")["tasmota.txt"]
    assert text.startswith("Backlog ") and text.count("\n") == 1
    commands = dict(part.split(" ", 1) for part in text.strip().removeprefix("Backlog ").split("; "))
    assert commands == {
        "MqttHost": "broker.example", "MqttPort": "1884", "MqttClient": "plug-1", "MqttUser": "plug-1", "MqttPassword": "pass-word-of-it-1",
        "Topic": "plug-1", "FullTopic": "%prefix%/%topic%/", "SetOption103": "0", "SetOption132": "0", "TelePeriod": "60", "Restart": "1",
    }  # fmt: skip
    # The topics that follow from it are those of the profile: prefix tele, topic, and SENSOR.
    assert PROFILES["sonoff_pow"]["telemetry"].replace("+", "plug-1") == "tele/plug-1/SENSOR"
    assert "tasmota.txt" not in flashed("plug-1", "sonoff_pow")
    assert "SetOption103 1" in flashed("plug-1", "sonoff_pow", bundle.Broker("b", 8883, 8884, True), auth="password")["tasmota.txt"]
    with pytest.raises(DevicesError, match="Backlog would end"):
        flashed("plug-1", "sonoff_pow", auth="password", password="a;Reset 1;aaaaaaaaa")


def test_esphome_yaml():
    node = yaml.safe_load(flashed("Dht.1@home", "sonoff_pow")["esphome.yaml"])
    assert node["esphome"]["name"] == "dht-1-home" and node["mqtt"]["client_id"] == "Dht.1@home" and node["mqtt"]["port"] == 8883
    assert node["mqtt"]["certificate_authority"] == PEM.authority and node["mqtt"]["client_certificate_key"] == PEM.key
    [publish] = node["interval"][0]["then"]
    assert publish["mqtt.publish_json"]["topic"] == "tele/Dht.1@home/SENSOR"
    ids = [sensor["id"] for sensor in node["sensor"]]
    assert len(ids) == 8 and all(f"id({name}).state;" in publish["mqtt.publish_json"]["payload"] for name in ids)
    assert 'root["ENERGY"]["Power"]' in publish["mqtt.publish_json"]["payload"]
    odd = 'quo"te: #1 {x} \\ü-aaaaa'
    assert yaml.safe_load(flashed("d", auth="password", password=odd)["esphome.yaml"])["mqtt"]["password"] == odd


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("options", [{}, {"auth": "password"}, {"auth": "password", "password": 'quo"te \\ %d )PEM" aaaa'}])
def test_the_arduino_header_compiles(tmp_path, options):
    header = flashed("dev-1", **options)["edgestack_device.h"]
    (tmp_path / "edgestack_device.h").write_text(header)
    password = options.get("password", "pass-word-of-it-1")
    main = f"int main() {{ std::fputs(MQTT_PASSWORD, stdout); return MQTT_PORT == {1884 if options else 8883} ? 0 : 1; }}"
    (tmp_path / "main.cpp").write_text(f'#include "edgestack_device.h"\n#include <cstdio>\n{main}\n')
    subprocess.run(["g++", "-std=c++11", "-Wall", "-Wno-unused-variable", "-Werror", "main.cpp", "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout == password


def test_the_python_script_publishes(tmp_path):
    pytest.importorskip("paho.mqtt.client")
    made = flashed("dev-1", broker=bundle.Broker("127.0.0.1", 8883, 1884), auth="password")
    for name in ("device.json", "example.json", "publish.py"):
        (tmp_path / name).write_text(made[name])
    (tmp_path / "password").write_text("pass-word-of-it-1\n")
    # A client of its own making, that only notes what it is told.
    (tmp_path / "fake").mkdir()
    package = tmp_path / "fake" / "paho" / "mqtt"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "client.py").write_text(FAKE)
    run = subprocess.run([sys.executable, "publish.py"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "fake")}, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert told[0] == ["client", "dev-1"] and told[1] == ["user", "dev-1", "pass-word-of-it-1"] and told[2] == ["connect", "127.0.0.1", 1884]
    assert told[3][:2] == ["publish", "sensor/generic/dev-1"] and "value" in json.loads(told[3][2]) and told[3][3] == 1
    compile(made["publish.py"], "publish.py", "exec")
    assert "pass-word-of-it-1" not in made["publish.py"]


FAKE = """
import json

MQTTv5 = 5


class CallbackAPIVersion:
    VERSION2 = 2


class Sent:
    def wait_for_publish(self, timeout): pass
    def is_published(self): return True


class Client:
    def __init__(self, api, client_id, protocol): print(json.dumps(["client", client_id]))
    def username_pw_set(self, user, password): print(json.dumps(["user", user, password]))
    def connect(self, host, port, keepalive): print(json.dumps(["connect", host, port]))
    def publish(self, topic, payload, qos): print(json.dumps(["publish", topic, payload, qos])); return Sent()
    def loop_start(self): pass
    def loop_stop(self): pass
    def disconnect(self): pass
"""


def test_mosquitto_pub_lines():
    made = flashed("dev-1")
    words = [shlex.split(line) for line in made["mosquitto_pub"].splitlines()]
    assert ["-h", "broker.example"] in words and ["-P", "pass-word-of-it-1"] in words and all(len(line) == 2 for line in words)
