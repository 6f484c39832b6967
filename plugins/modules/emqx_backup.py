#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_backup
short_description: Backups of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes a backup on the server, loads it down, brings one back, or removes one (EMQX 5.4 and later).
  - An import merges, it removes nothing. Certificates and rules outside EMQX's data directory are in no backup.
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
      - An export makes a new file, and an import merges, at every run.
options:
  state:
    description:
      - V(listed) only tells what is there.
      - V(exported) makes a new one at every run, and loads it down when O(dest) is given.
      - V(downloaded) loads O(filename) down, V(absent) removes it.
      - V(imported) brings O(filename) or O(src) back at every run.
    type: str
    choices: [listed, exported, downloaded, imported, absent]
    required: true
  filename:
    description: Name of a backup on the server.
    type: str
  src:
    description: A backup on the host that runs the module, which is sent to the server first.
    type: path
  dest:
    description: File into which a backup is loaded down (0600). Its directory must exist.
    type: path
"""

EXAMPLES = r"""
- name: A backup before the upgrade
  edgestack.iot.emqx_backup:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    state: exported
    dest: /var/backups/emqx.tar.gz

- name: What is there
  edgestack.iot.emqx_backup:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    state: listed
"""

RETURN = r"""
filename:
  description: Name of the backup on the server.
  returned: when exported or imported
  type: str
backups:
  description: What is on the server, the newest first.
  returned: success
  type: list
  elements: dict
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
    "state": {"type": "str", "choices": ["listed", "exported", "downloaded", "imported", "absent"], "required": True},
    "filename": {"type": "str"},
    "src": {"type": "path"},
    "dest": {"type": "path"},
}


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    return nodes.backup(client, params["state"], filename=params["filename"], src=params["src"], dest=params["dest"] or "", check=check)


def main() -> None:
    run_module(
        OPTIONS,
        act,
        mutually_exclusive=[("filename", "src")],
        required_if=[
            ("state", "downloaded", ("filename", "dest")),
            ("state", "imported", ("filename", "src"), True),
            ("state", "absent", ("filename",)),
        ],
    )


if __name__ == "__main__":
    main()
