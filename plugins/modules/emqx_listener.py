#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: emqx_listener
short_description: A listener of EMQX
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes, starts, stops or removes one listener.
  - Fields that are not given stay as they are. What EMQX adds or writes differently makes no change.
  - A listener that stands in C(emqx.conf) goes back to what is written there when EMQX starts; manage such a listener in that file.
extends_documentation_fragment:
  - edgestack.iot.emqx
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  state:
    description:
      - V(present) makes and changes it, V(started) and V(stopped) see to its running too, V(absent) removes it.
      - V(restarted) restarts it at every run.
    type: str
    choices: [present, absent, started, stopped, restarted]
    default: present
  type:
    description: Protocol. V(quic) was written from the documents and not run.
    type: str
    choices: [tcp, ssl, ws, wss, quic]
  name:
    description: Name of the listener.
    type: str
  bind:
    description: Address and port, for example V(0.0.0.0:8883); needed for a new one.
    type: str
  enable:
    description: Whether EMQX starts it.
    type: bool
  max_connections:
    description: Most connections at once; V(infinity) for no limit.
    type: str
  acceptors:
    description: Processes that accept connections.
    type: int
  enable_authn:
    description: Whether the authentication chain is asked; V(quick_deny_anonymous) refuses clients without a user name at once.
    type: str
    choices: ["true", "false", quick_deny_anonymous]
  ssl_options:
    description:
      - TLS, by EMQX's names, for example C(certfile), C(keyfile), C(cacertfile), C(verify), C(fail_if_no_peer_cert), C(versions),
        C(enable_crl_check) and C(ocsp) (of V(ssl) alone). Give paths; EMQX reads changed files by itself.
    type: dict
    default: {}
  settings:
    description: Other fields of the listener as EMQX documents them, for example C(tcp_options), C(max_conn_rate), C(mountpoint).
    type: dict
    default: {}
  listeners:
    description: Several listeners in one task, one after the other, instead of O(name) and the other options.
    type: list
    elements: dict
    suboptions:
      state:
        description:
          - V(present) makes and changes it, V(started) and V(stopped) see to its running too, V(absent) removes it.
          - V(restarted) restarts it at every run.
        type: str
        choices: [present, absent, started, stopped, restarted]
        default: present
      type:
        description: Protocol. V(quic) was written from the documents and not run.
        type: str
        choices: [tcp, ssl, ws, wss, quic]
        required: true
      name:
        description: Name of the listener.
        type: str
        required: true
      bind:
        description: Address and port, for example V(0.0.0.0:8883); needed for a new one.
        type: str
      enable:
        description: Whether EMQX starts it.
        type: bool
      max_connections:
        description: Most connections at once; V(infinity) for no limit.
        type: str
      acceptors:
        description: Processes that accept connections.
        type: int
      enable_authn:
        description: Whether the authentication chain is asked; V(quick_deny_anonymous) refuses clients without a user name at once.
        type: str
        choices: ["true", "false", quick_deny_anonymous]
      ssl_options:
        description:
          - TLS, by EMQX's names, for example C(certfile), C(keyfile), C(cacertfile), C(verify), C(fail_if_no_peer_cert), C(versions),
            C(enable_crl_check) and C(ocsp) (of V(ssl) alone). Give paths; EMQX reads changed files by itself.
        type: dict
        default: {}
      settings:
        description: Other fields of the listener as EMQX documents them, for example C(tcp_options), C(max_conn_rate), C(mountpoint).
        type: dict
        default: {}
"""

EXAMPLES = r"""
- name: Devices connect with their certificates
  edgestack.iot.emqx_listener:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: ssl
    name: devices
    bind: 0.0.0.0:8883
    max_connections: "20000"
    ssl_options:
      cacertfile: /etc/edgestack/emqx/tls/ca.pem
      certfile: /etc/edgestack/emqx/tls/server.pem
      keyfile: /etc/edgestack/emqx/tls/server.key
      verify: verify_peer
      fail_if_no_peer_cert: true

- name: Browsers connect over TLS
  edgestack.iot.emqx_listener:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: wss
    name: browsers
    bind: 0.0.0.0:8084
    settings:
      websocket:
        mqtt_path: /mqtt
    ssl_options:
      cacertfile: /etc/edgestack/emqx/tls/ca.pem
      certfile: /etc/edgestack/emqx/tls/server.pem
      keyfile: /etc/edgestack/emqx/tls/server.key

- name: Revoked certificates are refused, and the server staples the state of its own
  edgestack.iot.emqx_listener:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: ssl
    name: checked
    bind: 0.0.0.0:8885
    ssl_options:
      cacertfile: /etc/edgestack/emqx/tls/ca.pem
      certfile: /etc/edgestack/emqx/tls/server.pem
      keyfile: /etc/edgestack/emqx/tls/server.key
      verify: verify_peer
      # The list comes from the distribution point that stands in each certificate.
      enable_crl_check: true
      ocsp:
        enable_ocsp_stapling: true
        issuer_pem: /etc/edgestack/emqx/tls/ca.pem
        responder_url: http://ocsp.iot.internal

- name: Nobody connects without TLS
  edgestack.iot.emqx_listener:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    type: tcp
    name: plant
    state: absent

- name: Several of them
  edgestack.iot.emqx_listener:
    api_key: edgestack
    api_secret_file: /etc/edgestack/emqx/secrets/api_secret
    listeners:
      - {type: tcp, name: local, bind: "127.0.0.1:1883"}
      - {type: ws, name: plant, state: absent}
"""

RETURN = r"""
id:
  description: The listener's id.
  returned: with O(name)
  type: str
  sample: ssl:devices
listener:
  description: What is there (in check mode, would be there), and whether it runs.
  returned: with O(name)
  type: dict
listeners:
  description: The same for each of O(listeners), by id.
  returned: with O(listeners)
  type: dict
changed_fields:
  description: Names of the fields that differed.
  returned: when it changed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.module import body_of, run_module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import listeners
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome


def _listener_spec(required: bool) -> dict[str, dict[str, object]]:
    return {
        "state": {"type": "str", "choices": ["present", "absent", "started", "stopped", "restarted"], "default": "present"},
        "type": {"type": "str", "choices": ["tcp", "ssl", "ws", "wss", "quic"], **({"required": True} if required else {})},
        "name": {"type": "str", **({"required": True} if required else {})},
        "bind": {"type": "str"},
        "enable": {"type": "bool"},
        "max_connections": {"type": "str"},
        "acceptors": {"type": "int"},
        "enable_authn": {"type": "str", "choices": ["true", "false", "quick_deny_anonymous"]},
        "ssl_options": {"type": "dict", "default": {}},
        "settings": {"type": "dict", "default": {}},
    }


def _number(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdigit() else text


def _one(client: Client, given: dict[str, Any], where: str, check: bool) -> Outcome:
    settings = {**given["settings"], **({"ssl_options": given["ssl_options"]} if given["ssl_options"] else {})}
    wanted = {
        **body_of(settings, None, where),
        **{name: given[name] for name in ("bind", "enable", "acceptors")},
        "max_connections": _number(given["max_connections"]),
        "enable_authn": {"true": True, "false": False}.get(given["enable_authn"], given["enable_authn"]),
    }
    return listeners.listener(client, wanted, kind=given["type"], name=given["name"], state=given["state"], check=check)


def act(client: Client, params: dict[str, Any], check: bool) -> Outcome:
    if params["name"]:
        return _one(client, params, "", check)
    total = Outcome(result={"listeners": {}})
    for number, given in enumerate(params["listeners"]):
        part = _one(client, given, f"listeners[{number}].", check)
        total.changed |= part.changed
        total.diff += part.diff
        total.fields += [f"{part.result['id']} {field}" for field in part.fields]
        total.result["listeners"][part.result["id"]] = part.result["listener"]
    return total


OPTIONS = {
    **_listener_spec(required=False),
    "listeners": {"type": "list", "elements": "dict", "options": _listener_spec(required=True)},
}


def main() -> None:
    run_module(
        OPTIONS,
        act,
        mutually_exclusive=[("name", "listeners")],
        required_together=[("name", "type")],
        required_one_of=[("name", "listeners")],
    )


if __name__ == "__main__":
    main()
