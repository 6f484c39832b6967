# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a certificate is, and why it is not the wanted one. Works with cryptography 38."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import ipaddress
import re
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    PEM = serialization.Encoding.PEM
except ImportError:
    pass  # request.CRYPTOGRAPHY_IMPORT_ERROR has it

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")

if t.TYPE_CHECKING:
    from ansible_collections.edgestack.iot.plugins.module_utils._pki.request import PublicKey

_Extension = t.TypeVar("_Extension", bound="x509.ExtensionType")


@dataclasses.dataclass(frozen=True)
class History:
    """Authorities that issued before, those that are still trusted and those that are not, and serial numbers that were revoked."""

    trusted: tuple[x509.Certificate, ...] = ()
    retired: tuple[x509.Certificate, ...] = ()
    revoked: frozenset[str] = frozenset()


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def not_before(certificate: x509.Certificate) -> datetime.datetime:
    return _time(certificate, "not_valid_before")


def not_after(certificate: x509.Certificate) -> datetime.datetime:
    return _time(certificate, "not_valid_after")


def _time(certificate: x509.Certificate, attribute: str) -> datetime.datetime:
    # The attributes without _utc are naive, deprecated from 42 on and the only ones before.
    aware = getattr(certificate, f"{attribute}_utc", None)
    if aware is None:
        aware = getattr(certificate, attribute).replace(tzinfo=datetime.UTC)
    return t.cast(datetime.datetime, aware)


def timestamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def load_certificates(data: bytes, what: str = "the certificate") -> list[x509.Certificate]:
    """All certificates of a PEM file (cryptography 38 has no function for several).

    :raises PkiError: when there is none, or one can't be read
    """
    try:
        certificates = [
            x509.load_der_x509_certificate(base64.b64decode(match.group(1), validate=False))
            for match in _CERTIFICATE.finditer(data)
        ]
        for certificate in certificates:
            # Extensions are parsed late; a damaged one must show here.
            certificate.extensions  # noqa: B018
    except Exception as error:
        raise PkiError(f"{what} can't be read: {error}") from None
    if not certificates:
        raise PkiError(f"{what} has no certificate in PEM format in it")
    return certificates


def load_certificate(data: bytes, what: str = "the certificate") -> x509.Certificate:
    """The first one of a PEM file, which is the leaf of a chain."""
    return load_certificates(data, what)[0]


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def serial_number(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    extension = _extension(certificate, x509.SubjectAlternativeName)
    names = []
    for name in extension or ():
        if isinstance(name, x509.DNSName):
            names.append(f"DNS:{name.value.lower()}")
        elif isinstance(name, x509.IPAddress):
            names.append(f"IP:{name.value}")
        elif isinstance(name, x509.RFC822Name):
            names.append(f"email:{name.value}")
        elif isinstance(name, x509.UniformResourceIdentifier):
            names.append(f"URI:{name.value}")
        else:
            names.append(f"other:{name.value!r}")
    return tuple(sorted(names))


def profile_of(certificate: x509.Certificate) -> str:
    extension = _extension(certificate, x509.ExtendedKeyUsage)
    usages = set(extension or ())
    if usages == {ExtendedKeyUsageOID.SERVER_AUTH}:
        return "server"
    if usages == {ExtendedKeyUsageOID.CLIENT_AUTH}:
        return "client"
    if usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}:
        return "server_client"
    return "other" if usages else "none"


def is_authority(certificate: x509.Certificate) -> bool:
    """May it sign certificates, by its extensions?"""
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)


def may_sign_lists(certificate: x509.Certificate) -> bool:
    usage = _extension(certificate, x509.KeyUsage)
    return usage is None or usage.crl_sign


def path_length(certificate: x509.Certificate) -> int | None:
    """How many authorities may stand below this one; None is any number."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return None if constraints is None else constraints.path_length


def name_constraints(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Permitted and excluded names of an authority."""
    extension = _extension(certificate, x509.NameConstraints)
    if extension is None:
        return (), ()

    def texts(names: t.Iterable[x509.GeneralName] | None) -> tuple[str, ...]:
        kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP"}
        return tuple(sorted(f"{kinds.get(type(name), 'other')}:{name.value}" for name in names or ()))

    return texts(extension.permitted_subtrees), texts(extension.excluded_subtrees)


def check_permitted(name: str, issuer: x509.Certificate) -> None:
    """:raises PkiError: for an alternative name that the issuer's name constraints exclude: no client would accept it."""
    permitted, excluded = name_constraints(issuer)
    kind, _dummy, value = name.partition(":")

    def within(constraint: str) -> bool:
        what, _dummy, limit = constraint.partition(":")
        if what != kind:
            return False
        if kind == "IP":
            return ipaddress.ip_address(value) in ipaddress.ip_network(limit)
        limit = limit.lstrip(".")
        return value == limit or value.endswith(f".{limit}")

    of_this_kind = [one for one in permitted if one.startswith(f"{kind}:")]
    if any(within(one) for one in excluded) or (of_this_kind and not any(within(one) for one in of_this_kind)):
        raise PkiError(
            f"{name} is not among the names that the authority may certify (permitted: {_listed(permitted)}; excluded: {_listed(excluded)})"
        )


def crl_urls(certificate: x509.Certificate) -> tuple[str, ...]:
    points = _extension(certificate, x509.CRLDistributionPoints)
    return tuple(
        sorted(
            name.value
            for point in points or ()
            for name in point.full_name or ()
            if isinstance(name, x509.UniformResourceIdentifier)
        )
    )


def name_text(name: x509.Name) -> str:
    """In the order in which the certificate has it."""
    short = {NameOID.COMMON_NAME: "CN", NameOID.ORGANIZATION_NAME: "O", NameOID.ORGANIZATIONAL_UNIT_NAME: "OU"}
    short.update({NameOID.COUNTRY_NAME: "C", NameOID.LOCALITY_NAME: "L", NameOID.STATE_OR_PROVINCE_NAME: "ST"})
    return ", ".join(
        f"{short.get(attribute.oid, attribute.oid.dotted_string)}={attribute.value!s}" for attribute in name
    )


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Did the issuer's key sign it? (verify_directly_issued_by came with 40.)"""
    if certificate.issuer != issuer.subject or certificate.signature_hash_algorithm is None:
        return False
    key = issuer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(
                certificate.signature,
                certificate.tbs_certificate_bytes,
                padding.PKCS1v15(),
                certificate.signature_hash_algorithm,
            )
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(
                certificate.signature,
                certificate.tbs_certificate_bytes,
                ec.ECDSA(certificate.signature_hash_algorithm),
            )
        else:
            return False
    except InvalidSignature:
        return False
    return True


def certificate_info(certificate: x509.Certificate) -> dict[str, t.Any]:
    """The info view: everything that a result or a diff shows of a certificate."""
    return {
        "subject": name_text(certificate.subject),
        "issuer": name_text(certificate.issuer),
        "serial": serial_number(certificate),
        "not_before": timestamp(not_before(certificate)),
        "not_after": timestamp(not_after(certificate)),
        "fingerprint": fingerprint(certificate),
        "san": list(alternative_names(certificate)),
        "profile": profile_of(certificate),
        "key_type": request.key_type_of(certificate.public_key()),
        "crl_urls": list(crl_urls(certificate)),
    }


def predicted_info(wanted: Wanted, issuer: x509.Certificate | None) -> dict[str, t.Any]:
    """The info view of a certificate that is not signed yet; what only the signature brings is empty."""
    return {
        "subject": wanted.subject,
        "issuer": "" if issuer is None else name_text(issuer.subject),
        "serial": "",
        "not_before": "",
        "not_after": "",
        "fingerprint": "",
        "san": list(wanted.names),
        "profile": wanted.profile,
        "key_type": wanted.key_type,
        "crl_urls": list(wanted.crl_urls),
    }


def _expiry_reason(
    certificate: x509.Certificate, wanted: Wanted, issuer: x509.Certificate | None, now: datetime.datetime
) -> str | None:
    end = not_after(certificate)
    left = (end - now).total_seconds() / 86400
    if left > wanted.renew_before:
        return None
    if issuer is not None:
        # No certificate outlives its authority: a new one would end as early, at every run.
        possible = min(now + datetime.timedelta(days=wanted.valid_days), not_after(issuer))
        if possible <= end:
            return None
    if left <= 0:
        return f"expired at {timestamp(end)}"
    return f"expires in {left:.0f} days, at {timestamp(end)} (renew_before is {wanted.renew_before})"


def regeneration_reasons(
    wanted: Wanted,
    certificate_pem: bytes | None,
    key_pem: bytes | None,
    issuer: x509.Certificate | None,
    now: datetime.datetime,
    history: History | None = None,
    own: PublicKey | None = None,
) -> list[str]:
    """Why the pair must be made anew, in a user's words; empty when it is as wanted.

    An issuer of None means one that does not exist yet (in check mode). own: the public key of who keeps the private one to itself.
    """
    there = {"the key": own is not None or key_pem is not None, "the certificate": certificate_pem is not None}
    if certificate_pem is None or not there["the key"]:
        return [f"{what} is missing" for what, found in there.items() if not found]
    try:
        key = own if own is not None else request.load_key(key_pem or b"").public_key()
    except PkiError as error:
        return [str(error)]
    try:
        certificate = load_certificate(certificate_pem)
    except PkiError as error:
        return [str(error)]
    reasons: list[str] = []
    if request.public_bytes(key) != request.public_bytes(certificate.public_key()):
        reasons.append("the key does not fit the certificate")
    actual = request.key_type_of(key)
    if actual != wanted.key_type:
        reasons.append(f"the key is {actual}, wanted is {wanted.key_type}")
    if issuer is None or not signed_by(certificate, issuer):
        reasons.append(_issuer_reason(certificate, history or History()))
    elif history is not None and serial_number(certificate) in history.revoked:
        reasons.append("it was revoked")
    if certificate.subject != request.subject_name(wanted.common_name, wanted.organization):
        reasons.append(f"subject changed: it is {name_text(certificate.subject)}, wanted is {wanted.subject}")
    names = alternative_names(certificate)
    if names != wanted.names:
        reasons.append(f"SAN changed: it has {_listed(names)}, wanted are {_listed(wanted.names)}")
    profile = profile_of(certificate)
    if profile != wanted.profile:
        reasons.append(f"its profile is {profile}, wanted is {wanted.profile}")
    urls = crl_urls(certificate)
    if urls != wanted.crl_urls:
        reasons.append(f"its CRL distribution points are {_listed(urls)}, wanted are {_listed(wanted.crl_urls)}")
    expiry = _expiry_reason(certificate, wanted, issuer, now)
    if expiry is not None:
        reasons.append(expiry)
    return reasons


def _issuer_reason(certificate: x509.Certificate, history: History) -> str:
    for issuers, what in ((history.retired, "a retired CA"), (history.trusted, "the CA before, which is still trusted")):
        for issuer in issuers:
            if signed_by(certificate, issuer):
                return f"issued by {what} ({name_text(issuer.subject)})"
    return "it was issued by another authority"


def _listed(names: t.Sequence[str]) -> str:
    return ", ".join(names) or "none"
