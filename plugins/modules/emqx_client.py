#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_client
short_description: Ends sessions of EMQX's clients
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes EMQX forget what it authorized for clients, and ends their sessions, also those of clients that are not connected.
  - A client whose session ended connects again within a second unless it is refused by then; to revoke one, first take its credentials
    away and ban it (M(edgestack.iot.emqx_banned)).
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
      - A client that is allowed to connect again does so, and its new session is ended by the next run.
options:
  state:
    description: V(kicked) cleans the authorization cache and ends the session, V(cache_cleaned) only the former.
    type: str
    choices: [kicked, cache_cleaned]
    default: kicked
  clientids:
    description: Ids of clients.
    type: list
    elements: str
    default: []
  usernames:
    description: Users, all of whose clients are meant.
    type: list
    elements: str
    default: []
  query:
    description: Clients by the API's own query parameters, for example C(like_clientid), C(ip_address), C(conn_state).
    type: dict
    default: {}
seealso:
  - module: edgestack.iot.emqx_banned
"""

EXAMPLES = r"""
- name: End the session of a revoked device
  edgestack.iot.emqx_client:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    usernames: [sensor-17]
"""

RETURN = r"""
clients:
  description: Ids of the clients that were found.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import clients
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return clients.end_sessions(
        client,
        clientids=params["clientids"],
        usernames=params["usernames"],
        query=params["query"],
        kick=params["state"] == "kicked",
        check=check,
    )


OPTIONS = {
    "state": {"type": "str", "choices": ["kicked", "cache_cleaned"], "default": "kicked"},
    "clientids": {"type": "list", "elements": "str", "default": []},
    "usernames": {"type": "list", "elements": "str", "default": []},
    "query": {"type": "dict", "default": {}},
}


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
