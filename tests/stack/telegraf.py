# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telegraf with the configuration that the role writes."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.edgestack.iot.plugins.module_utils._preflight import outage

from .programs import ROOT, program

ROLE = ROOT / "roles" / "telegraf"


def issue(directory: pathlib.Path, name: str, common_name: str, issuer=None) -> tuple:
    """A key and a certificate; without an issuer, a CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    certificate = builder.sign(issuer[0] if issuer else key, hashes.SHA256())
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return key, certificate


class Place:
    """A directory that stands for a host's /etc/edgestack/telegraf."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.etc = directory / "etc"
        (self.etc / "tls").mkdir(parents=True)
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        self.ca = issue(self.etc / "tls", "ca", "test CA")
        issue(self.etc / "tls", "client", "telegraf-localhost", self.ca)
        issue(self.etc / "tls", "server", "localhost", self.ca)
        # Plays find a role's templates and files beside themselves too.
        for name in ("templates", "files"):
            (directory / name).symlink_to(ROLE / name)

    def render(self, inventory: str = "localhost\n", **variables) -> str:
        """The configuration, as Ansible renders it from the role's defaults and these variables."""
        site = {
            "iot_profiles_dir": str(self.directory / "profiles"),
            "iot_organization": "edgestack",
            "iot_bucket": "iotdata",
            "iot_retention": "7d",
            "iot_verify_bucket": "iot_verify",
            "iot_unparsed_bucket": "iot_unparsed",
            "_iot_loss_window": 0,
            "iot_install_method": "package",
            "_iot_contained": [],
            "_iot_plan": outage.plan(3600, 20, 4096).as_dict(),
            "_telegraf_etc": str(self.etc),
            "_telegraf_secrets_directory": str(self.credentials),
            **variables,
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
            "tasks": [{"ansible.builtin.template": {"src": "telegraf.conf.j2", "dest": str(self.directory / "telegraf.conf"), "mode": "0600"}}],
        }
        (self.directory / "play.yml").write_text(yaml.safe_dump([play]))
        (self.directory / "hosts").write_text(inventory)
        (self.directory / "site.json").write_text(json.dumps(site))
        command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", "hosts", "-c", "local"]
        done = subprocess.run(
            [*command, "-e", f"ansible_python_interpreter={sys.executable}", "-e", "@site.json", "play.yml"],
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (self.directory / "telegraf.conf").read_text()

    def check(self) -> None:
        for name in ("influxdb_token", "mqtt_password", "emqx_monitor"):
            path = self.credentials / name
            if not path.exists():
                path.write_text("none")
        done = subprocess.run(
            [program("telegraf", "telegraf"), "config", "check", "--strict-env-handling", "--config", str(self.directory / "telegraf.conf")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "W!" not in done.stderr + done.stdout, done.stderr + done.stdout

    @contextlib.contextmanager
    def running(self):
        """Telegraf with this configuration; kills it at the end."""
        with (self.directory / "telegraf.log").open("ab") as log:
            process = subprocess.Popen([program("telegraf", "telegraf"), "--config", str(self.directory / "telegraf.conf")], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        return (self.directory / "telegraf.log").read_text()
