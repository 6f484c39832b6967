#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_acl_file
short_description: The rules of EMQX's authorization file
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Writes the whole of the rules of the authorization source C(file), as EMQX's syntax or as rules that are turned into it.
  - The source is made when it is not there; its place is a matter of M(edgestack.iot.emqx_authorization).
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  content:
    description: The rules in EMQX's syntax. Comments and blank lines make no difference.
    type: str
  rules:
    description: The rules in the order in which they are asked, instead of O(content).
    type: list
    elements: dict
    suboptions:
      permission:
        description: What the rule says.
        type: str
        choices: [allow, deny]
        required: true
      username:
        description: Only for this user. All conditions of a rule must hold; without any it is for everyone.
        type: str
      username_regex:
        description: Only for users whose names this regular expression finds.
        type: str
      clientid:
        description: Only for this client.
        type: str
      clientid_regex:
        description: Only for clients whose ids this regular expression finds.
        type: str
      addresses:
        description: Only from these addresses or networks.
        type: list
        elements: str
      action:
        description: What it is about.
        type: str
        choices: [publish, subscribe, all]
        default: all
      topics:
        description: Topic filters, with C(${username}) and C(${clientid}); V(eq a/#) is meant literally. Without them the rule is for
          everything.
        type: list
        elements: str
  enable:
    description: Whether the source is asked; a new one is.
    type: bool
"""

EXAMPLES = r"""
- name: The dashboard may look, devices use their own topics, and the rest is denied
  edgestack.iot.emqx_acl_file:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    rules:
      - {permission: allow, username_regex: "^dashboard$", action: subscribe, topics: ["$SYS/#"]}
      - {permission: allow, action: all, topics: ["site/a/${username}/#"]}
      - {permission: deny}

- name: The same in EMQX's syntax
  edgestack.iot.emqx_acl_file:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    content: |
      {allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.
      {allow, all, all, ["site/a/${username}/#"]}.
      {deny, all}.
"""

RETURN = r"""
rules:
  description: The rules in EMQX's syntax.
  returned: success
  type: str
order:
  description: The types of the sources in their order.
  returned: success
  type: list
  elements: str
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import authorization
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "content": {"type": "str"},
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {
            "permission": {"type": "str", "choices": ["allow", "deny"], "required": True},
            "username": {"type": "str"},
            "username_regex": {"type": "str"},
            "clientid": {"type": "str"},
            "clientid_regex": {"type": "str"},
            "addresses": {"type": "list", "elements": "str"},
            "action": {"type": "str", "choices": ["publish", "subscribe", "all"], "default": "all"},
            "topics": {"type": "list", "elements": "str"},
        },
    },
    "enable": {"type": "bool"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    text = params["content"] if params["content"] is not None else authorization.acl_text(params["rules"])
    return authorization.acl_file(client, text, enable=params["enable"], check=check)


def main() -> None:
    run_module(OPTIONS, act, mutually_exclusive=[("content", "rules")], required_one_of=[("content", "rules")])


if __name__ == "__main__":
    main()
