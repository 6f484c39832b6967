#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_cluster
short_description: The nodes of an EMQX cluster
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Lets a node join or leave the cluster of the server that is asked, empties a node of its clients before maintenance, and waits until
    all nodes run.
  - From EMQX 5.9 on more than one node needs a licence, see M(edgestack.iot.emqx_license).
  - Joining, leaving and evacuation were written from the documents and EMQX's sources and tried against a model of the API, not
    against a real cluster.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description:
      - V(healthy) waits until all nodes run, V(joined) invites O(node), V(left) removes it.
      - V(evacuated) sends the clients of O(node) to others and keeps new ones away, until V(serving). Both need the Enterprise edition or
        EMQX 5.9.
    type: str
    choices: [healthy, joined, left, evacuated, serving]
    default: healthy
  node:
    description: Name of the node that is meant, for example V(emqx@gateway-2.iot.internal).
    type: str
  nodes:
    description: With V(healthy) in O(state), how many nodes must run at least.
    type: int
  evacuation:
    description: Options of the evacuation by EMQX's names, for example C(conn_evict_rate), C(sess_evict_rate), C(wait_takeover), C(migrate_to).
    type: dict
  wait:
    description: How long to wait until all nodes run, or the node is empty, in seconds.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: All nodes run
  edgestack.iot.emqx_cluster:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    nodes: 1

- name: A second node
  edgestack.iot.emqx_cluster:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    state: joined
    node: emqx@b.iot.internal
"""

RETURN = r"""
nodes:
  description: Names of the nodes that belong to the cluster.
  returned: success
  type: list
  elements: str
running:
  description: Names of the nodes that run.
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
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import nodes
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "state": {"type": "str", "choices": ["healthy", "joined", "left", "evacuated", "serving"], "default": "healthy"},
    "node": {"type": "str"},
    "nodes": {"type": "int"},
    "evacuation": {"type": "dict"},
    "wait": {"type": "int", "default": 60},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return nodes.cluster(
        client,
        params["state"],
        node=params["node"] or "",
        nodes=params["nodes"],
        evacuation=params["evacuation"],
        wait=params["wait"],
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act, required_if=[("state", state, ("node",)) for state in ("joined", "left", "evacuated", "serving")])


if __name__ == "__main__":
    main()
