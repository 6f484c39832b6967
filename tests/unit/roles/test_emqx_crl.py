# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What serves the revocation list on a broker's host, and says how it stands: as it is installed, over HTTP."""

from __future__ import annotations

import datetime
import http.client
import json
import pathlib
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from free_ports import free_port

PROGRAM = pathlib.Path(__file__).parents[3] / "roles" / "emqx" / "files" / "crl" / "crl.py"


def crl(days, *serials, encoding=serialization.Encoding.PEM):
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")]))
        .last_update(now - datetime.timedelta(days=40))
        .next_update(now + datetime.timedelta(days=days))
    )
    for serial in serials:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build())
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(encoding)


class Service:
    def __init__(self, file):
        self.file, self.port = file, free_port()
        self.url = f"http://127.0.0.1:{self.port}/crl.pem"
        self.process = subprocess.Popen([sys.executable, "-I", PROGRAM, "serve", self.url, file], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 10
        while self.ask("HEAD", "/none")[0] is None and time.monotonic() < end:
            time.sleep(0.05)

    def ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionError:
            return None, b""
        finally:
            connection.close()

    def state(self):
        done = subprocess.run([sys.executable, "-I", PROGRAM, "state", self.url], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self):
        self.process.terminate()
        return self.process.communicate(timeout=10)[1]


@pytest.fixture
def service(tmp_path):
    one = Service(tmp_path / "crl.pem")
    yield one
    one.stop()


def test_it_serves_the_one_file_and_nothing_else(service):
    service.file.write_bytes(crl(30))
    (service.file.parent / "secret").write_text("no")
    assert service.ask("GET", "/crl.pem") == (200, service.file.read_bytes())
    assert service.ask("HEAD", "/crl.pem") == (200, b"")
    for path in ("/", "/secret", "/crl.pem/../secret", "/crl.pem?x=1", "/../secret"):
        assert service.ask("GET", path)[0] == 404, path
    assert service.ask("PUT", "/crl.pem")[0] == 501
    # A new list is served at once.
    service.file.write_bytes(crl(20))
    assert service.ask("GET", "/crl.pem") == (200, service.file.read_bytes())


def test_a_file_that_is_missing_is_said(service):
    assert service.ask("GET", "/crl.pem")[0] == 503
    assert service.state()["served"] == 0 and "503" in service.state()["problem"]
    service.file.write_bytes(crl(30))
    assert service.ask("GET", "/crl.pem")[0] == 200
    assert "crl.pem: No such file or directory" in service.stop()


def test_state_is_that_of_the_list_that_ends_first(service):
    service.file.write_bytes(crl(30, 1, 2) + crl(12, 3))
    state = service.state()
    assert state["served"] == 1 and 11.9 < state["days_left"] <= 12 and state["revoked"] == 3
    service.file.write_bytes(crl(-1))
    assert -1.1 < service.state()["days_left"] <= -1


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", b"-----BEGIN"])
def test_what_emqx_would_not_read_is_not_served(service, data):
    service.file.write_bytes(data)
    assert service.state()["served"] == 0 and service.url in service.state()["problem"]


def test_der_is_not_served(service):
    service.file.write_bytes(crl(30, encoding=serialization.Encoding.DER))
    assert "it does not begin as PEM does" in service.state()["problem"]


def test_nobody_is_there(service):
    service.stop()
    state = service.state()
    assert state["served"] == 0 and "refused" in state["problem"]


def test_words_that_it_does_not_know():
    done = subprocess.run([sys.executable, PROGRAM, "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "crl.py serve URL FILE" in done.stderr
