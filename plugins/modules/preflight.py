#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preflight
short_description: Refuse what cannot work before anything is changed
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Looks at the host and at the inventory and fails with all reasons at once, each with what to do.
  - It checks the userland's architecture, the distribution, memory and disk, the clock, ports that something else holds or that
    two components want, components that are here by the other install method, a Docker engine without Compose v2, groups that
    lack what others need, EMQX's version and licence, brokers of the same site, whether what comes during an outage
    (C(iot_outage)) has room, and misspelt variables.
  - Changes nothing.
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: N/A
  idempotent:
    description: Changes nothing.
    support: full
options:
  components:
    description: The components of this host.
    type: list
    elements: str
    default: []
  host:
    description: What M(edgestack.iot.host_info) said of the host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at the host
  edgestack.iot.host_info:
  register: host

- name: Refuse what cannot work
  edgestack.iot.preflight:
    components: [emqx, mysql]
    host: "{{ host }}"
"""

RETURN = r"""
findings:
  description: The reasons not to begin.
  returned: always
  type: list
  elements: str
"""
