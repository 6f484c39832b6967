# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plugins together, as ansible-playbook runs them: a controller and two hosts, which are directories here."""

from __future__ import annotations

import grp
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from ansible_collections.edgestack.iot.plugins.module_utils._pki import inspect, install

ROOT = pathlib.Path(__file__).parents[4]
GROUP = grp.getgrgid(os.getgid()).gr_name

PLAY = """
- hosts: all
  gather_facts: false
  vars:
    iot_organization: edgestack
    iot_secrets_dir: "{{ playbook_dir }}/secrets"
    iot_pki_dir: "{{ playbook_dir }}/pki"
    names: []
    group: GROUP
  roles:
    - edgestack.iot.pki
  tasks:
    - name: Make more secrets
      edgestack.iot.secrets:
        path: "{{ iot_secrets_dir }}"
        secrets:
          - {name: emqx_dashboard_password}
          - {name: server_token, value: "{{ token }}"}
    - name: The certificate
      edgestack.iot.pki_certificate:
        authority_dir: "{{ iot_pki_dir }}"
        passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
        path: "{{ playbook_dir }}/{{ inventory_hostname }}/etc/tls"
        common_name: "{{ inventory_hostname }}"
        subject_alt_names: "{{ [inventory_hostname, '192.0.2.1'] + names }}"
        group: "{{ group }}"
        mode: "{{ mode | default('0640') }}"
      register: certificate
    - name: The devices
      edgestack.iot.pki_device_certificates:
        authority_dir: "{{ iot_pki_dir }}"
        passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
        path: "{{ playbook_dir }}/devices"
        devices: [{id: pi-1}, {id: plug, auth: password}]
        devices_file: "{{ devices_file | default('devices.csv') }}"
    - name: Show
      ansible.builtin.debug:
        msg: "{{ certificate.certificate.subject }} {{ lookup('edgestack.iot.secret', 'server_token') | length }}"
""".replace("GROUP", GROUP)


class Site:
    def __init__(self, path):
        self.path = path
        (path / "play.yml").write_text(PLAY)
        (path / "devices.csv").write_text("id,profile\npi-2,raspberrypi\n")
        python = "/usr/bin/python3" if self.usable("/usr/bin/python3") else sys.executable
        inventory = {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": python}, "hosts": {"one": {}, "two": {}}}}
        (path / "inventory.yml").write_text(yaml.safe_dump(inventory))

    @staticmethod
    def usable(python):
        return subprocess.run([python, "-c", "import cryptography"], capture_output=True, check=False).returncode == 0

    def run(self, *words, status=0, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_COLLECTIONS_PATH=str(ROOT / "build" / "collections"),
            ANSIBLE_LOCAL_TEMP=str(self.path / "local"),
            ANSIBLE_REMOTE_TEMP=str(self.path / "remote"),
            ANSIBLE_NOCOLOR="1",
        )
        executable = pathlib.Path(sys.executable).with_name("ansible-playbook")
        # In a file: Ansible itself shows its command line at -vvvv.
        (self.path / "local").mkdir(exist_ok=True)
        (self.path / "local" / "variables.json").write_text(json.dumps({"token": "token-of-a-server", **variables}))
        command = [str(executable), "-i", "inventory.yml", "play.yml", "-e", "@local/variables.json", *words]
        result = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        output = result.stdout + result.stderr
        assert result.returncode == status, output
        return output

    def changed(self, output):
        return [int(count) for count in re.findall(r"changed=(\d+)", output)]

    def tree(self):
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and path.relative_to(self.path).parts[0] not in ("local", "remote")
        }

    def secret(self, name):
        return (self.path / "secrets" / name).read_text()

    def nothing_private_in(self, output):
        assert "PRIVATE KEY" not in output
        for path in (self.path / "secrets").iterdir():
            if not path.name.startswith("."):
                assert path.read_text() not in output, path.name
        # Not a line of a key's body either.
        for path in [*self.path.rglob("*.key")]:
            for line in path.read_text().splitlines()[1:-1]:
                assert line not in output, path


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_the_whole_life(site):
    before = site.tree()
    output = site.run("--check", "--diff", group="group-of-a-package-to-come")
    assert site.changed(output) == [5, 5]
    assert site.tree() == before
    assert "CN=one" in output and "emqx_dashboard_password: made" in output

    output = site.run("--diff", "-vvvv", token="t0ken-that-nobody-sees")
    site.nothing_private_in(output)
    assert sum(site.changed(output)) == 6  # secrets twice, authority and devices by one host, a certificate on each
    tls = site.path / "one" / "etc" / "tls"
    assert install.fits((tls / "server.key").read_bytes(), (tls / "server.pem").read_bytes())
    assert inspect.certificate_info(inspect.load_certificate((tls / "server.pem").read_bytes()))["san"] == ["DNS:one", "IP:192.0.2.1"]
    assert sorted(path.name for path in (site.path / "devices").glob("[!.]*")) == ["pi-1", "pi-2"]

    after = site.tree()
    assert site.changed(site.run(token="t0ken-that-nobody-sees")) == [0, 0]
    assert site.changed(site.run("--check", "--diff", token="t0ken-that-nobody-sees")) == [0, 0]
    assert site.tree() == after

    output = site.run("--check", "--diff", "-vvv", token="t0ken-that-nobody-sees", names=["new.example"], mode="0600")
    assert site.changed(output) == [1, 1] and "SAN changed: it has DNS:one" in output
    assert site.tree() == after
    output = site.run("--diff", "-vvv", token="another-t0ken", names=["new.example"], mode="0600")
    site.nothing_private_in(output)
    assert "t0ken-that-nobody-sees" not in output
    assert sorted(site.changed(output)) == [1, 2]
    assert (tls / "server.key").stat().st_mode & 0o777 == 0o600
    assert site.changed(site.run(token="another-t0ken", names=["new.example"], mode="0600")) == [0, 0]


def test_with_a_vault_password(site):
    (site.path / "password").write_text("vault-password\n")
    assert sum(site.changed(site.run("--vault-password-file", "password"))) == 6
    assert site.secret("pki_ca_passphrase").startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert site.changed(site.run("--vault-password-file", "password")) == [0, 0]
    output = site.run("-vvv", status=2)
    assert "this run has no vault password" in output and "PRIVATE KEY" not in output
    (site.path / "password").write_text("wrong\n")
    assert "can't be decrypted" in site.run("--vault-password-file", "password", status=2)


def test_mistakes_are_explained_and_change_nothing(site):
    assert "group-that-nobody-has does not exist on this host" in site.run(group="group-that-nobody-has", status=2)
    assert not (site.path / "one").exists()
    site.run()
    before = site.tree()
    for variables, text in (
        ({"pki_passphrase": "wr0ng-passphrase"}, "does not open"),
        ({"names": ["two words"]}, "can't be a DNS name"),
        ({"mode": "u=rw"}, "write it in octal"),
        ({"pki_adopt_certificate": "nowhere.pem", "pki_adopt_key": "nowhere.key"}, "nowhere.pem can't be read"),
        ({"pki_adopt_certificate": "pki/ca.pem"}, "required together"),
        ({"devices_file": "nowhere.yml"}, "nowhere.yml: No such file"),
        ({"devices_file": "play.yml"}, "has no id"),
        ({"devices_file": "inventory.yml"}, "no list of devices"),
    ):
        output = site.run("-vvv", status=2, **variables)
        assert text in output.replace("\\n", " "), output
        assert "wr0ng-passphrase" not in output
        site.nothing_private_in(output)
        assert site.tree() == before


def test_git_tracks_the_secrets(site):
    site.run()
    subprocess.run(["git", "init", "-q", str(site.path)], check=True)
    subprocess.run(["git", "-C", str(site.path), "add", "-f", "pki/ca.key"], check=True)
    output = site.run(status=2)
    assert "git tracks private files" in output and "ca.key" in output


def test_a_missing_secret_says_what_makes_it(site):
    task = {"ansible.builtin.debug": {"msg": "{{ lookup('edgestack.iot.secret', 'none') }}"}}
    play = {"hosts": "one", "gather_facts": False, "vars": {"iot_secrets_dir": "{{ playbook_dir }}/secrets"}, "tasks": [task]}
    (site.path / "play.yml").write_text(yaml.safe_dump([play]))
    assert "edgestack.iot.secrets makes it" in site.run(status=2)
    first, second = (re.search(r"Placeholder0\w+", site.run("--check")) for _run in range(2))
    assert first and second and first[0] == second[0]
    del play["vars"]
    (site.path / "play.yml").write_text(yaml.safe_dump([play]))
    assert "set the variable iot_secrets_dir" in site.run(status=2)


def test_check_mode_on_a_host_that_lacks_cryptography(site):
    (site.path / "local" / "shim" / "cryptography").mkdir(parents=True)
    (site.path / "local" / "shim" / "cryptography" / "__init__.py").write_text("raise ImportError('not here')\n")
    interpreter = site.path / "local" / "python3"
    interpreter.write_text(f'#!/bin/sh\nPYTHONPATH={site.path}/local/shim exec /usr/bin/python3 "$@"\n')
    interpreter.chmod(0o755)
    before = site.tree()
    output = site.run("--check", "--diff", ansible_python_interpreter=str(interpreter))
    assert site.changed(output) == [5, 5] and "DNS:one" in output
    assert site.tree() == before


class Host:
    """What the action plugin sends, and a host's answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    def execute(self, module_name=None, module_args=None, task_vars=None):
        self.sent.append((module_name, module_args))
        return dict(self.answers.pop(0))


def on_host(host, monkeypatch):
    from ansible_collections.edgestack.iot.plugins.action.pki_certificate import ActionModule

    action = ActionModule.__new__(ActionModule)
    monkeypatch.setattr(action, "_execute_module", host.execute, raising=False)
    return action._on_host({"path": "/x"}, {})


LACKS = {"failed": True, "cryptography_missing": True, "msg": "no cryptography"}


def test_cryptography_is_installed_where_it_is_missing(monkeypatch):
    host = Host(LACKS, {"failed": True}, {"changed": True}, {"changed": False, "reasons": []})
    assert on_host(host, monkeypatch) == {"changed": False, "reasons": []}
    assert [name.rpartition(".")[2] for name, _arguments in host.sent] == ["pki_certificate", "apt", "apt", "pki_certificate"]
    # The package lists are only fetched when it does not go without.
    assert [arguments.get("update_cache") for _name, arguments in host.sent[1:3]] == [False, True]


def test_cryptography_cannot_be_installed(monkeypatch):
    host = Host(LACKS, {"failed": True}, {"failed": True})
    assert on_host(host, monkeypatch) == {"failed": True, "msg": "no cryptography"}
