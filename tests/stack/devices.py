# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that publish numbered readings with QoS 1, as fast as the broker takes them or at a rate, and know what was acknowledged."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import selectors
import socket
import struct
import time
import typing as t

# What one device sends ahead of its acknowledgements; message ids go round long after that.
WINDOW = 100


def _packet(kind: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (128 if length else 0))
        if not length:
            return bytes([kind]) + bytes(encoded) + body


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


@dataclasses.dataclass
class Device:
    name: str
    numbers: t.Iterator[int]
    time_of: t.Callable[[int], int]
    socket: socket.socket | None = None
    waiting: dict[int, int] = dataclasses.field(default_factory=dict)
    next_id: int = 0
    received: bytes = b""
    outgoing: bytes = b""

    def connect(self, port: int) -> None:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sendall(_packet(0x10, _text("MQTT") + b"\x04\x02" + struct.pack(">H", 0) + _text(self.name)))
        answer = connection.recv(4)
        if answer[:1] != b"\x20" or answer[3:4] != b"\x00":
            raise ConnectionError(f"{self.name}: the broker answered {answer!r}")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self.socket = connection

    def publish(self, number: int) -> None:
        self.next_id = self.next_id % 65535 + 1
        self.waiting[self.next_id] = number
        payload = json.dumps({"value": number, "time": self.time_of(number)}).encode()
        self.outgoing += _packet(0x32, _text(f"sensor/generic/{self.name}") + struct.pack(">H", self.next_id) + payload)

    def take(self) -> list[int]:
        """Numbers whose acknowledgements came."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"{self.name}: the broker closed the connection")
        self.received += data
        done = []
        whole = len(self.received) - len(self.received) % 4
        for start in range(0, whole, 4):
            kind, _length, packet_id = struct.unpack_from(">BBH", self.received, start)
            if kind == 0x40 and packet_id in self.waiting:
                done.append(self.waiting.pop(packet_id))
        self.received = self.received[whole:]
        return done


@dataclasses.dataclass
class Sent:
    """What came of it: device and number of everything that was acknowledged."""

    acknowledged: set[tuple[str, int]]
    seconds: float
    # When each number was published, seconds since 1970; only with a rate.
    times: dict[tuple[str, int], float]


def publish(
    port: int, total: int, devices: int = 50, rate: float | None = None, first: int = 0, every: t.Callable[[int], None] | None = None, sent: Sent | None = None
) -> Sent:
    """Publishes `total` numbers, spread over the devices. every is called with the number of acknowledgements, often.

    What came of it is in `sent` also when the broker ends.
    """
    per_device = -(-total // devices)
    # Each number has its own moment, in the recent past, so that no two readings of a device are one.
    start = int(time.time() * 1000) - 3_600_000
    fleet = [
        Device(f"d-{number:03}", iter(range(first, first + max(0, min(per_device, total - number * per_device)))), lambda n: start + n)
        for number in range(devices)
    ]
    result = sent or Sent(set(), 0.0, {})
    acknowledged, times = result.acknowledged, result.times
    selector = selectors.DefaultSelector()
    for device in fleet:
        device.connect(port)
        selector.register(device.socket, selectors.EVENT_READ, device)
    began = time.monotonic()
    count = 0
    active = {device.name: device for device in fleet}
    try:
        while len(acknowledged) < total:
            budget = total if rate is None else int((time.monotonic() - began) * rate) - count
            for device in list(active.values()):
                while budget > 0 and len(device.waiting) < WINDOW and len(device.outgoing) < 65536:
                    number = next(device.numbers, None)
                    if number is None:
                        active.pop(device.name, None)
                        break
                    if rate is not None:
                        times[device.name, number] = time.time()
                    device.publish(number)
                    count += 1
                    budget -= 1
                    if rate is not None:
                        break
                if device.outgoing:
                    _flush(device)
            for key, _mask in selector.select(0.001):
                device = key.data
                acknowledged.update((device.name, number) for number in device.take())
                if device.outgoing:
                    _flush(device)
            if every is not None:
                every(len(acknowledged))
            if time.monotonic() - began > 600:
                raise TimeoutError(f"{len(acknowledged)} of {total} were acknowledged within 10 minutes")
        result.seconds = time.monotonic() - began
        return result
    finally:
        for device in fleet:
            with contextlib.suppress(OSError):
                device.socket.close()
        selector.close()


def _flush(device: Device) -> None:
    with contextlib.suppress(BlockingIOError):
        count = device.socket.send(device.outgoing)
        device.outgoing = device.outgoing[count:]
