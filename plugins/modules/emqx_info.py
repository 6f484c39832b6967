#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_info
short_description: What EMQX says of itself
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Version, edition and nodes, and what else is asked for. Secrets are masked, also those that EMQX before 5.8 shows.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
options:
  gather:
    description: What to ask for beside version, edition and nodes.
    type: list
    elements: str
    choices:
      - actions
      - alarms
      - authentication
      - authorization_settings
      - authorization_sources
      - banned
      - bridges
      - clients
      - cluster
      - configuration
      - connectors
      - listeners
      - metrics
      - plugins
      - retainer
      - rules
      - sources
      - stats
      - subscriptions
    default: []
  clientids:
    description: Only these clients, for V(clients) and V(subscriptions) in O(gather).
    type: list
    elements: str
    default: []
  usernames:
    description: Only clients of these users, for V(clients) in O(gather).
    type: list
    elements: str
    default: []
  query:
    description: Only clients that the API's own query parameters select, for V(clients) in O(gather).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: What Telegraf subscribed to
  edgestack.iot.emqx_info:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    gather: [clients, subscriptions]
    clientids: [telegraf-centre]
"""

RETURN = r"""
version:
  description: EMQX's version, the oldest one in a cluster.
  returned: success
  type: str
  sample: 5.8.9
edition:
  description: EMQX's edition.
  returned: success
  type: str
  sample: Opensource
nodes:
  description: Names of the nodes.
  returned: success
  type: list
  elements: str
alarms:
  description: Alarms that are active.
  returned: when gathered
  type: list
  elements: dict
authentication:
  description: The authentication chain.
  returned: when gathered
  type: list
  elements: dict
authorization_settings:
  description: What happens when no source decides, and the cache.
  returned: when gathered
  type: dict
authorization_sources:
  description: The authorization sources in their order.
  returned: when gathered
  type: list
  elements: dict
banned:
  description: Bans.
  returned: when gathered
  type: list
  elements: dict
clients:
  description: Clients, with their queues and counters.
  returned: when gathered
  type: list
  elements: dict
cluster:
  description: Name and nodes of the cluster.
  returned: when gathered
  type: dict
configuration:
  description: The whole configuration, secrets masked.
  returned: when gathered
  type: dict
listeners:
  description: Listeners and whether they run.
  returned: when gathered
  type: list
  elements: dict
metrics:
  description: Counters of the whole cluster.
  returned: when gathered
  type: dict
stats:
  description: Statistics by node.
  returned: when gathered
  type: list
  elements: dict
subscriptions:
  description: Subscriptions.
  returned: when gathered
  type: list
  elements: dict
actions:
  description: Actions (EMQX 5.4 and later).
  returned: when gathered
  type: list
  elements: dict
bridges:
  description: Bridges (before EMQX 6.0).
  returned: when gathered
  type: list
  elements: dict
connectors:
  description: Connectors (EMQX 5.4 and later).
  returned: when gathered
  type: list
  elements: dict
plugins:
  description: Plugins that are installed.
  returned: when gathered
  type: list
  elements: dict
retainer:
  description: Settings of the retainer.
  returned: when gathered
  type: dict
rules:
  description: Rules.
  returned: when gathered
  type: list
  elements: dict
sources:
  description: Sources (EMQX 5.4 and later).
  returned: when gathered
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import information
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    found = {name: params[name] for name in ("clientids", "usernames", "query")}
    return Outcome(result=information.information(client, params["gather"], **found))


OPTIONS = {
    "gather": {
        "type": "list",
        "elements": "str",
        "default": [],
        "choices": [
            "actions",
            "alarms",
            "authentication",
            "authorization_settings",
            "authorization_sources",
            "banned",
            "bridges",
            "clients",
            "cluster",
            "configuration",
            "connectors",
            "listeners",
            "metrics",
            "plugins",
            "retainer",
            "rules",
            "sources",
            "stats",
            "subscriptions",
        ],
    },
    "clientids": {"type": "list", "elements": "str", "default": []},
    "usernames": {"type": "list", "elements": "str", "default": []},
    "query": {"type": "dict", "default": {}},
}


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
