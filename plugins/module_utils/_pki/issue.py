# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signing: from a public key and a wish to a certificate. Everything in it is the authority's decision."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import inspect, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

try:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID
except ImportError:
    pass  # request.CRYPTOGRAPHY_IMPORT_ERROR has it

if t.TYPE_CHECKING:
    from ansible_collections.edgestack.iot.plugins.module_utils._pki.request import PrivateKey, PublicKey

# Hosts without a battery-backed clock, and zones set wrong, are commonly hours behind.
BACKDATE: t.Final = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of an authority: how many others may stand below it (None: any number), and which names."""

    path_length: int | None = None
    permitted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


def _constraint(name: str) -> x509.GeneralName:
    kind, _dummy, value = name.partition(":")
    return x509.IPAddress(ipaddress.ip_network(value)) if kind == "IP" else x509.DNSName(value)


def _general_name(name: str) -> x509.GeneralName:
    kind, _dummy, value = name.partition(":")
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "URI":
        return x509.UniformResourceIdentifier(value)
    if kind == "email":
        return x509.RFC822Name(value)
    return x509.DNSName(value)


def _key_usage(**wanted: bool) -> x509.KeyUsage:
    usages = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usages.update(wanted)
    return x509.KeyUsage(**usages)


def sign(
    wanted: Wanted,
    public_key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    now: datetime.datetime,
) -> x509.Certificate:
    """:raises PkiError: when the key is not of the wanted type, or the authority has expired."""
    actual = request.key_type_of(public_key)
    if actual != wanted.key_type:
        raise PkiError(f"the request's key is {actual}, wanted is {wanted.key_type}")
    if inspect.not_after(issuer) <= now:
        raise PkiError(f"the authority's certificate expired at {inspect.timestamp(inspect.not_after(issuer))}")
    for name in wanted.names:
        inspect.check_permitted(name, issuer)
    server = wanted.profile in ("server", "server_client")
    client = wanted.profile in ("client", "server_client")
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    issuer_identifier = issuer.extensions.get_extension_for_class
    try:
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            issuer_identifier(x509.SubjectKeyIdentifier).value
        )
    except x509.ExtensionNotFound:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(t.cast(t.Any, issuer.public_key()))
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject_name(wanted.common_name, wanted.organization))
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATE, inspect.not_before(issuer)))
        .not_valid_after(min(now + datetime.timedelta(days=wanted.valid_days), inspect.not_after(issuer)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            _key_usage(digital_signature=True, key_encipherment=actual.startswith("rsa")), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
    )
    if wanted.names:
        names = x509.SubjectAlternativeName([_general_name(name) for name in wanted.names])
        builder = builder.add_extension(names, critical=False)
    if wanted.crl_urls:
        points = x509.CRLDistributionPoints(
            [
                x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
                for url in wanted.crl_urls
            ]
        )
        builder = builder.add_extension(points, critical=False)
    return builder.sign(issuer_key, request.signature_hash(issuer_key))


def self_signed(
    key: PrivateKey, common_name: str, organization: str, valid_days: int, now: datetime.datetime, limits: Limits | None = None
) -> x509.Certificate:
    """A root certificate. Its path length is open by default: a generation to come is signed by it, too."""
    name = request.subject_name(common_name, organization)
    return _authority(name, key.public_key(), name, key, key.public_key(), now, now + datetime.timedelta(days=valid_days), limits or Limits())


def sign_authority(
    subject: x509.Name,
    public_key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    valid_days: int,
    now: datetime.datetime,
    path_length: int | None = None,
) -> x509.Certificate:
    """An authority below another one: an intermediate, or the next generation's root for those who know this one alone.

    :raises PkiError: when the issuer has expired
    """
    if inspect.not_after(issuer) <= now:
        raise PkiError(f"{inspect.name_text(issuer.subject)} expired at {inspect.timestamp(inspect.not_after(issuer))}")
    end = min(now + datetime.timedelta(days=valid_days), inspect.not_after(issuer))
    public = t.cast("PublicKey", issuer.public_key())
    return _authority(subject, public_key, issuer.subject, issuer_key, public, now, end, Limits(path_length))


def _authority(
    subject: x509.Name,
    public_key: PublicKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    issuer_public: PublicKey,
    now: datetime.datetime,
    end: datetime.datetime,
    limits: Limits,
) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    above = x509.SubjectKeyIdentifier.from_public_key(issuer_public)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=limits.path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True, digital_signature=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)
    )
    if limits.permitted or limits.excluded:
        constraints = x509.NameConstraints(
            [_constraint(name) for name in limits.permitted] or None, [_constraint(name) for name in limits.excluded] or None
        )
        builder = builder.add_extension(constraints, critical=True)
    return builder.sign(issuer_key, request.signature_hash(issuer_key))
