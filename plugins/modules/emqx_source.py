#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_source
short_description: A source of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes or removes one source, from which rules get messages of another system. EMQX 5.4 and later; before that see
    M(edgestack.iot.emqx_bridge).
  - EMQX removes a source only when no rule uses it.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.emqx.described
  - edgestack.iot.emqx.connected
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
"""

EXAMPLES = r"""
- name: Commands from the centre
  edgestack.iot.emqx_source:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: commands
    connector: uplink
    parameters:
      topic: commands/site-a/#
      qos: 1

- name: No commands from the centre
  edgestack.iot.emqx_source:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: mqtt
    name: commands
    state: absent
"""

RETURN = r"""
id:
  description: Type and name.
  returned: success
  type: str
  sample: mqtt:uplink
source:
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

OPTIONS = {**module.DESCRIBED, **module.CONNECTED}
act = module.described_act(described.SOURCE, *module.CONNECTED)


def main() -> None:
    module.run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
