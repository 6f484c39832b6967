# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._devices import revocations, source
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._pki import arguments, batch, inspect, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

ARGUMENT_SPEC: dict[str, t.Any] = {
    **arguments.AUTHORITY_SPEC,
    **arguments.LEAF_SPEC,
    "path": {"type": "path", "required": True},
    "devices": {"type": "list", "elements": "dict", "default": []},
    "devices_file": {"type": "path"},
    "profile": {"type": "str", "default": "client", "choices": ["client", "server", "server_client"]},
    "valid_days": {"type": "int", "default": 3650},
    "show": {"type": "int", "default": 50},
}


class ActionModule(ActionBase):
    """Runs in the controller's process only."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        if request.CRYPTOGRAPHY_IMPORT_ERROR is not None:
            raise AnsibleActionFail("Python's cryptography is needed on the controller")
        try:
            outcome, directory = self._run(params)
        except (DevicesError, PkiError) as error:
            raise AnsibleActionFail(str(error)) from None
        changed = [*outcome.issued, *outcome.adjusted]
        shown = [{"id": one.device.id, "reasons": list(one.reasons or one.changes)} for one in changed[: max(0, params["show"])]]
        lines = [f"{one['id']}: {'; '.join(one['reasons'])}\n" for one in shown]
        if len(changed) > len(shown):
            lines.append(f"and {len(changed) - len(shown)} more\n")
        lines += [f"{name}: its certificates are recorded as revoked\n" for name in outcome.revoked[: max(0, params["show"])]]
        lines += [f"{name}: its key and certificate are removed\n" for name in outcome.removed[: max(0, params["show"])]]
        result.update(
            changed=outcome.changed,
            path=directory,
            total=outcome.total,
            issued=len(outcome.issued),
            adjusted=len(outcome.adjusted),
            revoked=outcome.revoked[: max(0, params["show"])],
            removed=outcome.removed[: max(0, params["show"])],
            devices=shown,
            diff={"before_header": directory, "after_header": directory, "before": "", "after": "".join(lines)},
        )
        return result

    def _run(self, params: dict[str, t.Any]) -> tuple[batch.Outcome, str]:
        template = Wanted.checked(
            "device",
            params["organization"],
            (),
            params["profile"],
            params["key_type"],
            params["valid_days"],
            params["renew_before"],
            params["crl_urls"],
        )
        entries = list(params["devices"])
        if params["devices_file"]:
            entries += source.load_devices(_controller.directory_of(self._loader, params["devices_file"]))
        directory = _controller.directory_of(self._loader, params["path"])
        devices = batch.devices_of(revocations.applied_to_entries(entries, directory), params["key_type"])
        authority = Authority(_controller.directory_of(self._loader, params["authority_dir"]))
        work = batch.Batch(directory, authority, template, inspect.utc_now())
        return work.run(devices.present, str(params["passphrase"] or ""), bool(self._task.check_mode), devices.revoked), directory
