#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: influxdb2_query
short_description: Asks an InfluxDB 2
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Runs one InfluxQL or Flux query and returns its rows, for checks.
  - Queries that write are refused, as far as their text tells; a token that may only read makes it certain. So queries are run in
    check mode too.
  - A token without the right to read gets no rows, not an error. That is InfluxDB's way.
extends_documentation_fragment:
  - edgestack.iot.influxdb2
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
options:
  query:
    description: The query.
    type: str
    required: true
  language:
    description: The query's language.
    type: str
    choices: [influxql, flux]
    default: influxql
  database:
    description: For InfluxQL, the database; without mappings of your own, the bucket's name.
    type: str
  retention_policy:
    description: For InfluxQL, the retention policy; the database's default without it.
    type: str
  epoch:
    description: For InfluxQL, times as numbers of this unit since 1970 instead of texts.
    type: str
    choices: [ns, us, ms, s]
  organization:
    description: For Flux, name of the organization.
    type: str
"""

EXAMPLES = r"""
- name: Look for the newest reading of a device
  edgestack.iot.influxdb2_query:
    token_file: /etc/edgestack/verify/secrets/token
    database: iotdata
    query: SELECT * FROM raspberrypi WHERE device = 'pi-1' ORDER BY time DESC LIMIT 1
  register: newest
"""

RETURN = r"""
rows:
  description:
    - One dictionary per row. InfluxQL's rows have the measurement as C(name), tags and columns; Flux's have their columns with typed
      values.
  returned: success
  type: list
  elements: dict
fault:
  description: The request that failed, with kind, method, url, status, code, message, hint and attempts.
  returned: when a request failed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._influxdb.module import connect, connection_spec, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "query": {"type": "str", "required": True},
            "language": {"type": "str", "choices": ["influxql", "flux"], "default": "influxql"},
            "database": {"type": "str"},
            "retention_policy": {"type": "str"},
            "epoch": {"type": "str", "choices": ["ns", "us", "ms", "s"]},
            "organization": {"type": "str"},
        },
        supports_check_mode=True,
        mutually_exclusive=[("token", "token_file")],
        required_one_of=[("token", "token_file")],
        required_if=[("language", "influxql", ("database",)), ("language", "flux", ("organization",))],
    )
    params = module.params

    def act() -> tuple[None, dict[str, object]]:
        client = connect(params)
        try:
            if params["language"] == "flux":
                rows = client.flux(params["query"], params["organization"])
            else:
                rows = client.influxql(params["query"], params["database"], params["retention_policy"], params["epoch"])
        finally:
            client.close()
        return None, {"rows": rows}

    run(module, act)


if __name__ == "__main__":
    main()
