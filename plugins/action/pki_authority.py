# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._pki import inspect, model, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Adoption, Authority, WantedAuthority
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

ARGUMENT_SPEC: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "default": "present", "choices": ["present"]},
    "passphrase": {"type": "str", "required": True, "no_log": True},
    "common_name": {"type": "str", "required": True},
    "organization": {"type": "str"},
    "key_type": {"type": "str", "default": "ecdsa_p256", "choices": list(model.KEY_TYPES), "no_log": False},
    "valid_days": {"type": "int", "default": 7300},
    "adopt_certificate": {"type": "path"},
    "adopt_key": {"type": "path"},
    "adopt_passphrase": {"type": "str", "no_log": True},
    "intermediate": {"type": "bool", "default": False},
    "path_length": {"type": "int"},
    "permitted_names": {"type": "list", "elements": "str", "default": []},
    "excluded_names": {"type": "list", "elements": "str", "default": []},
    "generation": {"type": "int", "default": 1},
    "retire": {"type": "int", "default": 0},
}


class ActionModule(ActionBase):
    """Runs in the controller's process only."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(
            argument_spec=copy.deepcopy(ARGUMENT_SPEC), required_together=[("adopt_certificate", "adopt_key")]
        )
        if request.CRYPTOGRAPHY_IMPORT_ERROR is not None:
            raise AnsibleActionFail("Python's cryptography is needed on the controller")
        adoption = None
        if params["adopt_certificate"]:
            adoption = Adoption(
                _controller.directory_of(self._loader, params["adopt_certificate"]),
                _controller.directory_of(self._loader, params["adopt_key"]),
                str(params["adopt_passphrase"]) if params["adopt_passphrase"] else None,
            )
        wanted = WantedAuthority(
            str(params["common_name"]),
            str(params["organization"] or ""),
            params["key_type"],
            params["valid_days"],
            adoption,
            params["intermediate"],
            params["path_length"],
            tuple(params["permitted_names"]),
            tuple(params["excluded_names"]),
            params["generation"],
            params["retire"],
        )
        directory = _controller.directory_of(self._loader, params["path"])
        try:
            outcome = Authority(directory).ensure(
                wanted, str(params["passphrase"]), inspect.utc_now(), bool(self._task.check_mode)
            )
        except PkiError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=outcome.changed,
            path=directory,
            reasons=outcome.reasons,
            certificate=outcome.after,
            generation=outcome.generation,
            trusted=outcome.trusted,
            diff={
                "before_header": directory,
                "after_header": directory,
                "before": {**outcome.before, "trusted": outcome.trusted_before} if outcome.before else {},
                "after": {**outcome.after, "trusted": outcome.trusted},
            },
        )
        if outcome.warnings:
            result["warnings"] = outcome.warnings
        return result
