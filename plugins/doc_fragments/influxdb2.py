# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # The connection to InfluxDB 2. Give it once with module_defaults and the action group edgestack.iot.influxdb2.
    DOCUMENTATION = r"""
options:
  url:
    description: Where InfluxDB listens.
    type: str
    default: http://127.0.0.1:8086
  token:
    description: A token. Prefer O(token_file), which keeps it out of the task's arguments.
    type: str
  token_file:
    description: File with the token, on the host that runs the module.
    type: path
  ca_file:
    description: File with the CA certificates that an C(https) server is verified with; the host's own trust store without it.
    type: path
  timeout:
    description: How long one answer may take, in seconds.
    type: int
    default: 30
  retries:
    description: How often a request is repeated that failed for now and can be repeated without harm.
    type: int
    default: 4
notes:
  - Only InfluxDB's own answer 404 counts as absent. Missing rights, time-outs, proxies' pages and damaged answers are failures that
    say what was asked, what came back and what to do.
  - For InfluxDB 2; run against 2.9.1. InfluxDB 3 has other APIs.
"""

    # For what belongs to an organization.
    ORGANIZATION = r"""
options:
  organization:
    description: Name of the organization.
    type: str
    required: true
"""
