#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_authorization_rule
short_description: Rules of EMQX's built-in authorization database
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes the rules of users, of clients and those for all, many in one task and in few requests.
  - The source C(built_in_database) must exist, see M(edgestack.iot.emqx_authorization).
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the rules of the named users and clients exist.
    type: str
    choices: [present, absent]
    default: present
  users:
    description: Rules by user name, each name once.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The user.
        type: str
        required: true
      rules:
        description: The rules, in the order in which they are asked; they replace those that are there.
        type: list
        elements: dict
        suboptions:
          permission:
            description: What the rule says.
            type: str
            choices: [allow, deny]
            required: true
          action:
            description: What it is about.
            type: str
            choices: [publish, subscribe, all]
            required: true
          topic:
            description: Topic filter, with C(${username}) and C(${clientid}) as EMQX documents them; V(eq a/#) is meant literally.
            type: str
            required: true
          qos:
            description: Only these qualities of service; all without it.
            type: list
            elements: int
          retain:
            description: Only retained messages, only others, or both.
            type: str
            choices: ["true", "false", all]
            default: all
  clients:
    description: Rules by client id, each id once.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The client.
        type: str
        required: true
      rules:
        description: The rules, in the order in which they are asked; they replace those that are there.
        type: list
        elements: dict
        suboptions:
          permission:
            description: What the rule says.
            type: str
            choices: [allow, deny]
            required: true
          action:
            description: What it is about.
            type: str
            choices: [publish, subscribe, all]
            required: true
          topic:
            description: Topic filter, with C(${username}) and C(${clientid}) as EMQX documents them; V(eq a/#) is meant literally.
            type: str
            required: true
          qos:
            description: Only these qualities of service; all without it.
            type: list
            elements: int
          retain:
            description: Only retained messages, only others, or both.
            type: str
            choices: ["true", "false", all]
            default: all
  everyone:
    description: Rules for all; an empty list removes them. Without it those that are there stay, unless O(exclusive).
    type: list
    elements: dict
    suboptions:
      permission:
        description: What the rule says.
        type: str
        choices: [allow, deny]
        required: true
      action:
        description: What it is about.
        type: str
        choices: [publish, subscribe, all]
        required: true
      topic:
        description: Topic filter, with C(${username}) and C(${clientid}) as EMQX documents them; V(eq a/#) is meant literally.
        type: str
        required: true
      qos:
        description: Only these qualities of service; all without it.
        type: list
        elements: int
      retain:
        description: Only retained messages, only others, or both.
        type: str
        choices: ["true", "false", all]
        default: all
  exclusive:
    description: Whether rules of users and clients that are not listed, and those for all when O(everyone) is not given, are removed.
    type: bool
    default: false
seealso:
  - module: edgestack.iot.emqx_authorization
  - module: edgestack.iot.emqx_acl_file
"""

EXAMPLES = r"""
- name: A device may publish its own readings, and the rest is denied
  edgestack.iot.emqx_authorization_rule:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    users:
      - name: sensor-17
        rules:
          - {permission: allow, action: publish, topic: "site/a/${username}/#"}
    everyone:
      - {permission: deny, action: all, topic: "#"}

- name: A client without rules
  edgestack.iot.emqx_authorization_rule:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    state: absent
    clients:
      - name: meter-1
"""

RETURN = r"""
added:
  description: Names of what was (in check mode, would be) made.
  returned: success
  type: list
  elements: str
updated:
  description: Names of what was (in check mode, would be) changed.
  returned: success
  type: list
  elements: str
removed:
  description: Names of what was (in check mode, would be) removed.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import authorization
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

_RULES = {
    "type": "list",
    "elements": "dict",
    "options": {
        "permission": {"type": "str", "choices": ["allow", "deny"], "required": True},
        "action": {"type": "str", "choices": ["publish", "subscribe", "all"], "required": True},
        "topic": {"type": "str", "required": True},
        "qos": {"type": "list", "elements": "int"},
        "retain": {"type": "str", "choices": ["true", "false", "all"], "default": "all"},
    },
}
_NAMED = {"type": "list", "elements": "dict", "default": [], "options": {"name": {"type": "str", "required": True}, "rules": _RULES}}
OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "users": _NAMED,
    "clients": _NAMED,
    "everyone": _RULES,
    "exclusive": {"type": "bool", "default": False},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return authorization.rules(
        client,
        users=params["users"],
        clients=params["clients"],
        everyone=params["everyone"],
        present=params["state"] == "present",
        exclusive=params["exclusive"],
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
