# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the controller, as ansible-playbook runs it: no host is contacted, the one of the inventory does not even exist."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from ansible_collections.edgestack.iot.plugins.module_utils._devices import revocations
from ansible_collections.edgestack.iot.plugins.module_utils._pki import inspect, revocation
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority

ROOT = pathlib.Path(__file__).parents[4]
DEVICES = {"devices_file": "devices.yml", "path": "devices"}
AUTHORITY = {"authority_dir": "pki", "passphrase": "a-passphrase-of-this-test"}
BROKERS = {"centre": "main", "gateway": "north"}


class Site:
    def __init__(self, path):
        self.path = path
        (path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"centre": {"ansible_host": "192.0.2.1"}}}}))
        self.devices(
            {"id": "plug", "profile": "sonoff_pow", "auth": "password"},
            {"id": "pi", "profile": "raspberrypi"},
            {"id": "far", "profile": "dht11", "site": "north"},
        )

    def devices(self, *entries):
        (self.path / "devices.yml").write_text(yaml.safe_dump(list(entries)))

    def run(self, *tasks, status=0, words=()):
        """Each task is a name of a module and its arguments; what they returned."""
        listed = [{f"edgestack.iot.{name}": options, "register": f"r{at}"} for at, (name, options) in enumerate(tasks)]
        shown = [{"ansible.builtin.debug": {"msg": f"RESULT {{{{ r{at} | to_json }}}}"}} for at in range(len(tasks))]
        (self.path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": listed + shown}]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / "build" / "collections"), ANSIBLE_NOCOLOR="1",
            ANSIBLE_LOCAL_TEMP=str(self.path / "local"),
        )  # fmt: skip
        command = [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "play.yml", *words]
        result = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        self.output = result.stdout + result.stderr
        assert result.returncode == status, self.output
        found = re.findall(r'"msg": "RESULT (.*)"$', self.output, re.MULTILINE)
        return [json.loads(json.loads(f'"{text}"')) for text in found]

    def tree(self):
        return {str(one.relative_to(self.path)): one.read_bytes() for one in self.path.rglob("*") if one.is_file() and "local" not in one.parts}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_revocations_are_noted_without_a_host(site):
    noted = ("device_revocations", {**DEVICES, "brokers": BROKERS, "revoke": ["plug"], "telling": ["centre"]})
    before = site.tree()
    [predicted] = site.run(noted, words=["--check", "--diff"])
    assert predicted["changed"] and predicted["changes"] == ["plug is revoked by command", "plug on centre: to be revoked"]
    assert {name: data for name, data in site.tree().items() if name != "play.yml"} == before
    [first] = site.run(noted)
    assert first["changed"] and first["pending"][0]["broker"] == "centre" and "has not been told" not in site.output
    assert "centre is to be told that plug is revoked" in site.output
    with revocations.changing(str(site.path / "devices")) as record:
        record.pending["centre"]["plug"] = "2026-01-01T00:00:00Z"
    again, info = site.run(("device_revocations", {**DEVICES, "brokers": BROKERS}), ("device_info", {**DEVICES, "print_table": True}))
    assert not again["changed"] and again["by_command"] == ["plug"]
    assert "centre has not been told yet that plug is revoked (since 2026-01-01T00:00:00Z)" in site.output
    assert info["total"] == 3 and [one["state"] for one in info["devices"]] == ["revoked", "present", "present"]
    assert re.search(r"^plug +sonoff_pow +main +password +revoked +centre$", site.output, re.MULTILINE)
    site.run(("device_revocations", {**DEVICES, "brokers": BROKERS, "fail_pending": True}), status=2)
    assert "1 revocations are pending on centre: run playbooks/devices.yml" in site.output
    [back] = site.run(("device_revocations", {**DEVICES, "brokers": BROKERS, "readmit": ["plug"]}))
    assert back["by_command"] == [] and [one["device"] for one in back["pending"]] == ["plug"], "its session may still be there"
    site.run(("device_revocations", {**DEVICES, "brokers": BROKERS, "revoke": ["nobody"]}), status=2)
    assert "there is no device 'nobody'" in site.output


def test_certificates_of_the_revoked_are_on_the_list(site):
    made = ("pki_authority", {"path": "pki", "passphrase": AUTHORITY["passphrase"], "common_name": "Test CA"})
    certificates = ("pki_device_certificates", {**DEVICES, **AUTHORITY})
    crl = ("pki_revocation_list", AUTHORITY)
    [predicted] = site.run(crl, words=["--check"])
    assert predicted["changed"] and predicted["days_left"] is None
    _made, _certificates, first, again = site.run(made, certificates, crl, crl)
    assert first["changed"] and first["serials"] == [] and first["days_left"] == 30
    assert not again["changed"] and again["next_update"] == first["next_update"]
    # One of yesterday is made anew, which is no change.
    revocation.renew(Authority(str(site.path / "pki")), AUTHORITY["passphrase"], inspect.utc_now() - datetime.timedelta(days=2), 30)
    [renewed] = site.run(crl)
    assert not renewed["changed"] and renewed["days_left"] == 30
    site.devices({"id": "pi", "profile": "raspberrypi", "state": "revoked"}, {"id": "far", "profile": "dht11", "site": "north"})
    [predicted] = site.run(certificates, words=["--check", "--diff"])
    assert predicted["changed"] and predicted["removed"] == ["pi"] and (site.path / "devices" / "pi" / "device.key").exists()
    assert "pi: its key and certificate are removed" in site.output
    revoked, listed, info = site.run(certificates, crl, ("pki_info", {"authority_dir": "pki", "within_days": 4000, "print_table": True}))
    assert revoked["removed"] == ["pi"] and os.listdir(site.path / "devices" / "pi") == ["ca.pem"], "the certificate's record stays"
    assert revoked["revoked"] == ["pi"] and listed["changed"] and len(listed["serials"]) == 1
    assert info["counts"] == {"issued": 1, "revoked": 1, "expired": 0, "damaged": 0} and [one["subject"] for one in info["expiring"]] == ["CN=far"]
    assert info["crl"]["revoked"] == listed["serials"] and "CRL         " in site.output
    # By a file, by a serial number as openssl writes it, by a common name.
    pem = (site.path / "devices" / "far" / "device.pem").read_bytes()
    serial = inspect.serial_number(inspect.load_certificate(pem))
    written = ":".join(re.findall("..", serial.zfill(len(serial) + len(serial) % 2).upper()))
    by_file, by_serial, by_name = site.run(
        ("pki_revocation_list", {**AUTHORITY, "revoked": [{"certificate": "devices/far/device.pem", "reason": "keyCompromise"}]}),
        ("pki_revocation_list", {**AUTHORITY, "revoked": [{"serial": written}]}),
        ("pki_revocation_list", {**AUTHORITY, "revoked": [{"device": "far"}]}),
    )
    assert by_file["changed"] and len(by_file["serials"]) == 2 and not by_serial["changed"] and not by_name["changed"]
    assert Authority(str(site.path / "pki")).revoked()[serial]["reason"] == "keyCompromise"
    # Present again: another key and certificate, and the old one stays on the list.
    site.devices({"id": "pi", "profile": "raspberrypi"}, {"id": "far", "profile": "dht11", "site": "north"})
    back, still = site.run(certificates, crl)
    assert "pi" in [one["id"] for one in back["devices"]] and back["removed"] == [] and set(listed["serials"]) <= set(still["serials"])
    new = inspect.serial_number(inspect.load_certificate((site.path / "devices" / "pi" / "device.pem").read_bytes()))
    assert new not in still["serials"] and (site.path / "devices" / "pi" / "device.key").exists()
    assert AUTHORITY["passphrase"] not in site.output


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (("pki_revocation_list", {**AUTHORITY, "revoked": [{"serial": "12ab"}]}), "no record of a certificate with the serial number 12ab"),
        (("pki_revocation_list", {**AUTHORITY, "revoked": [{"certificate": "none.pem"}]}), "none.pem can't be used"),
        (("pki_revocation_list", {**AUTHORITY, "revoked": [{"device": "a", "serial": "1"}]}), "mutually exclusive"),
        (("pki_revocation_list", {**AUTHORITY, "revoked": [{}]}), "one of the following is required"),
        (("pki_revocation_list", {**AUTHORITY, "passphrase": "wrong"}), "does not open"),
        (("pki_info", {"authority_dir": "elsewhere"}), "there is no certificate authority"),
        (("device_info", {**DEVICES, "devices_file": "none.yml"}), "cannot read"),
    ],
)
def test_mistakes_are_explained(site, task, words):
    site.run(("pki_authority", {"path": "pki", "passphrase": AUTHORITY["passphrase"], "common_name": "Test CA"}))
    before = site.tree()
    site.run(task, status=2)
    assert words in site.output
    assert {name: data for name, data in site.tree().items() if name != "play.yml"} == {name: data for name, data in before.items() if name != "play.yml"}


def test_bundles_of_the_revoked_are_taken_away(site):
    bundles = ("device_bundles", {**DEVICES, "server": "broker.example", "password_port": 1884})
    site.run(bundles)
    folder = site.path / "devices" / "plug"
    assert {"tasmota.txt", "publish.sh", "password"} <= set(os.listdir(folder)) and folder.stat().st_mode & 0o777 == 0o700
    [again] = site.run(bundles)
    assert not again["changed"]
    site.devices({"id": "plug", "profile": "sonoff_pow", "auth": "password", "state": "revoked"})
    [taken] = site.run(bundles)
    assert taken["changed"] and os.listdir(folder) == ["password"], "the password goes with the rows"
