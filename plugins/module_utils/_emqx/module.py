# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the family does around its one backend call."""

from __future__ import annotations

import typing as t

from .._http import Fault
from .arguments import connect
from .client import Client, EmqxError
from .difference import SECRET_KEYS, secrets_in
from .resources import Outcome


class Module(t.Protocol):
    """As much of AnsibleModule as is used here."""

    params: dict[str, t.Any]
    check_mode: bool
    no_log_values: set[str]
    _diff: bool

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn: ...

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn: ...


def run(module: Module, act: t.Callable[[Client], Outcome]) -> t.NoReturn:
    """Connects, acts, and ends the module with the outcome or with an error that says what to do."""
    # Also those that stand where none belongs, and are about to be refused.
    module.no_log_values.update(secrets_in(module.params))
    try:
        with connect(module.params) as client:
            outcome = act(client)
    except Fault as fault:
        module.fail_json(msg=str(fault), fault=fault.as_dict())
    except EmqxError as error:
        module.fail_json(msg=str(error))
    result: dict[str, t.Any] = {"changed": outcome.changed, **outcome.result}
    if outcome.fields:
        result["changed_fields"] = outcome.fields
    if module._diff:
        result["diff"] = outcome.diff
    module.exit_json(**result)


def body_of(settings: t.Mapping[str, t.Any] | None, secrets: t.Mapping[str, t.Any] | None, where: str) -> dict[str, t.Any]:
    """Settings with the secrets put in. A plain secret among the settings would be shown by -vvv, so it is refused."""
    body = dict(settings or {})
    _refuse_plain(body, f"{where}settings")
    body.update({name: value for name, value in (secrets or {}).items() if value is not None})
    return body


def _refuse_plain(value: t.Any, where: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            here = f"{where}.{name}"
            if name in SECRET_KEYS and isinstance(inner, str) and inner and not inner.startswith("file://"):
                raise EmqxError(f"{here} is a secret in plain text", "Put it under secrets, or write it as file:///path")
            _refuse_plain(inner, here)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_plain(item, f"{where}[{number}]")
