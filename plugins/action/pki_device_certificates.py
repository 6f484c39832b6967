# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import csv
import io
import typing as t

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

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


def read_devices(path: str) -> list[t.Any]:
    """YAML, JSON or CSV.

    :raises PkiError: when it can't be read, or has no list of devices in it
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise PkiError(f"the devices' file {path} can't be read: {error}") from None
    if path.lower().endswith(".csv"):
        return list(csv.DictReader(io.StringIO(text)))
    # Ten thousand devices take seconds without libyaml.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, either way
    except yaml.YAMLError as error:
        raise PkiError(f"the devices' file {path} is neither YAML nor JSON: {error}") from None
    if isinstance(data, dict):
        data = data.get("devices", data.get("iot_devices"))
    if data is None and not text.strip():
        return []
    if not isinstance(data, list):
        raise PkiError(f"the devices' file {path} has no list of devices in it")
    return data


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
        except PkiError as error:
            raise AnsibleActionFail(str(error)) from None
        changed = [*outcome.issued, *outcome.adjusted]
        shown = [{"id": one.device.id, "reasons": list(one.reasons or one.changes)} for one in changed[: max(0, params["show"])]]
        lines = [f"{one['id']}: {'; '.join(one['reasons'])}\n" for one in shown]
        if len(changed) > len(shown):
            lines.append(f"and {len(changed) - len(shown)} more\n")
        result.update(
            changed=outcome.changed,
            path=directory,
            total=outcome.total,
            issued=len(outcome.issued),
            adjusted=len(outcome.adjusted),
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
            entries += read_devices(_controller.directory_of(self._loader, params["devices_file"]))
        devices = batch.devices_of(entries, params["key_type"])
        directory = _controller.directory_of(self._loader, params["path"])
        authority = Authority(_controller.directory_of(self._loader, params["authority_dir"]))
        work = batch.Batch(directory, authority, template, inspect.utc_now())
        return work.run(devices, str(params["passphrase"] or ""), bool(self._task.check_mode)), directory
