# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for what a broker answers, and which TLS alerts are about the client's certificate."""

from __future__ import annotations

# MQTT 5 reason codes that a CONNACK, PUBACK, SUBACK or DISCONNECT may carry.
REASONS = {
    0x00: "success",
    0x01: "granted QoS 1",
    0x02: "granted QoS 2",
    0x10: "no matching subscribers",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep alive timeout",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9F: "connection rate exceeded",
}

# paho answers with MQTT 5's codes for an MQTT 3.1.1 CONNACK too; what was on the wire is shown.
CONNACK_V3 = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}

# A CONNACK that says "you may not", as opposed to "not now" or "I do not understand you". Only these are
# a refusal: a broker that is overloaded refuses everybody, which proves nothing about who may come in.
ACCESS_REFUSED = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})

# Alerts by which a server says that the client's certificate (or its absence) is the reason. OpenSSL names
# them TLSV1_ALERT_UNKNOWN_CA, SSLV3_ALERT_BAD_CERTIFICATE, TLSV13_ALERT_CERTIFICATE_REQUIRED and so on; only
# an alert that was *received* has ALERT in its name.
CERTIFICATE_ALERTS = (
    "CERTIFICATE_REQUIRED",
    "NO_CERTIFICATE",
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "DECRYPT_ERROR",
    # TLS 1.2 has no alert for a missing certificate.
    "HANDSHAKE_FAILURE",
)


def reason(code: int) -> str:
    """A reason code as text: number and name."""
    return f"0x{code:02X} {REASONS.get(code, 'unknown reason')}"


def connack(code: int, version: str) -> str:
    """A CONNACK's code as it was on the wire, with its name."""
    if version == "3.1.1":
        return f"CONNACK {CONNACK_V3.get(code, code)} {REASONS.get(code, 'unknown reason')}"
    return f"CONNACK {reason(code)}"


def alert_name(openssl_reason: str) -> str | None:
    """The alert's name when OpenSSL's reason is a received alert, else None."""
    head, found, name = openssl_reason.partition("_ALERT_")
    return name.lower().replace("_", " ") if found and head else None


def is_certificate_alert(openssl_reason: str) -> bool:
    """Whether the received alert is about the client's certificate."""
    name = openssl_reason.partition("_ALERT_")[2]
    return name in CERTIFICATE_ALERTS
