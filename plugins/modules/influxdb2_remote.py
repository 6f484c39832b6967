#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_remote
short_description: Connections of InfluxDB 2 to other InfluxDBs
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes, changes and removes the connections that M(edgestack.iot.influxdb2_replication) copies through, any number of them in one task.
  - InfluxDB never shows the token of a connection. The beginning of its digest is kept at the end of the description, as C([token
    0123456789ab]); that is how a changed token is noticed.
  - The other side's certificate is always verified. InfluxDB has no option for a CA; name its file with C(SSL_CERT_FILE) in the
    environment of C(influxd), as the role C(influxdb) does.
  - A token that may not read remotes sees none, which looks like absence; use an operator token.

extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.influxdb2.organization
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  remotes:
    description: The connections.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The connection's name.
        type: str
        required: true
      state:
        description: Whether it shall be there.
        type: str
        choices: [present, absent]
        default: present
      url:
        description: Address of the other InfluxDB, as its certificate has it. Needed with O(remotes[].state=present).
        type: str
      token:
        description: Token of the other InfluxDB that may write there. This or O(remotes[].token_file).
        type: str
      token_file:
        description: File with this token, on the host that runs the module.
        type: path
      organization:
        description:
          - Name of the organization there. Its id is asked of the other InfluxDB when the connection is new or differs, so the token
            needs the right to read C(orgs).
        type: str
      organization_id:
        description: Id of the organization there, instead of its name. The other InfluxDB is not asked then.
        type: str
      description:
        description: What it is for. Not given, it stays as it is.
        type: str
"""

EXAMPLES = r"""
- name: Know the centre
  edgestack.iot.influxdb2_remote:
    url: https://127.0.0.1:8086
    ca_file: /etc/edgestack/influxdb/tls/ca.pem
    token_file: /etc/edgestack/influxdb/secrets/operator-token
    organization: edgestack
    remotes:
      - name: centre
        url: https://centre.example.org:8086
        token_file: /etc/edgestack/influxdb/secrets/uplink-token
        organization: edgestack
"""

RETURN = r"""
remotes:
  description:
    - The connections that are there, with name, id, url, organization_id, description, verify and the fingerprint of the token. Check
      mode has what was there.
  returned: success
  type: list
  elements: dict
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb import replication
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.client import Client, read_token
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.difference import Differences
from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "organization": {"type": "str", "required": True},
            "remotes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "url": {"type": "str"},
                    "token": {"type": "str", "no_log": True},
                    "token_file": {"type": "path", "no_log": False},
                    "organization": {"type": "str"},
                    "organization_id": {"type": "str"},
                    "description": {"type": "str"},
                },
                "required_if": [("state", "present", ("url",)), ("state", "present", ("token", "token_file"), True)],
                "mutually_exclusive": [("token", "token_file"), ("organization", "organization_id")],
            },
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
    )
    params = module.params

    def there(url: str, token: str) -> Client:
        # The same file verifies both: influxd's own connections know no other either.
        return connect({**params, "url": url}, secrets=[token], token=token)

    def act() -> tuple[Differences, dict[str, object]]:
        wanted = [
            replication.Remote(
                name=item["name"],
                url=item["url"] or "",
                token=read_token(item["token"], item["token_file"]) if item["state"] == "present" else "",
                organization=item["organization"] or "",
                organization_id=item["organization_id"] or "",
                description=item["description"],
                present=item["state"] == "present",
            )
            for item in params["remotes"]
        ]
        client = connect(params)
        try:
            outcome = replication.remotes(client, there, params["organization"], wanted, module.check_mode)
        finally:
            client.close()
        return outcome.differences, outcome.values

    run(module, act)


if __name__ == "__main__":
    main()
