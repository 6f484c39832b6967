# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

MODULE = "edgestack.iot.host_parts"
# What a host may take beyond the time of its timer, in seconds.
MARGIN = 15


class ActionModule(ActionBase):
    """Brings the parts, then confirms the guarded ones over a new connection; without one, the host takes them back by itself."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        args = copy.deepcopy(self._task.args)
        answer = self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        pending = answer.pop("pending", None) or []
        if pending:
            self._confirm(answer, args, pending, task_vars)
        result.update(answer)
        result.pop("invocation", None)
        return result

    def _confirm(self, answer: dict[str, t.Any], args: dict[str, t.Any], pending: list[str], task_vars: dict[str, t.Any] | None) -> None:
        guarded = [one for one in args["parts"] if one["name"] in pending]
        began = time.monotonic()
        try:
            self._new_connection()
            confirmed = self._execute_module(module_name=MODULE, module_args={**args, "parts": guarded, "phase": "confirm"}, task_vars=task_vars)
            if not confirmed.get("failed"):
                answer["confirmed"] = pending
                return
            problem = str(confirmed.get("msg"))
        except AnsibleConnectionFailure as error:
            problem = f"no new connection came about with it ({error})"
            self._wait(began + max(int(one["guard"]) for one in guarded) + MARGIN)
            problem += ". The host takes it back by itself, and " + self._again()
        first = f"{answer['msg']} " if answer.get("failed") else ""
        answer.update(failed=True, msg=f"{first}{', '.join(pending)}: {problem}")

    def _new_connection(self) -> None:
        """The next command makes one: a connection that is kept open would prove nothing."""
        reset = getattr(self._connection, "reset", None)
        if reset is not None:
            reset()

    @staticmethod
    def _wait(until: float) -> None:
        time.sleep(max(0.0, until - time.monotonic()))

    def _again(self) -> str:
        try:
            self._new_connection()
            done = self._low_level_execute_command("true")
        except AnsibleConnectionFailure as error:
            return f"cannot be reached yet: {error}"
        return "can be reached again" if done["rc"] == 0 else f"answers again with {done['rc']}"
