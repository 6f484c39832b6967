#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_retained
short_description: Retained messages of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Sees to it that messages are retained, or no longer are, and to the retainer's settings.
  - A message is published only when what is retained differs, so subscribers are not told the same twice.
  - EMQX keeps none while the retainer is off, and none that is too large; both are errors here.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  messages:
    description: The messages, each topic once.
    type: list
    elements: dict
    default: []
    suboptions:
      state:
        description: Whether something is retained.
        type: str
        choices: [present, absent]
        default: present
      topic:
        description: Topic; with V(absent) also a filter with wildcards.
        type: str
        required: true
      payload:
        description: What the message says.
        type: str
      payload_encoding:
        description: V(base64) for a payload that is no text.
        type: str
        choices: [plain, base64]
      qos:
        description: Quality of service.
        type: int
        choices: [0, 1, 2]
  settings:
    description: The retainer's settings by EMQX's names, for example C(enable), C(max_payload_size), C(msg_expiry_interval). What is not given stays.
    type: dict
"""

EXAMPLES = r"""
- name: The configuration of a device, kept for when it connects
  edgestack.iot.emqx_retained:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    messages:
      - topic: config/sensor-17
        payload: '{"interval": 30}'
        qos: 1

- name: Nothing is kept of what was there before, and messages live a day
  edgestack.iot.emqx_retained:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    messages:
      - {topic: "old/#", state: absent}
    settings:
      msg_expiry_interval: 1d
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
settings:
  description: The retainer's settings.
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
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import messages
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "messages": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "topic": {"type": "str", "required": True},
            "payload": {"type": "str"},
            "payload_encoding": {"type": "str", "choices": ["plain", "base64"]},
            "qos": {"type": "int", "choices": [0, 1, 2]},
        },
    },
    "settings": {"type": "dict"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return messages.retained(client, params["messages"], settings=params["settings"], check=check)


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
