# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the resources share: the outcome of an act, and its first and last steps.

Every act returns an Outcome; `check` makes it a prediction by the same way up to the first write. A write is made only
for a difference, because EMQX leaves a backup of its configuration for each.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
import typing as t

from ..._http import Fault
from ..client import Client, EmqxError
from ..difference import MASK, SECRET_KEYS, Difference, is_open, mask, normal, secrets_in
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


class Batch:
    """Many small objects in one task: what changes is planned first, then done in order.

    after and before hold, by name, what is shown; secrets among it are masked.
    """

    def __init__(self, header: str) -> None:
        self._header = header
        self._before: dict[str, Json] = {}
        self._after: dict[str, Json] = {}
        self._steps: list[t.Callable[[], t.Any]] = []
        self.added: list[str] = []
        self.updated: list[str] = []
        self.removed: list[str] = []

    def add(self, name: str, after: Json) -> None:
        self.added.append(name)
        self._after[name] = mask(after)

    def change(self, name: str, before: Json, after: Json) -> None:
        self.updated.append(name)
        self._before[name], self._after[name] = mask(before), mask(after)

    def remove(self, name: str, before: Json) -> None:
        self.removed.append(name)
        self._before[name] = mask(before)

    def step(self, act: t.Callable[..., t.Any], *arguments: t.Any) -> None:
        """One request, made by run()."""
        self._steps.append(lambda: act(*arguments))

    def run(self, check: bool) -> Outcome:
        for done, step in enumerate([] if check else self._steps):
            try:
                step()
            except Fault as fault:
                if done:
                    fault.amend(note=f"{done} of {len(self._steps)} requests of this task were carried out before")
                raise
        outcome = Outcome(result={"added": self.added, "updated": self.updated, "removed": self.removed})
        if self.added or self.updated or self.removed:
            outcome.changed = True
            outcome.diff.append({"before_header": self._header, "after_header": self._header, "before": self._before, "after": self._after})
        return outcome


def by_name(entries: t.Iterable[dict[str, Json]], key: t.Callable[[dict[str, Json]], t.Any], what: str) -> dict[t.Any, dict[str, Json]]:
    """The entries by their names, each of which may be given once."""
    found: dict[t.Any, dict[str, Json]] = {}
    for entry in entries:
        name = key(entry)
        if name in found:
            raise EmqxError(f"{what}: {' '.join(name) if isinstance(name, tuple) else name!r} is named more than once")
        found[name] = entry
    return found


def instant(value: Json) -> Json:
    """A time as seconds since 1970, whether written as a number or in RFC 3339; anything else (infinity) as it is."""
    if isinstance(value, str) and not value.isdigit():
        found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", value)
        try:
            zone = "+00:00" if found and found.group(2) == "Z" else found and found.group(2)
            return int(datetime.datetime.fromisoformat(f"{found.group(1)}{zone}").timestamp()) if found else value
        except ValueError:
            return value
    return normal(value)


def need_instant(value: Json, option: str) -> None:
    """What is no time would be refused by EMQX too, but not before other things were changed."""
    if value is not None and value != "infinity" and isinstance(instant(value), str):
        raise EmqxError(f"{option} {value!r} is no time", "Write it as 2030-01-31T00:00:00Z, as seconds since 1970, or infinity")


def _refuse_mask(value: Json, where: str) -> None:
    """The mask means "as it is" to EMQX; taken from an answer into a playbook it would become a secret or keep one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_mask(inner, f"{where}.{name}" if where else str(name))
    elif value == MASK:
        raise EmqxError(f"{where} is {MASK}, which is what EMQX shows instead of a secret", "Leave it out, or give the secret")


def refuse_plain(value: Json, where: str, hint: str) -> None:
    """A plain secret in an option without no_log would be shown by -vvv."""
    if isinstance(value, dict):
        for name, inner in value.items():
            here = f"{where}.{name}"
            if name in SECRET_KEYS and isinstance(inner, str) and inner and not is_open(inner):
                raise EmqxError(f"{here} is a secret in plain text", hint)
            refuse_plain(inner, here, hint)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            refuse_plain(item, f"{where}[{number}]", hint)


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


def wait_until_connected(
    client: Client,
    path: str,
    limit: float,
    sleep: t.Callable[[float], None] = time.sleep,
    clock: t.Callable[[], float] = time.monotonic,
) -> str:
    """EMQX answers a creation with 200 although what it connects to is down: asked until it is connected."""
    end = clock() + limit
    while True:
        body = client.get(path)
        status = str(body.get("status")) if isinstance(body, dict) else "unknown"
        if status == "connected":
            return status
        if clock() >= end:
            why = (body.get("node_error") or body.get("status_reason")) if isinstance(body, dict) else None
            detail = f" ({why})" if why else ""
            raise EmqxError(
                f"{path[1:].removesuffix('/status')} is saved, and {status} after {limit:g} s{detail}",
                "Check server, database, user and password (a file:// must be readable by EMQX's user), and EMQX's log",
            )  # fmt: skip
        sleep(0.3)
