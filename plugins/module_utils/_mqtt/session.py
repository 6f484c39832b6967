# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client's connection to a broker, with an exact account of how it began and how it ended.

paho-mqtt speaks MQTT; what it does not tell is why a connection was lost. Under TLS 1.3 a server judges the
client's certificate only after the client believes that the handshake is done, so the refusal is an alert at the
first read, and when the client has already written its CONNECT, the reset that follows may wipe the alert out.
Therefore the socket waits a moment for that alert before anything is written, and keeps what it saw.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import socket
import ssl
import time
import typing as t

from . import clocks, codes

try:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    PAHO_ERROR: str | None = None
except ImportError as exc:
    PAHO_ERROR = str(exc)

# A server that has judged the certificate says so within one round trip; the handshake's own duration tells how
# long that is on this line.
SETTLE_SECONDS = 0.3
SETTLE_LIMIT = 3.0

ACCEPTED = "accepted"
CONNACK = "connack"  # refused by MQTT
TLS = "tls"  # refused in TLS because of the client's certificate
TLS_OTHER = "tls_other"  # TLS failed, but not because of who the client is
UNTRUSTED = "untrusted"  # we refuse the server's certificate
UNREACHABLE = "unreachable"  # nobody listens, or the name is unknown
CLOSED = "closed"  # closed before the CONNACK, without a reason
TIMEOUT = "timeout"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an attempt to connect ended."""

    kind: str
    text: str
    code: int | None = None


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a client says that it is."""

    client_id: str
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    cert_file: str | None = None
    key_file: str | None = None


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the broker is, and what it has to prove itself."""

    host: str
    port: int
    ca_file: str | None = None  # None: no TLS
    server_name: str | None = None  # the name in its certificate, when it is reached by another


@dataclasses.dataclass
class _Wire:
    """What happened below MQTT."""

    handshake_done: bool = False
    error: BaseException | None = None


class _Socket(ssl.SSLSocket):
    """Keeps the error that ended the connection, and waits for a late refusal after a TLS 1.3 handshake."""

    def do_handshake(self, block: bool = False) -> None:
        wire = t.cast("_Context", self.context).wire
        begin = time.monotonic()
        super().do_handshake(block)
        wire.handshake_done = True
        if self.version() != "TLSv1.3":
            return
        patience = self.gettimeout()
        self.settimeout(min(SETTLE_LIMIT, max(SETTLE_SECONDS, 2 * (time.monotonic() - begin))))
        try:
            # Nothing may come before our CONNECT, so whatever ends this read but its time-out is a refusal.
            data = super().recv(1)
        except (TimeoutError, ssl.SSLWantReadError):
            self.settimeout(patience)
            return
        if data:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the server spoke before the client: this is not MQTT")
        raise ConnectionResetError("closed by the server after the TLS handshake")

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as exc:
            t.cast("_Context", self.context).wire.error = exc
            raise


class _Context(ssl.SSLContext):
    """A client's context whose sockets report to `wire`."""

    wire: _Wire
    server_name: str | None
    sslsocket_class = _Socket

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        name = self.server_name or server_hostname
        return super().wrap_socket(
            sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, name, session
        )


def tls_context(target: Target, identity: Identity, wire: _Wire) -> ssl.SSLContext:
    """The TLS side of a client; OSError when a file cannot be read or is no certificate."""
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.wire = wire
    context.server_name = target.server_name
    context.load_verify_locations(cafile=target.ca_file)
    if identity.cert_file:
        context.load_cert_chain(identity.cert_file, identity.key_file)
    return context


class Session:
    """A connection attempt and, when it is let in, the session."""

    def __init__(self, target: Target, identity: Identity, version: str, timeout: float) -> None:
        self.target = target
        self.identity = identity
        self.version = version
        self.timeout = timeout
        self.messages: list[tuple[str, bytes]] = []
        self.lost: str | None = None
        self._wire = _Wire()
        self._connack: int | None = None
        self._acks: dict[int, int] = {}
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        five = self.version == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.identity.client_id,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            clean_session=None if five else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self.timeout
        if self.identity.username is not None:
            client.username_pw_set(self.identity.username, self.identity.password)
        if self.target.ca_file:
            client.tls_set_context(tls_context(self.target, self.identity, self._wire))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    # -- what paho calls -----------------------------------------------------------------------------------
    def _on_connect(self, _client: t.Any, _data: t.Any, _flags: t.Any, code: t.Any, _props: t.Any) -> None:
        self._connack = int(code.value)

    def _on_disconnect(self, _client: t.Any, _data: t.Any, flags: t.Any, code: t.Any, _props: t.Any) -> None:
        if flags.is_disconnect_packet_from_server:
            # paho drops the reason of a DISCONNECT without properties.
            self.lost = f"DISCONNECT {codes.reason(int(code.value))}" if code.value else "DISCONNECT"
        elif self.lost is None:
            self.lost = "connection closed by the broker"

    def _on_message(self, _client: t.Any, _data: t.Any, message: t.Any) -> None:
        self.messages.append((message.topic, bytes(message.payload)))

    def _on_publish(self, _client: t.Any, _data: t.Any, mid: int, code: t.Any, _props: t.Any) -> None:
        self._acks[mid] = int(code.value)

    def _on_subscribe(self, _client: t.Any, _data: t.Any, mid: int, granted: t.Any, _props: t.Any) -> None:
        self._acks[mid] = max(int(code.value) for code in granted)

    # -- what a case does ----------------------------------------------------------------------------------
    @property
    def connected(self) -> bool:
        """Whether the broker let this session in and has not ended it."""
        return self._connack == 0 and self.lost is None

    def open(self) -> Outcome:
        """Connect and wait for the CONNACK."""
        deadline = time.monotonic() + self.timeout
        extra: dict[str, t.Any] = {}
        if self.version == "5":
            # paho has no types here.
            properties = t.cast(t.Any, Properties)(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0
            extra = {"clean_start": True, "properties": properties}
        try:
            # paho bounds the handshake with the keep-alive.
            self._client.connect(
                self.target.host, self.target.port, keepalive=max(5, math.ceil(self.timeout)), **extra
            )
        except OSError as exc:
            return self._failed(exc)
        while self._connack is None and self.lost is None and time.monotonic() < deadline:
            self.pump(0.05)
        if self._connack is not None:
            if self._connack == 0:
                return Outcome(ACCEPTED, "accepted", 0)
            return Outcome(CONNACK, codes.connack(self._connack, self.version), self._connack)
        if self.lost is not None:
            return self._failed(self._wire.error or ConnectionResetError("closed before the CONNACK"))
        return Outcome(TIMEOUT, f"no CONNACK within {self.timeout:g} s")

    def _failed(self, error: BaseException) -> Outcome:
        """Tell what a broken connection means."""
        place = f"{self.target.host}:{self.target.port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = clocks.of_the_server(error.verify_code, _now())
            return Outcome(UNTRUSTED, f"the broker's certificate: {error.verify_message}{hint}")
        if isinstance(error, ssl.SSLError):
            # An error that did not come from OpenSSL has no reason.
            reason = str(getattr(error, "reason", None) or "")
            name = codes.alert_name(reason)
            if name is None:
                if isinstance(error, ssl.SSLEOFError):
                    return Outcome(CLOSED, "closed without a reason in the TLS handshake")
                return Outcome(TLS_OTHER, f"TLS failed: {reason.lower().replace('_', ' ') or error.strerror}")
            kind = TLS if codes.is_certificate_alert(reason) else TLS_OTHER
            own = self.identity.cert_file if name == "certificate expired" else None
            return Outcome(kind, f"TLS alert {name}{clocks.of_the_client(own, _now()) if own else ''}")
        if isinstance(error, socket.gaierror):
            return Outcome(UNREACHABLE, f"unknown host name {self.target.host}")
        if isinstance(error, ConnectionRefusedError):
            return Outcome(UNREACHABLE, f"nobody listens on {place}")
        if isinstance(error, TimeoutError):
            return Outcome(TIMEOUT, f"no answer from {place} within {self.timeout:g} s")
        if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
            stage = "before the CONNACK" if self._wire.handshake_done or not self.target.ca_file else "in TLS"
            return Outcome(CLOSED, f"closed without a reason {stage}")
        return Outcome(UNREACHABLE, f"{place}: {error}")

    def subscribe(self, topic: str, qos: int = 1) -> int | None:
        """The SUBACK's code; None when there was none in time or the session was ended."""
        return self._await_ack(self._client.subscribe(topic, qos)[1])

    def publish(self, topic: str, payload: bytes, qos: int) -> int | None:
        """The PUBACK's code (0 for QoS 0, which has none); None when there was none in time."""
        return self._await_ack(self._client.publish(topic, payload, qos).mid)

    def _await_ack(self, mid: int | None) -> int | None:
        deadline = time.monotonic() + self.timeout
        while mid not in self._acks and self.lost is None and time.monotonic() < deadline:
            self.pump(0.05)
        return None if mid is None else self._acks.get(mid)

    def pump(self, seconds: float) -> None:
        """Read and write what there is; return after one step of at most that many seconds."""
        if self.lost is not None:
            return
        if self._client.loop(seconds) != paho.MQTT_ERR_SUCCESS and self.lost is None:
            self.lost = "connection closed by the broker"

    def close(self) -> None:
        """End the session in an orderly way."""
        if self.connected:
            self._client.disconnect()
            self._client.loop(0.05)
        sock = self._client.socket()
        if sock is not None:
            sock.close()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def require_files(identity: Identity, target: Target) -> str | None:
    """The first file that cannot be read, with the reason."""
    for path in (target.ca_file, identity.cert_file, identity.key_file):
        if path is not None and not os.access(path, os.R_OK):
            return f"cannot read {path}"
    return None
