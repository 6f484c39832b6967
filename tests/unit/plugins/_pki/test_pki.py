# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import itertools
import json
import multiprocessing
import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ansible_collections.edgestack.iot.plugins.module_utils._pki import (
    arguments,
    authority,
    batch,
    files,
    index,
    inspect,
    install,
    issue,
    model,
    request,
)
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Adoption, Authority, WantedAuthority
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
PASSPHRASE = "correct-horse"
CA = WantedAuthority("Test CA", "edgestack")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def tree(path):
    """Every file with its content, to see that nothing was changed."""
    return {str(one.relative_to(path)): one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()}


@pytest.fixture
def ca(tmp_path):
    made = Authority(str(tmp_path / "pki"))
    made.ensure(CA, PASSPHRASE, NOW)
    return made


@pytest.fixture(scope="session")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pair(ca, wanted, now=NOW, key=None):
    """Key and certificate in PEM."""
    key = key or request.generate_key(wanted.key_type)
    certificate = issue.sign(wanted, key.public_key(), ca.certificate(), ca.key(PASSPHRASE), now)
    return request.private_pem(key), authority.certificate_pem(certificate)


# What is wanted


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("DNS:Broker.Example", "DNS:broker.example"),
        ("broker.", "DNS:broker"),
        ("gateway_1", "DNS:gateway_1"),
        ("*.example.com", "DNS:*.example.com"),
        ("dns:münchen.example", "DNS:xn--mnchen-3ya.example"),
        ("IP:192.0.2.1", "IP:192.0.2.1"),
        ("192.0.2.1", "IP:192.0.2.1"),
        ("2001:DB8:0::1", "IP:2001:db8::1"),
        ("ip:::1", "IP:::1"),
        ("URI:urn:x:y", "URI:urn:x:y"),
        ("email:a@example.com", "email:a@example.com"),
    ],
)
def test_names_are_normalized(given, normal):
    assert model.normalize_name(given) == normal
    assert model.normalize_name(normal) == normal


@pytest.mark.parametrize(
    "name",
    ["", "DNS:", "a b", "a..b", "-a", "a-", "*", "x*.example", "a" * 64, ".".join(["a" * 60] * 5), "IP:300.1.1.1", "IP:10.0.0.0/8", "URI:", "email:ñ@x", "a/b"],
)
def test_names_that_no_certificate_takes(name):
    with pytest.raises(PkiError, match=r"name|address"):
        model.normalize_name(name)


def test_order_and_repetition_of_names_mean_nothing():
    assert model.normalize_names(["b", "a", "DNS:A", "10.0.0.1"]) == ("DNS:a", "DNS:b", "IP:10.0.0.1")


def test_a_server_has_its_common_name_as_a_name():
    assert Wanted.checked("broker").names == ("DNS:broker",)
    assert Wanted.checked("10.0.0.1", profile="server_client").names == ("IP:10.0.0.1",)
    assert Wanted.checked("device 1", profile="client").names == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"common_name": ""}, "empty"),
        ({"common_name": " a"}, "space"),
        ({"common_name": "a" * 65}, "65 characters"),
        ({"common_name": "a\nb"}, "control"),
        ({"organization": "x" * 65}, "organization"),
        ({"profile": "ca"}, "unknown profile"),
        ({"key_type": "rsa_1024"}, "unknown key_type"),
        ({"valid_days": 0}, "valid_days"),
        ({"valid_days": 40000}, "valid_days"),
        ({"valid_days": 30}, "renew_before"),
        ({"renew_before": -1}, "renew_before"),
        ({"crl_urls": ["ftp://x"]}, "CRL"),
        ({"names": ["a b"]}, "DNS name"),
        ({"common_name": "two words"}, "DNS name"),
    ],
)
def test_wishes_that_are_refused(change, text):
    with pytest.raises(PkiError, match=text):
        Wanted.checked(**{"common_name": "broker", **change})


@pytest.mark.parametrize(("value", "expected"), [("0640", 0o640), ("640", 0o640), (0o600, 0o600), ("0o600", 0o600)])
def test_modes(value, expected):
    assert arguments.octal(value, "mode") == expected


@pytest.mark.parametrize("value", ["u=rw", "0999", "", True, None, -1, "17777"])
def test_modes_that_are_none(value):
    with pytest.raises(PkiError, match="octal"):
        arguments.octal(value, "mode")


# Keys and requests


@pytest.mark.parametrize("key_type", [kind for kind in model.KEY_TYPES if kind not in ("rsa_3072", "rsa_4096")])
def test_a_request_proves_its_key(key_type):
    key = request.generate_key(key_type)
    assert request.key_type_of(key) == request.key_type_of(key.public_key()) == key_type
    loaded = request.load_request(request.make_request(key, "broker", "edgestack"))
    assert request.public_bytes(loaded.public_key()) == request.public_bytes(key.public_key())


@pytest.mark.parametrize(("kind", "size"), [("rsa_3072", 3072), ("rsa_4096", 4096)])
def test_large_keys(kind, size, monkeypatch):
    asked = {}
    monkeypatch.setattr(request.rsa, "generate_private_key", lambda **options: asked.update(options))
    request.generate_key(kind)
    assert asked == {"public_exponent": 65537, "key_size": size}


def test_a_request_that_somebody_changed():
    pem = request.make_request(request.generate_key("ecdsa_p256"), "broker")
    loaded = x509.load_pem_x509_csr(pem)
    der = bytearray(loaded.public_bytes(serialization.Encoding.DER))
    der[der.index(b"broker")] ^= 1
    changed = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(PkiError, match="not signed with its own key"):
        request.load_request(changed)
    with pytest.raises(PkiError, match="no certificate request"):
        request.load_request(b"nonsense")


def test_keys_are_encrypted_with_the_passphrase():
    key = request.generate_key("ecdsa_p256")
    closed = request.private_pem(key, PASSPHRASE)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in closed
    assert request.public_bytes(request.load_key(closed, PASSPHRASE).public_key()) == request.public_bytes(key.public_key())
    # A passphrase too many does no harm.
    assert request.load_key(request.private_pem(key), PASSPHRASE)


@pytest.mark.parametrize(
    ("data", "passphrase", "text"),
    [
        ("closed", "wrong", "does not open the private key"),
        ("closed", None, "no passphrase was given"),
        ("closed", "", "no passphrase was given"),
        ("nonsense", None, "no private key in PEM"),
        ("nonsense", "x", "no private key in PEM"),
        ("truncated", None, "no private key in PEM"),
        ("ed25519", None, "only RSA and ECDSA"),
    ],
)
def test_keys_that_cannot_be_used(data, passphrase, text):
    key = request.generate_key("ecdsa_p256")
    other = ed25519.Ed25519PrivateKey.generate()
    content = {
        "closed": request.private_pem(key, PASSPHRASE),
        "nonsense": b"nonsense",
        "truncated": request.private_pem(key)[:80],
        "ed25519": other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }[data]
    with pytest.raises(PkiError, match=text) as caught:
        request.load_key(content, passphrase)
    # What the library says may quote what it was given.
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_other_kinds_of_keys_have_a_name():
    assert request.key_type_of(ec.generate_private_key(ec.SECP521R1())) == "ecdsa_secp521r1"
    assert "ed25519" in request.key_type_of(ed25519.Ed25519PrivateKey.generate())


# Issuing and looking


def test_a_certificate_is_what_was_wanted(ca):
    wanted = Wanted.checked("broker", "edgestack", ["broker", "10.0.0.1", "URI:urn:a", "email:a@b.c"], "server_client", crl_urls=["http://x/crl"])
    _key, pem = pair(ca, wanted)
    certificate = inspect.load_certificate(pem)
    info = inspect.certificate_info(certificate)
    assert info["subject"] == wanted.subject == "O=edgestack, CN=broker"
    assert info["issuer"] == "O=edgestack, CN=Test CA"
    assert info["san"] == ["DNS:broker", "IP:10.0.0.1", "URI:urn:a", "email:a@b.c"]
    assert (info["profile"], info["key_type"], info["crl_urls"]) == ("server_client", "ecdsa_p256", ["http://x/crl"])
    assert info["not_before"] == "2026-02-28T12:00:00Z"
    assert info["not_after"] == inspect.timestamp(NOW + 825 * DAY)
    assert not inspect.is_authority(certificate)
    certificate.verify_directly_issued_by(ca.certificate())
    predicted = inspect.predicted_info(wanted, ca.certificate())
    assert {name: info[name] for name in ("subject", "issuer", "san", "profile", "key_type", "crl_urls")} == {
        name: predicted[name] for name in ("subject", "issuer", "san", "profile", "key_type", "crl_urls")
    }
    assert set(predicted) == set(info)


def test_openssl_verifies_it(ca, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    (tmp_path / "server.pem").write_bytes(pair(ca, Wanted.checked("broker"), inspect.utc_now())[1])
    for purpose, status in (("sslserver", 0), ("sslclient", 2)):
        result = subprocess.run(
            [openssl, "verify", "-x509_strict", "-no_check_time", "-purpose", purpose, "-CAfile", ca.certificate_path, str(tmp_path / "server.pem")],
            check=False,
            capture_output=True,
        )
        assert result.returncode == status, result.stderr


def test_nothing_outlives_the_authority(tmp_path):
    short = Authority(str(tmp_path / "pki"))
    short.ensure(dataclasses.replace(CA, valid_days=100), PASSPHRASE, NOW)
    wanted = Wanted.checked("broker", valid_days=825)
    key, pem = pair(short, wanted)
    assert inspect.not_after(inspect.load_certificate(pem)) == NOW + 100 * DAY
    # It can't be made to last longer, so it is not made anew at every run of its last days.
    assert inspect.regeneration_reasons(wanted, pem, key, short.certificate(), NOW + 90 * DAY) == []
    with pytest.raises(PkiError, match="authority's certificate expired"):
        pair(short, wanted, NOW + 100 * DAY)


def test_the_request_has_another_key_than_wanted(ca, rsa_key):
    with pytest.raises(PkiError, match="request's key is rsa_2048, wanted is ecdsa_p256"):
        pair(ca, Wanted.checked("broker"), key=rsa_key)


def test_an_authority_of_rsa_and_one_of_p384(tmp_path):
    for kind in ("rsa_2048", "ecdsa_p384"):
        made = Authority(str(tmp_path / kind))
        made.ensure(dataclasses.replace(CA, key_type=kind), PASSPHRASE, NOW)
        wanted = Wanted.checked("device-1", profile="client", key_type="rsa_2048")
        key, pem = pair(made, wanted)
        assert inspect.regeneration_reasons(wanted, pem, key, made.certificate(), NOW) == []
        assert inspect.load_certificate(pem).extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment


BASE = {"common_name": "broker", "names": ["broker", "10.0.0.1"], "organization": "o"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"common_name": "other"}, "subject changed: it is O=o, CN=broker, wanted is O=o, CN=other"),
        ({"organization": ""}, "subject changed"),
        ({"names": ["broker"]}, "SAN changed: it has DNS:broker, IP:10.0.0.1, wanted are DNS:broker"),
        ({"profile": "client"}, "its profile is server, wanted is client"),
        ({"key_type": "ecdsa_p384"}, "the key is ecdsa_p256, wanted is ecdsa_p384"),
        ({"crl_urls": ["http://x"]}, "CRL distribution points are none, wanted are http://x"),
    ],
)
def test_reasons_for_a_new_one(ca, change, text):
    key, pem = pair(ca, Wanted.checked(**BASE))
    assert inspect.regeneration_reasons(Wanted.checked(**BASE), pem, key, ca.certificate(), NOW) == []
    reasons = inspect.regeneration_reasons(Wanted.checked(**{**BASE, **change}), pem, key, ca.certificate(), NOW)
    assert len(reasons) == 1 and text in reasons[0]


def test_renewal_begins_exactly_when_asked(ca):
    wanted = Wanted.checked("broker", valid_days=100, renew_before=10)
    key, pem = pair(ca, wanted)

    def reasons(days, seconds=0):
        return inspect.regeneration_reasons(wanted, pem, key, ca.certificate(), NOW + days * DAY + datetime.timedelta(seconds=seconds))

    assert reasons(90, -1) == []
    assert "expires in 10 days" in reasons(90)[0]
    assert "expired at 2026-06-09T12:00:00Z" in reasons(101)[0]


def test_another_authority_of_the_same_name(ca, tmp_path):
    other = Authority(str(tmp_path / "other"))
    other.ensure(CA, PASSPHRASE, NOW)
    wanted = Wanted.checked("broker")
    key, pem = pair(ca, wanted)
    for issuer in (other.certificate(), None):
        assert inspect.regeneration_reasons(wanted, pem, key, issuer, NOW) == ["it was issued by another authority"]


def test_missing_and_damaged_files(ca):
    wanted = Wanted.checked("broker")
    key, pem = pair(ca, wanted)
    other = request.private_pem(request.generate_key("ecdsa_p256"))
    issuer = ca.certificate()

    def reasons(certificate, private):
        return inspect.regeneration_reasons(wanted, certificate, private, issuer, NOW)

    assert reasons(None, None) == ["the key is missing", "the certificate is missing"]
    assert reasons(pem, None) == ["the key is missing"]
    assert reasons(None, key) == ["the certificate is missing"]
    assert reasons(pem, other) == ["the key does not fit the certificate"]
    assert "no private key" in reasons(pem, b"")[0]
    assert "no certificate in PEM" in reasons(b"", key)[0]
    assert "can't be read" in reasons(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", key)[0]
    assert "passphrase" in reasons(pem, request.private_pem(request.generate_key("ecdsa_p256"), "x"))[0]


def test_certificates_of_others_can_be_looked_at():
    key = request.generate_key("ecdsa_p256")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "ES"), x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "7")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]), False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), False)
        .sign(key, hashes.SHA256())
    )
    info = inspect.certificate_info(certificate)
    assert (info["subject"], info["profile"], info["serial"]) == ("C=ES, 2.5.4.5=7", "other", "5")
    assert info["san"][0].startswith("other:")


def test_signatures_of_keys_that_we_do_not_use(ca):
    key = ed25519.Ed25519PrivateKey.generate()
    name = request.subject_name("Ed CA")
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY)
    odd = builder.public_key(key.public_key()).sign(key, None)
    assert not inspect.signed_by(odd, odd)
    ours = request.generate_key("ecdsa_p256")
    assert not inspect.signed_by(builder.public_key(ours.public_key()).sign(ours, hashes.SHA256()), odd)


def test_times_with_an_old_cryptography():
    class Old:
        not_valid_before = datetime.datetime(2026, 1, 1)
        not_valid_after = datetime.datetime(2026, 1, 2)

    assert inspect.timestamp(inspect.not_before(Old())) == "2026-01-01T00:00:00Z"
    assert inspect.not_after(Old()) - inspect.not_before(Old()) == DAY


# The authority


def test_a_new_authority(tmp_path):
    made = Authority(str(tmp_path / "pki"))
    outcome = made.ensure(CA, PASSPHRASE, NOW)
    assert (outcome.changed, outcome.reasons, outcome.before) == (True, ["there is no authority yet"], {})
    certificate = made.certificate()
    assert inspect.is_authority(certificate)
    certificate.verify_directly_issued_by(certificate)
    assert inspect.not_after(certificate) == NOW + 7300 * DAY
    assert made.bundle() == pathlib.Path(made.certificate_path).read_bytes()
    assert (mode(made.directory), mode(made.key_path), mode(made.certificate_path)) == (0o700, 0o600, 0o644)
    assert "*" in (tmp_path / "pki" / ".gitignore").read_text().splitlines()
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in pathlib.Path(made.key_path).read_bytes()
    before = tree(tmp_path)
    again = made.ensure(CA, PASSPHRASE, NOW + DAY)
    assert (again.changed, again.reasons, again.before) == (False, [], outcome.after)
    assert tree(tmp_path) == before


def test_check_mode_predicts_an_authority(tmp_path):
    outcome = Authority(str(tmp_path / "pki")).ensure(CA, PASSPHRASE, NOW, check=True)
    assert outcome.changed and outcome.after["subject"] == "O=edgestack, CN=Test CA" and outcome.after["fingerprint"] == ""
    assert os.listdir(tmp_path) == []


def test_an_authority_that_is_there_is_kept(ca):
    before = tree(pathlib.Path(ca.directory))
    outcome = ca.ensure(WantedAuthority("Other CA", "", "rsa_2048"), PASSPHRASE, NOW)
    assert not outcome.changed
    assert [text for text in outcome.warnings if "kept as it is" in text] == outcome.warnings and len(outcome.warnings) == 2
    assert tree(pathlib.Path(ca.directory)) == before
    assert "expires in 99 days" in ca.ensure(CA, PASSPHRASE, NOW + 7200 * DAY + datetime.timedelta(hours=1)).warnings[0]


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda made: None, "does not open"),
        (lambda made: os.unlink(made.key_path), "is missing: restore it"),
        (lambda made: pathlib.Path(made.certificate_path).write_text("x"), "no certificate in PEM"),
        (lambda made: pathlib.Path(made.key_path).write_text("x"), "no private key"),
        (lambda made: pathlib.Path(made.key_path).write_bytes(request.private_pem(request.generate_key("ecdsa_p256"), "wrong")), "does not fit"),
    ],
)
def test_an_authority_that_cannot_be_used(ca, spoil, text):
    spoil(ca)
    before = tree(pathlib.Path(ca.directory))
    for check in (True, False):
        with pytest.raises(PkiError, match=text) as caught:
            ca.ensure(CA, "wrong", NOW, check)
        assert "wrong" not in str(caught.value)
    assert tree(pathlib.Path(ca.directory)) == before


@pytest.mark.parametrize(
    "wanted",
    [
        WantedAuthority(""),
        WantedAuthority("x" * 65),
        WantedAuthority("a", "b\n"),
        WantedAuthority("a", key_type="dsa"),
        WantedAuthority("a", valid_days=0),
    ],
)
def test_authorities_that_cannot_be_made(tmp_path, wanted):
    with pytest.raises(PkiError):
        Authority(str(tmp_path / "pki")).ensure(wanted, PASSPHRASE, NOW)
    with pytest.raises(PkiError, match="passphrase"):
        Authority(str(tmp_path / "pki")).ensure(CA, "", NOW)
    assert os.listdir(tmp_path) == []


def test_an_expired_authority_is_refused(ca):
    with pytest.raises(PkiError, match="expired at"):
        ca.ensure(CA, PASSPHRASE, NOW + 7301 * DAY)


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PkiError, match="can't be used"):
        Authority(str(tmp_path / "file" / "pki")).ensure(CA, PASSPHRASE, NOW)


def test_there_is_none(tmp_path):
    with pytest.raises(PkiError, match=r"edgestack\.iot\.pki_authority"):
        Authority(str(tmp_path)).certificate()


def test_what_is_wrong_with_files_is_put_right(ca):
    key = ca.key(PASSPHRASE)
    pathlib.Path(ca.key_path).write_bytes(request.private_pem(key))
    os.chmod(ca.key_path, 0o644)
    os.unlink(ca.bundle_path)
    assert ca.bundle() == authority.certificate_pem(ca.certificate())
    before = tree(pathlib.Path(ca.directory))
    assert ca.ensure(CA, PASSPHRASE, NOW, check=True).changed
    assert tree(pathlib.Path(ca.directory)) == before
    outcome = ca.ensure(CA, PASSPHRASE, NOW)
    assert outcome.reasons == ["the key was not encrypted", "the key was readable for others", "bundle.pem was missing"]
    assert mode(ca.key_path) == 0o600 and b"ENCRYPTED" in pathlib.Path(ca.key_path).read_bytes()
    os.chmod(ca.key_path, 0o640)
    assert ca.ensure(CA, PASSPHRASE, NOW).reasons == ["the key was readable for others"]
    assert not ca.ensure(CA, PASSPHRASE, NOW).changed and mode(ca.key_path) == 0o600


def test_a_run_killed_between_key_and_certificate(ca):
    wanted = Wanted.checked("broker")
    key, pem = pair(ca, wanted)
    os.unlink(ca.certificate_path)
    assert ca.ensure(CA, PASSPHRASE, NOW, check=True).changed and not ca.exists()
    assert ca.ensure(CA, PASSPHRASE, NOW).reasons == ["the key is there, its certificate is missing"]
    assert inspect.regeneration_reasons(wanted, pem, key, ca.certificate(), NOW) == []


def test_two_authorities_are_trusted_while_one_follows_another(ca, tmp_path):
    other = Authority(str(tmp_path / "other"))
    other.ensure(CA, PASSPHRASE, NOW)
    pathlib.Path(ca.bundle_path).write_bytes(b"a comment\n" + ca.bundle() + other.bundle())
    assert len(inspect.load_certificates(ca.bundle())) == 2 and b"comment" not in ca.bundle()


# Adopting


def write_foreign(path, passphrase=None, certificate_key=None, extensions=True, days=1000, key=None, cert_sign=True):
    """An authority as the old stack's openssl commands make it: RSA, RFC 1423 or plain."""
    key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Old CA")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key((certificate_key or key).public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - 400 * DAY).not_valid_after(NOW + days * DAY)
    if extensions:
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    if not cert_sign:
        builder = builder.add_extension(issue._key_usage(digital_signature=True), True)
    certificate = builder.sign(certificate_key or key, hashes.SHA256())
    path.mkdir()
    encryption = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    (path / "ca.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption))
    (path / "ca.pem").write_bytes(authority.certificate_pem(certificate))
    return WantedAuthority("ignored", adoption=Adoption(str(path / "ca.pem"), str(path / "ca.key"), passphrase))


@pytest.mark.parametrize("passphrase", [None, "old-secret"])
def test_an_authority_is_adopted(tmp_path, rsa_key, passphrase):
    wanted = write_foreign(tmp_path / "old", passphrase, key=rsa_key)
    old = tree(tmp_path / "old")
    made = Authority(str(tmp_path / "pki"))
    assert made.ensure(wanted, PASSPHRASE, NOW, check=True).changed and not (tmp_path / "pki").exists()
    outcome = made.ensure(wanted, PASSPHRASE, NOW)
    assert outcome.reasons == [f"adopted from {tmp_path}/old/ca.pem"] and outcome.after["subject"] == "CN=Old CA"
    assert made.ensure(wanted, PASSPHRASE, NOW).changed is False
    assert tree(tmp_path / "old") == old
    assert (tmp_path / "pki" / "ca.pem").read_bytes() == old["ca.pem"]
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "pki" / "ca.key").read_bytes()
    # Without a subject key identifier in its certificate it issues as well.
    leaf = Wanted.checked("broker")
    key, pem = pair(made, leaf)
    assert inspect.regeneration_reasons(leaf, pem, key, made.certificate(), NOW) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"extensions": False}, "not the certificate of an authority"),
        ({"cert_sign": False}, "not the certificate of an authority"),
        ({"days": -1}, "expired at"),
        ({"certificate_key": request.generate_key("ecdsa_p256")}, "does not fit"),
        ({"key": rsa.generate_private_key(public_exponent=65537, key_size=1024)}, "1024 bits"),
    ],
)
def test_authorities_that_are_not_adopted(tmp_path, rsa_key, options, text):
    wanted = write_foreign(tmp_path / "old", **{"key": rsa_key, **options})
    with pytest.raises(PkiError, match=text):
        Authority(str(tmp_path / "pki")).ensure(wanted, PASSPHRASE, NOW)
    assert not (tmp_path / "pki").exists()


def test_adopting_with_a_wrong_passphrase_or_no_file(tmp_path, rsa_key):
    wanted = write_foreign(tmp_path / "old", "old-secret", key=rsa_key)
    made = Authority(str(tmp_path / "pki"))
    for adoption, text in (
        (dataclasses.replace(wanted.adoption, passphrase="no"), "does not open"),
        (dataclasses.replace(wanted.adoption, passphrase=None), "no passphrase was given"),
        (dataclasses.replace(wanted.adoption, key_path="/nonexistent"), "can't be read: No such file"),
        (dataclasses.replace(wanted.adoption, certificate_path=wanted.adoption.key_path), "no certificate"),
    ):
        with pytest.raises(PkiError, match=text):
            made.ensure(dataclasses.replace(wanted, adoption=adoption), PASSPHRASE, NOW)
    assert "old-secret" not in repr(wanted)
    assert not (tmp_path / "pki").exists()


def test_an_authority_is_not_replaced_by_adopting_another(ca, tmp_path, rsa_key):
    wanted = write_foreign(tmp_path / "old", key=rsa_key)
    before = tree(pathlib.Path(ca.directory))
    with pytest.raises(PkiError, match="has an authority already"):
        ca.ensure(wanted, PASSPHRASE, NOW)
    assert tree(pathlib.Path(ca.directory)) == before
    os.unlink(ca.certificate_path)
    with pytest.raises(PkiError, match="another key than the one to be adopted"):
        ca.ensure(wanted, PASSPHRASE, NOW)


def test_an_interrupted_adoption_is_finished(tmp_path, rsa_key):
    wanted = write_foreign(tmp_path / "old", key=rsa_key)
    made = Authority(str(tmp_path / "pki"))
    made.ensure(wanted, PASSPHRASE, NOW)
    os.unlink(made.certificate_path)
    assert made.ensure(wanted, PASSPHRASE, NOW).changed and made.key(PASSPHRASE)


def _make_and_sign(arguments_):
    path, number = arguments_
    made = Authority(path)
    outcome = made.ensure(CA, PASSPHRASE, NOW)
    csr = request.make_request(request.generate_key("ecdsa_p256"), f"host-{number}")
    made.sign_request(Wanted.checked(f"host-{number}"), csr, PASSPHRASE, NOW)
    return outcome.changed, inspect.fingerprint(made.certificate())


def test_all_hosts_of_a_play_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(8, mp_context=context) as pool:
        results = list(pool.map(_make_and_sign, [(str(tmp_path / "pki"), number) for number in range(24)]))
    assert sum(changed for changed, _fingerprint in results) == 1
    assert len({fingerprint for _changed, fingerprint in results}) == 1
    records = Authority(str(tmp_path / "pki")).issued()
    assert sorted(record["subject"] for record in records) == sorted(f"CN=host-{number}" for number in range(24))
    assert len({record["serial"] for record in records}) == 24


# The index


def test_a_signature_is_recorded(ca):
    csr = request.make_request(request.generate_key("ecdsa_p256"), "whatever the host says")
    certificate = inspect.load_certificate(ca.sign_request(Wanted.checked("broker"), csr, PASSPHRASE, NOW))
    info = inspect.certificate_info(certificate)
    assert info["subject"] == "CN=broker"
    [record] = ca.issued()
    assert record == {
        "state": "issued",
        "time": "2026-03-01T12:00:00Z",
        **{name: info[name] for name in ("serial", "subject", "issuer", "profile", "not_before", "not_after", "fingerprint")},
    }
    assert mode(ca.index_path) == 0o600


def test_nothing_is_handed_out_that_cannot_be_recorded(ca):
    os.mkdir(ca.index_path)
    csr = request.make_request(request.generate_key("ecdsa_p256"), "x")
    with pytest.raises(PkiError, match="index can't be written"):
        ca.sign_request(Wanted.checked("broker"), csr, PASSPHRASE, NOW)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_truncated_last_line_is_repaired_and_nothing_is_lost(tmp_path, cut):
    path = str(tmp_path / "index.jsonl")
    index.append(path, [{"serial": "1"}, {"serial": "2"}])
    whole = (tmp_path / "index.jsonl").read_bytes()
    (tmp_path / "index.jsonl").write_bytes(whole[:-cut])
    index.append(path, [{"serial": "3"}])
    records = index.read(path)
    assert [record.get("serial") for record in records if record.get("state") != "damaged"] == (["1", "2", "3"] if cut == 1 else ["1", "3"])
    if cut > 1:
        assert records[1] == {"state": "damaged", "raw": '{"serial": "2"}'[: 16 - cut]}
    assert all(isinstance(json.loads(line), dict) for line in (tmp_path / "index.jsonl").read_text().splitlines())


def test_a_file_of_one_truncated_line(tmp_path):
    (tmp_path / "i").write_bytes(b'{"ser\xff')
    index.append(str(tmp_path / "i"), [{"serial": "1"}])
    assert index.read(str(tmp_path / "i")) == [{"state": "damaged", "raw": '{"ser\\xff'}, {"serial": "1"}]


def test_damaged_lines_are_kept_when_read(tmp_path):
    assert index.parse(b'{"a": 1}\nnonsense\n\n[1]\n') == [{"a": 1}, {"state": "damaged", "raw": "nonsense"}, {"state": "damaged", "raw": "[1]"}]
    assert index.read(str(tmp_path / "none")) == []
    index.append(str(tmp_path / "none"), [])
    assert not (tmp_path / "none").exists()


# On a host


@pytest.fixture
def host(ca, tmp_path):
    return Host(ca, tmp_path / "host" / "tls")


class Host:
    def __init__(self, ca, path):
        self.ca = ca
        self.path = path
        self.target = install.Target(str(path), "server")
        self.ownership = install.Ownership()
        self.wanted = Wanted.checked("broker")
        self.now = NOW

    def state(self):
        return self.target.state(self.wanted, self.ca.certificate(), self.ca.bundle(), self.ownership, self.now)

    def sign(self):
        return self.ca.sign_request(self.wanted, self.target.prepare(self.wanted, self.ownership), PASSPHRASE, self.now)

    def install(self, certificate):
        return self.target.install(self.wanted, certificate, self.ca.certificate(), self.ca.bundle(), self.ownership, self.now)

    def converge(self):
        """As the module and the action plugin do it."""
        state = self.state()
        if state.reasons:
            self.install(self.sign())
        elif state.changed:
            self.target.adjust(self.ca.bundle(), self.ownership)
        return state

    def fits(self):
        return install.fits(pathlib.Path(self.target.key).read_bytes(), pathlib.Path(self.target.certificate).read_bytes())


def test_a_first_certificate(host):
    state = host.state()
    assert state.reasons == ["the key is missing", "the certificate is missing"] and state.certificate == {}
    assert not host.path.exists()
    host.converge()
    assert sorted(os.listdir(host.path)) == ["ca.pem", "server.key", "server.pem"]
    assert (mode(host.path), mode(host.target.key), mode(host.target.certificate)) == (0o750, 0o640, 0o644)
    before = tree(host.path)
    assert not host.converge().changed
    assert tree(host.path) == before


def test_the_new_key_is_another_one(host):
    host.converge()
    first = tree(host.path)
    host.wanted = Wanted.checked("broker", names=["other"])
    assert len(host.converge().reasons) == 1
    assert tree(host.path)["server.key"] != first["server.key"] and host.fits()
    assert not host.converge().changed


def test_an_existing_directory_is_left_as_it_is(host):
    host.path.mkdir(parents=True, mode=0o711)
    host.path.chmod(0o711)
    host.converge()
    assert mode(host.path) == 0o711


def test_only_what_is_trusted_has_changed(host, tmp_path):
    host.converge()
    other = Authority(str(tmp_path / "other"))
    other.ensure(CA, PASSPHRASE, NOW)
    pathlib.Path(host.ca.bundle_path).write_bytes(host.ca.bundle() + other.bundle())
    before = tree(host.path)
    state = host.converge()
    assert (state.reasons, state.changes) == ([], ["ca.pem"])
    after = tree(host.path)
    assert after.pop("ca.pem") == host.ca.bundle()
    before.pop("ca.pem")
    assert after == before
    assert not host.converge().changed


def test_only_the_mode_has_changed(host):
    host.converge()
    before = tree(host.path)
    host.ownership = install.Ownership(key_mode=0o600)
    state = host.converge()
    assert (state.reasons, state.changes) == ([], ["owner, group or mode of server.key"])
    assert mode(host.target.key) == 0o600 and tree(host.path) == before
    assert not host.converge().changed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_only_the_owner_has_changed(host):
    host.converge()
    host.ownership = install.Ownership(uid=12345, gid=54321)
    assert len(host.converge().changes) == 3
    assert {(os.stat(path).st_uid, os.stat(path).st_gid) for path in host.path.iterdir()} == {(12345, 54321)}
    assert not host.converge().changed
    host.wanted = Wanted.checked("other")
    host.converge()
    assert {(os.stat(path).st_uid, os.stat(path).st_gid) for path in host.path.iterdir()} == {(12345, 54321)}


def test_owners_are_resolved(tmp_path):
    import grp
    import pwd

    me, mine = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    ownership, unknown = install.resolve_ownership(me, mine, 0o600, 0o700)
    assert (ownership, unknown) == (install.Ownership(os.getuid(), os.getgid(), 0o600, 0o700), [])
    assert install.resolve_ownership("12345", "7", 0o600, 0o700)[0].uid == 12345
    assert install.resolve_ownership("nobody-has-this", "nor-this", 0o600, 0o700)[1] == ["the user nobody-has-this", "the group nor-this"]
    assert install.resolve_ownership(None, None, 0o600, 0o700)[0].uid == -1


class Killed(BaseException):
    """As SIGKILL: no except clause of the code under test is to catch it."""


def test_killed_at_every_step(host, monkeypatch):
    """Whatever is called last: the pair in use is whole or is finished by the next run, which then has nothing to do."""
    host.converge()
    real = {name: getattr(os, name) for name in ("replace", "unlink", "fsync", "rename", "open", "chmod", "chown")}
    swaps = 0
    for step in itertools.count():
        host.wanted = Wanted.checked("broker", names=[f"name-{step}"])
        left = [step]

        def counted(name, *words, _left=left, **options):
            if _left[0] == 0:
                raise Killed
            _left[0] -= 1
            return real[name](*words, **options)

        for name in real:
            monkeypatch.setattr(os, name, lambda *words, _name=name, **options: counted(_name, *words, **options))
        try:
            host.converge()
            done = True
        except Killed:
            done = False
        monkeypatch.undo()
        if not done and not host.fits():
            # Between the two renames: the state says so, and nothing has to be signed again.
            swaps += 1
            state = host.state()
            assert state.interrupted and state.reasons == []
            signed = len(host.ca.issued())
            host.converge()
            assert len(host.ca.issued()) == signed
        host.converge()
        assert host.fits() and not host.converge().changed
        assert sorted(os.listdir(host.path)) == ["ca.pem", "server.key", "server.pem"]
        if done:
            break
    assert step > 10 and swaps >= 1


def test_the_pending_key_of_a_killed_run_is_used_again(host):
    host.sign()
    assert mode(host.target.pending_key) == 0o600
    pending = pathlib.Path(host.target.pending_key).read_bytes()
    host.converge()
    assert pathlib.Path(host.target.key).read_bytes() == pending


@pytest.mark.parametrize("spoil", ["mode", "type", "content", "link"])
def test_a_pending_key_that_is_not_ours_is_not_used(host, spoil, tmp_path):
    host.sign()
    path = pathlib.Path(host.target.pending_key)
    pending = path.read_bytes()
    if spoil == "mode":
        path.chmod(0o644)
    elif spoil == "type":
        path.write_bytes(request.private_pem(request.generate_key("ecdsa_p384")))
    elif spoil == "content":
        path.write_bytes(b"")
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    host.converge()
    assert pathlib.Path(host.target.key).read_bytes() != pending and host.fits()


def test_a_swap_that_was_finished_but_is_no_longer_wanted(host, monkeypatch):
    host.converge()
    host.wanted = Wanted.checked("broker", names=["second"])
    monkeypatch.setattr(install.Target, "_swap", lambda target: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        host.converge()
    monkeypatch.undo()
    host.wanted = Wanted.checked("broker", names=["third"])
    state = host.converge()
    assert state.interrupted and "DNS:second" in state.reasons[0]
    assert host.fits() and not host.converge().changed


def test_certificates_that_are_not_installed(host, tmp_path):
    host.converge()
    before = tree(host.path)
    with pytest.raises(PkiError, match="is gone"):
        host.install(b"")
    host.wanted = Wanted.checked("broker", names=["new"])
    host.sign()
    other = Authority(str(tmp_path / "other"))
    other.ensure(CA, PASSPHRASE, NOW)
    csr = request.make_request(request.generate_key("ecdsa_p256"), "x")
    for certificate, text in (
        (b"", "no certificate"),
        (pair(host.ca, host.wanted)[1], "does not fit"),
        (other.sign_request(host.wanted, host.target.prepare(host.wanted, host.ownership), PASSPHRASE, NOW), "another authority"),
        (host.ca.sign_request(Wanted.checked("broker"), csr, PASSPHRASE, NOW), "SAN changed"),
    ):
        with pytest.raises(PkiError, match=text):
            host.install(certificate)
    os.unlink(host.target.pending_key)
    assert tree(host.path) == before


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "ca", ".."])
def test_names_of_files(name):
    with pytest.raises(PkiError):
        install.Target("/tmp", name)


def test_a_path_that_is_no_directory(host, tmp_path):
    (tmp_path / "host").write_text("")
    with pytest.raises(PkiError, match="can't be read"):
        host.state()


def test_an_unreadable_certificate_is_a_reason(host):
    host.converge()
    pathlib.Path(host.target.certificate).write_text("x")
    state = host.state()
    assert state.certificate == {} and "no certificate" in state.reasons[0]


# Batches


def ids(*names):
    return [{"id": name} for name in names]


def test_the_devices_that_have_certificates():
    entries = [
        {"id": "a", "profile": "x"},
        {"id": 7, "key_type": "rsa_2048"},
        {"id": "c", "auth": "password"},
        {"id": "d", "state": "revoked"},
        {"id": "e", "state": "", "auth": "", "key_type": ""},
        {"id": "f", "auth": "certificate+password", "state": "present"},
    ]
    assert batch.devices_of(entries, "ecdsa_p256").present == [
        batch.Device("a", "ecdsa_p256"),
        batch.Device("7", "rsa_2048"),
        batch.Device("e", "ecdsa_p256"),
        batch.Device("f", "ecdsa_p256"),
    ]


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([{}], "entry 1 has no id"),
        (["a"], "entry 1 has no id"),
        (ids("a", "a"), "a is there twice"),
        ([{"id": "a", "state": "revoked"}, {"id": "a"}], "a is there twice"),
        (ids("Pi", "pi"), "Pi and pi differ in case only"),
        ([{"id": "a", "key_type": "dsa"}], "unknown key_type"),
        (ids("../x"), "can't be a device's id"),
        (ids("a/b"), "can't be"),
        (ids("a+"), "can't be"),
        (ids("#"), "can't be"),
        (ids(".a"), "can't be"),
        (ids("a b"), "can't be"),
        (ids("a\n"), "can't be"),
        (ids("x" * 65), "can't be"),
        (ids("ñ"), "can't be"),
        (ids("a' OR 1=1"), "can't be"),
    ],
)
def test_device_ids_that_are_refused(entries, text):
    with pytest.raises(PkiError, match=text):
        batch.devices_of(entries, "ecdsa_p256")


def test_all_findings_at_once_but_not_thousands():
    with pytest.raises(PkiError, match="and 30 more") as caught:
        batch.devices_of(ids(*[f"bad id {number}" for number in range(50)]), "ecdsa_p256")
    assert "bad id 19" in str(caught.value)


def batch_of(ca, tmp_path, now=NOW, cores=2, chunk=100, **wanted):
    template = Wanted.checked("device", profile=wanted.pop("profile", "client"), valid_days=3650, **wanted)
    return batch.Batch(str(tmp_path / "devices"), ca, template, now, cores, chunk)


def devices(count, key_type="ecdsa_p256"):
    return [batch.Device(f"dev-{number}", key_type) for number in range(count)]


def check_device(ca, path, name, profile="client"):
    certificate = inspect.load_certificate((path / "device.pem").read_bytes())
    assert inspect.name_text(certificate.subject) == f"CN={name}" and inspect.profile_of(certificate) == profile
    assert install.fits((path / "device.key").read_bytes(), (path / "device.pem").read_bytes())
    assert inspect.signed_by(certificate, ca.certificate())
    assert (path / "ca.pem").read_bytes() == ca.bundle()
    assert (mode(path), mode(path / "device.key")) == (0o700, 0o600)


def test_a_batch(ca, tmp_path):
    outcome = batch_of(ca, tmp_path, chunk=150).run(devices(450), PASSPHRASE)
    assert (outcome.total, len(outcome.issued), outcome.changed) == (450, 450, True)
    assert [found.device.id for found in outcome.issued] == [f"dev-{number}" for number in range(450)]
    for number in (0, 149, 150, 449):
        check_device(ca, tmp_path / "devices" / f"dev-{number}", f"dev-{number}")
    assert len({record["serial"] for record in ca.issued()}) == 450
    assert sorted(path.name for path in (tmp_path / "devices").iterdir() if path.name.startswith(".")) == [".gitignore", ".lock"]
    before = tree(tmp_path)
    assert not batch_of(ca, tmp_path).run(devices(450), "not needed when nothing is signed").changed
    assert tree(tmp_path) == before


def test_only_what_must_change(ca, tmp_path):
    batch_of(ca, tmp_path).run(devices(5), PASSPHRASE)
    path = tmp_path / "devices"
    (path / "dev-1" / "device.pem").write_text("damaged")
    (path / "dev-1" / "bundle.json").write_text("of somebody else")
    (path / "dev-2" / "ca.pem").write_text("")
    (path / "dev-3" / "device.key").chmod(0o644)
    before = tree(path)
    predicted = batch_of(ca, tmp_path).run(devices(6), PASSPHRASE, check=True)
    assert tree(path) == before
    outcome = batch_of(ca, tmp_path).run(devices(6), PASSPHRASE)
    assert (predicted.issued, predicted.adjusted) == (outcome.issued, outcome.adjusted)
    assert [found.device.id for found in outcome.issued] == ["dev-1", "dev-5"]
    assert [(found.device.id, found.changes) for found in outcome.adjusted] == [("dev-2", ("ca.pem",)), ("dev-3", ("the key was readable for others",))]
    for number in range(6):
        check_device(ca, path / f"dev-{number}", f"dev-{number}")
    assert (path / "dev-1" / "bundle.json").read_text() == "of somebody else"
    after = tree(path)
    assert {name for name in before if before[name] != after[name]} == {"dev-1/device.key", "dev-1/device.pem", "dev-2/ca.pem"}


def test_renewal_of_a_batch(ca, tmp_path):
    batch_of(ca, tmp_path).run(devices(3), PASSPHRASE)
    outcome = batch_of(ca, tmp_path, now=NOW + 3625 * DAY).run(devices(3), PASSPHRASE)
    assert len(outcome.issued) == 3 and "expires in 25 days" in outcome.issued[0].reasons[0]


def test_rsa_among_others(ca, tmp_path):
    wanted = [*devices(3, "ecdsa_p384"), batch.Device("old", "rsa_2048"), batch.Device("old2", "rsa_2048")]
    assert len(batch_of(ca, tmp_path).run(wanted, PASSPHRASE).issued) == 5
    assert request.key_type_of(request.load_key((tmp_path / "devices" / "old" / "device.key").read_bytes())) == "rsa_2048"
    assert not batch_of(ca, tmp_path).run(wanted, PASSPHRASE).changed


def test_servers_in_a_batch(ca, tmp_path):
    batch_of(ca, tmp_path, profile="server").run(devices(1), PASSPHRASE)
    check_device(ca, tmp_path / "devices" / "dev-0", "dev-0", "server")
    assert not batch_of(ca, tmp_path, profile="server").run(devices(1), PASSPHRASE).changed


@pytest.mark.parametrize("where", ["append", "_put"])
def test_an_interrupted_batch_is_completed(ca, tmp_path, monkeypatch, where):
    count = [0]
    owner = Authority if where == "append" else batch.Batch
    real = getattr(owner, where)

    def killed(self, *words):
        count[0] += 1
        if count[0] == (2 if where == "append" else 5):
            raise Killed
        return real(self, *words)

    monkeypatch.setattr(owner, where, killed)
    with pytest.raises(Killed):
        batch_of(ca, tmp_path, chunk=4).run(devices(10), PASSPHRASE)
    monkeypatch.undo()
    complete = [path.name for path in (tmp_path / "devices").glob("dev-*")]
    assert len(complete) == 4
    before = tree(tmp_path / "devices")
    outcome = batch_of(ca, tmp_path, chunk=4).run(devices(10), PASSPHRASE)
    assert len(outcome.issued) == 6
    for number in range(10):
        check_device(ca, tmp_path / "devices" / f"dev-{number}", f"dev-{number}")
    after = tree(tmp_path / "devices")
    assert all(after[f"{name}/device.pem"] == before[f"{name}/device.pem"] for name in complete)
    assert not list((tmp_path / "devices").glob(".*.new"))


def test_a_batch_without_an_authority(tmp_path):
    none = Authority(str(tmp_path / "pki"))
    outcome = batch_of(none, tmp_path).run(devices(2), PASSPHRASE, check=True)
    assert len(outcome.issued) == 2 and os.listdir(tmp_path) == []
    with pytest.raises(PkiError, match="no certificate authority"):
        batch_of(none, tmp_path).run(devices(2), PASSPHRASE)


def test_a_batch_with_a_wrong_passphrase(ca, tmp_path):
    with pytest.raises(PkiError, match="does not open"):
        batch_of(ca, tmp_path).run(devices(2), "wrong")
    assert not list((tmp_path / "devices").glob("dev-*"))


def test_a_batch_that_cannot_be_written(ca, tmp_path):
    (tmp_path / "devices").write_text("")
    with pytest.raises(PkiError, match="can't be"):
        batch_of(ca, tmp_path).run(devices(1), PASSPHRASE)


def _batch(arguments_):
    directory, path = arguments_
    return len(batch_of(Authority(directory), path).run(devices(30), PASSPHRASE).issued)


def test_all_hosts_run_the_batch_at_once(ca, tmp_path):
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        results = list(pool.map(_batch, [(ca.directory, tmp_path)] * 4))
    assert sorted(results) == [0, 0, 0, 30]


def test_the_work_is_spread_over_processes():
    found = batch.fork_map(lambda part: [(item, os.getpid()) for item in part], list(range(10)), 3)
    assert sorted(item for item, _process in found) == list(range(10))
    assert len({process for _item, process in found}) == 3 and os.getpid() not in {process for _item, process in found}
    assert batch.fork_map(lambda part: [os.getpid() for _item in part], [1], 3) == [os.getpid()]


def test_failures_of_processes_are_reported():
    def fails(part):
        if 3 in part:
            raise PkiError("number three")
        return part

    with pytest.raises(PkiError, match="number three"):
        batch.fork_map(fails, list(range(4)), 2)
    with pytest.raises(PkiError, match="died"):
        batch.fork_map(lambda part: os._exit(9), list(range(4)), 2)


def test_how_many_processes():
    assert batch.processes_for(10, 200, 4) == 1
    assert batch.processes_for(500, 200, 4) == 2
    assert batch.processes_for(10**6, 200, 4) == 4
    assert batch.processes_for(10**6, 200) >= 1


# Files


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    files.write_atomic(str(tmp_path / "f"), b"old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(str(tmp_path / "f"), b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == {"f": b"old"}


def test_a_flush_without_syncfs(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *words, **options: object())
    monkeypatch.setattr(os, "sync", lambda: called.append(True))
    files.sync_filesystem(str(tmp_path))
    assert called == [True]


# The hosts' side with the distribution's cryptography


@pytest.mark.skipif(not pathlib.Path("/usr/bin/python3").exists(), reason="no system Python")
def test_with_the_distributions_cryptography(ca, tmp_path):
    """Looking, requesting and installing, as on a managed host; Debian 12 has cryptography 38."""
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import cryptography"], capture_output=True, check=False).returncode:
        pytest.skip("the system's Python has no cryptography")
    script = """
import datetime, sys
from ansible_collections.edgestack.iot.plugins.module_utils._pki import inspect, install
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import Wanted
step, directory, ca, certificate, kind = sys.argv[1:]
now = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
bundle = open(ca, 'rb').read()
issuer = inspect.load_certificate(bundle)
target = install.Target(directory, 'server')
wanted = Wanted.checked('broker', 'o', ['broker', '10.0.0.1'], key_type=kind, crl_urls=['http://x/crl'])
if step == 'prepare':
    sys.stdout.write(target.prepare(wanted, install.Ownership()).decode())
elif step == 'install':
    target.install(wanted, open(certificate, 'rb').read(), issuer, bundle, install.Ownership(), now)
else:
    print(target.state(wanted, issuer, bundle, install.Ownership(), now).changed)
"""
    root = next(path for path in sys.path if path.endswith("build/collections"))
    for kind in ("ecdsa_p256", "rsa_2048"):

        def on_host(step, _kind=kind):
            words = [python, "-c", script, step, str(tmp_path / _kind), ca.certificate_path, str(tmp_path / "signed.pem"), _kind]
            return subprocess.run(words, env={"PYTHONPATH": root}, check=True, capture_output=True, text=True).stdout

        wanted = Wanted.checked("broker", "o", ["broker", "10.0.0.1"], key_type=kind, crl_urls=["http://x/crl"])
        (tmp_path / "signed.pem").write_bytes(ca.sign_request(wanted, on_host("prepare").encode(), PASSPHRASE, NOW))
        on_host("install")
        assert on_host("state") == "False\n"
