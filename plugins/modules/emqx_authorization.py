#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_authorization
short_description: EMQX's authorization sources, their order and settings
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes the listed sources as they are described, puts them in order and says what happens when none of them decides.
  - Sources and settings that are not given stay as they are, unless O(exclusive).
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  sources:
    description: The sources, at most one of a type.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: Kind of the source, for example V(file), V(built_in_database), V(mysql), V(postgresql), V(redis), V(mongodb), V(http)
          or V(ldap).
        type: str
        required: true
      state:
        description: Whether the source exists.
        type: str
        choices: [present, absent]
        default: present
      enable:
        description: Whether it is asked; a new one is.
        type: bool
      rules:
        description: For V(file), the whole of the rules in EMQX's syntax. Comments and blank lines make no difference.
        type: str
      settings:
        description:
          - The other fields of this source as EMQX documents them.
          - A secret among them must be C(file:///path) (EMQX 5.4 and later); plain ones belong under O(sources[].secrets).
        type: dict
        default: {}
      secrets:
        description: Secret fields in plain text, at the places where they stand in O(sources[].settings), for example C(password).
        type: dict
  order:
    description: Types of the sources in the order in which they are asked; what is not named follows behind.
    type: list
    elements: str
    default: []
  exclusive:
    description: Whether sources that are not listed are removed.
    type: bool
    default: false
  no_match:
    description: What happens when no source decides.
    type: str
    choices: [allow, deny]
  deny_action:
    description: What happens to a client that is denied, whose message is dropped in either case.
    type: str
    choices: [ignore, disconnect]
  cache:
    description: EMQX's memory of decisions, per client.
    type: dict
    suboptions:
      enable:
        description: Whether decisions are remembered.
        type: bool
      max_size:
        description: Decisions remembered for one client.
        type: int
      ttl:
        description: How long a decision is remembered, for example V(1m).
        type: str
      excludes:
        description: Topic filters for which nothing is remembered (EMQX 5.5 and later).
        type: list
        elements: str
  update_secret:
    description:
      - EMQX 5.8 and later masks secrets, so whether one is still right cannot be seen. V(on_create) sends it only with a new source
        (or with C(file://), whose path is compared), V(always) at every run, which is a change each time.
    type: str
    choices: [on_create, always]
    default: on_create
  wait_connected:
    description: How long to wait until EMQX is connected to the sources' backends, in seconds; 0 does not wait.
    type: int
    default: 0
seealso:
  - module: edgestack.iot.emqx_authentication
"""

EXAMPLES = r"""
- name: Ask MySQL, then the rules, and deny the rest
  edgestack.iot.emqx_authorization:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    sources:
      - type: mysql
        settings:
          server: 127.0.0.1:3306
          database: mqtt
          username: emqx
          password: file:///etc/edgestack/emqx/secrets/mysql_password
          query: SELECT permission, action, topic FROM mqtt_acl WHERE username = ${username}
      - type: file
        rules: |
          {deny, all}.
    order: [mysql, file]
    no_match: deny
    deny_action: ignore
"""

RETURN = r"""
order:
  description: The types of the sources in their order.
  returned: success
  type: list
  elements: str
settings:
  description: What happens when no source decides, and the cache.
  returned: when one of them was given
  type: dict
status:
  description: What EMQX says of its connection to each backend.
  returned: when waited for
  type: dict
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import body_of, run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import authorization
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    sources = [
        {
            **body_of(one["settings"], one["secrets"], f"sources[{number}]."),
            **{name: one[name] for name in ("type", "state", "enable", "rules")},
        }
        for number, one in enumerate(params["sources"])
    ]
    return authorization.sources(
        client,
        wanted=sources,
        order=params["order"],
        exclusive=params["exclusive"],
        settings={name: params[name] for name in ("no_match", "deny_action", "cache") if params[name] is not None},
        resend_secrets=params["update_secret"] == "always",  # noqa: S105 - a choice
        wait_connected=params["wait_connected"],
        check=check,
    )


OPTIONS = {
    "sources": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "type": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "enable": {"type": "bool"},
            "rules": {"type": "str"},
            "settings": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "no_log": True},
        },
    },
    "order": {"type": "list", "elements": "str", "default": []},
    "exclusive": {"type": "bool", "default": False},
    "no_match": {"type": "str", "choices": ["allow", "deny"]},
    "deny_action": {"type": "str", "choices": ["ignore", "disconnect"]},
    "cache": {
        "type": "dict",
        "options": {
            "enable": {"type": "bool"},
            "max_size": {"type": "int"},
            "ttl": {"type": "str"},
            "excludes": {"type": "list", "elements": "str"},
        },
    },
    "update_secret": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "wait_connected": {"type": "int", "default": 0},
}


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
