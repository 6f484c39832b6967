# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A key and its certificate on a managed host: what is there, a new key, the swap. Works with cryptography 38.

Two files can't be replaced in one step. So both new ones are complete on the disk, checked against one another, with
owner and mode, before two renames put them in their places; what a run that was killed in between left is finished by
the next one, without another signature.
"""

from __future__ import annotations

import dataclasses
import datetime
import grp
import os
import pwd
import stat
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files, inspect, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

if t.TYPE_CHECKING:
    from cryptography import x509

    from ansible_collections.edgestack.iot.plugins.module_utils._pki.request import PrivateKey


@dataclasses.dataclass(frozen=True)
class Ownership:
    """-1 leaves it as it is."""

    uid: int = -1
    gid: int = -1
    key_mode: int = 0o640
    directory_mode: int = 0o750


def resolve_ownership(
    owner: str | None, group: str | None, key_mode: int, directory_mode: int
) -> tuple[Ownership, list[str]]:
    """Ids of the names, and what does not exist (yet): in check mode a package may be going to make it."""
    unknown: list[str] = []
    uid = gid = -1
    if owner:
        try:
            uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
        except KeyError:
            unknown.append(f"the user {owner}")
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            unknown.append(f"the group {group}")
    return Ownership(uid, gid, key_mode, directory_mode), unknown


@dataclasses.dataclass
class State:
    """What was found, and what is to be done."""

    reasons: list[str] = dataclasses.field(default_factory=list)
    changes: list[str] = dataclasses.field(default_factory=list)
    certificate: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    interrupted: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.reasons or self.changes or self.interrupted)


class Target:
    """The files of one certificate in one directory."""

    def __init__(self, directory: str, name: str) -> None:
        if not name or name != os.path.basename(name) or name.startswith("."):
            raise PkiError(f"{name!r} can't be the name of a certificate's files")
        if name == "ca":
            raise PkiError("'ca' is taken: ca.pem is what is trusted")
        self.directory = directory
        self.key = os.path.join(directory, f"{name}.key")
        self.certificate = os.path.join(directory, f"{name}.pem")
        self.authority = os.path.join(directory, "ca.pem")
        self.pending_key = os.path.join(directory, f".{name}.key.pending")
        self.pending_certificate = os.path.join(directory, f".{name}.pem.pending")

    # Looking

    def _finishable(self) -> tuple[bytes, bytes] | None:
        """Key and certificate of a swap that was interrupted."""
        certificate = files.read_optional(self.pending_certificate)
        if certificate is None:
            return None
        for path in (self.pending_key, self.key):
            key = files.read_optional(path)
            if key is not None and fits(key, certificate):
                return key, certificate
        return None

    def state(
        self,
        wanted: Wanted,
        issuer: x509.Certificate | None,
        bundle: bytes,
        ownership: Ownership,
        now: datetime.datetime,
        chain: bytes = b"",
        history: inspect.History | None = None,
    ) -> State:
        """Changes nothing. chain: what is to stand behind the certificate."""
        try:
            return self._state(wanted, issuer, bundle, ownership, now, chain, history)
        except OSError as error:
            raise PkiError(f"{error.filename or self.directory} can't be read: {error.strerror}") from error

    def _state(
        self,
        wanted: Wanted,
        issuer: x509.Certificate | None,
        bundle: bytes,
        ownership: Ownership,
        now: datetime.datetime,
        chain: bytes,
        history: inspect.History | None,
    ) -> State:
        state = State()
        finishable = self._finishable()
        if finishable is not None:
            state.interrupted = True
            key, certificate = t.cast("tuple[bytes | None, bytes | None]", finishable)
        else:
            key, certificate = files.read_optional(self.key), files.read_optional(self.certificate)
        state.reasons = inspect.regeneration_reasons(wanted, certificate, key, issuer, now, history)
        if certificate is not None:
            try:
                state.certificate = inspect.certificate_info(inspect.load_certificate(certificate))
            except PkiError:
                pass  # the reasons say so
        if state.interrupted:
            state.changes.append("an interrupted installation is finished")
        if bundle and files.read_optional(self.authority) != bundle:
            state.changes.append("ca.pem")
        if not state.reasons:
            if certificate is not None and with_chain(certificate, chain) != certificate:
                state.changes.append(f"{os.path.basename(self.certificate)}: the chain behind it")
            for path, mode in self._modes(ownership):
                if differs(path, ownership, mode):
                    state.changes.append(f"owner, group or mode of {os.path.basename(path)}")
        return state

    def _modes(self, ownership: Ownership) -> list[tuple[str, int]]:
        return [
            (self.key, ownership.key_mode),
            (self.certificate, files.PUBLIC_MODE),
            (self.authority, files.PUBLIC_MODE),
        ]

    # Changing

    def make_directory(self, ownership: Ownership) -> None:
        """Only a directory that is made here gets owner and mode: an existing one may be somebody else's."""
        if os.path.isdir(self.directory):
            return
        parent, name = os.path.split(os.path.abspath(self.directory))
        os.makedirs(parent, mode=0o755, exist_ok=True)
        temporary = os.path.join(parent, f".{name}.tmp")
        os.makedirs(temporary, mode=0o700, exist_ok=True)
        os.chown(temporary, ownership.uid, ownership.gid)
        os.chmod(temporary, ownership.directory_mode)
        os.rename(temporary, self.directory)
        files.fsync_directory(parent)

    def adjust(self, bundle: bytes, ownership: Ownership, chain: bytes = b"") -> None:
        """What needs no signature: an interrupted swap, the chain, ca.pem, owners and modes."""
        if self._finishable() is not None:
            self._swap()
        certificate = files.read_optional(self.certificate)
        if certificate is not None and with_chain(certificate, chain) != certificate:
            status = os.stat(self.certificate)
            files.write_atomic(self.certificate, with_chain(certificate, chain), files.PUBLIC_MODE, status.st_uid, status.st_gid)
        if bundle and os.path.isdir(self.directory) and files.read_optional(self.authority) != bundle:
            files.write_atomic(self.authority, bundle, files.PUBLIC_MODE, ownership.uid, ownership.gid)
        for path, mode in self._modes(ownership):
            if differs(path, ownership, mode):
                os.chown(path, ownership.uid, ownership.gid)
                os.chmod(path, mode)

    def prepare(self, wanted: Wanted, ownership: Ownership) -> bytes:
        """A new key, kept aside, and the request for it; the pair in use stays as it is.

        A key that a killed run kept aside is used again.
        """
        self.make_directory(ownership)
        if self._finishable() is not None:
            self._swap()
        key = self._pending(wanted.key_type)
        if key is None:
            key = request.generate_key(wanted.key_type)
            files.write_new(self.pending_key, request.private_pem(key), files.PRIVATE_MODE)
        return request.make_request(key, wanted.common_name, wanted.organization)

    def _pending(self, key_type: str) -> PrivateKey | None:
        try:
            status = os.lstat(self.pending_key)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
            return None
        try:
            key = request.load_key(files.read_optional(self.pending_key) or b"")
        except PkiError:
            return None
        return key if request.key_type_of(key) == key_type else None

    def install(
        self,
        wanted: Wanted,
        certificate: bytes,
        issuer: x509.Certificate,
        bundle: bytes,
        ownership: Ownership,
        now: datetime.datetime,
    ) -> dict[str, t.Any]:
        """Puts the pending key and its certificate in place; the info view of what is there then.

        :raises PkiError: when they are not a pair as wanted; the old pair stays
        """
        key = files.read_optional(self.pending_key)
        if key is None:
            raise PkiError(f"{self.pending_key} is gone: another run was faster. Run again.")
        wrong = inspect.regeneration_reasons(wanted, certificate, key, issuer, now)
        if wrong:
            raise PkiError(f"the new certificate is not installed: {'; '.join(wrong)}")
        files.write_atomic(self.authority, bundle, files.PUBLIC_MODE, ownership.uid, ownership.gid)
        files.write_new(self.pending_certificate, certificate, files.PUBLIC_MODE, ownership.uid, ownership.gid)
        # The group gets to read the key only now that it is to be used.
        os.chown(self.pending_key, ownership.uid, ownership.gid)
        os.chmod(self.pending_key, ownership.key_mode)
        files.fsync_directory(self.directory)
        self._swap()
        return inspect.certificate_info(inspect.load_certificate(certificate))

    def _swap(self) -> None:
        certificate = files.read_optional(self.pending_certificate)
        key = files.read_optional(self.pending_key)
        if key is not None and certificate is not None and fits(key, certificate):
            os.replace(self.pending_key, self.key)
        os.replace(self.pending_certificate, self.certificate)
        files.fsync_directory(self.directory)


def with_chain(certificate: bytes, chain: bytes) -> bytes:
    """The certificate, which comes first in its file, with this chain behind it."""
    return inspect.load_certificate(certificate).public_bytes(inspect.PEM) + chain


def fits(key_pem: bytes, certificate: bytes) -> bool:
    """Are they a pair?"""
    try:
        key = request.load_key(key_pem)
        public = inspect.load_certificate(certificate).public_key()
    except PkiError:
        return False
    return request.public_bytes(key.public_key()) == request.public_bytes(public)


def differs(path: str, ownership: Ownership, mode: int) -> bool:
    """A file that is missing does not differ: it is made as it should be."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return (
        ownership.uid not in (-1, status.st_uid)
        or ownership.gid not in (-1, status.st_gid)
        or status.st_mode & 0o7777 != mode
    )
