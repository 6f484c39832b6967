#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_dashboard_user
short_description: A user of EMQX's dashboard
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one user of the dashboard.
  - EMQX lets only users of the dashboard manage users, so connect with O(username) and O(password).
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the user exists.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name of the user that is managed.
    type: str
    required: true
  new_password:
    description: Password of the managed user, 8 to 64 printable ASCII characters of at least two kinds (letters, digits, others).
    type: str
  current_password:
    description: The managed user's password until now, without which EMQX changes none. A wrong one is an error; nothing is guessed.
    type: str
  update_password:
    description:
      - V(on_create) sets the password of a new user only.
      - V(always) asks at every run, by one login with O(new_password), whether it is the password, and changes it when it is not. From
        EMQX 5.9 on five wrong logins in five minutes lock a user for ten minutes.
    type: str
    choices: [on_create, always]
    default: on_create
  description:
    description: What the user is for.
    type: str
  role:
    description:
      - What the user may do, for example V(administrator) or V(viewer).
      - Refused for the open-source editions up to 5.8, which would take it without a word and let the user do everything.
    type: str
seealso:
  - module: edgestack.iot.emqx_api_key
"""

EXAMPLES = r"""
- name: Somebody who looks after the broker
  edgestack.iot.emqx_dashboard_user:
    username: admin
    password: "{{ emqx_admin_password }}"
    name: operator
    new_password: "{{ operator_password }}"
    description: operators of site a

- name: Another password for the operators
  edgestack.iot.emqx_dashboard_user:
    username: admin
    password: "{{ emqx_admin_password }}"
    name: operator
    current_password: "{{ operator_password }}"
    new_password: "{{ operator_next_password }}"
    update_password: always
"""

RETURN = r"""
username:
  description: Name of the user.
  returned: success
  type: str
user:
  description: The user's fields.
  returned: with O(state=present)
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
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import accounts
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str", "required": True},
    "new_password": {"type": "str", "no_log": True},
    "current_password": {"type": "str", "no_log": True},
    "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "description": {"type": "str"},
    "role": {"type": "str"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return accounts.dashboard_user(
        client,
        params["name"],
        {"description": params["description"], "role": params["role"]},
        password=params["new_password"],
        current_password=params["current_password"],
        update_password=params["update_password"] == "always",  # noqa: S105 - a choice
        present=params["state"] == "present",
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
