# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: dashboard
short_description: A Grafana dashboard made from device profiles
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes a dashboard with one row per profile, one time series per field with its label, unit and limit, a line per device, and a row with
    the readings of the hosts themselves.
options:
  _input:
    description: Device profiles by name, as lookup C(edgestack.iot.profiles) returns them.
    type: dict
    required: true
  datasource:
    description: The uid of the data source (InfluxQL).
    type: str
    required: true
  uid:
    description: The dashboard's uid.
    type: str
    required: true
  title:
    description: The dashboard's title.
    type: str
    required: true
  skip:
    description: Profiles to be left out.
    type: list
    elements: str
    default: []
  refresh:
    description: How often an open dashboard asks again.
    type: str
    default: 10s
"""

EXAMPLES = r"""
- name: Write the dashboard
  ansible.builtin.copy:
    content: "{{ profiles | edgestack.iot.dashboard(datasource='iot-influxdb', uid='overview', title='Overview') | to_nice_json }}"
    dest: /var/lib/grafana/dashboards/overview.json
    mode: "0644"
  vars:
    profiles: "{{ lookup('edgestack.iot.profiles', iot_profiles_dir) }}"
"""

RETURN = r"""
_value:
  description: The dashboard.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.edgestack.iot.plugins.plugin_utils import _dashboard


def _filter(profiles: t.Any, datasource: str, uid: str, title: str, skip: t.Sequence[str] = (), refresh: str = "10s") -> dict[str, t.Any]:
    if not isinstance(profiles, t.Mapping):
        raise AnsibleFilterError("dashboard: device profiles are a dictionary, name -> profile")
    try:
        return _dashboard.dashboard(profiles, datasource=datasource, uid=uid, title=title, skip=list(skip), refresh=refresh)
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError(f"dashboard: a profile is not as it should be: {error!r}") from error


class FilterModule:
    """The filter dashboard."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"dashboard": _filter}
