#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_setup
short_description: First user, organization and bucket of an InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Sets up an InfluxDB that was just installed, with an operator token of your choice. That is the only time when a token can be
    chosen.
  - An InfluxDB that is set up already is not changed. The module makes sure that it accepts the operator token and has the
    organization, and says clearly when it does not. The password is not looked at then.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  username:
    description: Name of the first user.
    type: str
    default: admin
  password:
    description: The first user's password, 8 to 72 characters.
    type: str
    required: true
  bucket:
    description: Name of the first bucket.
    type: str
    required: true
  retention:
    description: How long the first bucket keeps its data (C(7d), C(12h)); V(0) is for ever. M(edgestack.iot.influxdb2_bucket) changes it.
    type: str
    default: "0"
"""

EXAMPLES = r"""
- name: Set InfluxDB up
  edgestack.iot.influxdb2_setup:
    url: https://127.0.0.1:8086
    ca_file: /etc/edgestack/influxdb/tls/ca.pem
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    bucket: iotdata
    retention: 7d
    password: "{{ lookup('edgestack.iot.secret', 'influxdb_admin_password') }}"
"""

RETURN = r"""
already_set_up:
  description: Whether it was set up before.
  returned: success
  type: bool
organization_id:
  description: The organization's id.
  returned: success, but not when check mode predicts the setup
  type: str
actions:
  description: What was done (in check mode, would be done).
  returned: success
  type: list
  elements: dict
fault:
  description: The request that failed, with kind, method, url, status, code, message, hint and attempts.
  returned: when a request failed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import resources
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import read_token
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str", "required": True},
            "username": {"type": "str", "default": "admin"},
            "password": {"type": "str", "required": True, "no_log": True},
            "bucket": {"type": "str", "required": True},
            "retention": {"type": "str", "default": "0"},
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = resources.Setup(
            username=params["username"],
            organization=params["organization"],
            bucket=params["bucket"],
            retention=params["retention"],
            password=params["password"],
            token=read_token(params["token"], params["token_file"]),
        )
        client = connect(params, secrets=[wanted.password])
        try:
            outcome = resources.setup(client, wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
