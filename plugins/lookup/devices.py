# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: devices
author: edgestack.iot contributors (@edgestack-iot)
version_added: "0.1.0"
short_description: The devices of a site, checked
description:
  - Reads devices from a variable and from a file on the controller. Fails with all that is wrong with them.
options:
  _terms:
    description: Sites; without any, the devices of all sites.
    type: list
    elements: str
  devices:
    description: Devices as the variable C(iot_devices) has them.
    type: list
    elements: dict
    default: []
  devices_file:
    description: A YAML or CSV file with devices, added to O(devices).
    type: str
    default: ""
  profiles_dir:
    description: Directory with the site's own profiles.
    type: path
"""

EXAMPLES = r"""
- name: Ids of the devices of this site
  ansible.builtin.debug:
    msg: "{{ lookup('edgestack.iot.devices', iot_site, devices=iot_devices, devices_file=iot_devices_file,
             profiles_dir=iot_profiles_dir) | map(attribute='id') | list }}"
"""

RETURN = r"""
_raw:
  description: A list of devices with C(id), C(profile), C(site), C(auth) (C(certificate) or C(password)) and C(state).
  type: list
  elements: list
"""

import dataclasses
import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices


class LookupModule(LookupBase):
    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[t.Any]:
        self.set_options(var_options=variables, direct=kwargs)
        options = {name: self.get_option(name) for name in ("devices", "devices_file", "profiles_dir")}
        try:
            found, _profiles = _devices.read_devices(self._loader, options)
        except DevicesError as error:
            raise AnsibleLookupError(str(error)) from None
        sites = {str(term) for term in terms}
        return [[dataclasses.asdict(device) for device in found if not sites or device.site in sites]]
