# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import time
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._devices import revocations
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller, _devices

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_devices.DEVICES_SPEC,
    "brokers": {"type": "dict", "required": True},
    "revoke": {"type": "list", "elements": "str", "default": []},
    "readmit": {"type": "list", "elements": "str", "default": []},
    "telling": {"type": "list", "elements": "str", "default": []},
    "fail_pending": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Runs in the controller's process only, so that it says what a host that is away has not done yet."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            changes, record = self._note(params, began)
        except DevicesError as error:
            # Returned, not raised, so that verify.yml can go on.
            return result | {"failed": True, "msg": str(error)}
        except OSError as error:
            return result | {"failed": True, "msg": f"cannot write {error.filename}: {error.strerror}"}
        pending = record.waiting(params["brokers"])
        result.update(
            changed=bool(changes),
            changes=changes[:50],
            pending=pending,
            by_command=sorted(record.revoked),
            diff={"before": "", "after": "".join(f"{text}\n" for text in changes[:1000])},
        )
        for one in (about := [one for one in pending if one["broker"] in params["telling"]])[:20]:
            self._display.display(f"{one['broker']} is to be told that {one['device']} is revoked")
        if len(about) > 20:
            self._display.display(f"and {len(about) - 20} more revocations are to be told")
        # What this run is about to do is told by its end.
        left = [one for one in pending if one not in about]
        result["warnings"] = [f"{one['broker']} has not been told yet that {one['device']} is revoked (since {one['since']})" for one in left[:20]]
        if len(left) > 20:
            result["warnings"].append(f"and {len(left) - 20} more revocations are pending")
        if pending and params["fail_pending"]:
            brokers = sorted({one["broker"] for one in pending})
            result["failed"] = True
            result["msg"] = f"{len(pending)} revocations are pending on {', '.join(brokers)}: run playbooks/devices.yml when they can be reached"
        return result

    def _note(self, params: dict[str, t.Any], now: str) -> tuple[list[str], revocations.Record]:
        directory = _controller.directory_of(self._loader, params["path"])
        devices, _profiles = _devices.read_all(self._loader, {**params, "path": None})
        known = {device.id for device in devices}

        def change(record: revocations.Record) -> list[str]:
            changes = revocations.command(record, known, params["revoke"], params["readmit"], now)
            brokers = {str(broker): str(site) for broker, site in params["brokers"].items()}
            new = record.note(revocations.applied(devices, record), brokers, now)
            return [*changes, *(f"{text}: to be revoked" for text in new)]

        record = revocations.read(directory)
        if self._task.check_mode or not change(copy.deepcopy(record)):
            # Nothing is made where nothing is to be kept.
            return change(record), record
        with revocations.changing(directory) as record:
            return change(record), record
