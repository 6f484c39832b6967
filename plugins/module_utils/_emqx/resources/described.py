# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources that share one life: found by id, compared, created, updated as a whole, deleted.

Each is described once, here; a module is its documentation, its options and one call of manage().
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ..._http import Fault
from ..client import Client, EmqxError, path_of
from ..difference import Difference, mask, prune
from ..versions import has, need
from .common import Json, Outcome, prepare, rows_of, wait_until_connected


@dataclasses.dataclass(frozen=True)
class Description:
    """One kind of resource.

    collection: the path of all of them, under which each stands by its id. capability: what the server must have.
    read_only: fields of the answer that are not sent back. typed: the id is `type:name`, both of which only a
    creation's body names. required: fields that a new one needs. in_use: what to do when EMQX refuses the removal.
    """

    what: str
    collection: str
    in_use: str
    capability: str | None = None
    typed: bool = True
    required: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()


_STATE = ("id", "type", "name", "status", "status_reason", "node_status", "error", "created_at", "last_modified_at", "rules")

CONNECTOR = Description(
    "connector", "connectors", "Remove the actions and sources that use it first",
    capability="has_connectors", read_only=(*_STATE, "actions", "sources"),
)  # fmt: skip
ACTION = Description(
    "action", "actions", "Remove it from the rules that use it first",
    capability="has_connectors", required=("connector",), read_only=_STATE,
)  # fmt: skip
SOURCE = Description(
    "source", "sources", "Remove it from the rules that use it first",
    capability="has_connectors", required=("connector",), read_only=_STATE,
)  # fmt: skip
BRIDGE = Description(
    "bridge", "bridges", "Remove it from the rules that use it first",
    capability="has_bridges", read_only=_STATE,
)  # fmt: skip
RULE = Description(
    "rule", "rules", "",
    typed=False, required=("sql",), read_only=("id", "from", "created_at", "last_modified_at"),
)  # fmt: skip


def manage(
    client: Client,
    kind: Description,
    wanted: dict[str, Json],
    *,
    name: str,
    type: str = "",
    present: bool = True,
    resend_secrets: bool = False,
    wait_connected: float = 0,
    check: bool = False,
    sleep: t.Callable[[float], None] = time.sleep,
    clock: t.Callable[[], float] = time.monotonic,
) -> Outcome:
    """The whole life of one resource."""
    wanted = prune(wanted)
    if kind.capability:
        need(client.server(), kind.capability, kind.what)
    identity = f"{type}:{name}" if kind.typed else name
    label = f"{kind.what} {identity}"
    path = path_of(kind.collection, identity)
    prepare(client, wanted)
    current = client.find(path)
    if current is not None and not isinstance(current, dict):
        raise client.unexpected(path, f"a {kind.what}")
    have = None if current is None else {key: value for key, value in current.items() if key not in kind.read_only}
    missing = [field for field in kind.required if field not in wanted]
    if present and have is None and missing:
        raise EmqxError(f"{label} does not exist, and {' and '.join(missing)} is not given", f"Give {' and '.join(missing)} to create it")
    difference = Difference(
        wanted if present else None, have,
        files_shown=has(client.server(), "secret_files_shown"), resend_secrets=resend_secrets,
    )  # fmt: skip
    outcome = Outcome(result={"id": identity})
    outcome.add(difference, label)
    if difference.changed and not check:
        if not present:
            _delete(client, path, kind)
        elif have is None:
            client.post(f"/{kind.collection}", {**difference.body(), **({"type": type, "name": name} if kind.typed else {"id": name})})
        else:
            client.put(path, difference.body())
    after = difference.after()
    outcome.result[kind.what] = mask(after) if after is not None else None
    if present and wait_connected and (after or {}).get("enable", True) is not False and not check:
        outcome.result["status"] = wait_until_connected(client, path, wait_connected, sleep, clock)
    return outcome


def _delete(client: Client, path: str, kind: Description) -> None:
    try:
        client.delete(path)
    except Fault as fault:
        # While something uses it EMQX answers 400; its message names what does.
        if fault.status == 400 and kind.in_use:
            fault.amend(hint=kind.in_use)
        raise


def rule(client: Client, wanted: dict[str, Json], *, name: str, present: bool = True, check: bool = False) -> Outcome:
    """A rule. EMQX accepts one whose action does not exist and then drops what it selects, so that is said."""
    outcome = manage(client, RULE, wanted, name=name, present=present, check=check)
    named = [action for action in wanted.get("actions") or () if isinstance(action, str)]
    if present and named:
        there = _actions(client)
        for action in named:
            if action not in there:
                outcome.warnings.append(f"Rule {name}: there is no action {action}; until it exists EMQX drops what the rule selects")
    return outcome


def _actions(client: Client) -> set[str]:
    """Ids of what a rule may send to; from 5.4 to 5.10 some are shown as actions and some as bridges."""
    there: set[str] = set()
    for collection, capability in (("actions", "has_connectors"), ("bridges", "has_bridges")):
        if has(client.server(), capability):
            rows = rows_of(client, client.get(f"/{collection}"), f"/{collection}")
            there.update(f"{row.get('type')}:{row.get('name')}" for row in rows)
    return there
