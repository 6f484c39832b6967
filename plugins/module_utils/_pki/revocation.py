# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Revocation lists, and what an authority has issued that ends soon. On the controller."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files, index, inspect, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    pass  # request.CRYPTOGRAPHY_IMPORT_ERROR has it

REASONS: t.Final = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)

_BEGIN: t.Final = b"-----BEGIN X509 CRL-----"
_END: t.Final = b"-----END X509 CRL-----"


@dataclasses.dataclass
class Lists:
    """What crl.pem says: revoked serial numbers, and the day from which it locks everyone out."""

    serials: list[str] = dataclasses.field(default_factory=list)
    issuers: list[str] = dataclasses.field(default_factory=list)
    next_update: datetime.datetime | None = None

    def days_left(self, now: datetime.datetime) -> int | None:
        return None if self.next_update is None else (self.next_update - now).days


def read(path: str) -> Lists:
    """What is there; a file that can't be read is as none, because it is made anew."""
    lists = Lists()
    for part in (files.read_optional(path) or b"").split(_END)[:-1]:
        try:
            crl = x509.load_pem_x509_crl(part[part.index(_BEGIN) :] + _END + b"\n")
        except ValueError:
            return Lists()
        end = getattr(crl, "next_update_utc", None)
        if end is None:
            return Lists()
        lists.next_update = end if lists.next_update is None else min(lists.next_update, end)
        lists.issuers.append(inspect.name_text(crl.issuer))
        lists.serials += [f"{entry.serial_number:x}" for entry in crl]
    lists.serials.sort()
    return lists


def renew(authority: Authority, passphrase: str, now: datetime.datetime, valid_days: int) -> Lists:
    """Signs a list for each generation that is trusted, and writes all of them as one PEM file.

    EMQX reads PEM; one list in DER would lock everyone out.
    """
    if not 1 <= valid_days <= 365:
        raise PkiError(f"valid_days is {valid_days}: it must be 1 to 365")
    revoked = authority.revoked()
    generations = [authority, *(one.authority for one in authority.previous() if not one.retired)]
    end = now + datetime.timedelta(days=valid_days)
    data = b"".join(_sign(one, revoked, passphrase, now, end) for one in generations)
    try:
        with files.locked(authority.lock_path):
            files.write_atomic(authority.crl_path, data, files.PUBLIC_MODE)
    except OSError as error:
        raise PkiError(f"{authority.crl_path} can't be written: {error.strerror}") from error
    return read(authority.crl_path)


def expected(authority: Authority, now: datetime.datetime) -> tuple[list[str], list[str]]:
    """Serial numbers and issuers that a list made now has."""
    issuers = [inspect.name_text(one.certificate().subject) for one in (authority, *(old.authority for old in authority.previous() if not old.retired))]
    serials = [serial for serial, record in authority.revoked().items() if record.get("issuer") in issuers and _valid(record, now)]
    return sorted(serials), issuers


def _valid(record: index.Record, now: datetime.datetime) -> bool:
    return str(record.get("not_after", "")) > inspect.timestamp(now)


def _sign(authority: Authority, revoked: t.Mapping[str, index.Record], passphrase: str, now: datetime.datetime, end: datetime.datetime) -> bytes:
    issuer = authority.certificate()
    if not inspect.may_sign_lists(issuer):
        raise PkiError(f"{inspect.name_text(issuer.subject)} may not sign revocation lists: its key usage has no cRLSign")
    name = inspect.name_text(issuer.subject)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - datetime.timedelta(days=1))
        .next_update(end)
        # Grows, whatever is lost: no counter has to be kept.
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(t.cast(t.Any, issuer.public_key())), critical=False)
    )
    for serial, record in revoked.items():
        if record.get("issuer") != name or not _valid(record, now):
            continue
        when = datetime.datetime.strptime(str(record["time"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
        entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(when)
        reason = x509.ReasonFlags(record.get("reason", "unspecified"))
        if reason != x509.ReasonFlags.unspecified:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    key = authority.key(passphrase)
    return builder.sign(key, request.signature_hash(key)).public_bytes(serialization.Encoding.PEM)


# What there is


def information(authority: Authority, now: datetime.datetime, within_days: int) -> dict[str, t.Any]:
    """The authority, what it issued and what ends within these days; public material only."""
    certificate = authority.certificate()
    records = authority.issued()
    known = index.latest(records)
    limit = inspect.timestamp(now + datetime.timedelta(days=within_days))
    rows = [_row(record, now) for record in known.values()]
    current = _current(rows)
    lists = read(authority.crl_path)
    return {
        "authority": {
            **inspect.certificate_info(certificate),
            "generation": authority.generation(),
            "days_left": (inspect.not_after(certificate) - now).days,
            "trusted": [
                {"subject": inspect.name_text(one.subject), "not_after": inspect.timestamp(inspect.not_after(one))} for one in authority.trusted()
            ],
        },
        "counts": {state: sum(row["state"] == state for row in rows) for state in ("issued", "revoked", "expired")}
        | {"damaged": sum(record.get("state") == "damaged" for record in records)},
        "expiring": [row for row in current if row["state"] == "issued" and row["not_after"] <= limit],
        "certificates": current,
        "crl": {
            "next_update": "" if lists.next_update is None else inspect.timestamp(lists.next_update),
            "days_left": lists.days_left(now),
            "revoked": lists.serials,
        },
    }


def _row(record: index.Record, now: datetime.datetime) -> dict[str, t.Any]:
    end = str(record.get("not_after", ""))
    state = str(record.get("state", ""))
    left = (datetime.datetime.strptime(end, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC) - now).days
    return {
        **{name: str(record.get(name, "")) for name in ("subject", "serial", "profile", "issuer", "not_after")},
        "state": "expired" if left < 0 else state,
        "days_left": left,
    }


def _current(rows: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Of each subject the certificate that was issued last, by its end: the earlier ones were replaced."""
    latest: dict[tuple[str, str], dict[str, t.Any]] = {}
    for row in rows:
        # Records are in the order of their issue.
        latest[row["subject"], row["profile"]] = row
    return sorted(latest.values(), key=lambda row: (row["not_after"], row["subject"]))


def table(information_: t.Mapping[str, t.Any], shown: int) -> str:
    """For people: what ends first comes first."""
    authority = information_["authority"]
    counts = information_["counts"]
    rows = [("subject", "profile", "state", "ends", "days left")]
    rows += [
        (row["subject"], row["profile"], row["state"], row["not_after"][:10], str(row["days_left"])) for row in information_["certificates"][:shown]
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        f"authority   {authority['subject']}, generation {authority['generation']}, ends {authority['not_after'][:10]} ({authority['days_left']} days)",
        f"trusted     {'; '.join(one['subject'] for one in authority['trusted'])}",
        f"issued      {counts['issued']}, revoked {counts['revoked']}, expired {counts['expired']}",
    ]
    if counts["damaged"]:
        lines.append(f"index       {counts['damaged']} damaged records")
    days = information_["crl"]["days_left"]
    lines.append(f"CRL         {'none' if days is None else f'{days} days left'}")
    lines.append("")
    lines += ["  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1].rjust(widths[-1])]) for row in rows]
    if len(information_["certificates"]) > shown:
        lines.append(f"and {len(information_['certificates']) - shown} more")
    return "\n".join(lines)
