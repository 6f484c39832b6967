# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted against what is there: one object that answers whether something changes, what is shown and what is sent."""

from __future__ import annotations

import typing as t


class Difference:
    """One object of the server.

    wanted: the values of the managed properties (None: the object shall not be there); current: what the server has of them
    (None: it is not there). Properties that wanted does not name are left alone. Neither ever holds a secret.
    """

    def __init__(self, kind: str, name: str, wanted: t.Mapping[str, t.Any] | None, current: t.Mapping[str, t.Any] | None) -> None:
        self.kind = kind
        self.name = name
        self.wanted = dict(wanted) if wanted is not None else None
        self.current = dict(current) if current is not None else None

    @property
    def action(self) -> str:
        """create, update, delete, or nothing."""
        if self.wanted is None:
            return "delete" if self.current is not None else ""
        if self.current is None:
            return "create"
        return "update" if self.changes else ""

    @property
    def changes(self) -> dict[str, t.Any]:
        """The properties that differ, with their wanted values: what a request has to carry."""
        if self.wanted is None:
            return {}
        current = self.current or {}
        return {key: value for key, value in self.wanted.items() if self.current is None or current.get(key) != value}

    def before(self) -> dict[str, t.Any]:
        """What is shown as before: nothing else than what matters here."""
        if self.current is None:
            return {}
        keys = self.current if self.wanted is None else [key for key in self.wanted if key in self.current]
        return {key: self.current[key] for key in keys}

    def after(self) -> dict[str, t.Any]:
        """What is shown as after."""
        return dict(self.wanted or {})


class Differences:
    """Everything that one call manages."""

    def __init__(self, items: t.Iterable[Difference] = ()) -> None:
        self.items = list(items)

    @property
    def changed(self) -> bool:
        return any(item.action for item in self.items)

    def diff(self) -> dict[str, t.Any]:
        """Ansible's diff: the objects that change, by kind and name."""
        shown = [item for item in self.items if item.action]
        return {
            "before": {f"{item.kind} {item.name}": item.before() for item in shown if item.current is not None},
            "after": {f"{item.kind} {item.name}": item.after() for item in shown if item.wanted is not None},
        }

    def actions(self) -> list[dict[str, str]]:
        """What was done, or in check mode would be done."""
        return [{"action": item.action, "kind": item.kind, "name": item.name} for item in self.items if item.action]
