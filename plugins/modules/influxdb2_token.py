#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_token
short_description: Tokens of InfluxDB 2, kept in the site's store
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes tokens with the least rights, any number of them in one task, and keeps their values in the store on the controller, where
    the lookup P(edgestack.iot.secret#lookup) finds them.
  - A token is known by its description, which belongs to this module then. InfluxDB 2.9 keeps tokens as hashes, so a value can
    neither be read back nor compared. The stored one is tried on the host; it is made anew when it is not accepted, when it is
    another token, or when permissions differ (those cannot be changed). The old one is deleted when the new one is stored.
  - A new value travels from the host to the controller sealed for a key that the controller makes for this one task. It is never part
    of a result, a log or a diff.
  - The host needs Python's C(cryptography) when a token is made (Debian's C(python3-cryptography)).
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
options:
  secrets_dir:
    description: The store's directory on the controller, as for M(edgestack.iot.secrets).
    type: path
    required: true
  tokens:
    description: The tokens.
    type: list
    elements: dict
    required: true
    suboptions:
      description:
        description: What it is for. There must be no other token with this description in the organization.
        type: str
        required: true
      state:
        description: Whether it shall be there. V(absent) deletes it in InfluxDB; the stored value stays.
        type: str
        choices: [present, absent]
        default: present
      store:
        description: Name of the secret in the store; needed with O(tokens[].state=present).
        type: str
      permissions:
        description: What it may do; needed with O(tokens[].state=present).
        type: list
        elements: dict
        default: []
        suboptions:
          action:
            description: Read or write. Neither includes the other.
            type: str
            choices: [read, write]
            required: true
          type:
            description: Type of what it may act on, by InfluxDB's names (C(buckets), C(tasks), C(orgs), C(remotes)...).
            type: str
            default: buckets
          bucket:
            description: Name of the bucket; without it, all objects of the type in the organization.
            type: str
  exchange:
    description: What the action plugin tells the module on the host. Do not set it.
    type: dict
    suboptions:
      public_key:
        description: The key that new values are sealed for.
        type: str
      stored:
        description: The stored values by description.
        type: dict
      forget:
        description: Ids of tokens whose successors are stored.
        type: list
        elements: str
        default: []
"""

EXAMPLES = r"""
- name: Make a token that may only write readings
  edgestack.iot.influxdb2_token:
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    secrets_dir: "{{ iot_secrets_dir }}"
    tokens:
      - description: "edgestack: telegraf"
        store: influxdb_token_telegraf
        permissions:
          - {action: write, bucket: iotdata}
"""

RETURN = r"""
reasons:
  description: By description, why a token was made anew (in check mode, would be).
  returned: success
  type: dict
stored:
  description: Names of the secrets that have a new value.
  returned: success
  type: list
  elements: str
actions:
  description: What was done (in check mode, would be done), with action, kind and name.
  returned: success
  type: list
  elements: dict
fault:
  description: The request that failed, with kind, method, url, status, code, message, hint and attempts.
  returned: when a request failed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import resources, sealed
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import TOKEN_SPEC, connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            **TOKEN_SPEC,
            "exchange": {
                "type": "dict",
                "no_log": False,
                "options": {
                    "public_key": {"type": "str", "no_log": False},
                    "stored": {"type": "dict", "no_log": True},
                    "forget": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params
    exchange = params["exchange"]
    if exchange is None:
        module.fail_json(msg="this module works through its action plugin: call it as edgestack.iot.influxdb2_token in a task")
    if not module.check_mode and sealed.CRYPTOGRAPHY_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=str(sealed.CRYPTOGRAPHY_IMPORT_ERROR), cryptography_missing=True)

    def act() -> tuple[Differences, dict[str, object]]:
        stored = exchange["stored"] or {}
        wanted = [
            resources.Token(
                description=item["description"],
                permissions=tuple(resources.Permission(one["action"], one["type"], one["bucket"] or "") for one in item["permissions"]),
                stored=stored.get(item["description"]) or "",
                present=item["state"] == "present",
            )
            for item in params["tokens"]
        ]
        client = connect(params, secrets=stored.values())
        try:
            if exchange["forget"]:
                resources.forget(client, exchange["forget"])
                return Differences(), {}
            outcome, made = resources.tokens(
                client,
                lambda token: connect(params, secrets=[token], token=token),
                params["organization"],
                wanted,
                module.check_mode,
            )
        finally:
            client.close()
        new = [
            {
                "description": one.description,
                "value": sealed.seal(exchange["public_key"], one.description, one.value),
                "superseded": one.superseded,
            }
            for one in made
        ]
        return outcome.differences, {**outcome.values, "sealed": new}

    run(module, act)


if __name__ == "__main__":
    main()
