# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a short script with cryptography takes for the devices' keys and certificates: bare_certificates.py DIRECTORY COUNT [check].

All cores, no fsync, nothing is compared or recorded; with "check" it reads and parses what is there.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA = (
    x509.CertificateBuilder()
    .subject_name(named("CA")).issuer_name(named("CA")).public_key(CA_KEY.public_key()).serial_number(x509.random_serial_number())
    .not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=3650))
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    .sign(CA_KEY, hashes.SHA256())
)  # fmt: skip
DIRECTORY = pathlib.Path(sys.argv[1])


def make(name):
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named(name)).issuer_name(CA.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(CA_KEY.public_key()), critical=False)
        .sign(CA_KEY, hashes.SHA256())
    )  # fmt: skip
    folder = DIRECTORY / name
    folder.mkdir(mode=0o700)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "device.key").write_bytes(private)
    (folder / "device.key").chmod(0o600)
    (folder / "device.pem").write_bytes(pem(certificate))
    (folder / "ca.pem").write_bytes(pem(CA))


def check(name):
    key = serialization.load_pem_private_key((DIRECTORY / name / "device.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((DIRECTORY / name / "device.pem").read_bytes())
    ca = x509.load_pem_x509_certificate((DIRECTORY / name / "ca.pem").read_bytes())
    certificate.verify_directly_issued_by(ca)
    assert key.public_key() == certificate.public_key() and certificate.not_valid_after_utc > NOW


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    names = [f"device-{number:05d}" for number in range(int(sys.argv[2]))]
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(check if sys.argv[3:] else make, names, chunksize=200)
