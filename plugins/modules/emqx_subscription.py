#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_subscription
short_description: Subscriptions of a session of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Gives the session of a client its topics, also while the client is away. Telegraf with a persistent session never subscribes again
    when its session is there, so a topic that was added to its configuration later would silently not be received.
  - The subscriptions are read back. Without a session nothing is done, as the client subscribes when it makes one.
  - Permissions are not asked; what the client may receive is the same all the same.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  clientid:
    description: The client's id.
    type: str
    required: true
  topics:
    description: The topics.
    type: list
    elements: str
    required: true
  qos:
    description: Quality of service of all of them.
    type: int
    choices: [0, 1, 2]
    default: 1
  exclusive:
    description: Whether other subscriptions of the session end.
    type: bool
    default: true
seealso:
  - module: edgestack.iot.emqx_client
"""

EXAMPLES = r"""
- name: Let Telegraf receive what a new profile's devices send
  edgestack.iot.emqx_subscription:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    clientid: telegraf-centre
    topics: [sensor/dht11/+, sensor/new/+]
"""

RETURN = r"""
session:
  description: Whether the client has a session.
  returned: success
  type: bool
subscribed:
  description: Topics that were (in check mode, would be) added, or got another QoS.
  returned: success
  type: list
  elements: str
unsubscribed:
  description: Topics that were (in check mode, would be) taken away.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import subscriptions
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    wanted = dict.fromkeys(params["topics"], params["qos"])
    return subscriptions.subscriptions(client, params["clientid"], wanted, exclusive=params["exclusive"], check=check)


OPTIONS = {
    "clientid": {"type": "str", "required": True},
    "topics": {"type": "list", "elements": "str", "required": True},
    "qos": {"type": "int", "choices": [0, 1, 2], "default": 1},
    "exclusive": {"type": "bool", "default": True},
}


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
