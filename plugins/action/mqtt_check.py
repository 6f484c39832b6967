# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import secrets
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import case as cases
from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import foreign, readings, session
from ansible_collections.edgestack.iot.plugins.module_utils._mqtt.runner import Runner

TLS_OF_A_CLIENT: dict[str, t.Any] = {
    "cert_file": {"type": "path"},
    "key_file": {"type": "path", "no_log": False},
}
IDENTITY: dict[str, t.Any] = {
    "client_id": {"type": "str"},
    "username": {"type": "str"},
    "password_file": {"type": "path", "no_log": False},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "host": {"type": "str"},
    "port": {"type": "int", "default": 8883},
    "ca_file": {"type": "path"},
    "server_name": {"type": "str"},
    "timeout": {"type": "float", "default": 10.0},
    "time_slot": {"type": "int", "default": 0},
    "time_slots": {"type": "int", "default": 1},
    "fail_on_mismatch": {"type": "bool", "default": True},
    "clients": {"type": "dict", "default": {}},
    "cases": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            **IDENTITY,
            "name": {"type": "str", "required": True},
            "client": {"type": "str"},
            "certificate": {"type": "str", "default": "own"},
            "anonymous": {"type": "bool", "default": False},
            "host": {"type": "str"},
            "port": {"type": "int"},
            "tls": {
                "type": "dict",
                "options": {
                    **TLS_OF_A_CLIENT,
                    "enabled": {"type": "bool", "default": True},
                    "ca_file": {"type": "path"},
                    "server_name": {"type": "str"},
                    "foreign": {"type": "bool", "default": False},
                },
            },
            "version": {"type": "str", "default": "3.1.1", "choices": ["3.1.1", "5"]},
            "wrong_password": {"type": "bool", "default": False, "no_log": False},
            "action": {"type": "str", "default": "connect", "choices": sorted(cases.EXPECTATIONS)},
            "topic": {"type": "str"},
            "payload": {"type": "str"},
            "qos": {"type": "int", "default": 1, "choices": [0, 1]},
            "expect": {
                "type": "str",
                "required": True,
                "choices": sorted({name for names in cases.EXPECTATIONS.values() for name in names}),
            },
            "refused_in": {"type": "str", "default": "any", "choices": ["any", "tls", "connack"]},
            "observer": {
                "type": "dict",
                "options": {
                    **IDENTITY,
                    "client": {"type": "str"},
                    "tls": {"type": "dict", "options": TLS_OF_A_CLIENT},
                    "topic": {"type": "str", "required": True},
                },
            },
        },
    },
}


class ActionModule(ActionBase):
    """Runs in the controller's process only: what is proved is what a client outside the host sees."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        for name, error in (("paho-mqtt >= 2.0", session.PAHO_ERROR), ("cryptography", foreign.CRYPTOGRAPHY_ERROR)):
            if error:
                raise AnsibleActionFail(
                    f"edgestack.iot.mqtt_check needs the Python package {name} where ansible-playbook runs:"
                    f" install it with the pip of that Python ({error})"
                )
        if self._task.check_mode:
            return result | {"changed": False, "skipped": True, "msg": "check mode: nothing is published or tried"}
        try:
            clock = readings.Clock(params["time_slot"], params["time_slots"])
            todo = [self._case(one, params) for one in params["cases"]]
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        journal = readings.Journal(clock)
        results = Runner(journal, params["timeout"]).run(todo)
        result.update(
            changed=False,
            cases=[one.as_dict() for one in results],
            readings=[one.as_dict() for one in journal.readings],
        )
        wrong = [one for one in results if not one.ok]
        if wrong and params["fail_on_mismatch"]:
            lines = [f"  {one.name}: expected {one.expected}, observed {one.observed}. {one.advice}" for one in wrong]
            result["failed"] = True
            result["msg"] = f"{len(wrong)} of {len(results)} were not as expected:\n" + "\n".join(lines)
        return result

    def _case(self, data: dict[str, t.Any], params: dict[str, t.Any]) -> cases.Case:
        known = {**params, "ca_file": self._path(params["ca_file"])}
        return cases.parse_case(self._resolved(cases.expand(data, params["clients"])), known, self._password, lambda: secrets.token_urlsafe(24))

    def _resolved(self, data: dict[str, t.Any]) -> dict[str, t.Any]:
        """The description with its files where they can be read; a key may be encrypted with Ansible Vault."""
        files = ("ca_file", "cert_file", "key_file")
        tls = {key: self._path(value) if key in files else value for key, value in data["tls"].items()}
        observer = {"observer": self._resolved(data["observer"])} if data.get("observer") else {}
        return {**data, "tls": tls, **observer}

    def _path(self, path: str | None) -> str | None:
        if not path:
            return None
        found = self._loader.path_dwim(str(path))
        # What does not exist is a result of its case, not the end of all of them.
        return str(self._loader.get_real_file(found)) if self._loader.is_file(found) else str(found)

    def _password(self, path: str) -> str:
        found = self._loader.path_dwim(path)
        if not self._loader.is_file(found):
            raise AnsibleActionFail(f"there is no password file {found}: site.yml makes the files of the test's devices")
        return str(self._loader.get_text_file_contents(found)).rstrip("\r\n")
