#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: verify_report
short_description: Prints what was proved, and fails when something was not
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Prints a table of checks that earlier tasks made, whatever callback is used, and fails unless all of them are proved. No checks
    at all is a failure too.
  - Runs in the controller's process only.
extends_documentation_fragment:
  - edgestack.iot.attributes
attributes:
  action:
    description: Has an action plugin, of which all or a part runs on the controller.
    support: full
  check_mode:
    support: none
    details:
      - It is skipped, because in check mode nothing was tried.
  diff_mode:
    support: N/A
    details:
      - This module changes no configuration.
  idempotent:
    support: full
    details:
      - It never reports a change.
options:
  checks:
    description: What was tried. Only what says C(ok=true) is proved.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Where.
        type: str
      name:
        description: What.
        type: str
      expected:
        description: What had to come of it.
        type: str
      observed:
        description: What came of it.
        type: str
      ok:
        description: Whether they agree.
        type: raw
      seconds:
        description: How long it took.
        type: raw
      advice:
        description: What to do when they do not.
        type: str
  facts:
    description:
      - Names of facts that are such lists, each with the hosts that have to have it. A host without it counts as not tried.
    type: dict
    default: {}
  readings:
    description: Readings that M(edgestack.iot.mqtt_check) published, each with its C(host), to be compared with O(rows).
    type: list
    elements: dict
    default: []
  rows:
    description: The database's rows, with C(time) (ms or RFC 3339), C(nonce), C(value) and C(device).
    type: list
    elements: dict
    default: []
  path:
    description: A JSON file on the controller for the same, as a list.
    type: path
"""

EXAMPLES = r"""
- name: Print what was proved
  edgestack.iot.verify_report:
    checks:
      - {host: centre, name: the app is up, expected: 200, observed: 200, ok: true, seconds: 0.1}
"""

RETURN = r"""
proved:
  description: How many checks were proved.
  returned: always
  type: int
total:
  description: How many there were.
  returned: always
  type: int
checks:
  description: All of them.
  returned: success
  type: list
  elements: dict
"""
