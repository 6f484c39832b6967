# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: sensor_inputs
author: edgestack.iot contributors (@edgestack-iot)
version_added: "0.1.0"
short_description: Telegraf's inputs of the sensors that are attached to a host
description:
  - Fills each sensor's profile with its parameters, and makes Telegraf's configuration of it.
  - Fails with all that is wrong with the sensors.
options:
  _input:
    description: The sensors, as in C(telegraf_sensors).
    type: list
    elements: dict
    required: true
  profiles:
    description: Profiles of sensors by name, as lookup C(edgestack.iot.profiles) returns them with C(kind=sensor).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: What the cellar's sensor needs in config.txt
  ansible.builtin.debug:
    msg: "{{ ([{'name': 'cellar', 'profile': 'ds18b20', 'parameters': {'id': '28-0316a2793aff'}}]
              | edgestack.iot.sensor_inputs(lookup('edgestack.iot.profiles', iot_profiles_dir, kind='sensor'))).boot }}"
"""

RETURN = r"""
_value:
  description: C(toml) (text of the inputs), C(readings) (what the script makes readings with), and of all sensors together C(groups),
    C(devices) and C(boot), each once.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.edgestack.iot.plugins.module_utils._devices import sensors
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError


def sensor_inputs(wanted: t.Any, profiles: dict[str, t.Any]) -> dict[str, t.Any]:
    try:
        found = sensors.inputs(wanted, profiles)
        return {
            "toml": "\n".join(sensors.toml(one["plugin"], one["settings"]) for one in found),
            "readings": sensors.readings(found, profiles),
            **{key: sorted({text for one in found for text in one[key]}) for key in ("groups", "devices", "boot")},
        }
    except DevicesError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"sensor_inputs": sensor_inputs}
