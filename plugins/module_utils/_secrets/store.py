# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A directory with one file per secret, plain or encrypted with Ansible Vault.

Writers hold a lock; a reader needs none, because files appear and change atomically.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files
from ansible_collections.edgestack.iot.plugins.module_utils._secrets import policy
from ansible_collections.edgestack.iot.plugins.module_utils._secrets.policy import SecretsError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LOCK = ".lock"


class Cipher(t.Protocol):
    """What Ansible Vault does; a store without one reads and writes plain files only."""

    def is_encrypted(self, data: bytes) -> bool: ...

    def encrypt(self, data: bytes) -> bytes: ...

    def decrypt(self, data: bytes) -> bytes: ...

    @property
    def can_encrypt(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One secret that must be there; with a value it is written, without one it is made when missing."""

    name: str
    policy: str = "password"
    length: int | None = None
    value: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass
class Outcome:
    """Names only."""

    created: list[str] = dataclasses.field(default_factory=list)
    updated: list[str] = dataclasses.field(default_factory=list)
    unchanged: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.created or self.updated)


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SecretsError(
            f"{name!r} can't be a secret's name: letters, digits, '_', '.' and '-', at most 128, beginning with a letter,"
            " a digit or '_'"
        )
    return name


def check_wanted(wanted: t.Sequence[Wanted]) -> None:
    """Refuses everything that can be refused before the first secret is made."""
    seen: set[str] = set()
    for secret in wanted:
        check_name(secret.name)
        if secret.name in seen:
            raise SecretsError(f"the secret {secret.name} is asked for twice")
        seen.add(secret.name)
        policy.policy_for(secret.policy, secret.length)
        if secret.value is not None:
            if not secret.value:
                raise SecretsError(f"the value of the secret {secret.name} is empty")
            # Consumers read one secret per file, and most strip a line's end.
            if any(ord(character) < 32 or ord(character) == 127 for character in secret.value):
                raise SecretsError(f"the value of the secret {secret.name} has a line break or a control character in it")


def placeholder(name: str) -> str:
    """What check mode gets for a secret that is not made yet: the same at every run, of every consumer's form."""
    return "Placeholder0" + hashlib.sha256(name.encode()).hexdigest()[:20]


class Store:
    """The secrets of one directory."""

    def __init__(self, directory: str, cipher: Cipher | None = None) -> None:
        self.directory = directory
        self._cipher = cipher

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, check_name(name))

    def read(self, name: str) -> str | None:
        """The secret, or None when it is not there (an empty file counts as not there)."""
        path = self._path(name)
        try:
            data = files.read_optional(path)
        except OSError as error:
            raise SecretsError(f"the secret {name} can't be read: {error}") from error
        if data is None:
            return None
        if self._cipher is not None and self._cipher.is_encrypted(data):
            data = self._cipher.decrypt(data)
        try:
            value = data.decode()
        except UnicodeDecodeError:
            # 'from None': the exception's text would have the secret's bytes in it.
            raise SecretsError(f"the secret {name} in {self.directory} is not UTF-8 text") from None
        # An editor's last line end is not part of the secret.
        return value.rstrip("\r\n") or None

    def _plan(self, wanted: t.Sequence[Wanted]) -> Outcome:
        outcome = Outcome()
        for secret in wanted:
            existing = self.read(secret.name)
            if existing is None:
                outcome.created.append(secret.name)
            elif secret.value is not None and secret.value != existing:
                outcome.updated.append(secret.name)
            else:
                outcome.unchanged.append(secret.name)
        return outcome

    def ensure(self, wanted: t.Sequence[Wanted], check: bool = False) -> Outcome:
        """Makes what is missing, writes what has a value; what is there already is never made anew."""
        check_wanted(wanted)
        outcome = self._plan(wanted)
        if check or not outcome.changed:
            return outcome
        try:
            with files.private_directory(self.directory, _LOCK):
                # Again, now that nobody else writes: of parallel forks only one makes a secret.
                outcome = self._plan(wanted)
                changed = {*outcome.created, *outcome.updated}
                for secret in wanted:
                    if secret.name in changed:
                        value = secret.value
                        if value is None:
                            value = policy.generate(secret.policy, secret.length)
                        self._write(secret.name, value)
        except OSError as error:
            raise SecretsError(f"the directory of secrets can't be written: {error}") from error
        return outcome

    def put(self, name: str, value: str) -> bool:
        """Stores a value that somebody else made, for example a server's token; True when it is new or changed."""
        return self.ensure([Wanted(name=name, value=value)]).changed

    def _write(self, name: str, value: str) -> None:
        data = value.encode()
        if self._cipher is not None and self._cipher.can_encrypt:
            data = self._cipher.encrypt(data)
        files.write_atomic(self._path(name), data)
