# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: bundle
short_description: A file of an offline bundle, its checksum verified
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Finds a file of an offline bundle by what it is for, verifies its SHA-256 against the bundle's manifest, and returns where it is.
  - Fails when the bundle has no such file, with what it has, or when the file is damaged.
options:
  _terms:
    description: Directory of the bundle on the controller (it has a C(manifest.json)).
    required: true
  kind:
    description: What the file holds.
    type: str
    choices: [apt, wheels, images]
    required: true
  codename:
    description: The distribution release, for O(kind=apt).
    type: str
  python:
    description: Version of Python, for O(kind=wheels).
    type: str
  image:
    description: Name and tag of an image, for O(kind=images).
    type: str
  architecture:
    description: As Debian names it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Where the packages for a 64-bit Raspberry Pi are
  ansible.builtin.debug:
    msg: "{{ lookup('edgestack.iot.bundle', '/srv/bundle', kind='apt', codename='bookworm', architecture='arm64').path }}"
"""

RETURN = r"""
_raw:
  description: A dictionary with C(path) (on the controller) and C(sha256).
  type: list
  elements: dict
"""

import functools
import hashlib
import json
import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


@functools.cache
def _sha256(path: str, size: int, modified: int) -> str:
    """Digest of a file; size and modification time are the cache's key, so that a changed file is read again."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(directory: str, wanted: dict[str, str]) -> dict[str, str]:
    """The one entry of the manifest that has all wanted properties, verified."""
    manifest = os.path.join(directory, "manifest.json")
    try:
        with open(manifest, encoding="utf-8") as file:
            entries = json.load(file)["files"]
    except (OSError, ValueError, KeyError) as error:
        raise AnsibleLookupError(f"{manifest}: {error}. iot_bundle must name the directory of an offline bundle.") from error
    found = [entry for entry in entries if all(entry.get(key) == value for key, value in wanted.items())]
    if not found:
        there = "; ".join(sorted(str(entry.get("path")) for entry in entries))
        asked = ", ".join(f"{key} {value}" for key, value in wanted.items())
        raise AnsibleLookupError(f"the bundle in {directory} has nothing for {asked}. It has: {there}")
    path = os.path.join(directory, found[0]["path"])
    try:
        status = os.stat(path)
        digest = _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise AnsibleLookupError(f"the bundle's file cannot be read: {error}") from error
    if digest != found[0]["sha256"]:
        raise AnsibleLookupError(f"{path} is damaged: its SHA-256 is {digest}, the manifest says {found[0]['sha256']}; copy it again")
    return {"path": path, "sha256": digest}


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        wanted = {key: self.get_option(key) for key in ("kind", "codename", "python", "image", "architecture")}
        wanted = {key: str(value) for key, value in wanted.items() if value}
        return [find(str(term), wanted) for term in terms]
