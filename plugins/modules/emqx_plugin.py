#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_plugin
short_description: A plugin of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Installs, configures, starts, stops or removes one plugin, in one version.
  - Newer versions take a package only after C(emqx ctl plugins allow NAME-VERSION) on the server; the error says so.
  - Written from the documents and the OpenAPI document of 5.8.9 and tried against a model of the API, not against a real plugin.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: V(present) sees to its being installed, V(started) and V(stopped) to its running too, V(absent) removes it.
    type: str
    choices: [present, started, stopped, absent]
    default: started
  name:
    description: Name and version, for example V(emqx_plugin_template-5.1.0).
    type: str
    required: true
  src:
    description: Its package (C(.tar.gz)) on the host that runs the module; needed while it is not installed.
    type: path
  position:
    description: Place among the plugins, V(front), V(rear), C(before:NAME) or C(after:NAME).
    type: str
  config:
    description: The plugin's own configuration (EMQX 5.7 and later). What is not given stays.
    type: dict
"""

EXAMPLES = r"""
- name: A plugin of our own
  edgestack.iot.emqx_plugin:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    name: emqx_plugin_template-5.1.0
    src: /opt/edgestack/emqx_plugin_template-5.1.0.tar.gz
"""

RETURN = r"""
name:
  description: Name and version.
  returned: success
  type: str
running:
  description: Whether it runs on all nodes.
  returned: unless O(state=absent)
  type: bool
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
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome, refuse_plain

OPTIONS = {
    "state": {"type": "str", "choices": ["present", "started", "stopped", "absent"], "default": "started"},
    "name": {"type": "str", "required": True},
    "src": {"type": "path"},
    "position": {"type": "str"},
    "config": {"type": "dict"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    refuse_plain(params["config"], "config", "Let the plugin read it from a file")
    return nodes.plugin(
        client,
        params["name"],
        params["state"],
        src=params["src"],
        position=params["position"],
        config=params["config"],
        check=check,
    )


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
