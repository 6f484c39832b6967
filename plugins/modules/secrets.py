#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secrets
short_description: Makes secrets that are missing in the store on the controller
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Keeps one file per secret in a directory on the controller (0700, files 0600, with a C(.gitignore)). What is missing is made
    with the policy that its consumer needs; what is there is never made anew.
  - When the run has a vault password, new secrets are encrypted with Ansible Vault. Plain ones stay readable, so a store may hold
    both.
  - Refuses, before anything is written, when git tracks files of the directory.
  - Runs in the controller's process only. All hosts of a play may run it at once.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
options:
  path:
    description: The store's directory on the controller, relative to the playbook.
    type: path
    required: true
  secrets:
    description: The secrets that must be there. Without any, only O(path) and O(untracked) are checked, and nothing is written.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The secret's name, which is its file's name (letters, digits, C(_), C(.) and C(-)).
        type: str
        required: true
      policy:
        description:
          - What the secret is made of. None of them has a quote, C($), backslash, C(#), C(%) or space.
          - V(password) has letters and digits, at least one of each case (24 characters; 8 to 64).
          - V(token) has letters, digits, C(-) and C(_) (64 characters; 16 to 256).
          - V(hex) has hexadecimal digits (64 characters; 16 to 256).
          - V(cookie) has letters and digits and begins with a letter, as an Erlang cookie (40 characters; 16 to 255).
          - V(passphrase) has groups of four characters that are not mixed up when read aloud (39 characters; 19 to 128).
        type: str
        default: password
        choices: [cookie, hex, passphrase, password, token]
      length:
        description: Number of characters. The default is the policy's.
        type: int
      value:
        description:
          - Stores this value instead of making one, for example a token that a server made. A different value that is there is
            replaced.
        type: str
  untracked:
    description: More directories on the controller that git must not track, for example the authority's and the devices'.
    type: list
    elements: path
    default: []
seealso:
  - plugin: edgestack.iot.secret
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Make the secrets that are missing
  edgestack.iot.secrets:
    path: "{{ inventory_dir }}/secrets"
    secrets:
      - {name: pki_ca_passphrase, policy: passphrase}
      - {name: emqx_node_cookie, policy: cookie}
      - {name: emqx_dashboard_password}

- name: Refuse when git tracks private files, and write nothing
  edgestack.iot.secrets:
    path: "{{ inventory_dir }}/secrets"
    untracked:
      - "{{ inventory_dir }}/pki"
      - "{{ inventory_dir }}/devices"

- name: Keep a token that a server made
  edgestack.iot.secrets:
    path: "{{ inventory_dir }}/secrets"
    secrets:
      - name: influxdb_token_telegraf
        value: "{{ token }}"
  no_log: true
"""

RETURN = r"""
path:
  description: The store's directory.
  returned: success
  type: str
created:
  description: Names of the secrets that were made.
  returned: success
  type: list
  elements: str
updated:
  description: Names of the secrets that have another value now.
  returned: success
  type: list
  elements: str
"""
