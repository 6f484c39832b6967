# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._pki import arguments, inspect, model, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority, certificate_pem
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

MODULE = "edgestack.iot.pki_certificate"

ARGUMENT_SPEC: dict[str, t.Any] = {
    **arguments.AUTHORITY_SPEC,
    **arguments.LEAF_SPEC,
    "path": {"type": "path", "required": True},
    "name": {"type": "str", "default": "server"},
    "profile": {"type": "str", "default": "server", "choices": list(model.PROFILES)},
    "common_name": {"type": "str", "required": True},
    "subject_alt_names": {"type": "list", "elements": "str", "default": []},
    "valid_days": {"type": "int", "default": 825},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw", "default": "0640"},
    "directory_mode": {"type": "raw", "default": "0750"},
}


class ActionModule(ActionBase):
    """Request on the host, signature in this process, installation on the host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        try:
            result.update(self._certificate(params, task_vars or {}))
        except PkiError as error:
            raise AnsibleActionFail(str(error)) from None
        return result

    def _certificate(self, params: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if request.CRYPTOGRAPHY_IMPORT_ERROR is not None:
            raise PkiError("Python's cryptography is needed on the controller")
        wanted = arguments.wanted_certificate(params)
        for option in ("mode", "directory_mode"):
            arguments.octal(params[option], option)
        authority = Authority(_controller.directory_of(self._loader, params["authority_dir"]))
        now = inspect.utc_now()
        check_mode = bool(self._task.check_mode)
        issuer = None
        bundle = chain = b""
        history = inspect.History()
        if authority.exists() or not check_mode:
            issuer = authority.certificate()
            bundle, chain, history = authority.bundle(), authority.chain(), authority.history()

        # Never the passphrase; the directory's name says nothing to the host.
        host_params = {name: params[name] for name in ARGUMENT_SPEC if name not in ("passphrase", "authority_dir")}
        host_params["authority_dir"] = "-"
        host_params["exchange"] = {
            "now": str(now.timestamp()),
            "issuer": "" if issuer is None else certificate_pem(issuer).decode(),
            "bundle": bundle.decode(),
            "chain": chain.decode(),
            "trusted": [certificate_pem(one).decode() for one in history.trusted],
            "retired": [certificate_pem(one).decode() for one in history.retired],
            # Of this name alone: others' are not this host's business.
            "revoked": [serial for serial, record in authority.revoked().items() if record.get("subject") == wanted.subject],
        }
        found = self._on_host(host_params, task_vars)
        if found.get("failed"):
            return found
        certificate_request = found.pop("request", None)
        before = dict(found.get("certificate") or {})
        if certificate_request is not None:
            signed = authority.sign_request(wanted, certificate_request.encode(), str(params["passphrase"] or ""), now)
            host_params["exchange"]["certificate"] = signed.decode()
            installed = self._on_host(host_params, task_vars)
            if installed.get("failed"):
                return installed
            found["certificate"] = installed["certificate"]
        elif found["reasons"]:
            found["certificate"] = inspect.predicted_info(wanted, issuer)
        found["paths"] = {
            "key": f"{params['path']}/{params['name']}.key",
            "certificate": f"{params['path']}/{params['name']}.pem",
            "ca": f"{params['path']}/ca.pem",
        }
        after = dict(found["certificate"])
        if found["changes"]:
            before["files"], after["files"] = "to be put right", ", ".join(found["changes"])
        header = found["paths"]["certificate"]
        found["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}
        return found

    def _on_host(self, params: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        answer = self._execute_module(module_name=MODULE, module_args=copy.deepcopy(params), task_vars=task_vars)
        if answer.pop("cryptography_missing", False) and self._install_cryptography(task_vars):
            answer = self._execute_module(module_name=MODULE, module_args=copy.deepcopy(params), task_vars=task_vars)
        return t.cast("dict[str, t.Any]", answer)

    def _install_cryptography(self, task_vars: dict[str, t.Any]) -> bool:
        """As ansible.builtin.apt does with python3-apt: costs nothing where it is there already."""
        for update_cache in (False, True):
            arguments_of_apt = {"name": "python3-cryptography", "install_recommends": False, "update_cache": update_cache}
            answer = self._execute_module("ansible.builtin.apt", module_args=arguments_of_apt, task_vars=task_vars)
            if not answer.get("failed"):
                return True
        return False
