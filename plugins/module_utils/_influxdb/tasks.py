# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks: Flux queries that InfluxDB runs at set times."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from .client import Client, Refused
from .difference import Difference, Differences
from .resources import Outcome, unique

_OPTION = re.compile(r"^\s*option\s+task\b", re.MULTILINE)
_DURATION = re.compile(r"(\d+(ns|us|µs|ms|s|m|h|d|w|mo|y))+")


@dataclasses.dataclass(frozen=True)
class Task:
    """A task. query is the Flux without `option task`, which is made of the other properties."""

    name: str
    query: str = ""
    every: str | None = None
    cron: str | None = None
    offset: str | None = None
    description: str | None = None
    active: bool = True
    present: bool = True

    def flux(self) -> str:
        """The whole script."""
        if not self.query.strip():
            raise Refused(f"task {self.name}: it needs a query")
        if _OPTION.search(self.query):
            raise Refused(f"task {self.name}: leave `option task` out of the query; name, every, cron and offset make it")
        if bool(self.every) == bool(self.cron):
            raise Refused(f"task {self.name}: give every or cron, one of them")
        for what, value in (("every", self.every), ("offset", self.offset)):
            if value and not _DURATION.fullmatch(value):
                raise Refused(f"task {self.name}: {what} {value!r} is not a duration; write it as 1h or 5m")
        words = [f"name: {json.dumps(self.name, ensure_ascii=False)}"]
        words.append(f"every: {self.every}" if self.every else f"cron: {json.dumps(self.cron)}")
        if self.offset:
            words.append(f"offset: {self.offset}")
        return f"option task = {{{', '.join(words)}}}\n\n{self.query.strip()}\n"


def tasks(client: Client, organization: str, wanted: t.Sequence[Task], check: bool) -> Outcome:
    """Any number of tasks, known by their names."""
    unique([one.name for one in wanted], "task")
    views = [(one, _view(one)) for one in wanted]
    org_id = client.organization_id(organization)
    found: dict[str, list[dict[str, t.Any]]] = {}
    for known in client.tasks(org_id):
        found.setdefault(known["name"], []).append(known)
    differences = []
    result = []
    for one, view in views:
        there = found.get(one.name, [])
        if len(there) > 1:
            ids = ", ".join(known["id"] for known in there)
            raise Refused(f"task {one.name}: there are several with this name ({ids}), and it is not known which is meant; remove all but one")
        task: dict[str, t.Any] | None = there[0] if there else None
        current = None
        if task is not None:
            current = {"flux": task["flux"], "status": task["status"], "description": task.get("description", "")}
        difference = Difference("task", one.name, view, current)
        differences.append(difference)
        if not check:
            if difference.action == "create":
                task = client.create("/api/v2/tasks", {"orgID": org_id, **difference.changes})
            elif difference.action == "update" and task is not None:
                task = client.update(f"/api/v2/tasks/{task['id']}", difference.changes)
            elif difference.action == "delete" and task is not None:
                client.delete(f"/api/v2/tasks/{task['id']}")
                task = None
        if task is not None:
            result.append({"name": one.name, "id": task["id"], "status": task["status"]})
    return Outcome(Differences(differences), {"tasks": result})


def _view(one: Task) -> dict[str, t.Any] | None:
    if not one.present:
        return None
    view: dict[str, t.Any] = {"flux": one.flux(), "status": "active" if one.active else "inactive"}
    if one.description is not None:
        view["description"] = one.description
    return view
