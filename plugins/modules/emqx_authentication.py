#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_authentication
short_description: An authenticator of EMQX and its place in the chain
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes, moves or removes one authenticator of the global chain.
  - Fields that are not given stay as they are. What EMQX adds or writes differently makes no change.
  - EMQX accepts an authenticator whose database it cannot reach; O(wait_connected) asks until it is connected.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description: Whether the authenticator exists.
    type: str
    choices: [present, absent]
    default: present
  mechanism:
    description: How clients authenticate.
    type: str
    choices: [password_based, jwt, scram, gssapi, cinfo]
    default: password_based
  backend:
    description: Where EMQX looks, for mechanisms that have a backend, for example V(mysql), V(postgresql), V(redis), V(mongodb),
      V(http), V(ldap) or V(built_in_database).
    type: str
  enable:
    description: Whether it takes part; a new one does.
    type: bool
  settings:
    description:
      - The fields of this authenticator as EMQX documents them, for example C(server), C(database), C(query).
      - A secret among them must be C(file:///path) (EMQX 5.4 and later); plain ones belong under O(secrets).
    type: dict
    default: {}
  secrets:
    description: Secret fields in plain text, at the places where they stand in O(settings), for example C(password), C(secret).
    type: dict
  update_secret:
    description:
      - EMQX 5.8 and later masks secrets, so whether one is still right cannot be seen. V(on_create) sends it only with a new authenticator
        (or with C(file://), whose path is compared), V(always) at every run, which is a change each time.
    type: str
    choices: [on_create, always]
    default: on_create
  position:
    description: Place in the chain, V(front), V(rear), C(before:ID) or C(after:ID). Without it a new one is the last, and an existing
      one stays where it is.
    type: str
  wait_connected:
    description: How long to wait until EMQX is connected to the backend, in seconds; 0 does not wait.
    type: int
    default: 0
seealso:
  - module: edgestack.iot.emqx_authorization
"""

EXAMPLES = r"""
- name: Authenticate with MySQL
  edgestack.iot.emqx_authentication:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    mechanism: password_based
    backend: mysql
    settings:
      server: 127.0.0.1:3306
      database: mqtt
      username: emqx
      password: file:///etc/edgestack/emqx/secrets/mysql_password
      query: SELECT password_hash, salt, is_superuser FROM mqtt_user WHERE username = ${username} LIMIT 1
      password_hash_algorithm:
        name: sha256
        salt_position: suffix
    position: front
    wait_connected: 30

- name: Tokens that somebody else signs, asked before the database
  edgestack.iot.emqx_authentication:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    mechanism: jwt
    settings:
      use_jwks: false
      algorithm: hmac-based
      from: password
      secret_base64_encoded: false
    secrets:
      secret: "{{ token_secret }}"
    position: before:password_based:mysql

- name: A directory
  edgestack.iot.emqx_authentication:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    mechanism: password_based
    backend: ldap
    settings:
      server: ldap.iot.internal:389
      username: cn=emqx,dc=iot,dc=internal
      base_dn: ou=devices,dc=iot,dc=internal
      filter: "(uid=${username})"
    secrets:
      password: "{{ ldap_password }}"

- name: A service of our own
  edgestack.iot.emqx_authentication:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    mechanism: password_based
    backend: http
    settings:
      method: post
      url: http://127.0.0.1:8080/authenticate
      headers:
        content-type: application/json
      body:
        username: "${username}"
        password: "${password}"
    secrets:
      headers:
        authorization: "{{ service_authorization }}"
"""

RETURN = r"""
id:
  description: The authenticator's id.
  returned: success
  type: str
  sample: password_based:mysql
authenticator:
  description: What is there (in check mode, would be there), without secrets.
  returned: success
  type: dict
order:
  description: The ids of the chain in their order.
  returned: success
  type: list
  elements: str
status:
  description: What EMQX says of its connection to the backend.
  returned: when waited for
  type: str
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import body_of, run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import authentication
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    wanted = {
        **body_of(params["settings"], params["secrets"], ""),
        "mechanism": params["mechanism"],
        "backend": params["backend"],
        "enable": params["enable"],
    }
    return authentication.authenticator(
        client,
        wanted,
        present=params["state"] == "present",
        position=params["position"],
        resend_secrets=params["update_secret"] == "always",  # noqa: S105 - a choice
        wait_connected=params["wait_connected"],
        check=check,
    )


OPTIONS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mechanism": {"type": "str", "choices": ["password_based", "jwt", "scram", "gssapi", "cinfo"], "default": "password_based"},
    "backend": {"type": "str"},
    "enable": {"type": "bool"},
    "settings": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "no_log": True},
    "update_secret": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "position": {"type": "str"},
    "wait_connected": {"type": "int", "default": 0},
}


def main() -> None:
    run_module(OPTIONS, act)


if __name__ == "__main__":
    main()
