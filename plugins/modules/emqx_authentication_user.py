#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_authentication_user
short_description: Users of EMQX's built-in database
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes users of a built-in authentication database, many in one task, over one connection.
  - EMQX shows no passwords and no hashes, so whether an existing user's password is still right cannot be seen; see O(update_password).
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the users exist.
    type: str
    choices: [present, absent]
    default: present
  authenticator:
    description: Id of the authenticator, which must exist.
    type: str
    default: password_based:built_in_database
  users:
    description: The users, each named once.
    type: list
    elements: dict
    required: true
    suboptions:
      user_id:
        description: User name or client id, as the authenticator's C(user_id_type) says.
        type: str
        required: true
      password:
        description: Password of a new user. EMQX takes no user without one, and changes O(users[].is_superuser) only together with it.
        type: str
      is_superuser:
        description: Whether authorization is skipped for the user.
        type: bool
  update_password:
    description: V(on_create) sends a password only with a new user, V(always) at every run, which is a change each time.
    type: str
    choices: [on_create, always]
    default: on_create
  exclusive:
    description: Whether users that are not listed are removed.
    type: bool
    default: false
seealso:
  - module: edgestack.iot.emqx_authentication
"""

EXAMPLES = r"""
- name: A user of the built-in database
  edgestack.iot.emqx_authentication_user:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    users:
      - user_id: sensor-17
        password: "{{ sensor_password }}"

- name: Nobody else
  edgestack.iot.emqx_authentication_user:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    exclusive: true
    users:
      - user_id: sensor-17
        password: "{{ sensor_password }}"
        is_superuser: false

- name: A user that is gone
  edgestack.iot.emqx_authentication_user:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    state: absent
    users:
      - user_id: sensor-17
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
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import authentication
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "authenticator": {"type": "str", "default": "password_based:built_in_database"},
    "users": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "user_id": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "is_superuser": {"type": "bool"},
        },
    },
    "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "exclusive": {"type": "bool", "default": False},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return authentication.users(
        client,
        params["users"],
        authenticator_id=params["authenticator"],
        present=params["state"] == "present",
        exclusive=params["exclusive"],
        update_password=params["update_password"] == "always",  # noqa: S105 - a choice
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
