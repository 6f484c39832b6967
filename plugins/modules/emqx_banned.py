#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_banned
short_description: Clients that EMQX refuses
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Bans clients, or lifts bans, many in one task.
  - A ban refuses new connections; a live session goes on, so end it with M(edgestack.iot.emqx_client).
  - EMQX cannot change a ban; one that differs in what is given is removed and made anew.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the bans exist.
    type: str
    choices: [present, absent]
    default: present
  entries:
    description: The bans.
    type: list
    elements: dict
    required: true
    suboptions:
      as:
        description: What is compared. The last three need EMQX 5.6.
        type: str
        choices: [clientid, username, peerhost, clientid_re, username_re, peerhost_net]
        required: true
      who:
        description: The client, user, address, pattern or network.
        type: str
        required: true
      by:
        description: Who banned it.
        type: str
      reason:
        description: Why it is banned.
        type: str
      until:
        description: End of the ban (RFC 3339, or seconds since 1970); V(infinity) needs EMQX 5.8.1. Without it EMQX decides, for a year
          before 5.8.1 and without an end since.
        type: str
  exclusive:
    description: Whether bans that are not listed are lifted.
    type: bool
    default: false
seealso:
  - module: edgestack.iot.emqx_client
"""

EXAMPLES = r"""
- name: Ban a device that was stolen
  edgestack.iot.emqx_banned:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    entries:
      - as: username
        who: sensor-17
        by: devices
        reason: revoked
"""

RETURN = r"""
added:
  description: Bans that were (in check mode, would be) made.
  returned: success
  type: list
  elements: str
updated:
  description: Bans that were (in check mode, would be) removed and made anew.
  returned: success
  type: list
  elements: str
removed:
  description: Bans that were (in check mode, would be) lifted.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client, EmqxError
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import clients
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    if params["exclusive"] and params["state"] == "absent":
        raise EmqxError("exclusive goes with state: present only")
    return clients.banned(client, params["entries"], present=params["state"] == "present", exclusive=params["exclusive"], check=check)


OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "entries": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "as": {
                "type": "str",
                "choices": ["clientid", "username", "peerhost", "clientid_re", "username_re", "peerhost_net"],
                "required": True,
            },
            "who": {"type": "str", "required": True},
            "by": {"type": "str"},
            "reason": {"type": "str"},
            "until": {"type": "str"},
        },
    },
    "exclusive": {"type": "bool", "default": False},
}


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
