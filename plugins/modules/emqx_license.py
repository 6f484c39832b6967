#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_license
short_description: EMQX's licence
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Sets the licence key and the settings around it, for the Enterprise edition and for EMQX 5.9 and later. The open-source editions up to
    5.8 have no licence.
  - EMQX does not show its key. A key is recognised by customer, deployment and dates, which stand in it and in EMQX's answer.
  - Written from the documents and EMQX's sources; it was not run, because no licence was at hand.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  key:
    description: The licence key, V(default) (one node), V(evaluation), or C(file:///path) on the host of EMQX. Whether such a file has
      changed only EMQX knows, so C(file://) is sent with O(force) only.
    type: str
  settings:
    description: Settings around it by EMQX's names, for example C(connection_low_watermark), C(connection_high_watermark).
    type: dict
  force:
    description: Whether the key is sent although it seems to be in force, which is a change each time.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The licence of the plant
  edgestack.iot.emqx_license:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    key: "{{ emqx_license_key }}"
    settings:
      connection_high_watermark: 80%
"""

RETURN = r"""
license:
  description: What EMQX says of the licence.
  returned: success
  type: dict
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import settings
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome

OPTIONS = {
    "key": {"type": "str", "no_log": True},
    "settings": {"type": "dict"},
    "force": {"type": "bool", "default": False},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return settings.licence(client, params["key"], settings=params["settings"], force=params["force"], check=check)


def main() -> None:
    run_module(OPTIONS, act, required_one_of=[("key", "settings")])


if __name__ == "__main__":
    main()
