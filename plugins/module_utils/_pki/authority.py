# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The authority's directory on the controller.

=========== ====================================================================
ca.pem      the certificate that issues, then what lies between it and its root; its being there is what makes the
            directory an authority
ca.key      its private key, PKCS#8, encrypted, 0600
root.pem    the root, where another certificate issues; root.key can be kept elsewhere until the next rollover
cross.pem   this generation's root, signed by the one before: who trusts only that one can follow
bundle.pem  what hosts and devices trust: the root, and those of earlier generations until they are retired
old/N       earlier generations; a file ``retired`` in it means that it is trusted no longer
index.jsonl what was issued and revoked
crl.pem     the revocation lists
lock        held by whoever writes
=========== ====================================================================

A rollover is built in next/, and a rename to committed/ makes it the one that counts: what a killed run left before is
used again, what it left after is put in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import shutil
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
RETIRED: t.Final = "retired"
# The files of one generation; the certificate that issues last.
_GENERATION: t.Final = ("root.key", "root.pem", "ca.key", "cross.pem", "ca.pem")


@dataclasses.dataclass(frozen=True)
class Adoption:
    """An authority that exists elsewhere, for example the old stack's."""

    certificate_path: str
    key_path: str
    passphrase: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class WantedAuthority:
    """generation: one more than there is means a rollover. retire: generations up to this one are trusted no longer."""

    common_name: str
    organization: str = ""
    key_type: str = "ecdsa_p256"
    valid_days: int = 7300
    adoption: Adoption | None = None
    intermediate: bool = False
    path_length: int | None = None
    permitted_names: tuple[str, ...] = ()
    excluded_names: tuple[str, ...] = ()
    generation: int = 1
    retire: int = 0

    def check(self) -> None:
        model.check_common_name(self.issuing_name(self.generation))
        if self.organization:
            model.check_common_name(self.organization, "organization")
        model.check_choice(self.key_type, model.KEY_TYPES, "key_type")
        model.check_valid_days(self.valid_days)
        for name in (*self.permitted_names, *self.excluded_names):
            model.check_constraint(name)
        if self.path_length is not None and self.path_length < int(self.intermediate):
            raise PkiError(f"path_length is {self.path_length}: it must be at least {int(self.intermediate)} here")
        if self.generation < 1 or not 0 <= self.retire < self.generation:
            raise PkiError(f"generation {self.generation} and retire {self.retire}: the generation that issues can't be retired, and the first one is 1")

    def root_name(self, generation: int) -> str:
        """Each generation has a name of its own: clients look issuers up by name."""
        return self.common_name if generation == 1 else f"{self.common_name} G{generation}"

    def issuing_name(self, generation: int) -> str:
        return f"{self.root_name(generation)} Issuing" if self.intermediate else self.root_name(generation)


@dataclasses.dataclass
class Outcome:
    changed: bool = False
    reasons: list[str] = dataclasses.field(default_factory=list)
    before: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    after: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    generation: int = 1
    trusted: list[str] = dataclasses.field(default_factory=list)
    trusted_before: list[str] = dataclasses.field(default_factory=list)


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


def _load_adopted(source: Adoption, now: datetime.datetime) -> _Adopted:
    """:raises PkiError: when nothing can be issued with it"""
    path = source.certificate_path
    certificates = inspect.load_certificates(_read(path), path)
    key = request.load_key(_read(source.key_path), source.passphrase, source.key_path)
    _check_adopted(certificates[0], key, source, now)
    chain = [certificates[0]]
    while not inspect.signed_by(chain[-1], chain[-1]):
        above = [one for one in certificates if one not in chain and inspect.signed_by(chain[-1], one)]
        if not above:
            raise PkiError(
                f"{path} has {inspect.name_text(chain[-1].subject)}, and not its issuer {inspect.name_text(chain[-1].issuer)}: the file"
                " must have all certificates up to the root, which is what hosts and devices trust"
            )
        check_usable(above[0], now, f"{path}, of the issuer,")
        chain.append(above[0])
    return _Adopted(chain, key)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise PkiError(f"{path} can't be read: {error.strerror}") from error


@dataclasses.dataclass(frozen=True)
class Previous:
    """An earlier generation."""

    number: int
    authority: Authority
    retired: bool


@dataclasses.dataclass(frozen=True)
class Revocation:
    """Of one certificate, by its serial number, or of all that a device has."""

    reason: str = "unspecified"
    serial: str = ""
    common_name: str = ""


@dataclasses.dataclass(frozen=True)
class _Adopted:
    """The certificate that issues, those above it up to a root, and its key."""

    certificates: list[x509.Certificate]
    key: PrivateKey = dataclasses.field(repr=False)


class Authority:
    """One authority's directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.certificate_path = os.path.join(directory, "ca.pem")
        self.key_path = os.path.join(directory, "ca.key")
        self.root_path = os.path.join(directory, "root.pem")
        self.root_key_path = os.path.join(directory, "root.key")
        self.cross_path = os.path.join(directory, "cross.pem")
        self.bundle_path = os.path.join(directory, "bundle.pem")
        self.index_path = os.path.join(directory, "index.jsonl")
        self.crl_path = os.path.join(directory, "crl.pem")
        self.lock_path = os.path.join(directory, "lock")
        self._next = os.path.join(directory, "next")
        self._committed = os.path.join(directory, "committed")
        self._done = os.path.join(directory, "done")
        self._old = os.path.join(directory, "old")

    # Public material: no passphrase, no lock

    def exists(self) -> bool:
        return os.path.lexists(self.certificate_path)

    def certificates(self) -> list[x509.Certificate]:
        """The one that issues, and those between it and its root.

        :raises PkiError: when there is no authority, or its certificate can't be read
        """
        if not self.exists():
            raise PkiError(
                f"there is no certificate authority in {self.directory}: edgestack.iot.pki_authority (the role"
                " edgestack.iot.pki) makes it"
            )
        return inspect.load_certificates(_read(self.certificate_path), self.certificate_path)

    def certificate(self) -> x509.Certificate:
        return self.certificates()[0]

    def root(self) -> x509.Certificate:
        """What is trusted of this generation."""
        certificate = self.certificate()
        if inspect.signed_by(certificate, certificate):
            return certificate
        return inspect.load_certificate(_read(self.root_path), self.root_path)

    def generation(self) -> int:
        return max(self._old_numbers(), default=0) + 1

    def _old_numbers(self) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(name) for name in os.listdir(self._old) if name.isdigit())
        return []

    def previous(self) -> list[Previous]:
        """Earlier generations, the latest first."""
        found = []
        for number in reversed(self._old_numbers()):
            authority = Authority(os.path.join(self._old, str(number)))
            found.append(Previous(number, authority, os.path.lexists(os.path.join(authority.directory, RETIRED))))
        return found

    def history(self) -> inspect.History:
        """Who issued before, and what was revoked."""
        previous = self.previous()
        return inspect.History(
            tuple(one.authority.certificate() for one in previous if not one.retired),
            tuple(one.authority.certificate() for one in previous if one.retired),
            frozenset(self.revoked()),
        )

    def revoked(self) -> dict[str, index.Record]:
        """Serial numbers and records of what was revoked."""
        data = files.read_optional(self.index_path) or b""
        if b'"revoked"' not in data:
            # Ten thousand lines are not parsed for nothing.
            return {}
        return {serial: record for serial, record in index.latest(index.parse(data)).items() if record.get("state") == "revoked"}

    def chain(self) -> bytes:
        """What a server sends behind its own certificate, in PEM: everything up to a root that its clients may have."""
        certificates = self.certificates()
        chain = [] if inspect.signed_by(certificates[0], certificates[0]) else certificates
        cross = files.read_optional(self.cross_path)
        if cross is not None and any(not one.retired for one in self.previous()[:1]):
            chain = [*chain, *inspect.load_certificates(cross, self.cross_path)]
        return b"".join(certificate_pem(certificate) for certificate in chain)

    def intermediates(self) -> bytes:
        """What a device sends behind its own certificate; brokers have every root from the first moment on."""
        certificates = self.certificates()
        return b"" if inspect.signed_by(certificates[0], certificates[0]) else b"".join(map(certificate_pem, certificates))

    def trusted(self) -> list[x509.Certificate]:
        return [self.root(), *(one.authority.root() for one in self.previous() if not one.retired)]

    def bundle(self) -> bytes:
        """What is to be trusted, in PEM."""
        data = files.read_optional(self.bundle_path)
        if data is None or not data.strip():
            return b"".join(map(certificate_pem, self.trusted()))
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
                raise PkiError(
                    f"{self.key_path} does not fit {self.certificate_path}: one of them is of another authority, or a rollover was"
                    " interrupted (the role edgestack.iot.pki finishes it)"
                )
        return key

    @staticmethod
    def record(certificate: x509.Certificate, profile: str, now: datetime.datetime) -> index.Record:
        return {
            "serial": inspect.serial_number(certificate),
            "subject": inspect.name_text(certificate.subject),
            "issuer": inspect.name_text(certificate.issuer),
            "profile": profile,
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
        """The certificate in PEM with its chain, recorded in the index before it is returned."""
        certificate_request = request.load_request(request_pem)
        public_key = t.cast("request.PublicKey", certificate_request.public_key())
        certificate = issue.sign(wanted, public_key, self.certificate(), self.key(passphrase), now)
        self.append([self.record(certificate, wanted.profile, now)])
        return certificate_pem(certificate) + self.chain()

    def revoke(self, wanted: t.Sequence[Revocation], now: datetime.datetime, check: bool = False) -> list[index.Record]:
        """Records what is not recorded as revoked yet; the new records.

        :raises PkiError: for a serial number that this authority did not issue, or a device without any certificate
        """
        try:
            if check:
                return self._revocations(wanted, now)
            with files.locked(self.lock_path):
                records = self._revocations(wanted, now)
                index.append(self.index_path, records)
                return records
        except OSError as error:
            raise PkiError(f"the authority's index can't be written: {error}") from error

    def _revocations(self, wanted: t.Sequence[Revocation], now: datetime.datetime) -> list[index.Record]:
        known = index.latest(self.issued())
        by_name: dict[str, list[str]] = {}
        for serial, record in known.items():
            by_name.setdefault(str(record.get("subject", "")).rpartition("CN=")[2], []).append(serial)
        records: dict[str, index.Record] = {}
        for one in wanted:
            serials = by_name.get(one.common_name, []) if one.common_name else [one.serial]
            if one.serial and one.serial not in known:
                raise PkiError(f"this authority has no record of a certificate with the serial number {one.serial}")
            for serial in serials:
                record = known[serial]
                if record.get("state") == "revoked" or str(record.get("not_after", "")) <= inspect.timestamp(now):
                    continue
                records[serial] = {**record, "state": "revoked", "reason": one.reason, "time": inspect.timestamp(now)}
        return list(records.values())

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
        adopted = None if wanted.adoption is None else _load_adopted(wanted.adoption, now)
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
        adopted: _Adopted | None,
        passphrase: str,
        now: datetime.datetime,
        check: bool,
    ) -> Outcome:
        if not check:
            self._finish_rollover()
        if self.exists():
            return self._keep(wanted, adopted, passphrase, now, check)
        outcome = Outcome(changed=True, generation=self.generation())
        if wanted.generation != outcome.generation:
            raise PkiError(f"generation is {wanted.generation}, and there is no authority yet: the next one is {outcome.generation}")
        if adopted is not None:
            outcome.reasons.append(f"adopted from {t.cast(Adoption, wanted.adoption).certificate_path}")
        elif os.path.lexists(self.key_path):
            # A run was killed between key and certificate, or ca.pem was lost: with the same key and subject,
            # what was issued before stays valid.
            outcome.reasons.append("the key is there, its certificate is missing")
        else:
            outcome.reasons.append("there is no authority yet")
        if check:
            outcome.after = inspect.certificate_info(adopted.certificates[0]) if adopted else self._predicted(wanted, wanted.generation)
            outcome.trusted = [inspect.name_text(adopted.certificates[-1].subject) if adopted else outcome.after["issuer"]]
            return outcome
        self._make(wanted, adopted, wanted.generation, passphrase, now)
        self._record_intermediate(now)
        outcome.after = inspect.certificate_info(self.certificate())
        outcome.trusted = [inspect.name_text(one.subject) for one in self.trusted()]
        return outcome

    def _make(
        self, wanted: WantedAuthority, adopted: _Adopted | None, generation: int, passphrase: str, now: datetime.datetime
    ) -> None:
        """Keys first, the certificate that issues last: it is what makes the directory an authority."""
        if adopted is not None:
            if os.path.lexists(self.key_path):
                self._check_same_key(passphrase, adopted.key)
            files.write_atomic(self.key_path, request.private_pem(adopted.key, passphrase))
            top = adopted.certificates[-1]
            issuing = adopted.certificates if len(adopted.certificates) == 1 else adopted.certificates[:-1]
        else:
            limits = issue.Limits(wanted.path_length, wanted.permitted_names, wanted.excluded_names)
            top_key = self._key_for(self.root_key_path if wanted.intermediate else self.key_path, wanted.key_type, passphrase)
            top = issue.self_signed(top_key, wanted.root_name(generation), wanted.organization, wanted.valid_days, now, limits)
            issuing = [top]
            if wanted.intermediate:
                # A root that was written before the run was killed is the one that goes on.
                there = files.read_optional(self.root_path)
                top = inspect.load_certificate(there, self.root_path) if there else top
                key = self._key_for(self.key_path, wanted.key_type, passphrase)
                name = request.subject_name(wanted.issuing_name(generation), wanted.organization)
                issuing = [issue.sign_authority(name, key.public_key(), top, top_key, wanted.valid_days, now, path_length=0)]
        if issuing[0] is not top:
            files.write_atomic(self.root_path, certificate_pem(top), files.PUBLIC_MODE)
        roots = [top, *(one.authority.root() for one in self.previous() if not one.retired)]
        files.write_atomic(self.bundle_path, b"".join(map(certificate_pem, roots)), files.PUBLIC_MODE)
        files.write_atomic(self.certificate_path, b"".join(map(certificate_pem, issuing)), files.PUBLIC_MODE)

    @staticmethod
    def _key_for(path: str, key_type: str, passphrase: str) -> PrivateKey:
        """What is there, also of a run that was killed, or a new one that is on the disk before it signs."""
        if os.path.lexists(path):
            return request.load_key(_read(path), passphrase, path)
        key = request.generate_key(key_type)
        files.write_atomic(path, request.private_pem(key, passphrase))
        return key

    def _record_intermediate(self, now: datetime.datetime) -> None:
        if self.certificate() != self.root():
            index.append(self.index_path, [self.record(self.certificate(), "authority", now)])

    # Rolling over

    def _roll_over(
        self, wanted: WantedAuthority, adopted: _Adopted | None, key: PrivateKey, passphrase: str, now: datetime.datetime
    ) -> list[str]:
        """The next generation takes the place of this one, which stays trusted. Returns warnings."""
        number = self.generation()
        following = Authority(self._next)
        self._drop_other(following, wanted, adopted, number + 1)
        os.makedirs(self._next, mode=files.DIRECTORY_MODE, exist_ok=True)
        if not following.exists():
            following._make(wanted, adopted, number + 1, passphrase, now)
        warnings = []
        try:
            root = following.root()
            signer, signer_key = self._cross_signer(root, key, passphrase)
            cross = issue.sign_authority(root.subject, t.cast("request.PublicKey", root.public_key()), signer, signer_key, wanted.valid_days, now)
            index.append(self.index_path, [self.record(cross, "authority", now)])
            files.write_atomic(following.cross_path, certificate_pem(cross), files.PUBLIC_MODE)
        except PkiError as error:
            warnings.append(
                f"the new authority can't be signed by the one before ({error}): what trusts that one alone has to get the new"
                " bundle.pem before servers get new certificates"
            )
        with contextlib.suppress(FileNotFoundError):
            os.unlink(following.bundle_path)
        copy = os.path.join(self._old, f"{number}.new")
        shutil.rmtree(copy, ignore_errors=True)
        os.makedirs(copy, mode=files.DIRECTORY_MODE)
        for name in _GENERATION:
            data = files.read_optional(os.path.join(self.directory, name))
            if data is not None:
                files.write_new(os.path.join(copy, name), data, files.PRIVATE_MODE if name.endswith(".key") else files.PUBLIC_MODE)
        files.fsync_directory(copy)
        files.fsync_directory(self._next)
        os.rename(self._next, self._committed)
        files.fsync_directory(self.directory)
        self._finish_rollover()
        self._record_intermediate(now)
        return warnings

    @staticmethod
    def _drop_other(following: Authority, wanted: WantedAuthority, adopted: _Adopted | None, generation: int) -> None:
        """What a killed run left is used again when it is what is asked for now. It has never issued anything."""
        if adopted is None:
            subject = request.subject_name(wanted.issuing_name(generation), wanted.organization)
            same = not following.exists() or following.certificate().subject == subject
        else:
            same = following.exists() and inspect.fingerprint(following.certificate()) == inspect.fingerprint(adopted.certificates[0])
        if not same:
            shutil.rmtree(following.directory, ignore_errors=True)

    def _cross_signer(self, root: x509.Certificate, key: PrivateKey, passphrase: str) -> tuple[x509.Certificate, PrivateKey]:
        certificate = self.certificate()
        if os.path.lexists(self.root_key_path):
            certificate, key = self.root(), request.load_key(_read(self.root_key_path), passphrase, self.root_key_path)
        if inspect.path_length(certificate) == 0:
            raise PkiError(f"{inspect.name_text(certificate.subject)} has the path length 0")
        if certificate.subject == root.subject:
            raise PkiError("both have the same name")
        return certificate, key

    def _finish_rollover(self) -> None:
        """Copies, not moves: a run that is killed here is repeated as a whole."""
        if os.path.isdir(self._committed):
            for name in os.listdir(self._old):
                if name.endswith(".new"):
                    os.rename(os.path.join(self._old, name), os.path.join(self._old, name.removesuffix(".new")))
            committed = Authority(self._committed)
            roots = [committed.root(), *(one.authority.root() for one in self.previous() if not one.retired)]
            # Trusted before it issues.
            files.write_atomic(self.bundle_path, b"".join(map(certificate_pem, roots)), files.PUBLIC_MODE)
            for name in _GENERATION:
                data = files.read_optional(os.path.join(self._committed, name))
                target = os.path.join(self.directory, name)
                if data is not None:
                    files.write_atomic(target, data, files.PRIVATE_MODE if name.endswith(".key") else files.PUBLIC_MODE)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(target)
            os.rename(self._committed, self._done)
        shutil.rmtree(self._done, ignore_errors=True)

    def _check_same_key(self, passphrase: str, key: PrivateKey) -> None:
        existing = request.load_key(_read(self.key_path), passphrase, self.key_path)
        if request.public_bytes(existing.public_key()) != request.public_bytes(key.public_key()):
            raise PkiError(f"{self.key_path} is there and is another key than the one to be adopted: move it away first")

    @staticmethod
    def _predicted(wanted: WantedAuthority, generation: int) -> dict[str, t.Any]:
        leaf = Wanted(wanted.issuing_name(generation), wanted.organization, (), "none", wanted.key_type)
        info = inspect.predicted_info(leaf, None)
        info["issuer"] = Wanted(wanted.root_name(generation), wanted.organization).subject
        return info

    def _keep(
        self,
        wanted: WantedAuthority,
        adopted: _Adopted | None,
        passphrase: str,
        now: datetime.datetime,
        check: bool,
    ) -> Outcome:
        certificate = self.certificate()
        key = self.key(passphrase)
        before = inspect.certificate_info(certificate)
        outcome = Outcome(before=before, after=before, generation=self.generation())
        outcome.trusted = outcome.trusted_before = [inspect.name_text(one.subject) for one in self.trusted()]
        if wanted.generation > outcome.generation + 1:
            raise PkiError(f"generation is {wanted.generation}, and the one that issues is {outcome.generation}: roll over one at a time")
        rolling = wanted.generation == outcome.generation + 1
        if rolling:
            # Also one that has expired can be followed.
            self._check_follower(adopted)
            outcome.changed = True
            outcome.reasons.append(f"generation {wanted.generation} follows {outcome.generation}")
            outcome.generation = wanted.generation
            if check:
                outcome.after = inspect.certificate_info(adopted.certificates[0]) if adopted else self._predicted(wanted, wanted.generation)
            else:
                outcome.warnings += self._roll_over(wanted, adopted, key, passphrase, now)
                certificate, key = self.certificate(), self.key(passphrase)
                outcome.after = inspect.certificate_info(certificate)
                outcome.trusted = [inspect.name_text(one.subject) for one in self.trusted()]
        else:
            check_usable(certificate, now, self.certificate_path)
            self._compare(wanted, adopted, certificate, key, outcome)
        self._retire(wanted, outcome, now, check)
        if rolling and check:
            return outcome
        # Another bundle follows from these.
        explained = outcome.changed
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
        wanted_bundle = b"".join(map(certificate_pem, self.trusted()))
        if bundle != wanted_bundle and not explained:
            outcome.changed = True
            outcome.reasons.append("bundle.pem was missing" if not bundle else "bundle.pem had other certificates in it")
        if check:
            return outcome
        if not encrypted:
            files.write_atomic(self.key_path, request.private_pem(key, passphrase))
        elif exposed:
            os.chmod(self.key_path, files.PRIVATE_MODE)
        if bundle != wanted_bundle:
            files.write_atomic(self.bundle_path, wanted_bundle, files.PUBLIC_MODE)
        return outcome

    def _compare(
        self, wanted: WantedAuthority, adopted: _Adopted | None, certificate: x509.Certificate, key: PrivateKey, outcome: Outcome
    ) -> None:
        """Where the authority is not as asked for; it is kept as it is."""
        there = f"the authority in {self.directory}"
        kept = "an authority that exists is kept as it is; a higher generation makes another one follow"
        if adopted is not None:
            if inspect.fingerprint(adopted.certificates[0]) != inspect.fingerprint(certificate):
                raise PkiError(
                    f"{self.directory} has an authority already ({inspect.name_text(certificate.subject)}), and it is not the"
                    " one to be adopted: what it issued would no longer be trusted. Raise the generation, so that the adopted one follows"
                    " it, or move the directory away to replace it."
                )
            return
        differences = []
        if wanted.generation < outcome.generation:
            differences.append(f"is of generation {outcome.generation}, asked for was {wanted.generation}")
        subject = request.subject_name(wanted.issuing_name(outcome.generation), wanted.organization)
        if certificate.subject != subject:
            differences.append(f"is {inspect.name_text(certificate.subject)}, asked for was {inspect.name_text(subject)}")
        if request.key_type_of(key) != wanted.key_type:
            differences.append(f"has a key of the type {request.key_type_of(key)}, asked for was {wanted.key_type}")
        limits = (tuple(sorted(wanted.permitted_names)), tuple(sorted(wanted.excluded_names)))
        if inspect.name_constraints(self.root()) != limits:
            differences.append("has other name constraints than asked for")
        if wanted.path_length is not None and inspect.path_length(self.root()) != wanted.path_length:
            differences.append(f"has the path length {inspect.path_length(self.root())}, asked for was {wanted.path_length}")
        outcome.warnings += [f"{there} {difference}: {kept}" for difference in differences]

    def _check_follower(self, adopted: _Adopted | None) -> None:
        if adopted is not None and inspect.fingerprint(adopted.certificates[0]) == inspect.fingerprint(self.certificate()):
            raise PkiError("the authority to be adopted is the one that issues already: it can't follow itself")

    def _retire(self, wanted: WantedAuthority, outcome: Outcome, now: datetime.datetime, check: bool) -> None:
        if wanted.retire >= outcome.generation:
            raise PkiError(f"retire is {wanted.retire}: generation {outcome.generation} is the one that issues, and can't be retired")
        for one in self.previous():
            if one.number > wanted.retire or one.retired:
                continue
            outcome.changed = True
            outcome.reasons.append(f"generation {one.number} is retired")
            name = inspect.name_text(one.authority.root().subject)
            outcome.trusted = [trusted for trusted in outcome.trusted if trusted != name]
            if not check:
                files.write_atomic(os.path.join(one.authority.directory, RETIRED), inspect.timestamp(now).encode() + b"\n", files.PUBLIC_MODE)
