#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: boot_files
short_description: Kernel command line and config.txt of a Raspberry Pi
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Adds words to the kernel's command line (C(cmdline.txt), which stays one line), and keeps a block of lines at the end of C(config.txt).
  - A file that is not as it should be (several lines, no C(root=), a broken block) is refused, and nothing is changed. The first version
    of each file stays beside it, with the ending C(.before-edgestack).
  - Says whether the host has to be restarted for it; does not restart it.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  directory:
    description: Where both files are, C(/boot/firmware) or C(/boot).
    type: path
    required: true
  words:
    description: Words that the command line shall have. What is there already stays where it is; nothing is removed.
    type: list
    elements: str
    default: []
  lines:
    description: Lines of the block in C(config.txt), beginning with C(dtparam=), C(dtoverlay=), C(enable_uart=) or C(gpio=). What the file
      says for all models elsewhere is not said again. Without lines there is no block.
    type: list
    elements: str
    default: []
  state_file:
    description: Where the host keeps that they have changed since it started.
    type: path
    default: /var/lib/edgestack/state/boot.json
"""

EXAMPLES = r"""
- name: Let the kernel limit memory, and find the sensors on the 1-wire bus
  edgestack.iot.boot_files:
    directory: /boot/firmware
    words: [cgroup_enable=memory, cgroup_memory=1]
    lines: [dtoverlay=w1-gpio]
  register: boot

- name: Restart when it is needed
  ansible.builtin.reboot:
  when: boot.reboot | length > 0
"""

RETURN = r"""
changed_files:
  description: Files that differed.
  returned: always
  type: list
  elements: str
reboot:
  description: Why the host has to be restarted; empty when it need not.
  returned: always
  type: str
  sample: the boot files have changed since this host started
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._host import boot


def main() -> None:
    module = AnsibleModule(
        {
            "directory": {"type": "path", "required": True},
            "words": {"type": "list", "elements": "str", "default": []},
            "lines": {"type": "list", "elements": "str", "default": []},
            "state_file": {"type": "path", "default": "/var/lib/edgestack/state/boot.json"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        outcome = boot.bring(params["directory"], params["words"], params["lines"], module.check_mode, params["state_file"])
    except boot.BootError as error:
        module.fail_json(msg=str(error))
    shown = {"diff": outcome.diff} if module._diff else {}
    module.exit_json(changed=bool(outcome.changed_files), changed_files=outcome.changed_files, reboot=outcome.reboot, **shown)


if __name__ == "__main__":
    main()
