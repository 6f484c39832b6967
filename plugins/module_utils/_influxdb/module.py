# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the family does around its one backend call."""

from __future__ import annotations

import typing as t

from .._http import Fault
from .client import Client, Refused, read_token
from .difference import Differences


class Module(t.Protocol):
    """As much of AnsibleModule as is used here."""

    params: dict[str, t.Any]
    check_mode: bool
    _diff: bool

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn: ...

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn: ...


def connection_spec() -> dict[str, dict[str, t.Any]]:
    return {
        "url": {"type": "str", "default": "http://127.0.0.1:8086"},
        "token": {"type": "str", "no_log": True},
        "token_file": {"type": "path", "no_log": False},
        "ca_file": {"type": "path"},
        "timeout": {"type": "int", "default": 30},
        "retries": {"type": "int", "default": 4},
    }


def connect(params: t.Mapping[str, t.Any], secrets: t.Iterable[str | None] = (), token: str | None = None) -> Client:
    """A client for these options, with another token than theirs when one is given."""
    return Client.connect(
        params["url"],
        token if token is not None else read_token(params.get("token"), params.get("token_file")),
        ca_file=params.get("ca_file"),
        timeout=params.get("timeout") or 30,
        retries=params["retries"] if params.get("retries") is not None else 4,
        secrets=secrets,
    )


def run(module: Module, act: t.Callable[[], tuple[Differences | None, dict[str, t.Any]]]) -> t.NoReturn:
    """Acts, and ends the module with what came out, or with a failure that says what to do."""
    try:
        differences, values = act()
    except Fault as fault:
        module.fail_json(msg=str(fault), fault=fault.as_dict())
    except Refused as refused:
        module.fail_json(msg=str(refused))
    result: dict[str, t.Any] = {"changed": False, **values}
    if differences is not None:
        result["changed"] = differences.changed
        result["actions"] = differences.actions()
        if module._diff:
            result["diff"] = differences.diff()
    module.exit_json(**result)


def items(params: t.Mapping[str, t.Any], many: str, single: t.Sequence[str], key: str) -> list[dict[str, t.Any]]:
    """The entries of the list option, or the one entry that the options at the top level describe."""
    listed = params.get(many)
    if listed is not None:
        return [dict(entry) for entry in listed]
    if not params.get(key):
        raise Refused(f"give {many}, or {key} for a single one")
    return [{name: params.get(name) for name in single}]


# Shared by the module and its action plugin.
TOKEN_SPEC: dict[str, dict[str, t.Any]] = {
    "organization": {"type": "str", "required": True},
    "secrets_dir": {"type": "path", "required": True, "no_log": False},
    "tokens": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "no_log": False,
        "options": {
            "description": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "store": {"type": "str"},
            "permissions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "action": {"type": "str", "choices": ["read", "write"], "required": True},
                    "type": {"type": "str", "default": "buckets"},
                    "bucket": {"type": "str"},
                },
            },
        },
        "required_if": [("state", "present", ("store", "permissions"))],
    },
}
