# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the family does around its one backend call."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from .._http import Fault
from . import arguments
from .client import Client, EmqxError
from .difference import SECRET_KEYS, secrets_in
from .resources import described
from .resources.common import Outcome, refuse_plain

Act = t.Callable[[Client, dict[str, t.Any], bool], Outcome]

# Of the documentation's fragments edgestack.iot.emqx.described and edgestack.iot.emqx.connected.
DESCRIBED: t.Final[dict[str, dict[str, t.Any]]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "type": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "enable": {"type": "bool"},
    "settings": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "no_log": True},
    "update_secret": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "wait_connected": {"type": "int", "default": 0},
}
CONNECTED: t.Final[dict[str, dict[str, t.Any]]] = {"connector": {"type": "str"}, "parameters": {"type": "dict"}}


def run_module(
    options: t.Mapping[str, t.Any],
    act: Act,
    *,
    mutually_exclusive: t.Sequence[t.Sequence[str]] = (),
    required_together: t.Sequence[t.Sequence[str]] = (),
    required_one_of: t.Sequence[t.Sequence[str]] = (),
    required_if: t.Sequence[t.Sequence[t.Any]] = (),
    required_by: t.Mapping[str, t.Any] | None = None,
) -> t.NoReturn:
    """A whole module: its own options beside those of the connection, and the act, called with the parameters and check mode."""
    module = AnsibleModule(
        argument_spec={**arguments.connection_spec(), **options},
        supports_check_mode=True,
        mutually_exclusive=[*arguments.MUTUALLY_EXCLUSIVE, *mutually_exclusive],
        required_together=[*arguments.REQUIRED_TOGETHER, *required_together],
        required_one_of=[*arguments.REQUIRED_ONE_OF, *required_one_of],
        required_if=list(required_if),
        required_by=dict(required_by or {}),
    )
    run(module, act)


def described_act(kind: described.Description, *further: str) -> Act:
    """Makes, changes or removes one object that EMQX describes itself. further: options of its own that are fields of the object."""

    def act(client: Client, params: dict[str, t.Any], check: bool) -> Outcome:
        return described.manage(
            client,
            kind,
            {**body_of(params["settings"], params["secrets"], ""), **{name: params[name] for name in ("enable", *further)}},
            type=params["type"],
            name=params["name"],
            present=params["state"] == "present",
            resend_secrets=params["update_secret"] == "always",  # noqa: S105 - a choice
            wait_connected=params["wait_connected"],
            check=check,
        )

    return act


def run(module: AnsibleModule, act: Act) -> t.NoReturn:
    """Connects, acts, and ends the module with the outcome or with an error that says what to do."""
    # Also those that stand where none belongs, and are about to be refused.
    module.no_log_values.update(secrets_in(module.params))
    try:
        with arguments.connect(module.params) as client:
            outcome = act(client, module.params, module.check_mode)
    except Fault as fault:
        module.fail_json(msg=str(fault), fault=fault.as_dict())
    except EmqxError as error:
        module.fail_json(msg=str(error))
    for text in outcome.warnings:
        module.warn(text)
    result: dict[str, t.Any] = {"changed": outcome.changed, **outcome.result}
    if outcome.fields:
        result["changed_fields"] = outcome.fields
    if module._diff:
        result["diff"] = outcome.diff
    module.exit_json(**result)
    raise AssertionError("exit_json returned")


def body_of(settings: t.Mapping[str, t.Any] | None, secrets: t.Mapping[str, t.Any] | None, where: str) -> dict[str, t.Any]:
    """Settings with the secrets put in. A plain secret among the settings would be shown by -vvv, so it is refused."""
    body = dict(settings or {})
    refuse_plain(body, f"{where}settings", "Put it under secrets, or write it as file:///path")
    return _with_secrets(body, secrets or {}, f"{where}secrets")


def _with_secrets(body: dict[str, t.Any], secrets: t.Mapping[str, t.Any], where: str) -> dict[str, t.Any]:
    """The body with the secrets at their places, which may be in dictionaries."""
    merged = dict(body)
    for name, value in secrets.items():
        if isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = _with_secrets(inner if isinstance(inner, dict) else {}, value, f"{where}.{name}")
        elif value is not None:
            if name not in SECRET_KEYS:
                # It would be shown in the diff, because only names tell what is secret.
                raise EmqxError(f"{where}.{name} is not known as a secret", "Put what is no secret under settings")
            merged[name] = value
    return merged
