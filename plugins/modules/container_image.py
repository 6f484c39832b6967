#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: container_image
short_description: An image on a host, from a file or a registry
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes sure that the Docker engine of the host has an image. An image that is there is not asked for again, so that a run without
    changes contacts no registry; pin it by its version and digest.
  - What runs is not touched, whether this succeeds or not.
attributes:
  check_mode:
    description: Can predict what would change without changing it, also where the engine is not installed yet.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: A second run with the same values changes nothing.
    support: full
options:
  name:
    description: The image, as C(repository:tag) or C(repository@sha256:digest), with a registry in front when it is not Docker Hub.
    type: str
    required: true
  archive:
    description: A file on the host, made by C(docker save), that holds the image under this name. Without it the image is pulled.
    type: path
"""

EXAMPLES = r"""
- name: Have the broker's image from its registry, pinned
  edgestack.iot.container_image:
    name: emqx/emqx@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

- name: Have it from a file where no registry answers
  edgestack.iot.container_image:
    name: emqx/emqx:5.8.9
    archive: /root/emqx_emqx_5.8.9.tar
"""

RETURN = r"""
source:
  description: C(present), C(archive) or C(registry).
  returned: always
  type: str
"""

import shutil

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._component import image


def main() -> None:
    module = AnsibleModule({"name": {"type": "str", "required": True}, "archive": {"type": "path"}}, supports_check_mode=True)
    name, archive = module.params["name"], module.params["archive"]
    source = "archive" if archive else "registry"
    try:
        if module.check_mode and shutil.which("docker") is None:
            module.exit_json(changed=True, source=source)
        if image.present(name):
            module.exit_json(changed=False, source="present")
        if not module.check_mode:
            if archive:
                image.load(name, archive)
            else:
                image.pull(name)
    except image.ImageError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, source=source)


if __name__ == "__main__":
    main()
