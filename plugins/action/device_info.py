# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import os
import time
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.edgestack.iot.plugins.module_utils._devices import revocations, state
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller, _devices

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_devices.DEVICES_SPEC,
    "show": {"type": "int", "default": 100},
    "print_table": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Runs in the controller's process only."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        directory = _controller.directory_of(self._loader, params["path"])
        try:
            devices, _profiles = _devices.read_devices(self._loader, params)
            waiting = revocations.read(directory).waiting()
        except DevicesError as error:
            raise AnsibleActionFail(str(error)) from None
        shown = max(0, params["show"])
        rows = [state.row(device, os.path.join(directory, device.id), waiting, time.time()) for device in devices[:shown]]
        table = state.table(rows, len(devices))
        if params["print_table"]:
            Display().display(f"\n{table}\n")
        result.update(changed=False, total=len(devices), devices=rows, pending=waiting, table=table.splitlines())
        return result
