# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The authority's directory on the controller.

=========== ====================================================================
ca.pem      the certificate that issues; its being there is what makes the directory an authority
ca.key      its private key, PKCS#8, encrypted, 0600
bundle.pem  what hosts and devices trust: today ca.pem, both of them while one authority follows another
index.jsonl what was issued
lock        held by whoever writes
=========== ====================================================================
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files, index, inspect, issue, model, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    pass  # request.CRYPTOGRAPHY_IMPORT_ERROR has it

if t.TYPE_CHECKING:
    from ansible_collections.edgestack.iot.plugins.module_utils._pki.request import PrivateKey

_EXPIRY_WARNING_DAYS: t.Final = 180


@dataclasses.dataclass(frozen=True)
class Adoption:
    """An authority that exists elsewhere, for example the old stack's."""

    certificate_path: str
    key_path: str
    passphrase: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class WantedAuthority:
    common_name: str
    organization: str = ""
    key_type: str = "ecdsa_p256"
    valid_days: int = 7300
    adoption: Adoption | None = None

    def check(self) -> None:
        model.check_common_name(self.common_name)
        if self.organization:
            model.check_common_name(self.organization, "organization")
        model.check_choice(self.key_type, model.KEY_TYPES, "key_type")
        model.check_valid_days(self.valid_days)


@dataclasses.dataclass
class Outcome:
    changed: bool = False
    reasons: list[str] = dataclasses.field(default_factory=list)
    before: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    after: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def check_usable(certificate: x509.Certificate, now: datetime.datetime, what: str) -> None:
    """:raises PkiError: when nothing can be issued with it."""
    if not inspect.is_authority(certificate):
        raise PkiError(
            f"{what} ({inspect.name_text(certificate.subject)}) is not the certificate of an authority: it does not have"
            " the basic constraint CA:TRUE, or its key usage does not allow signing certificates"
        )
    if inspect.not_after(certificate) <= now:
        raise PkiError(f"{what} expired at {inspect.timestamp(inspect.not_after(certificate))}")


def _check_adopted(certificate: x509.Certificate, key: PrivateKey, source: Adoption, now: datetime.datetime) -> None:
    check_usable(certificate, now, source.certificate_path)
    if request.public_bytes(key.public_key()) != request.public_bytes(certificate.public_key()):
        raise PkiError(f"{source.key_path} does not fit {source.certificate_path}: it is the key of another certificate")
    key_type = request.key_type_of(key)
    if key_type.startswith("rsa") and int(key_type.partition("_")[2]) < 2048:
        raise PkiError(f"{source.key_path} has {key_type.partition('_')[2]} bits: today's TLS refuses less than 2048")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise PkiError(f"{path} can't be read: {error.strerror}") from error


class Authority:
    """One authority's directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.certificate_path = os.path.join(directory, "ca.pem")
        self.key_path = os.path.join(directory, "ca.key")
        self.bundle_path = os.path.join(directory, "bundle.pem")
        self.index_path = os.path.join(directory, "index.jsonl")
        self.lock_path = os.path.join(directory, "lock")

    # Public material: no passphrase, no lock

    def exists(self) -> bool:
        return os.path.lexists(self.certificate_path)

    def certificate(self) -> x509.Certificate:
        """:raises PkiError: when there is no authority, or its certificate can't be read"""
        if not self.exists():
            raise PkiError(
                f"there is no certificate authority in {self.directory}: edgestack.iot.pki_authority (the role"
                " edgestack.iot.pki) makes it"
            )
        return inspect.load_certificate(_read(self.certificate_path), self.certificate_path)

    def bundle(self) -> bytes:
        """What is to be trusted, in PEM."""
        data = files.read_optional(self.bundle_path)
        if data is None or not data.strip():
            return certificate_pem(self.certificate())
        certificates = inspect.load_certificates(data, self.bundle_path)
        return b"".join(certificate_pem(certificate) for certificate in certificates)

    def issued(self) -> list[index.Record]:
        return index.read(self.index_path)

    # The key

    def key(self, passphrase: str) -> PrivateKey:
        """:raises PkiError: for a wrong passphrase, or a key that is not the certificate's"""
        if not os.path.lexists(self.key_path):
            raise PkiError(f"{self.key_path}, the authority's key, is missing: restore it from a backup")
        key = request.load_key(_read(self.key_path), passphrase, self.key_path)
        if self.exists():
            certificate = self.certificate()
            if request.public_bytes(key.public_key()) != request.public_bytes(certificate.public_key()):
                raise PkiError(f"{self.key_path} does not fit {self.certificate_path}: one of them is of another authority")
        return key

    @staticmethod
    def record(certificate: x509.Certificate, wanted: Wanted, now: datetime.datetime) -> index.Record:
        return {
            "serial": inspect.serial_number(certificate),
            "subject": inspect.name_text(certificate.subject),
            "profile": wanted.profile,
            "not_before": inspect.timestamp(inspect.not_before(certificate)),
            "not_after": inspect.timestamp(inspect.not_after(certificate)),
            "fingerprint": inspect.fingerprint(certificate),
            "state": "issued",
            "time": inspect.timestamp(now),
        }

    def append(self, records: t.Sequence[index.Record]) -> None:
        try:
            with files.locked(self.lock_path):
                index.append(self.index_path, records)
        except OSError as error:
            raise PkiError(f"the authority's index can't be written: {error}") from error

    def sign_request(self, wanted: Wanted, request_pem: bytes, passphrase: str, now: datetime.datetime) -> bytes:
        """The certificate in PEM, recorded in the index before it is returned."""
        certificate_request = request.load_request(request_pem)
        public_key = t.cast("request.PublicKey", certificate_request.public_key())
        certificate = issue.sign(wanted, public_key, self.certificate(), self.key(passphrase), now)
        self.append([self.record(certificate, wanted, now)])
        return certificate_pem(certificate)

    # Making it

    def ensure(
        self, wanted: WantedAuthority, passphrase: str, now: datetime.datetime, check: bool = False
    ) -> Outcome:
        """Makes or adopts the authority; one that is there is never replaced.

        :raises PkiError: and nothing was changed then
        """
        wanted.check()
        if not passphrase:
            raise PkiError("the passphrase of the authority's key is empty")
        adopted: tuple[x509.Certificate, PrivateKey] | None = None
        if wanted.adoption is not None:
            source = wanted.adoption
            certificate = inspect.load_certificate(_read(source.certificate_path), source.certificate_path)
            key = request.load_key(_read(source.key_path), source.passphrase, source.key_path)
            _check_adopted(certificate, key, source, now)
            adopted = (certificate, key)
        try:
            if check:
                return self._ensure(wanted, adopted, passphrase, now, check)
            with files.private_directory(self.directory, "lock"):
                return self._ensure(wanted, adopted, passphrase, now, check)
        except OSError as error:
            raise PkiError(f"the authority's directory can't be used: {error}") from error

    def _ensure(
        self,
        wanted: WantedAuthority,
        adopted: tuple[x509.Certificate, PrivateKey] | None,
        passphrase: str,
        now: datetime.datetime,
        check: bool,
    ) -> Outcome:
        if self.exists():
            return self._keep(wanted, adopted, passphrase, now, check)
        outcome = Outcome(changed=True)
        if adopted is not None:
            certificate, key = adopted
            outcome.reasons.append(f"adopted from {t.cast(Adoption, wanted.adoption).certificate_path}")
        else:
            if os.path.lexists(self.key_path):
                # A run was killed between key and certificate, or ca.pem was lost: with the same key and subject,
                # what was issued before stays valid.
                key = self.key(passphrase)
                outcome.reasons.append("the key is there, its certificate is missing")
            else:
                outcome.reasons.append("there is no authority yet")
                if check:
                    outcome.after = self._predicted(wanted)
                    return outcome
                key = request.generate_key(wanted.key_type)
            certificate = issue.self_signed(key, wanted.common_name, wanted.organization, wanted.valid_days, now)
        outcome.after = inspect.certificate_info(certificate)
        if check:
            return outcome
        if adopted is not None and os.path.lexists(self.key_path):
            self._check_same_key(passphrase, key)
        if adopted is not None or not os.path.lexists(self.key_path):
            files.write_atomic(self.key_path, request.private_pem(key, passphrase))
        files.write_atomic(self.bundle_path, certificate_pem(certificate), files.PUBLIC_MODE)
        # Last: it is what makes the directory an authority.
        files.write_atomic(self.certificate_path, certificate_pem(certificate), files.PUBLIC_MODE)
        return outcome

    def _check_same_key(self, passphrase: str, key: PrivateKey) -> None:
        existing = request.load_key(_read(self.key_path), passphrase, self.key_path)
        if request.public_bytes(existing.public_key()) != request.public_bytes(key.public_key()):
            raise PkiError(f"{self.key_path} is there and is another key than the one to be adopted: move it away first")

    @staticmethod
    def _predicted(wanted: WantedAuthority) -> dict[str, t.Any]:
        leaf = Wanted(wanted.common_name, wanted.organization, (), "none", wanted.key_type)
        info = inspect.predicted_info(leaf, None)
        info["issuer"] = info["subject"]
        return info

    def _keep(
        self,
        wanted: WantedAuthority,
        adopted: tuple[x509.Certificate, PrivateKey] | None,
        passphrase: str,
        now: datetime.datetime,
        check: bool,
    ) -> Outcome:
        certificate = self.certificate()
        check_usable(certificate, now, self.certificate_path)
        key = self.key(passphrase)
        outcome = Outcome(before=inspect.certificate_info(certificate), after=inspect.certificate_info(certificate))
        if adopted is not None:
            if inspect.fingerprint(adopted[0]) != inspect.fingerprint(certificate):
                raise PkiError(
                    f"{self.directory} has an authority already ({inspect.name_text(certificate.subject)}), and it is not the"
                    " one to be adopted: what it issued would no longer be trusted. Move the directory away to replace it."
                )
        else:
            subject = request.subject_name(wanted.common_name, wanted.organization)
            if certificate.subject != subject:
                outcome.warnings.append(
                    f"the authority in {self.directory} is {inspect.name_text(certificate.subject)}, asked for was"
                    f" {inspect.name_text(subject)}: an authority that exists is kept as it is"
                )
            if request.key_type_of(key) != wanted.key_type:
                outcome.warnings.append(
                    f"the authority in {self.directory} has a key of the type {request.key_type_of(key)}, asked for was"
                    f" {wanted.key_type}: an authority that exists is kept as it is"
                )
        days = (inspect.not_after(certificate) - now).days
        if days < _EXPIRY_WARNING_DAYS:
            outcome.warnings.append(f"the authority in {self.directory} expires in {days} days: plan its replacement")
        encrypted = b"ENCRYPTED" in _read(self.key_path)
        if not encrypted:
            outcome.changed = True
            outcome.reasons.append("the key was not encrypted")
        exposed = os.stat(self.key_path).st_mode & 0o077 != 0
        if exposed:
            outcome.changed = True
            outcome.reasons.append("the key was readable for others")
        bundle = files.read_optional(self.bundle_path)
        if not bundle:
            outcome.changed = True
            outcome.reasons.append("bundle.pem was missing")
        if check:
            return outcome
        if not encrypted:
            files.write_atomic(self.key_path, request.private_pem(key, passphrase))
        elif exposed:
            os.chmod(self.key_path, files.PRIVATE_MODE)
        if not bundle:
            files.write_atomic(self.bundle_path, certificate_pem(certificate), files.PUBLIC_MODE)
        return outcome
