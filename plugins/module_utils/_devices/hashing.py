# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes of passwords as EMQX reckons them. One algorithm per broker: EMQX's authenticator has one."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import hmac
import os
import typing as t

from .source import DevicesError

ALGORITHMS = ("sha256", "pbkdf2", "bcrypt")
# A fast hash is no protection for a password that can be guessed.
SHORTEST = {"sha256": 16, "pbkdf2": 8, "bcrypt": 8}
# The role emqx gives its authenticator the same numbers.
PBKDF2_ITERATIONS = 10000
PBKDF2_LENGTH = 32
BCRYPT_ROUNDS = 10
_BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PLAIN_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def salt_for(key: bytes, username: str, password: str) -> str:
    """A salt that is the same at every run and another for every password, so that equal passwords do not show."""
    return hmac.new(key, f"{username}\0{password}".encode(), hashlib.sha256).hexdigest()[:32]


def check_password(password: str, algorithm: str, where: str) -> str:
    """:raises DevicesError: for one that this hash does not protect"""
    if len(password) < SHORTEST[algorithm]:
        raise DevicesError(
            f"{where}: the password has less than {SHORTEST[algorithm]} characters, too few for {algorithm}. Write a longer one, or remove the"
            " file and a random one is made"
        )
    if algorithm == "bcrypt" and len(password.encode()) > 72:
        raise DevicesError(f"{where}: the password has more than 72 bytes, of which bcrypt would ignore the rest")
    if not password.isprintable():
        raise DevicesError(f"{where}: the password has more than one line, or control characters")
    return password


@dataclasses.dataclass
class Hasher:
    """cache: what was reckoned before (of slow hashes), by a digest of user, password and algorithm. Changed in place."""

    key: bytes = dataclasses.field(repr=False)
    algorithm: str = "sha256"
    cache: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    used: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise DevicesError(f"the hash {self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if self.algorithm == "bcrypt":
            _bcrypt()

    @property
    def slow(self) -> bool:
        return self.algorithm != "sha256"

    def row(self, username: str, password: str) -> tuple[str, str]:
        """password_hash and salt."""
        salt = salt_for(self.key, username, password)
        if not self.slow:
            return hashlib.sha256((password + salt).encode()).hexdigest(), salt
        name = self._name(username, password)
        hashed = self.used.get(name) or self.cache.get(name) or self._reckon(password, salt)
        self.used[name] = hashed
        # bcrypt has its salt in the hash.
        return hashed, "" if self.algorithm == "bcrypt" else salt

    def prepare(self, pairs: t.Sequence[tuple[str, str]]) -> None:
        """Reckons slow hashes that are not known yet on all cores: hundreds a second and core with pbkdf2, about 15 with bcrypt."""
        if not self.slow:
            return
        missing = [(name, password) for name, password in pairs if self._name(name, password) not in self.cache]
        # Both libraries let go of the interpreter while they reckon.
        with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
            for (name, password), hashed in zip(
                missing, pool.map(lambda pair: self._reckon(pair[1], salt_for(self.key, *pair)), missing), strict=True
            ):
                self.cache[self._name(name, password)] = hashed

    def _name(self, username: str, password: str) -> str:
        parameters = f"{self.algorithm}:{PBKDF2_ITERATIONS}:{PBKDF2_LENGTH}:{BCRYPT_ROUNDS}"
        return hmac.new(self.key, f"{parameters}\0{username}\0{password}".encode(), hashlib.sha256).hexdigest()

    def _reckon(self, password: str, salt: str) -> str:
        if self.algorithm == "pbkdf2":
            return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), PBKDF2_ITERATIONS, PBKDF2_LENGTH).hex()
        # 16 bytes in bcrypt's alphabet, of which the last character has two bits.
        text = "".join(_BCRYPT_ALPHABET[_PLAIN_ALPHABET.index(char)] for char in _base64(bytes.fromhex(salt)))
        # The minor version that every implementation knows; they differ for passwords of more than 72 bytes only.
        hashed = _bcrypt().hashpw(password.encode(), f"$2a${BCRYPT_ROUNDS:02d}${text}".encode()).decode()
        return f"$2a${hashed[4:]}"


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode().rstrip("=")


def _bcrypt() -> t.Any:
    try:
        import bcrypt
    except ImportError as error:
        raise DevicesError(
            "the hash bcrypt needs the Python package bcrypt where ansible-playbook runs: install it with the pip of that Python, or use"
            " pbkdf2, which needs none"
        ) from error
    return bcrypt
