# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook at -vvv with --diff: one connection for the whole group, and no secret in anything that Ansible writes."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[3]
PREFIX = "edgestack-test"
pytestmark = pytest.mark.integration

SECRETS = {
    "connector": "hidden-Connector-1",
    "bridge": "hidden-Bridge-2",
    "user": "hidden-User-3",
    "dashboard": "hidden-Dashboard-4",
    "other": "hidden-Other-5",
    "wrong": "hidden-Wrong-6",
    "plain": "hidden-Plain-7",
}


def task(module, given, **more):
    return {"name": f"{module} {len(json.dumps(given))}", f"edgestack.iot.{module}": given, **more}


def test_no_secret_is_written(emqx, tmp_path):
    if not emqx.standin or emqx.number < (5, 4):
        pytest.skip("once, on a server of our own")
    login = {"url": "{{ server }}", "username": emqx.user[0], "password": "{{ admin }}"}
    key = {"api_key": emqx.key[0], "api_secret": "{{ key_secret }}"}
    dashboard = {"name": PREFIX, "new_password": "{{ secret.dashboard }}"}
    remote = {"type": "mqtt", "name": PREFIX, "settings": {"server": "127.0.0.1:1", "ssl": {"enable": False}}}
    user = {"user_id": PREFIX, "password": "{{ secret.user }}"}
    by_key = [
        task("emqx_connector", {**remote, "secrets": {"password": "{{ secret.connector }}"}}),
        task("emqx_connector", {**remote, "secrets": {"password": "{{ secret.other }}"}, "update_secret": "always"}),
        # Where a secret does not belong, and a server that is not there: failures show no more than results do.
        task("emqx_connector", {**remote, "settings": {"password": "{{ secret.plain }}"}}, ignore_errors=True),
        task("emqx_bridge", {**remote, "secrets": {"password": "{{ secret.bridge }}"}, "url": "http://127.0.0.1:1", "wait_timeout": 0}, ignore_errors=True),
        task("emqx_authentication", {"backend": "built_in_database", "enable": False, "settings": {"user_id_type": "username"}}),
        task("emqx_authentication_user", {"users": [user]}),
        task("emqx_authentication_user", {"users": [user], "update_password": "always"}),
        task("emqx_authentication", {"backend": "built_in_database", "state": "absent"}),
        task("emqx_info", {"gather": ["listeners"], "api_secret": "{{ secret.wrong }}"}, ignore_errors=True),
    ]
    by_user = [
        task("emqx_dashboard_user", {**dashboard, **login}),
        task(
            "emqx_dashboard_user",
            {"name": PREFIX, "new_password": "{{ secret.other }}", "current_password": "{{ secret.dashboard }}", "update_password": "always", **login},
        ),
        task("emqx_api_key", {"name": PREFIX, "secret_file": str(tmp_path / "key"), **login}),
    ]
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"secret": SECRETS, "admin": emqx.user[1], "server": emqx.url},
        # Two ways to be known exclude one another, so the group's defaults are for the first part.
        "tasks": [
            {"block": by_key, "module_defaults": {"group/edgestack.iot.emqx": {**key, "url": "{{ server }}"}}},
            *by_user,
        ],
    }  # fmt: skip
    (tmp_path / "playbook.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    (tmp_path / "given.yml").write_text(yaml.safe_dump({"key_secret": emqx.key[1]}))
    environment = {
        **os.environ, "ANSIBLE_LOG_PATH": str(tmp_path / "log"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"), "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "true",
    }  # fmt: skip
    ansible = pathlib.Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(ansible), "-vvv", "--diff", "-i", "localhost,", "-e", f"@{tmp_path / 'given.yml'}", str(tmp_path / "playbook.yml")],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    everything = done.stdout + done.stderr + (tmp_path / "log").read_text()
    assert done.returncode == 0 and "ok=12" in done.stdout and "ignored=3" in done.stdout, done.stdout[-3000:]
    assert "changed_fields" in everything and "invocation" in everything
    secrets = {**SECRETS, "key": emqx.key[1], "admin": emqx.user[1], "made": (tmp_path / "key").read_text().strip()}
    assert [name for name, text in secrets.items() if text in everything] == []
