# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._secrets import policy, store
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

ARGUMENT_SPEC: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "policy": {"type": "str", "default": "password", "choices": sorted(policy.POLICIES)},
            "length": {"type": "int"},
            "value": {"type": "str", "no_log": True},
        },
    },
    "untracked": {"type": "list", "elements": "path", "default": []},
}


class ActionModule(ActionBase):
    """Runs in the controller's process only: secrets do not travel to a host for being made."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        directory = _controller.directory_of(self._loader, params["path"])
        wanted = [
            store.Wanted(
                name=str(entry["name"]),
                policy=str(entry["policy"]),
                length=entry["length"],
                value=None if entry["value"] is None else str(entry["value"]),
            )
            for entry in params["secrets"]
        ]
        warnings: list[str] = []
        try:
            store.check_wanted(wanted)
            for path in [directory, *(_controller.directory_of(self._loader, other) for other in params["untracked"])]:
                warnings += _controller.refuse_tracked(path)
            outcome = store.Store(directory, _controller.cipher_of(self._loader)).ensure(wanted, self._task.check_mode)
        except policy.SecretsError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=outcome.changed,
            path=directory,
            created=outcome.created,
            updated=outcome.updated,
            diff={
                "before_header": directory,
                "after_header": directory,
                "before": "".join(f"{name}: present\n" for name in outcome.updated),
                "after": "".join(f"{name}: made\n" for name in outcome.created)
                + "".join(f"{name}: another value\n" for name in outcome.updated),
            },
        )
        if warnings:
            result["warnings"] = warnings
        return result
