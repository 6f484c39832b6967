#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_source
short_description: A source of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one source, from which rules get messages of another system. EMQX 5.4 and later; before that see
    M(edgestack.iot.emqx_bridge).
  - EMQX removes a source only when no rule uses it.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the source exists.
    type: str
    choices: [present, absent]
    default: present
  type:
    description: Kind of the source by EMQX's name, for example V(mqtt), V(http), V(mysql). What there is depends on version and edition.
    type: str
    required: true
  name:
    description: Name of the source.
    type: str
    required: true
  enable:
    description: Whether it is in use; a new one is.
    type: bool
  connector:
    description: Name of the connector that it uses, which must exist; needed for a new one.
    type: str
  parameters:
    description: What it does, by the fields that EMQX documents for its kind, for example C(topic), C(qos), C(payload).
    type: dict
  settings:
    description:
      - The other fields as EMQX documents them. Those that are not given stay as they are.
      - A secret among them must be C(file:///path) (EMQX 5.4 and later); plain ones belong under O(secrets).
    type: dict
    default: {}
  secrets:
    description: Secret fields in plain text, at the places where they stand in O(settings), for example C(password).
    type: dict
  update_secret:
    description:
      - EMQX masks these secrets in every version, so whether one is still right cannot be seen. V(on_create) sends it only with a new
        object (or with C(file://), whose path is compared), V(always) at every run, which is a change each time.
    type: str
    choices: [on_create, always]
    default: on_create
  wait_connected:
    description: How long to wait until EMQX is connected, in seconds; 0 does not wait.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Commands from the centre
  edgestack.iot.emqx_source:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: commands
    connector: uplink
    parameters:
      topic: commands/site-a/#
      qos: 1

- name: No commands from the centre
  edgestack.iot.emqx_source:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: commands
    state: absent
"""

RETURN = r"""
id:
  description: Type and name.
  returned: success
  type: str
  sample: mqtt:uplink
source:
  description: What is there (in check mode, would be there), without secrets.
  returned: success
  type: dict
status:
  description: What EMQX says of the connection.
  returned: when waited for
  type: str
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import body_of, run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import described
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "type": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "enable": {"type": "bool"},
    "connector": {"type": "str"},
    "parameters": {"type": "dict"},
    "settings": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "no_log": True},
    "update_secret": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "wait_connected": {"type": "int", "default": 0},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return described.manage(
        client,
        described.SOURCE,
        {**body_of(params["settings"], params["secrets"], ""), **{name: params[name] for name in ("enable", "connector", "parameters")}},
        type=params["type"],
        name=params["name"],
        present=params["state"] == "present",
        resend_secrets=params["update_secret"] == "always",  # noqa: S105 - a choice
        wait_connected=params["wait_connected"],
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
