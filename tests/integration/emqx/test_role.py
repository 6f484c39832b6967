# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role emqx does through the API: with our modules alone, and nothing is sent a second time."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml
from emqx_examples import files_in
from free_ports import free_port

ROOT = pathlib.Path(__file__).parents[3]
ROLE = ROOT / "roles" / "emqx"
pytestmark = pytest.mark.integration


def tasks():
    """The role's own, but without waiting for a database that is not here."""
    found = yaml.safe_load((ROLE / "tasks" / "provision.yml").read_text())
    for task in found[0]["block"]:
        next(value for key, value in task.items() if key.startswith("edgestack.iot.emqx_")).pop("wait_connected", None)
    return found


def test_the_role_uses_our_modules_alone():
    text = (ROLE / "tasks" / "provision.yml").read_text()
    assert "ansible.builtin.uri" not in text and "shell" not in text and "command" not in text
    for path in ROLE.rglob("*.yml"):
        assert "/api/v5" not in path.read_text()


def test_nothing_is_sent_a_second_time(emqx, tmp_path):
    if not emqx.standin or emqx.number < (5, 4):
        pytest.skip("once, on a server of our own")
    files_in(tmp_path)
    (tmp_path / "secrets" / "api_secret").write_text(emqx.key[1])
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(yaml.safe_dump([{
        "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks(),
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
    }]))  # fmt: skip
    given = {
        "_emqx_api_url": emqx.proxy.url, "_emqx_etc": str(tmp_path), "emqx_api_key": emqx.key[0], "emqx_listen_address": "127.0.0.1",
        "emqx_port": free_port(), "emqx_local_port": free_port(), "iot_address": "127.0.0.1", "__iot_host": {},
        "iot_install_method": "package", "_emqx_api_secret_file": str(tmp_path / "secrets" / "api_secret"),
    }  # fmt: skip
    ansible = pathlib.Path(sys.executable).with_name("ansible-playbook")
    environment = {
        **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_NOCOLOR": "1",
    }  # fmt: skip

    def run(*options):
        emqx.proxy.writes.clear()
        done = subprocess.run([str(ansible), "-i", "localhost,", "-e", json.dumps(given), *options, str(playbook)],
                              env=environment, capture_output=True, text=True, check=False, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return done.stdout, list(emqx.proxy.writes)

    try:
        predicted, writes = run("--check")
        assert "changed=3" in predicted and writes == []
        done, writes = run()
        assert "changed=3" in done and ("POST", "/listeners") in writes
        # The stricter setting comes before what it is for, and listeners come last.
        assert writes.index(("PUT", "/authorization/settings")) < writes.index(("POST", "/authorization/sources")) < writes.index(("POST", "/listeners"))
        again, writes = run()
        assert "changed=0" in again and writes == []
    finally:
        for path in ("/listeners/ssl:devices", "/listeners/tcp:local", "/authentication/password_based:mysql", "/authorization/sources/mysql"):
            emqx.read(path, "DELETE")
