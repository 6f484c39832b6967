# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate of another authority that carries the same names, to prove that a broker looks at signatures."""

from __future__ import annotations

import datetime
import os
import pathlib

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    CRYPTOGRAPHY_ERROR: str | None = None
except ImportError as exc:
    CRYPTOGRAPHY_ERROR = str(exc)


def make_foreign(ca_file: str, cert_file: str, directory: str) -> tuple[str, str]:
    """Imitate the certificate in cert_file with an authority of our own; answers (chain file, key file).

    The imitation has the subject of the real certificate, its issuer has the subject and the key identifier of
    the real authority, and the chain brings that issuer along: everything that can be copied is copied, so only
    a broker that checks the signature against its own authority refuses it.
    """
    real_ca = x509.load_pem_x509_certificate(pathlib.Path(ca_file).read_bytes())
    real = x509.load_pem_x509_certificate(pathlib.Path(cert_file).read_bytes())
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    begin, end = now - datetime.timedelta(days=1), now + datetime.timedelta(hours=1)

    ca_key = ec.generate_private_key(ec.SECP256R1())
    key_identifier = _key_identifier(real_ca, ca_key)
    ca_cert = (
        x509.CertificateBuilder()
        .subject_name(real_ca.subject)
        .issuer_name(real_ca.subject)
        .public_key(ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    cert = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(real_ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain_file, key_file = os.path.join(directory, "foreign.pem"), os.path.join(directory, "foreign.key")
    pathlib.Path(chain_file).write_bytes(cert.public_bytes(pem) + ca_cert.public_bytes(pem))
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(key_pem)
    return chain_file, key_file


def _key_identifier(
    real_ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.SubjectKeyIdentifier:
    try:
        return real_ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())


def common_name(cert_file: str) -> str:
    """The common name of a certificate's subject, empty when it has none."""
    cert = x509.load_pem_x509_certificate(pathlib.Path(cert_file).read_bytes())
    names = cert.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
