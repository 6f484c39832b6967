# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import sealed
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import TOKEN_SPEC, connection_spec
from ansible_collections.edgestack.iot.plugins.module_utils._secrets import store
from ansible_collections.edgestack.iot.plugins.module_utils._secrets.policy import SecretsError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

MODULE = "edgestack.iot.influxdb2_token"


class ActionModule(ActionBase):
    """Tokens are tried and made on the host, and stored here; a new value comes back sealed for this process alone."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(
            argument_spec=copy.deepcopy({**connection_spec(), **TOKEN_SPEC}),
            mutually_exclusive=[("token", "token_file")],
            required_one_of=[("token", "token_file")],
        )
        if sealed.CRYPTOGRAPHY_IMPORT_ERROR is not None:
            raise AnsibleActionFail("Python's cryptography is needed on the controller")
        try:
            result.update(self._tokens(params, task_vars or {}))
        except (SecretsError, sealed.SealError) as error:
            raise AnsibleActionFail(str(error)) from None
        return result

    def _tokens(self, params: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        directory = _controller.directory_of(self._loader, params["secrets_dir"])
        secrets = store.Store(directory, _controller.cipher_of(self._loader))
        names = {one["description"]: one["store"] for one in params["tokens"] if one["state"] == "present"}
        twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
        if twice:
            raise SecretsError(f"several tokens would be stored as {', '.join(twice)}")
        receiver = sealed.Receiver()
        stored = {description: secrets.read(name) for description, name in names.items()}
        host_params = {
            # Where the store is, is none of the host's business.
            **{name: value for name, value in params.items() if value is not None},
            "secrets_dir": "-",
            "exchange": {
                "public_key": receiver.public_key,
                "stored": {description: value for description, value in stored.items() if value},
            },
        }
        answer = self._on_host(host_params, task_vars)
        new = answer.pop("sealed", None) or []
        if answer.get("failed"):
            return answer
        answer["stored"] = []
        superseded: list[str] = []
        for one in new:
            name = names[one["description"]]
            secrets.put(name, receiver.open(one["value"], one["description"]))
            answer["stored"].append(name)
            superseded += one["superseded"]
        if superseded:
            host_params["exchange"] = {"forget": superseded}
            forgotten = self._on_host(host_params, task_vars)
            if forgotten.get("failed"):
                return forgotten
        return answer

    def _on_host(self, params: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        answer = self._execute_module(module_name=MODULE, module_args=copy.deepcopy(params), task_vars=task_vars)
        if answer.pop("cryptography_missing", False):
            apt = {"name": "python3-cryptography", "install_recommends": False, "lock_timeout": 300}
            installed = self._execute_module("ansible.builtin.apt", module_args=apt, task_vars=task_vars)
            if not installed.get("failed"):
                answer = self._execute_module(module_name=MODULE, module_args=copy.deepcopy(params), task_vars=task_vars)
                answer.pop("cryptography_missing", None)
        # The arguments, with what is masked in them, help nobody.
        answer.pop("invocation", None)
        return t.cast("dict[str, t.Any]", answer)
