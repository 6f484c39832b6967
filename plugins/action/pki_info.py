# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.edgestack.iot.plugins.module_utils._pki import inspect, request, revocation
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

ARGUMENT_SPEC: dict[str, t.Any] = {
    "authority_dir": {"type": "path", "required": True},
    "within_days": {"type": "int", "default": 30},
    "show": {"type": "int", "default": 50},
    "print_table": {"type": "bool", "default": False},
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
            authority = Authority(_controller.directory_of(self._loader, params["authority_dir"]))
            found = revocation.information(authority, inspect.utc_now(), params["within_days"])
        except PkiError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename} can't be read: {error.strerror}") from None
        table = revocation.table(found, params["show"])
        if params["print_table"]:
            Display().display(f"\n{table}\n")
        result.update({**found, "certificates": found["certificates"][: max(0, params["show"])], "changed": False, "table": table.splitlines()})
        return result
