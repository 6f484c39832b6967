#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_rule
short_description: A rule of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one rule, an SQL query over messages and events and the actions that get its results.
  - EMQX accepts a rule whose action does not exist and drops what it selects; the module warns of that.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the rule exists.
    type: str
    choices: [present, absent]
    default: present
  id:
    description: Id of the rule.
    type: str
    required: true
  name:
    description: Name that the dashboard shows; a new rule is shown by its id without one.
    type: str
  sql:
    description: The query; needed for a new rule.
    type: str
  actions:
    description: What gets the results, ids of actions (V(mqtt:uplink)) or EMQX's own functions (a dictionary with C(function) and C(args)).
    type: list
    elements: raw
  enable:
    description: Whether the rule is in use; a new one is.
    type: bool
  description:
    description: What the rule is for.
    type: str
"""

EXAMPLES = r"""
- name: All readings go to the centre
  edgestack.iot.emqx_rule:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    id: forward
    sql: SELECT * FROM "site/a/#"
    actions: ["mqtt:forward"]
    description: to the centre

- name: What is published to a is published to b
  edgestack.iot.emqx_rule:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    id: copy
    sql: SELECT * FROM "a"
    actions:
      - function: republish
        args: {topic: b, qos: 1, payload: "${payload}", retain: false}

- name: No such rule
  edgestack.iot.emqx_rule:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    id: forward
    state: absent
"""

RETURN = r"""
id:
  description: The rule's id.
  returned: success
  type: str
rule:
  description: What is there (in check mode, would be there).
  returned: success
  type: dict
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import described
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "id": {"type": "str", "required": True},
    "name": {"type": "str"},
    "sql": {"type": "str"},
    "actions": {"type": "list", "elements": "raw"},
    "enable": {"type": "bool"},
    "description": {"type": "str"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    wanted = {name: params[name] for name in ("name", "sql", "actions", "enable", "description")}
    return described.rule(client, wanted, name=params["id"], present=params["state"] == "present", check=check)


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
