#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_bridge
short_description: A bridge of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one bridge, which EMQX had before connectors, actions and sources. Bridges are gone in EMQX 6.0; from 5.4
    on prefer M(edgestack.iot.emqx_connector) and M(edgestack.iot.emqx_action).
  - EMQX removes a bridge only when no rule uses it.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.emqx.described
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
"""

EXAMPLES = r"""
- name: Forward to the centre
  edgestack.iot.emqx_bridge:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: uplink
    settings:
      server: centre.iot.internal:1883
      username: gateway-1
      clientid_prefix: gateway-1
      proto_ver: v5
      egress:
        remote:
          topic: "site/a/${topic}"
          qos: 1
          payload: "${payload}"
    secrets:
      password: "{{ uplink_password }}"
"""

RETURN = r"""
id:
  description: Type and name.
  returned: success
  type: str
  sample: mqtt:uplink
bridge:
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

from ansible_collections.edgestack.iot.plugins.module_utils._emqx import module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import described

OPTIONS = module.DESCRIBED
act = module.described_act(described.BRIDGE)


def main() -> None:
    module.run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
