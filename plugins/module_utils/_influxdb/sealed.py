# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret's way from the managed host to the controller, readable for the controller alone.

The result of a module is printed at -v, kept by callbacks and fact caches, and censored only as a whole. So a new token is sealed on
the host for a key pair that the controller makes for this one task: X25519, HKDF-SHA256, ChaCha20-Poly1305. Needs `cryptography`.
"""

from __future__ import annotations

import base64
import os

CRYPTOGRAPHY_IMPORT_ERROR: ImportError | None = None
try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:
    # The module says what to install; nothing here is called then.
    CRYPTOGRAPHY_IMPORT_ERROR = error

_INFO = b"edgestack.iot sealed secret 1"
_NONCE = 12


class SealError(Exception):
    """What is not a key, or was not sealed for this one."""


def _raw(key: X25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _cipher(shared: bytes, sender: bytes, receiver: bytes) -> ChaCha20Poly1305:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=sender + receiver, info=_INFO).derive(shared)
    return ChaCha20Poly1305(key)


class Receiver:
    """The controller's end, for one task."""

    def __init__(self) -> None:
        self._key = X25519PrivateKey.generate()
        self.public_key = base64.b64encode(_raw(self._key.public_key())).decode()

    def open(self, sealed: str, label: str) -> str:
        """The text that was sealed under this label."""
        try:
            data = base64.b64decode(sealed, validate=True)
            sender = data[:32]
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(sender))
            cipher = _cipher(shared, sender, _raw(self._key.public_key()))
            return cipher.decrypt(data[32 : 32 + _NONCE], data[32 + _NONCE :], label.encode()).decode()
        except (ValueError, InvalidTag):
            raise SealError(f"{label}: what the host sent back was not sealed for this run") from None


def seal(public_key: str, label: str, text: str) -> str:
    """The text, readable for the owner of the key alone; label says what it is and is bound to it."""
    try:
        receiver = base64.b64decode(public_key, validate=True)
        peer = X25519PublicKey.from_public_bytes(receiver)
    except ValueError:
        raise SealError("the controller's key is not an X25519 public key") from None
    key = X25519PrivateKey.generate()
    sender = _raw(key.public_key())
    nonce = os.urandom(_NONCE)
    ciphertext = _cipher(key.exchange(peer), sender, receiver).encrypt(nonce, text.encode(), label.encode())
    return base64.b64encode(sender + nonce + ciphertext).decode()
