# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ssl
import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import clocks, session

NOW = datetime.datetime(2026, 11, 26, 1, 30, tzinfo=datetime.UTC)


@pytest.fixture
def certificate(tmp_path):
    """One that is valid from now on for ten days."""
    path = tmp_path / "device.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10"]
        + ["-subj", "/CN=device", "-keyout", str(tmp_path / "device.key"), "-out", str(path)],
        check=True,
        capture_output=True,
    )
    return str(path)


def test_a_server_that_is_not_valid_yet_has_a_clock_that_is_wrong():
    assert "2026-11-26 01:30 UTC: a clock is wrong, not the certificate" in clocks.of_the_server(9, NOW)
    assert "run site.yml" in clocks.of_the_server(10, NOW)
    # A name that does not fit, an unknown authority.
    assert clocks.of_the_server(62, NOW) == clocks.of_the_server(20, NOW) == ""


def test_a_certificate_that_expired_for_the_broker_alone(certificate, tmp_path):
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    assert "the clock of the broker's host is wrong" in clocks.of_the_client(certificate, now)
    late = now + datetime.timedelta(days=30)
    assert "devices.yml" in clocks.of_the_client(certificate, late) and "clock" not in clocks.of_the_client(certificate, late)
    assert clocks.of_the_client(str(tmp_path / "nothing"), now) == ""
    (tmp_path / "rubbish").write_text("rubbish")
    assert clocks.of_the_client(str(tmp_path / "rubbish"), now) == ""


def test_the_account_of_a_connection_has_it(certificate):
    identity = session.Identity("device", cert_file=certificate, key_file=certificate.replace(".pem", ".key"))
    one = session.Session(session.Target("127.0.0.1", 8883, ca_file=certificate), identity, "5", 1.0)
    alert = ssl.SSLError(1, "alert")
    alert.reason = "SSLV3_ALERT_CERTIFICATE_EXPIRED"
    found = one._failed(alert)
    assert found.kind == session.TLS and found.text.startswith("TLS alert certificate expired, but it is valid until")
    alert.reason = "TLSV1_ALERT_UNKNOWN_CA"
    assert one._failed(alert).text == "TLS alert unknown ca"
    refused = ssl.SSLCertVerificationError(1, "no")
    refused.verify_code, refused.verify_message = 9, "certificate is not yet valid"
    assert "a clock is wrong" in one._failed(refused).text
