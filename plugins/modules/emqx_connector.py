#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_connector
short_description: A connector of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one connector, the connection that actions and sources use. EMQX 5.4 and later; before that see
    M(edgestack.iot.emqx_bridge).
  - EMQX removes a connector only when no action and no source uses it.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.emqx.described
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
"""

EXAMPLES = r"""
- name: The centre's broker
  edgestack.iot.emqx_connector:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: uplink
    settings:
      server: centre.iot.internal:8883
      clientid_prefix: gateway-1
      username: gateway-1
      proto_ver: v5
      clean_start: false
      keepalive: 60s
      ssl:
        enable: true
        verify: verify_peer
        cacertfile: /etc/edgestack/emqx/tls/ca.pem
    secrets:
      password: "{{ uplink_password }}"

- name: No uplink
  edgestack.iot.emqx_connector:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: uplink
    state: absent
"""

RETURN = r"""
id:
  description: Type and name.
  returned: success
  type: str
  sample: mqtt:uplink
connector:
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
act = module.described_act(described.CONNECTOR)


def main() -> None:
    module.run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
