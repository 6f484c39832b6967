# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a device's directory holds beside its key, certificate and password: how to connect, for programs and for people."""

from __future__ import annotations

import dataclasses
import json
import shlex
import typing as t

from .profiles import Profile, topics_of
from .registry import Device
from .source import DevicesError

# Everything that is written here, so that it can be taken away again.
NAMES: t.Final = ("device.json", "example.json", "mosquitto_pub", "publish.sh", "publish.py", "tasmota.txt", "esphome.yaml", "edgestack_device.h")


@dataclasses.dataclass(frozen=True)
class Broker:
    """Where devices connect. password_port 0: there is no listener for devices without certificates."""

    server: str
    port: int
    password_port: int = 0
    password_tls: bool = False


@dataclasses.dataclass(frozen=True)
class Material:
    """PEM texts, for what has to have them inside; empty where there is none (a device may keep its key to itself)."""

    authority: str = ""
    certificate: str = ""
    key: str = dataclasses.field(default="", repr=False)


def description(device: Device, profile: Profile, broker: Broker) -> dict[str, t.Any]:
    """device.json. Secrets are named by their files, which lie beside it."""
    certificate = device.auth == "certificate"
    tls = certificate or broker.password_tls
    told: dict[str, t.Any] = {
        "id": device.id,
        "profile": device.profile,
        "server": broker.server,
        "port": broker.port if certificate else broker.password_port,
        "tls": tls,
        "client_id": device.id,
        "username": device.id,
        "password_file": "password",
        "qos": profile["qos"],
        "telemetry_topic": profile["telemetry"].replace("+", device.id),
        "topics": topics_of(profile, device.id),
    }
    if tls:
        told["ca_file"] = "ca.pem"
    if certificate:
        told["certificate_file"] = "device.pem"
        told["key_file"] = "device.key"
    return told


def example(profile: Profile) -> str:
    """A payload such as the profile expects."""
    payload: dict[str, t.Any] = {}
    samples = {"float": 21.5, "int": 21, "string": "text", "bool": True}

    def put(path: str, value: t.Any) -> None:
        place = payload
        *parents, last = path.split(".")
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value

    for field in profile["fields"]:
        put(field["path"], samples[field["type"]])
    if profile["payload"]["time"] == "payload":
        put(profile["payload"]["time_path"], "2026-01-01T00:00:00Z" if profile["payload"]["time_format"] == "rfc3339" else 0)
    return json.dumps(payload, separators=(",", ":"))


def files(
    device: Device, profile: Profile, broker: Broker, password: str, material: Material | None = None
) -> dict[str, tuple[bytes, int]]:
    """Names, contents and modes. All of it lies in a directory that is 0700."""
    told = description(device, profile, broker)
    # mosquitto_pub reads its options from $XDG_CONFIG_HOME/mosquitto_pub: so no password is among a process's arguments.
    options = [f"-h {told['server']}", f"-p {told['port']}", f"-i {device.id}", f"-u {device.id}", f"-P {password}", f"-q {told['qos']}", "-V mqttv5"]
    if told["tls"]:
        options.append("--cafile ca.pem")
    if "key_file" in told:
        options += ["--cert device.pem", "--key device.key"]
    script = (
        "#!/bin/sh\n"
        "# Publishes one reading as this device: ./publish.sh [PAYLOAD]\n"
        'cd "$(dirname "$0")" || exit 1\n'
        f'exec env XDG_CONFIG_HOME=. mosquitto_pub -t {shlex.quote(told["telemetry_topic"])} -m "${{1:-$(cat example.json)}}"\n'
    )
    makers = {"arduino": _arduino, "esphome": _esphome, "python": _python, "tasmota": _tasmota}
    made = (makers[part](told, profile, password, material or Material()) for part in profile["bundle"])
    return {
        **{name: (text.encode(), mode) for name, text, mode in (one for one in made if one is not None)},
        "device.json": (json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n", 0o600),
        "example.json": (example(profile).encode() + b"\n", 0o600),
        "mosquitto_pub": ("".join(f"{line}\n" for line in options).encode(), 0o600),
        "publish.sh": (script.encode(), 0o700),
    }


# For firmware. Each takes what device.json says, and makes a name, a text and a mode, or nothing where it cannot be.

_Made = tuple[str, str, int]


def _tasmota(told: dict[str, t.Any], _profile: Profile, password: str, _material: Material) -> _Made | None:
    """To be pasted into Tasmota's console. Its stock builds know no client certificates."""
    if "key_file" in told:
        return None
    if ";" in password:
        raise DevicesError(f"{told['id']}: the password has a ; in it, at which Tasmota's Backlog would end. Write another one")
    commands = {
        "MqttHost": told["server"], "MqttPort": told["port"], "MqttClient": told["client_id"], "MqttUser": told["username"],
        "MqttPassword": password, "Topic": told["id"], "FullTopic": "%prefix%/%topic%/",
        # TLS; the server is known by the fingerprint that is seen first.
        "SetOption103": int(told["tls"]), "SetOption132": int(told["tls"]),
        "TelePeriod": 60, "Restart": 1,
    }  # fmt: skip
    return "tasmota.txt", "Backlog " + "; ".join(f"{name} {value}" for name, value in commands.items()) + "\n", 0o600


def _esphome(told: dict[str, t.Any], profile: Profile, password: str, material: Material) -> _Made:
    """To be put into a node's configuration. JSON is YAML, so texts are written as JSON writes them."""
    mqtt = {
        "broker": told["server"], "port": told["port"], "client_id": told["client_id"], "username": told["username"], "password": password,
        "discovery": False, "topic_prefix": None, "log_topic": None,
    }  # fmt: skip
    if told["tls"]:
        mqtt["certificate_authority"] = material.authority
    if "key_file" in told:
        mqtt |= {"client_certificate": material.certificate, "client_certificate_key": material.key}
    name = "".join(char if char.isalnum() else "-" for char in told["id"].lower()).strip("-")[:31]
    lines = [
        "# ESPHome. Choose the board, add Wi-Fi, and put the real sensors in the place of the templates.",
        "esphome:",
        f"  name: {json.dumps(name)}",
        "esp32:",
        "  board: esp32dev",
        "  framework:",
        "    type: esp-idf",
        "mqtt:",
        *(f"  {key}: {json.dumps(value)}" for key, value in mqtt.items()),
        "sensor:",
    ]
    numbers = [field for field in profile["fields"] if field["type"] in ("float", "int")]
    for field in numbers:
        lines += ["  - platform: template", f"    id: {_identifier(field['name'])}", f"    name: {json.dumps(field['label'])}"]
    lines += ["interval:", "  - interval: 60s", "    then:", "      - mqtt.publish_json:", f"          topic: {json.dumps(told['telemetry_topic'])}"]
    lines += [f"          qos: {told['qos']}", "          payload: |-"]
    for field in numbers:
        place = "".join(f'["{part}"]' for part in field["path"].split("."))
        lines.append(f"            root{place} = id({_identifier(field['name'])}).state;")
    return "esphome.yaml", "\n".join(lines) + "\n", 0o600


def _identifier(name: str) -> str:
    # Names of ours, so that none is a word of C++.
    return f"reading_{name.lower()}"


def _arduino(told: dict[str, t.Any], profile: Profile, password: str, material: Material) -> _Made:
    """A header for Arduino's ESP8266 and ESP32 cores (and for any C++11)."""

    def text(name: str, value: str) -> str:
        # A raw text; JSON's escapes are those of C++ for what is one line.
        literal = f'R"PEM({value})PEM"' if "\n" in value else json.dumps(value)
        return f"static const char {name}[] PROGMEM = {literal};"

    lines = [
        "// How this device connects. Has its password and its key in it: keep it out of repositories.",
        "#pragma once",
        "#if defined(ARDUINO)",
        "#include <Arduino.h>",
        "#elif !defined(PROGMEM)",
        "#define PROGMEM",
        "#endif",
        text("MQTT_SERVER", told["server"]),
        f"static const unsigned short MQTT_PORT = {told['port']};",
        f"static const bool MQTT_TLS = {'true' if told['tls'] else 'false'};",
        f"static const unsigned char MQTT_QOS = {told['qos']};",
        *(text(name, value) for name, value in (("MQTT_CLIENT_ID", told["client_id"]), ("MQTT_USERNAME", told["username"]))),
        text("MQTT_PASSWORD", password),
        text("MQTT_TELEMETRY_TOPIC", told["telemetry_topic"]),
        text("MQTT_EXAMPLE_PAYLOAD", example(profile)),
    ]
    if told["tls"]:
        lines.append(text("MQTT_CA", material.authority))
    if "key_file" in told:
        lines += [text("MQTT_CERTIFICATE", material.certificate), text("MQTT_KEY", material.key)]
    return "edgestack_device.h", "\n".join(lines) + "\n", 0o600


_SCRIPT = '#!/usr/bin/env python3\n"""Publishes readings as this device: publish.py [PAYLOAD ...]; without one, the example."""\n' + '''
import json
import pathlib
import ssl
import sys

import paho.mqtt.client as mqtt  # pip install paho-mqtt

HERE = pathlib.Path(__file__).resolve().parent
DEVICE = json.loads((HERE / "device.json").read_text())


def client():
    one = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=DEVICE["client_id"], protocol=mqtt.MQTTv5)
    one.username_pw_set(DEVICE["username"], (HERE / DEVICE["password_file"]).read_text().strip())
    if DEVICE["tls"]:
        context = ssl.create_default_context(cafile=str(HERE / DEVICE["ca_file"]))
        if "key_file" in DEVICE:
            context.load_cert_chain(HERE / DEVICE["certificate_file"], HERE / DEVICE["key_file"])
        one.tls_set_context(context)
    return one


def main(payloads):
    refused = []
    one = client()
    one.on_connect = lambda _client, _data, _flags, reason, _properties: refused.append(reason) if reason.is_failure else None
    one.connect(DEVICE["server"], DEVICE["port"], keepalive=30)
    one.loop_start()
    try:
        for payload in payloads or [(HERE / "example.json").read_text().strip()]:
            sent = one.publish(DEVICE["telemetry_topic"], payload, qos=DEVICE["qos"])
            sent.wait_for_publish(15)
            if refused or not sent.is_published():
                return f"{DEVICE['server']}:{DEVICE['port']} refuses or does not answer: {refused[:1] or 'no acknowledgement'}"
    finally:
        one.disconnect()
        one.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


def _python(_told: dict[str, t.Any], _profile: Profile, _password: str, _material: Material) -> _Made:
    """Reads everything from the files beside it, so that it holds no secret."""
    return "publish.py", _SCRIPT, 0o700
