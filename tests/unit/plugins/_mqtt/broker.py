# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small MQTT 3.1.1 and 5 broker for tests, with every protection as a switch.

It behaves like EMQX with this collection's settings (what a client sees is in EMQX's table of answers: a denied PUBLISH
of MQTT 3.1.1 is acknowledged as if nothing were wrong); switching a protection off is how a test shows that its case
notices.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import struct
import threading

V3_CODES = {0: 0, 0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}


@dataclasses.dataclass
class Rules:
    """What the broker does; the defaults are right."""

    users: dict = dataclasses.field(default_factory=dict)
    require_certificate: bool = True
    verify_certificate: bool = True  # False: certificates are not even asked for
    check_user: bool = True
    check_password: bool = True
    ignore_case: bool = False
    certificate_is_user: bool = True  # the user name has to be the certificate's common name
    client_id_from_certificate: bool = True
    client_id_is_user: bool = True
    acl_publish: bool = True
    acl_subscribe: bool = True
    deliver: bool = True
    answer: bool = True  # False: says nothing after CONNECT
    slam: bool = False  # closes after CONNECT, without a word
    busy: bool = False  # CONNACK: server unavailable
    max_tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


class Peer:
    """One client's connection."""

    def __init__(self, sock, name):
        self.sock = sock
        self.certificate = name  # common name of the client's certificate
        self.lock = threading.Lock()
        self.client_id = None
        self.username = None
        self.version = 4
        self.filters = []

    def send(self, kind, body):
        size, header = len(body), bytes([kind])
        while True:
            size, digit = divmod(size, 128)
            header += bytes([digit | (128 if size else 0)])
            if not size:
                break
        with self.lock:
            self.sock.sendall(header + body)

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def packet(self):
        kind, shift, size = self.read(1)[0], 0, 0
        while True:
            digit = self.read(1)[0]
            size |= (digit & 127) << shift
            shift += 7
            if not digit & 128:
                return kind, self.read(size)


class Reader:
    """Takes fields off a packet's body."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        head, self.data = self.data[:count], self.data[count:]
        return head

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def field(self):
        return self.take(self.number(2))

    def properties(self):
        size, shift = 0, 0
        while True:
            digit = self.number(1)
            size |= (digit & 127) << shift
            shift += 7
            if not digit & 128:
                return self.take(size)


class Broker:
    """Use as a context manager; `port` is where it listens."""

    def __init__(self, rules, tls=None):
        self.rules = rules
        self.tls = tls  # (certificate, key, authority)
        self.peers = {}
        self.seen = []  # (client id, topic, payload, qos) of every PUBLISH that was let through
        self.connects = 0
        self.lock = threading.Lock()
        self.stopping = False

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.stopping = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self.thread.join(5)
        self.listener.close()
        self.kick_all()

    def kick_all(self):
        with self.lock:
            peers, self.peers = list(self.peers.values()), {}
        for peer in peers:
            self._hang_up(peer.sock)

    @staticmethod
    def _hang_up(sock):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def _accept(self):
        while True:
            sock, _address = self.listener.accept()
            if self.stopping:
                sock.close()
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _wrap(self, sock):
        certificate, key, authority = self.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.maximum_version = self.rules.max_tls
        if self.rules.verify_certificate:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED if self.rules.require_certificate else ssl.CERT_OPTIONAL
        wrapped = context.wrap_socket(sock, server_side=True)
        subject = dict(pair[0] for pair in (wrapped.getpeercert() or {}).get("subject", ()))
        return wrapped, subject.get("commonName")

    def _serve(self, sock):
        try:
            sock.settimeout(20)
            name = None
            if self.tls:
                sock, name = self._wrap(sock)
            peer = Peer(sock, name)
            if self._connect(peer):
                while self._handle(peer, *peer.packet()):
                    pass
        except (OSError, EOFError, IndexError, struct.error):
            pass
        finally:
            with self.lock:
                for client_id, peer in list(self.peers.items()):
                    if peer.sock is sock:
                        del self.peers[client_id]
            self._hang_up(sock)

    # -- what may come in ----------------------------------------------------------------------------------
    def _connect(self, peer):
        _kind, body = peer.packet()
        self.connects += 1
        if self.rules.slam:
            return False
        if not self.rules.answer:
            peer.packet()
            return False
        reader = Reader(body)
        reader.field()
        peer.version, flags = reader.number(1), reader.number(1)
        reader.number(2)
        if peer.version == 5:
            reader.properties()
        peer.client_id = reader.field().decode()
        username = reader.field().decode() if flags & 0x80 else None
        password = reader.field().decode() if flags & 0x40 else None
        if peer.certificate and self.rules.client_id_from_certificate:
            peer.client_id = peer.certificate
        code = 0x88 if self.rules.busy else self._judge(peer, username, password)
        peer.username = username
        if code == 0:
            with self.lock:
                old = self.peers.pop(peer.client_id, None)
                self.peers[peer.client_id] = peer
            if old:
                with contextlib.suppress(OSError):
                    if old.version == 5:
                        old.send(0xE0, b"\x8e\x00")
                self._hang_up(old.sock)
        body = bytes([0, code, 0]) if peer.version == 5 else bytes([0, V3_CODES[code]])
        peer.send(0x20, body)
        return code == 0

    def _judge(self, peer, username, password):
        rules = self.rules
        if not rules.check_user:
            return 0
        if username is None:
            return 0x87
        known = {name.lower(): name for name in rules.users} if rules.ignore_case else {name: name for name in rules.users}
        name = known.get(username.lower() if rules.ignore_case else username)
        if name is None:
            return 0x87
        if rules.certificate_is_user and self.tls and peer.certificate != name:
            return 0x87
        if rules.client_id_is_user and peer.client_id != name:
            return 0x87
        return 0x86 if rules.check_password and rules.users[name] != password else 0

    # -- a session -----------------------------------------------------------------------------------------
    def _handle(self, peer, kind, body):
        reader = Reader(body)
        if kind >> 4 == 3:
            self._publish(peer, kind, reader)
        elif kind >> 4 == 8:
            self._subscribe(peer, reader)
        elif kind >> 4 == 12:
            peer.send(0xD0, b"")
        return kind >> 4 != 14

    def _publish(self, peer, kind, reader):
        topic, qos = reader.field().decode(), kind >> 1 & 3
        mid = reader.take(2) if qos else b""
        if peer.version == 5:
            reader.properties()
        allowed = not self.rules.acl_publish or topic.split("/")[-1] == peer.username or f"/{peer.username}/" in topic
        others = []
        # Before the answer: whoever waits for it looks at once.
        if allowed:
            with self.lock:
                self.seen.append((peer.client_id, topic, reader.data, qos))
                others = list(self.peers.values())
        if qos:
            peer.send(0x40, mid + (b"" if peer.version == 4 else bytes([0 if allowed else 0x87, 0])))
        if not self.rules.deliver:
            return
        for other in others:
            if topic in other.filters:
                name = topic.encode()
                head = struct.pack("!H", len(name)) + name + (b"\x00" if other.version == 5 else b"")
                with contextlib.suppress(OSError):
                    other.send(0x30, head + reader.data)

    def _subscribe(self, peer, reader):
        mid = reader.take(2)
        if peer.version == 5:
            reader.properties()
        topic = reader.field().decode()
        allowed = not self.rules.acl_subscribe or topic.split("/")[-1] == peer.username
        if allowed:
            peer.filters.append(topic)
        refused = 0x87 if peer.version == 5 else 0x80
        properties = b"\x00" if peer.version == 5 else b""
        peer.send(0x90, mid + properties + bytes([0 if allowed else refused]))
