# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import types

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from unit.plugins._mqtt.broker import Broker, Rules

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import runner, session

ONE, TWO = "edgestack-verify-1", "edgestack-verify-2"


def write_pem(path, certificate, key):
    path.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def certificate(name, key, issuer_name, issuer_key, ca=False, san=()):
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(san)), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """A CA, a server's certificate for 127.0.0.1, and the two devices' bundles."""
    root = tmp_path_factory.mktemp("pki")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = certificate("edgestack test CA", ca_key, "edgestack test CA", ca_key, ca=True)
    write_pem(root / "ca", ca, ca_key)
    for name in ("server", ONE, TWO):
        key = ec.generate_private_key(ec.SECP256R1())
        san = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("broker.iot.internal")]
        write_pem(root / name, certificate(name, key, "edgestack test CA", ca_key, san=san if name == "server" else ()), key)
    for name in (ONE, TWO):
        (root / f"{name}.password").write_text(f"secret of {name}")
    return root


@pytest.fixture
def start(pki):
    """Starts a broker with some protections changed; stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def begin(tls=True, **changes):
            rules = Rules(users={name: f"secret of {name}" for name in (ONE, TWO)}, **changes)
            files = (str(pki / "server.pem"), str(pki / "server.key"), str(pki / "ca.pem")) if tls else None
            return stack.enter_context(Broker(rules, files))

        yield begin


@pytest.fixture
def described(pki):
    """Descriptions of cases, as the playbook has them."""

    def identity(name, **changes):
        out = {
            "client_id": name,
            "username": name,
            "password_file": str(pki / f"{name}.password"),
            "tls": {"cert_file": str(pki / f"{name}.pem"), "key_file": str(pki / f"{name}.key")},
        }
        out.update(changes)
        return out

    return types.SimpleNamespace(identity=identity, one=ONE, two=TWO, topic=lambda name: f"edgestack/verify/{name}")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """On the loopback interface an alert is there at once."""
    monkeypatch.setattr(session, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.2)
