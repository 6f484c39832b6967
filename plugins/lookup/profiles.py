# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: profiles
author: edgestack.iot contributors (@edgestack-iot)
version_added: "0.1.0"
short_description: Device profiles, checked and complete
description:
  - Reads the collection's profiles and those of the given directories on the controller, which replace them by name.
  - Fails with all that is wrong in them.
options:
  _terms:
    description: Directories; one that does not exist has no profiles.
    type: list
    elements: path
    required: true
  kind:
    description: Profiles of devices that publish, of sensors that are attached to a host, or both.
    type: str
    choices: [device, sensor, all]
    default: device
"""

EXAMPLES = r"""
- name: Topics that Telegraf subscribes to
  ansible.builtin.debug:
    msg: "{{ lookup('edgestack.iot.profiles', iot_profiles_dir).values() | map(attribute='telemetry') | list }}"
"""

RETURN = r"""
_raw:
  description: One dictionary, from names to profiles with all their defaults.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices


class LookupModule(LookupBase):
    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[t.Any]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [_devices.read_profiles(self._loader, *(str(term) for term in terms), kind=self.get_option("kind"))]
        except DevicesError as error:
            raise AnsibleLookupError(str(error)) from None
