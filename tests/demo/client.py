# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's devices have in common: their bundle, a connection that comes back, an orderly end."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import ssl
import sys
import threading
import time
import typing as t

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

# A pause in seconds, and what makes the reading when the pause is over.
Readings = t.Iterable[tuple[float, t.Callable[[], dict[str, t.Any]]]]


class BundleError(Exception):
    """A bundle that a device cannot work with."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What a device was given when it was registered."""

    client_id: str
    username: str
    password: str | None = dataclasses.field(repr=False)
    server: str
    port: int
    topic: str
    ca_file: str | None
    cert_file: str | None
    key_file: str | None

    @classmethod
    def load(cls, directory: pathlib.Path) -> Bundle:
        """Read device.json and the files beside it."""
        try:
            about = json.loads((directory / "device.json").read_text())
            device, username = str(about["client_id"]), str(about["username"])
            topic, tls = str(about["telemetry_topic"]), bool(about["tls"])
            server, port = str(about["server"]), int(about["port"])
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise BundleError(f"{directory}: no usable device.json: {exc!r}") from exc
        if not port:
            raise BundleError(f"{directory}: the broker has no listener for devices without certificates (emqx_password_listener)")

        def there(name: str) -> str | None:
            path = directory / name
            return str(path) if path.exists() else None

        password = there("password")
        return cls(
            client_id=device,
            username=username,
            password=pathlib.Path(password).read_text().strip() if password else None,
            server=server,
            port=port,
            topic=topic,
            ca_file=there("ca.pem") if tls else None,
            cert_file=there("device.pem"),
            key_file=there("device.key"),
        )


class NamedContext(ssl.SSLContext):
    """Expects one name in the server's certificate, whatever address it was reached by."""

    name: str

    def wrap_socket(self, *args: t.Any, **options: t.Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **options | {"server_hostname": self.name})


def tls_context(bundle: Bundle) -> ssl.SSLContext:
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = bundle.server
    context.load_verify_locations(bundle.ca_file)
    if bundle.cert_file:
        context.load_cert_chain(bundle.cert_file, bundle.key_file)
    return context


class Device:
    """Publishes readings until it is told to stop, is over its time, or has none left."""

    def __init__(self, bundle: Bundle, address: str | None, qos: int) -> None:
        self.bundle, self.qos = bundle, qos
        self.address = address or bundle.server
        self.stop, self.connected = threading.Event(), threading.Event()
        self.sent = 0
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=bundle.client_id, protocol=mqtt.MQTTv311)
        self.client.username_pw_set(bundle.username, bundle.password)
        if bundle.ca_file:
            self.client.tls_set_context(tls_context(bundle))
        self.client.reconnect_delay_set(1, 30)
        # What is measured while the broker is away is sent when it is back, the newest thousand of it.
        self.client.max_queued_messages_set(1000)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect

    def _on_connect(self, _client: t.Any, _data: t.Any, _flags: t.Any, code: t.Any, _props: t.Any) -> None:
        if not code.is_failure:
            self.connected.set()
        say(f"{self.bundle.client_id}: {f'refused: {code}' if code.is_failure else 'connected'}")

    def _on_disconnect(self, _client: t.Any, _data: t.Any, _flags: t.Any, code: t.Any, _props: t.Any) -> None:
        if code.is_failure:
            say(f"{self.bundle.client_id}: connection lost ({code}), trying again")

    def run(self, readings: Readings, duration: float | None) -> int:
        """Publish each reading after its pause; the number that was handed over to the client."""
        end = time.monotonic() + duration if duration else None
        self.client.connect_async(self.address, self.bundle.port, keepalive=30)
        self.client.loop_start()
        last: mqtt.MQTTMessageInfo | None = None
        try:
            # The first reading waits for the first connection: with QoS 0 nothing is kept for later.
            while not self.connected.is_set() and not self.stop.wait(0.05) and (end is None or time.monotonic() < end):
                pass
            for pause, measure in readings:
                left = pause if end is None else min(pause, end - time.monotonic())
                if self.stop.wait(max(0.0, left)) or (end is not None and time.monotonic() >= end):
                    break
                last = self.client.publish(self.bundle.topic, json.dumps(measure()), self.qos)
                # A message of QoS 0 is lost while the broker is away; others are kept.
                self.sent += self.qos > 0 or last.rc == mqtt.MQTT_ERR_SUCCESS
            if last is not None and last.rc == mqtt.MQTT_ERR_SUCCESS:
                last.wait_for_publish(5)
        finally:
            self.client.disconnect()
            self.client.loop_stop()
        return self.sent


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every device."""
    out = argparse.ArgumentParser(description=description)
    out.add_argument("bundle", type=pathlib.Path, help="the device's directory: device.json, ca.pem, device.pem, device.key, password")
    out.add_argument("--address", help="where the broker is reached, when that is not the name in its certificate")
    out.add_argument("--duration", type=float, help="stop after so many seconds (default: when told to)")
    return out


def main(options: argparse.Namespace, qos: int, readings: Readings) -> int:
    """Run a device as a program: SIGTERM and SIGINT end it in an orderly way."""
    try:
        device = Device(Bundle.load(options.bundle), options.address, qos)
    except (BundleError, OSError) as exc:
        print(f"{os.path.basename(sys.argv[0])}: {exc}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_args: device.stop.set())
    say(f"{device.bundle.client_id}: {device.run(readings, options.duration)} readings published")
    return 0
