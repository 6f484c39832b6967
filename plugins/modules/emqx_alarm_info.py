#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_alarm_info
short_description: Alarms of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - The alarms that are active, or those that are over.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
options:
  active:
    description: Whether those are told that are active, else those that are over.
    type: bool
    default: true
  names:
    description: Only alarms of these names.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: What EMQX complains about
  edgestack.iot.emqx_alarm_info:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
  register: emqx_alarms
"""

RETURN = r"""
alarms:
  description: The alarms.
  returned: success
  type: list
  elements: dict
  sample:
    - name: high_system_memory_usage
      message: System memory usage is higher than 70.0%
      node: emqx@gateway-1.iot.internal
      activate_at: "2026-11-24T02:53:32.000+00:00"
      deactivate_at: infinity
      duration: 1000
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import information
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "active": {"type": "bool", "default": True},
    "names": {"type": "list", "elements": "str", "default": []},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return Outcome(result={"alarms": information.alarms(client, activated=params["active"], names=params["names"])})


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
