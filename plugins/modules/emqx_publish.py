#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_publish
short_description: Publishes messages through EMQX's REST API
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Publishes one message or many, which is a change at every run. In check mode nothing is published.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - A message is published at every run.
options:
  messages:
    description: The messages.
    type: list
    elements: dict
    required: true
    suboptions:
      topic:
        description: Topic, without wildcards.
        type: str
        required: true
      payload:
        description: What the message says.
        type: str
        required: true
      payload_encoding:
        description: V(base64) for a payload that is no text.
        type: str
        choices: [plain, base64]
      qos:
        description: Quality of service.
        type: int
        choices: [0, 1, 2]
      retain:
        description: Whether EMQX keeps it for later subscribers; for messages that shall be kept and changed only when they differ see
          M(edgestack.iot.emqx_retained).
        type: bool
      properties:
        description: MQTT 5 properties by EMQX's names, for example C(content_type), C(message_expiry_interval), C(user_properties).
        type: dict
  require_subscribers:
    description: Whether it is an error that nobody was subscribed.
    type: bool
    default: false
seealso:
  - module: edgestack.iot.emqx_retained
"""

EXAMPLES = r"""
- name: A command for a device
  edgestack.iot.emqx_publish:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    messages:
      - topic: commands/sensor-17
        payload: '{"interval": 30}'
        qos: 1
"""

RETURN = r"""
results:
  description: What became of each message.
  returned: when published
  type: list
  elements: dict
  contains:
    topic:
      description: The topic.
      type: str
    id:
      description: EMQX's id of the message, when somebody was subscribed.
      type: str
    delivered:
      description: Whether somebody was subscribed.
      type: bool
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
        "required": True,
        "options": {
            "topic": {"type": "str", "required": True},
            "payload": {"type": "str", "required": True},
            "payload_encoding": {"type": "str", "choices": ["plain", "base64"]},
            "qos": {"type": "int", "choices": [0, 1, 2]},
            "retain": {"type": "bool"},
            "properties": {"type": "dict"},
        },
    },
    "require_subscribers": {"type": "bool", "default": False},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return messages.publish(client, params["messages"], require_subscribers=params["require_subscribers"], check=check)


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
