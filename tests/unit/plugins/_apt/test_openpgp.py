# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._apt import openpgp


def packet(kind: int, body: bytes, new: bool = True) -> bytes:
    """One OpenPGP packet, with the new or the old kind of header."""
    if not new:
        return bytes([0x80 | kind << 2 | 1]) + len(body).to_bytes(2, "big") + body
    if len(body) < 192:
        size = bytes([len(body)])
    elif len(body) < 8384:
        size = ((len(body) - 192) + (192 << 8)).to_bytes(2, "big")
    else:
        size = b"\xff" + len(body).to_bytes(4, "big")
    return bytes([0xC0 | kind]) + size + body


def fingerprint(body: bytes) -> str:
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()


KEY = b"\x04" + b"k" * 300
SUBKEY = b"\x04" + b"s" * 100


@pytest.mark.parametrize("new", [True, False])
def test_primary_key_without_subkeys(new):
    data = packet(6, KEY, new) + packet(13, b"someone", new) + packet(14, SUBKEY, new)
    assert openpgp.primary_fingerprints(data) == [fingerprint(KEY)]


def test_long_packets_and_armour():
    long = b"\x04" + b"x" * 9000
    text = base64.encodebytes(packet(6, KEY) + packet(6, long))
    armoured = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\n" + text + b"=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    assert openpgp.primary_fingerprints(armoured) == [fingerprint(KEY), fingerprint(long)]


def test_version_6_is_sha256():
    body = b"\x06" + b"v" * 50
    assert openpgp.primary_fingerprints(packet(6, body)) == [hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<html>blocked</html>", "not an OpenPGP"),
        (b"", "no OpenPGP key"),
        (packet(6, KEY)[:-5], "middle of a packet"),
        (packet(6, b"\x03old"), "too old"),
        (packet(13, b"someone"), "no OpenPGP key"),
        (bytes([0xC6, 230]), "partial"),
        (bytes([0x9B, 1]), "indeterminate"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA", "no end line"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nA*A\n-----END PGP PUBLIC KEY BLOCK-----", "broken"),
    ],
)
def test_what_is_no_key_says_so(data, text):
    with pytest.raises(openpgp.OpenPgpError, match=text):
        openpgp.primary_fingerprints(data)


def test_against_gnupg_on_debians_own_keyring(tmp_path):
    """The parser and gpg agree on a real keyring, where both are there."""
    import pathlib
    import shutil
    import subprocess

    keyrings = sorted(pathlib.Path("/usr/share/keyrings").glob("debian-archive-*.gpg"))
    if not keyrings or not shutil.which("gpg"):
        pytest.skip("no Debian keyring or no gpg on this machine")
    done = subprocess.run(
        ["gpg", "--homedir", str(tmp_path), "--show-keys", "--with-colons", str(keyrings[0])], capture_output=True, text=True, check=True
    )
    # A primary key's fingerprint is the first "fpr" line after its "pub" line.
    wanted, kind = [], ""
    for line in done.stdout.splitlines():
        if line.startswith(("pub:", "sub:")):
            kind = line[:3]
        elif line.startswith("fpr:") and kind == "pub":
            wanted.append(line.split(":")[9])
    assert sorted(openpgp.primary_fingerprints(keyrings[0].read_bytes())) == sorted(wanted)
