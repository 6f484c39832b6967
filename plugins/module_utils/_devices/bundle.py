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


@dataclasses.dataclass(frozen=True)
class Broker:
    """Where devices connect. password_port 0: there is no listener for devices without certificates."""

    server: str
    port: int
    password_port: int = 0
    password_tls: bool = False


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


def files(device: Device, profile: Profile, broker: Broker, password: str) -> dict[str, tuple[bytes, int]]:
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
    return {
        "device.json": (json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n", 0o600),
        "example.json": (example(profile).encode() + b"\n", 0o600),
        "mosquitto_pub": ("".join(f"{line}\n" for line in options).encode(), 0o600),
        "publish.sh": (script.encode(), 0o700),
    }
