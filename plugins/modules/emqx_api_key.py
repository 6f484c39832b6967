#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_api_key
short_description: An API key of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one API key. EMQX shows its secret once, when the key is made; it goes into O(secret_file), or into the result.
  - EMQX lets only users of the dashboard manage API keys, so connect with O(username) and O(password).
  - To use a key, give RV(api_key) as O(api_key) of the other modules and the file as their O(api_secret_file).
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the key exists.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name of the key.
    type: str
    required: true
  description:
    description: What it is for.
    type: str
  enable:
    description: Whether it may be used; a new one may.
    type: bool
  expired_at:
    description: End of its validity (RFC 3339), or V(infinity), which a new one has.
    type: str
  role:
    description:
      - What it may do, for example V(administrator), V(viewer) or V(publisher).
      - Refused for the open-source editions up to 5.8, which would take it without a word and let the key do everything.
    type: str
  secret_file:
    description:
      - File on the host that runs the module, into which the secret goes (0600). Its directory must exist.
      - A key that exists while the file does not is an error, because EMQX does not show the secret again; see O(regenerate).
    type: path
  regenerate:
    description: When an existing key is replaced by a new one of the same name, V(never), when its O(secret_file) is V(lost), or V(always), which is a
      change each time. What used the old one gets 401 from then on.
    type: str
    choices: [never, lost, always]
    default: never
seealso:
  - module: edgestack.iot.emqx_dashboard_user
"""

EXAMPLES = r"""
- name: A key for the installer
  edgestack.iot.emqx_api_key:
    username: admin
    password: "{{ emqx_admin_password }}"
    name: installer
    description: made by Ansible
    secret_file: /etc/edgestack/emqx/secrets/installer_secret
  register: installer

- name: No such key
  edgestack.iot.emqx_api_key:
    username: admin
    password: "{{ emqx_admin_password }}"
    name: installer
    state: absent
"""

RETURN = r"""
name:
  description: Name of the key.
  returned: success
  type: str
api_key:
  description: What stands for a user name when the key is used.
  returned: when the key exists
  type: str
api_secret:
  description: The secret. Register it with C(no_log), or give O(secret_file).
  returned: when the key was made and O(secret_file) is not given
  type: str
key:
  description: The key's fields.
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
    "description": {"type": "str"},
    "enable": {"type": "bool"},
    "expired_at": {"type": "str"},
    "role": {"type": "str"},
    "secret_file": {"type": "path", "no_log": False},
    "regenerate": {"type": "str", "choices": ["never", "lost", "always"], "default": "never"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return accounts.api_key(
        client,
        params["name"],
        {"desc": params["description"], **{name: params[name] for name in ("enable", "expired_at", "role")}},
        present=params["state"] == "present",
        secret_file=params["secret_file"],
        regenerate=params["regenerate"],
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
