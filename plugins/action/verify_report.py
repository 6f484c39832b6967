# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import tempfile
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import readings, report

ARGUMENT_SPEC: dict[str, t.Any] = {
    "checks": {"type": "list", "elements": "dict", "default": []},
    "facts": {"type": "dict", "default": {}},
    "readings": {"type": "list", "elements": "dict", "default": []},
    "rows": {"type": "list", "elements": "dict", "default": []},
    "path": {"type": "path"},
}


class ActionModule(ActionBase):
    """Prints the table itself, so that it is the same with every callback."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        result["changed"] = False
        if self._task.check_mode:
            return result | {"skipped": True, "msg": "check mode: nothing was tried"}
        found = list(params["checks"]) + self._from_facts(params["facts"], (task_vars or {}).get("hostvars") or {})
        hosts = [one.get("host") for one in params["readings"]]
        stored = readings.compare(params["readings"], params["rows"])
        found += [{"host": host, **one.as_dict()} for host, one in zip(hosts, stored, strict=True)]
        entries = [report.Entry.parse(one) for one in found]
        Display().display("\n" + report.render(entries) + "\n")
        if params["path"]:
            self._write(self._loader.path_dwim(str(params["path"])), entries)
        failed = [entry for entry in entries if not entry.ok]
        result.update(proved=len(entries) - len(failed), total=len(entries), checks=[entry.as_dict() for entry in entries])
        if failed or not entries:
            result["failed"] = True
            names = [f"{entry.host}: {entry.name}" for entry in failed] or ["nothing was tried at all"]
            result["msg"] = f"{len(failed)} of {len(entries)} not proved, the table above says more: {'; '.join(names)}"
            # The table has them already.
            del result["checks"]
        return result

    @staticmethod
    def _from_facts(facts: dict[str, t.Any], hostvars: t.Any) -> list[dict[str, t.Any]]:
        """What each host noted. One that noted nothing was away or failed: that is no reason to leave it out."""
        found: list[dict[str, t.Any]] = []
        for name, hosts in facts.items():
            for host in hosts:
                nothing = {"name": name.lstrip("_").replace("_", " "), "expected": "tried", "observed": "not tried", "ok": False}
                noted = hostvars[host].get(name) if host in hostvars else None
                found += [{**one, "host": host} for one in noted or [nothing]]
        return found

    @staticmethod
    def _write(path: str, entries: list[report.Entry]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".verify.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump([entry.as_dict() for entry in entries], file, indent=1)
            file.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
