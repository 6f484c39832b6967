#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apt_source
short_description: A package repository whose key is pinned by its primary fingerprint
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Downloads the repository's key, refuses it unless every primary key in it has the pinned fingerprint, and writes key and source in
    deb822 format. Signing subkeys rotate, the primary key does not; so the key is downloaded at every run of this module and
    replaced when it has changed.
attributes:
  check_mode:
    description: Can predict the change. Downloads the key, writes nothing.
    support: full
  diff_mode:
    description: Shows the source file.
    support: full
  idempotent:
    description: A second run changes nothing while the key at its address is the same.
    support: full
options:
  name:
    description: Name of the source and key files.
    type: str
    required: true
  uri:
    description: The repository's address.
    type: str
    required: true
  suite:
    description: The suite.
    type: str
    required: true
  components:
    description: The components.
    type: list
    elements: str
    required: true
  key_url:
    description: Address of the key, armoured or binary.
    type: str
    required: true
  fingerprint:
    description:
      - Fingerprint of the primary key, hexadecimal, spaces allowed.
      - Empty pins at first use. The key that its address gives over TLS is taken the first time, with a warning that shows its
        fingerprint, and from then on a key with another primary fingerprint is refused.
    type: str
    default: ""
  timeout:
    description: Seconds that the download may take.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: InfluxData's repository
  edgestack.iot.apt_source:
    name: influxdata
    uri: https://repos.influxdata.com/debian
    suite: stable
    components: [main]
    key_url: https://repos.influxdata.com/influxdata-archive.key
    fingerprint: 24C975CBA61A024EE1B631787C3D57159FC2F927
"""

RETURN = r"""
path:
  description: The source file.
  returned: always
  type: str
key_changed:
  description: Whether the key was replaced.
  returned: always
  type: bool
"""

import urllib.error

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.edgestack.iot.plugins.module_utils._apt import openpgp
from ansible_collections.edgestack.iot.plugins.module_utils._component import fileset


def _pinned(module: AnsibleModule, key_path: str) -> set[str]:
    """The fingerprint that was given, else that of the key which an earlier run stored; empty at first use."""
    given = module.params["fingerprint"].replace(" ", "").upper()
    if given:
        return {given}
    stored = fileset.look(key_path).content
    return set(openpgp.primary_fingerprints(stored)) if stored else set()


def _download(module: AnsibleModule, key_path: str) -> bytes:
    url = module.params["key_url"]
    try:
        key = open_url(url, timeout=module.params["timeout"]).read()
    except (OSError, urllib.error.URLError) as error:
        module.fail_json(
            msg=f"GET {url}: {error}. The repository's key could not be fetched. On a site without internet set iot_bundle "
            "to the directory of an offline bundle."
        )
    try:
        found = openpgp.primary_fingerprints(key)
        pinned = _pinned(module, key_path)
    except openpgp.OpenPgpError as error:
        module.fail_json(msg=f"{url} is not a repository key: {error}")
    if not pinned:
        module.warn(f"the repository key of {url} is pinned at first use: {', '.join(found)}")
    elif set(found) != pinned:
        module.fail_json(
            msg=f"{url} holds the primary key {', '.join(found)}, pinned is {', '.join(pinned)}. Nothing was changed. Install nothing from there "
            "before the vendor confirms the new key; then change the pinned fingerprint."
        )
    return openpgp.dearmor(key)


def main() -> None:
    module = AnsibleModule(
        {
            "name": {"type": "str", "required": True},
            "uri": {"type": "str", "required": True},
            "suite": {"type": "str", "required": True},
            "components": {"type": "list", "elements": "str", "required": True},
            "key_url": {"type": "str", "required": True, "no_log": False},
            "fingerprint": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    params = module.params
    key_path = f"/etc/apt/keyrings/edgestack-{params['name']}.gpg"
    source_path = f"/etc/apt/sources.list.d/edgestack-{params['name']}.sources"
    source = f"""# Managed by edgestack.iot
Types: deb
URIs: {params["uri"]}
Suites: {params["suite"]}
Components: {" ".join(params["components"])}
Signed-By: {key_path}
"""
    files = [fileset.WantedFile(key_path, _download(module, key_path)), fileset.WantedFile(source_path, source.encode())]
    try:
        changes = fileset.compare(files)
        if not module.check_mode:
            fileset.stage(changes)
            fileset.swap(changes)
    except fileset.FileSetError as error:
        module.fail_json(msg=str(error))
    result = {"path": source_path, "key_changed": any(change.path == key_path for change in changes)}
    if module._diff:
        result["diff"] = fileset.diff([change for change in changes if change.path == source_path])
    module.exit_json(changed=bool(changes), **result)


if __name__ == "__main__":
    main()
