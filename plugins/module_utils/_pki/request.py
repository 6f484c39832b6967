# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys and requests. Works with cryptography 38, which Debian 12's hosts have."""

from __future__ import annotations

import traceback
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError

CRYPTOGRAPHY_IMPORT_ERROR: str | None = None
try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID
except ImportError:
    CRYPTOGRAPHY_IMPORT_ERROR = traceback.format_exc()

if t.TYPE_CHECKING:
    PrivateKey = t.Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey]
    PublicKey = t.Union[ec.EllipticCurvePublicKey, rsa.RSAPublicKey]


def generate_key(key_type: str) -> PrivateKey:
    family, _dummy, size = key_type.partition("_")
    if family == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    return ec.generate_private_key(ec.SECP384R1() if size == "p384" else ec.SECP256R1())


def key_type_of(key: t.Any) -> str:
    """The key's type in our words, of a private or a public key; others are named, not refused."""
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        return f"rsa_{key.key_size}"
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return {"secp256r1": "ecdsa_p256", "secp384r1": "ecdsa_p384"}.get(key.curve.name, f"ecdsa_{key.curve.name}")
    return type(key).__name__.strip("_").replace("PrivateKey", "").replace("PublicKey", "").lower()


def signature_hash(key: t.Any) -> hashes.SHA256 | hashes.SHA384:
    """The hash that fits the signing key's strength."""
    return hashes.SHA384() if key_type_of(key) == "ecdsa_p384" else hashes.SHA256()


def private_pem(key: PrivateKey, passphrase: str | None = None) -> bytes:
    """PKCS#8."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def load_key(data: bytes, passphrase: str | None = None, what: str = "the private key") -> PrivateKey:
    """:raises PkiError: with the reason in a user's words."""
    try:
        # One of an empty passphrase is not encrypted: the library refuses to be given one then.
        key = serialization.load_pem_private_key(data, passphrase.encode() if passphrase else None)
    except TypeError:
        if passphrase:
            return load_key(data, None, what)
        raise PkiError(f"{what} is encrypted, and no passphrase was given") from None
    except Exception:  # the library raises several kinds, and 'from None' keeps their text, which may quote input, away
        if passphrase and b"ENCRYPTED" in data:
            raise PkiError(f"the passphrase does not open {what}, or it is damaged") from None
        raise PkiError(f"{what} is no private key in PEM format, or it is damaged") from None
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise PkiError(f"{what} is a key of the kind {key_type_of(key)}: only RSA and ECDSA can be used")
    return key


def public_bytes(key: t.Any) -> bytes:
    """To be compared: of a public key, or a certificate's or request's."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return t.cast(bytes, encoded)


def subject_name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def make_request(key: PrivateKey, common_name: str, organization: str = "") -> bytes:
    """Carries the public key and proves that the sender has the private one; the authority decides everything else."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_name(common_name, organization))
    return builder.sign(key, signature_hash(key)).public_bytes(serialization.Encoding.PEM)


def load_request(data: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(data)
        valid = request.is_signature_valid
    except Exception as error:
        raise PkiError(f"this is no certificate request in PEM format: {error}") from None
    if not valid:
        raise PkiError("the certificate request is not signed with its own key")
    return request
