# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of the primary keys in an OpenPGP key file (RFC 4880, RFC 9580), without gnupg on the host."""

from __future__ import annotations

import base64
import binascii
import hashlib
import typing as t


class OpenPgpError(Exception):
    """The bytes are no OpenPGP key file."""


_PUBLIC_KEY = 6


def dearmor(data: bytes) -> bytes:
    """Binary packets of a key file that may be armoured (several armoured blocks are joined)."""
    if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" not in data:
        return data
    out = b""
    for block in data.split(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")[1:]:
        body, end, _rest = block.partition(b"-----END PGP PUBLIC KEY BLOCK-----")
        if not end:
            raise OpenPgpError("the armoured key has no end line: the download is not complete")
        lines = body.strip().splitlines()
        # Armour headers ("Version: ...") end with an empty line; the checksum line begins with "=".
        start = next((number + 1 for number, line in enumerate(lines) if not line.strip()), 0)
        text = b"".join(line.strip() for line in lines[start:] if not line.startswith(b"="))
        try:
            out += base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise OpenPgpError(f"the armoured key is broken ({error})") from error
    return out


def _packets(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        tag = data[position]
        if not tag & 0x80:
            raise OpenPgpError("not an OpenPGP key file")
        position += 1
        first = data[position] if position < len(data) else 0
        if tag & 0x40:
            kind = tag & 0x3F
            if first < 192:
                size, used = first, 1
            elif first < 224:
                size, used = ((first - 192) << 8) + int.from_bytes(data[position + 1 : position + 2], "big") + 192, 2
            elif first == 255:
                size, used = int.from_bytes(data[position + 1 : position + 5], "big"), 5
            else:
                raise OpenPgpError("a key file has no partial packets")
        else:
            kind = (tag >> 2) & 0x0F
            width = {0: 1, 1: 2, 2: 4}.get(tag & 0x03)
            if width is None:
                raise OpenPgpError("a key file has no packets of indeterminate length")
            size, used = int.from_bytes(data[position : position + width], "big"), width
        position += used
        if position + size > len(data):
            raise OpenPgpError("the key file ends in the middle of a packet: the download is not complete")
        yield kind, data[position : position + size]
        position += size


def primary_fingerprints(data: bytes) -> list[str]:
    """Upper-case hexadecimal fingerprints of all primary (not sub) keys of a key file, armoured or not."""
    found = []
    for kind, body in _packets(dearmor(data)):
        if kind != _PUBLIC_KEY:
            continue
        if body[:1] == b"\x04":
            found.append(hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper())
        elif body[:1] == b"\x06":
            found.append(hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper())
        else:
            raise OpenPgpError(f"a key of version {body[0] if body else '?'} is too old to be trusted")
    if not found:
        raise OpenPgpError("no OpenPGP key in it")
    return found
