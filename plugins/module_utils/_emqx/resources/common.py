# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the resources share: the outcome of an act, and its first and last steps.

Every act returns an Outcome; `check` makes it a prediction by the same way up to the first write. A write is made only
for a difference, because EMQX leaves a backup of its configuration for each.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..client import Client, EmqxError
from ..difference import MASK, Difference, secrets_in
from ..versions import need

Json = t.Any


@dataclasses.dataclass
class Outcome:
    """changed, what differed, what is (or will be) there without secrets, and what else the module returns."""

    changed: bool = False
    diff: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    fields: list[str] = dataclasses.field(default_factory=list)
    result: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def add(self, difference: Difference, header: str) -> None:
        if difference.changed:
            self.changed = True
            self.fields += difference.fields
            self.diff.append(difference.diff(header))

    def note(self, field: str, header: str, before: Json, after: Json) -> None:
        """A change that is no field of an object: an order, whether something runs."""
        self.changed = True
        self.fields.append(field)
        self.diff.append({"before_header": header, "after_header": header, "before": before, "after": after})


def _refuse_mask(value: Json, where: str) -> None:
    """The mask means "as it is" to EMQX; taken from an answer into a playbook it would become a secret or keep one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_mask(inner, f"{where}.{name}" if where else str(name))
    elif value == MASK:
        raise EmqxError(f"{where} is {MASK}, which is what EMQX shows instead of a secret", "Leave it out, or give the secret")


def prepare(client: Client, wanted: dict[str, Json]) -> None:
    _refuse_mask(wanted, "")
    client.redact(secrets_in(wanted))
    for path, text in _texts(wanted):
        if text.startswith("file://") and path.rpartition(".")[2] in ("password", "secret", "token"):
            need(client.server(), "secret_files", path)


def _texts(value: Json, path: str = "") -> t.Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, str):
        yield path, value


def rows_of(client: Client, body: Json, path: str) -> list[dict[str, Json]]:
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise client.unexpected(path, "a list")
    return body


def moved(order: list[str], name: str, position: str) -> list[str]:
    """The order after the move of one entry; an unknown neighbour is an error."""
    rest = [other for other in order if other != name]
    if position == "front":
        return [name, *rest]
    if position == "rear":
        return [*rest, name]
    where, _colon, neighbour = position.partition(":")
    if where not in ("before", "after") or not neighbour:
        raise EmqxError(f"position {position!r} is none", "Write front, rear, before:NAME or after:NAME")
    if neighbour not in rest:
        raise EmqxError(f"position {position!r}: there is no {neighbour!r}", f"There are: {', '.join(rest) or 'none'}")
    at = rest.index(neighbour) + (where == "after")
    return [*rest[:at], name, *rest[at:]]


def wait_until_connected(client: Client, path: str, limit: float, sleep: t.Callable[[float], None], clock: t.Callable[[], float]) -> str:
    """EMQX answers a creation with 200 although its database is down: asked until it is connected."""
    end = clock() + limit
    while True:
        body = client.get(path + "/status")
        status = str(body.get("status")) if isinstance(body, dict) else "unknown"
        if status == "connected":
            return status
        if clock() >= end:
            nodes = body.get("node_error") if isinstance(body, dict) else None
            detail = f" ({nodes})" if nodes else ""
            raise EmqxError(
                f"{path[1:]} is saved, and {status} after {limit:g} s{detail}",
                "Check server, database, user and password (a file:// must be readable by EMQX's user), and EMQX's log",
            )  # fmt: skip
        sleep(0.3)
