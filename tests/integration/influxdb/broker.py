# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As much of an MQTT 3.1.1 broker as one subscriber with a persistent session needs, and a record of what it acknowledged."""

from __future__ import annotations

import collections
import contextlib
import socket
import ssl
import struct
import threading


class Broker:
    """Delivers what `publish` is given, with QoS 1 and a window, in order; keeps what was not acknowledged for the next connection."""

    def __init__(self, context: ssl.SSLContext | None = None, window: int = 200) -> None:
        self._context = context
        self._window = window
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Condition()
        self._waiting: collections.deque = collections.deque()
        self._sent: dict[int, tuple[str, bytes]] = {}
        self._next_id = 0
        self._connection: socket.socket | None = None
        self._closing = False
        self.acknowledged = 0
        self.connects: list[dict] = []
        self.subscriptions: dict[str, int] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    def publish(self, topic: str, payload: bytes) -> None:
        with self._lock:
            self._waiting.append((topic, payload))
            self._pump()

    def wait_acknowledged(self, count: int, timeout: float) -> bool:
        with self._lock:
            return self._lock.wait_for(lambda: self.acknowledged >= count, timeout)

    def wait_subscribed(self, timeout: float) -> bool:
        with self._lock:
            return self._lock.wait_for(lambda: bool(self.subscriptions) and self._connection is not None, timeout)

    def drop(self) -> None:
        """The connection breaks."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closing = True
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while not self._closing:
            try:
                plain, _address = self._listener.accept()
                connection = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            except OSError:
                continue
            with contextlib.suppress(OSError, EOFError):
                self._serve(connection)
            with self._lock:
                self._connection = None
                # What is not acknowledged goes out again, first and in order.
                self._waiting.extendleft(reversed(self._sent.values()))
                self._sent.clear()
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        while True:
            first = reader.read(1)
            if not first:
                return
            length = shift = 0
            while True:
                more = reader.read(1)
                if not more:
                    return
                byte = more[0]
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            body = reader.read(length)
            if len(body) < length:
                return
            kind = first[0] >> 4
            if kind == 1:
                self._connect(connection, body)
            elif kind == 8:
                self._subscribe(connection, body)
            elif kind == 4:
                with self._lock:
                    if self._sent.pop(struct.unpack(">H", body)[0], None) is not None:
                        self.acknowledged += 1
                        self._lock.notify_all()
                    self._pump()
            elif kind == 12:
                self._send(connection, b"\xd0\x00")
            elif kind == 14:
                return

    def _connect(self, connection: socket.socket, body: bytes) -> None:
        flags = body[7]
        texts = []
        rest = body[10:]
        while rest:
            size = struct.unpack(">H", rest[:2])[0]
            texts.append(rest[2 : 2 + size].decode())
            rest = rest[2 + size :]
        certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        self.connects.append({"clean": bool(flags & 2), "texts": texts, "certificate": certificate})
        present = bool(self.subscriptions) and not flags & 2
        with self._lock:
            self._send(connection, bytes([0x20, 2, int(present), 0]))
            self._connection = connection
            self._pump()
            self._lock.notify_all()

    def _subscribe(self, connection: socket.socket, body: bytes) -> None:
        rest, granted = body[2:], []
        with self._lock:
            while rest:
                size = struct.unpack(">H", rest[:2])[0]
                self.subscriptions[rest[2 : 2 + size].decode()] = rest[2 + size]
                granted.append(rest[2 + size])
                rest = rest[3 + size :]
            self._send(connection, bytes([0x90, 2 + len(granted)]) + body[:2] + bytes(granted))
            self._pump()
            self._lock.notify_all()

    def _pump(self) -> None:
        while self._connection is not None and self.subscriptions and self._waiting and len(self._sent) < self._window:
            topic, payload = self._waiting.popleft()
            self._next_id = self._next_id % 65535 + 1
            self._sent[self._next_id] = (topic, payload)
            name = topic.encode()
            body = struct.pack(">H", len(name)) + name + struct.pack(">H", self._next_id) + payload
            self._send(self._connection, b"\x32" + _length(len(body)) + body)

    @staticmethod
    def _send(connection: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(data)


def _length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (128 if number else 0))
        if not number:
            return bytes(encoded)
