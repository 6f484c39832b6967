# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""1,000 users of the built-in database: one task of emqx_authentication_user, beside a loop of ansible.builtin.uri in the same run.

Against EMQX_URL (with EMQX_KEY and EMQX_SECRET), else against the lab's stand-in, which the rows then say. All times are those of
the playbook's own task, from its start to its end as Ansible's callback tells, so the start of Ansible is in neither.
"""

from __future__ import annotations

import collections.abc
import datetime
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import common
from common import BenchError, Row

ROOT = pathlib.Path(__file__).parents[2]
USERS = 1000
LOOPED = 50
LIMIT = 3.0
PREFIX = "edgestack-bench"

PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults: {group/edgestack.iot.emqx: {url: "{{ url }}", api_key: "{{ key }}", api_secret_file: "{{ secret_file }}"}}
  vars:
    api: "{{ url }}/api/v5/authentication/password_based:built_in_database/users"
  tasks:
    - name: look
      edgestack.iot.emqx_info: {gather: [authentication]}
      register: found
    - name: prepare
      edgestack.iot.emqx_authentication: {backend: built_in_database, enable: false, settings: {user_id_type: username}}
      when: &ours "'password_based:built_in_database' not in found.authentication | map(attribute='id')"
    - name: loop
      ansible.builtin.uri:
        {url: "{{ api }}", method: POST, url_username: "{{ key }}", url_password: "{{ lookup('file', secret_file) }}", force_basic_auth: true,
         body_format: json, body: "{{ item }}", status_code: 201}
      loop: "{{ looped }}"
      no_log: true
    - name: first
      edgestack.iot.emqx_authentication_user: {users: "{{ users }}"}
      register: first
    - name: no change
      edgestack.iot.emqx_authentication_user: {users: "{{ users }}"}
      register: again
    - name: away
      edgestack.iot.emqx_authentication_user:
        state: absent
        users: "{{ users + looped }}"
    - name: no database of ours
      edgestack.iot.emqx_authentication: {backend: built_in_database, state: absent}
      when: *ours
    - name: proof
      ansible.builtin.assert: {that: [first.added | length == users | length, again is not changed]}
"""


def _server():
    """The tests' own way to the stand-in."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "build" / "collections")]
    spec = importlib.util.spec_from_file_location("emqx_conftest", ROOT / "tests" / "integration" / "emqx" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.running_standin


def _times(url, key, secret, directory):
    """Seconds of each task of the playbook."""
    (directory / "playbook.yml").write_text(PLAYBOOK)
    secret_file = directory / "secret"
    secret_file.touch(0o600)
    secret_file.write_text(secret)
    # A password for each, as devices have: what Ansible masks grows with them.
    users = [{"user_id": f"{PREFIX}-{number}", "password": f"secret-of-{number:04}"} for number in range(USERS + LOOPED)]
    given = {"url": url, "key": key, "secret_file": str(secret_file), "users": users[:USERS], "looped": users[USERS:]}
    (directory / "given.json").write_text(json.dumps(given))
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    ansible = pathlib.Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(ansible), "-i", "localhost,", "-e", f"@{directory / 'given.json'}", str(directory / "playbook.yml")],
        env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(done.stdout[-3000:] + done.stderr[-1000:])
    result = json.loads(done.stdout[done.stdout.index("{") :])
    return {task["task"]["name"]: _seconds(task["task"]["duration"]) for task in result["plays"][0]["tasks"]}


def _seconds(duration):
    start, end = (datetime.datetime.fromisoformat(duration[name].replace("Z", "+00:00")) for name in ("start", "end"))
    return (end - start).total_seconds()


def rows() -> collections.abc.Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        if os.environ.get("EMQX_URL"):
            note = "EMQX at EMQX_URL"
            times = _times(os.environ["EMQX_URL"], os.environ["EMQX_KEY"], os.environ["EMQX_SECRET"], directory)
        else:
            note = "the lab's stand-in for EMQX"
            with _server()(directory, "5.8.9") as url:
                times = _times(url, "edgestack-test", "secret-of-the-test-1", directory)
    peer = times["loop"] * USERS / LOOPED
    for what in ("first", "no change"):
        yield Row(
            f"emqx 1,000 built-in users, {what}", "s", times[what], peer, f"loop of ansible.builtin.uri, {LOOPED} users scaled",
            LIMIT, "1,000 users in one task", note,
        )  # fmt: skip


if __name__ == "__main__":
    print(common.table(list(rows())))
