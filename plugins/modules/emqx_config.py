#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_config
short_description: A part of EMQX's configuration
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Merges a part into the configuration of the running server, and returns what the server made of it.
  - Fields that are not given stay as they are. What EMQX adds or writes differently makes no change, and nothing is sent then.
  - A key that also stands in C(emqx.conf) or the environment goes back to what is written there when EMQX starts.
  - EMQX answers 200 to a text that it cannot read; the module reads the text itself before it is sent, and looks at the result.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  config:
    description:
      - The part, by the names of the configuration. Its roots C(node), C(rpc) and C(cluster) cannot be changed while EMQX runs.
      - Secrets among it must be C(file:///path). Authenticators, authorization sources, listeners and connectors have modules of their own.
    type: dict
  hocon:
    description: The part in HOCON, instead of O(config); without C(include) and substitutions.
    type: str
"""

EXAMPLES = r"""
- name: Larger queues for a subscriber that must not lose
  edgestack.iot.emqx_config:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    config:
      mqtt:
        max_mqueue_len: 100000
        max_inflight: 128
      force_shutdown:
        max_mailbox_size: 100000

- name: The same in HOCON
  edgestack.iot.emqx_config:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    hocon: |
      mqtt { max_mqueue_len = 100000, max_inflight = 128 }
      force_shutdown.max_mailbox_size = 100000
"""

RETURN = r"""
config:
  description: The roots that were named, as the server has them (in check mode, would have them), without secrets.
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
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.hocon import parse
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import settings
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome, refuse_plain

OPTIONS = {
    "config": {"type": "dict"},
    "hocon": {"type": "str"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    wanted = params["config"] if params["config"] is not None else parse(params["hocon"])
    refuse_plain(wanted, "config", "Write it as file:///path, or use the module that has secrets for it")
    return settings.configuration(client, wanted, check=check)


def main() -> None:
    run_module(OPTIONS, act, mutually_exclusive=[("config", "hocon")], required_one_of=[("config", "hocon")])


if __name__ == "__main__":
    main()
