#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_info
short_description: What of a gateway's preparation a host can have
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Reads, in one round trip, what decides which parts of the role C(gateway) a host can have; a container for example has no boot files,
    and a server no throttling.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.info
"""

EXAMPLES = r"""
- name: Look at the board
  edgestack.iot.gateway_info:
  register: board
"""

RETURN = r"""
model:
  description: What the board says of itself; empty where it says nothing.
  returned: always
  type: str
  sample: Raspberry Pi 4 Model B Rev 1.4
container:
  description: The kind of container; empty on a host with a kernel of its own.
  returned: always
  type: str
boot_directory:
  description: Directory of C(cmdline.txt); empty on a host that boots in another way.
  returned: always
  type: str
watchdog:
  description: Whether there is a hardware watchdog.
  returned: always
  type: bool
leds:
  description: LEDs that the kernel can switch, below C(/sys/class/leds).
  returned: always
  type: list
  elements: str
  sample: [ACT, PWR]
rtc:
  description: Whether there is a clock that runs while the host is switched off.
  returned: always
  type: bool
kernel_settings:
  description: Whether the kernel's settings can be changed.
  returned: always
  type: bool
root_type:
  description: Type of the root file system.
  returned: always
  type: str
tmp_in_memory:
  description: Whether C(/tmp) is in memory.
  returned: always
  type: bool
swaps:
  description: Files and devices that the host swaps to.
  returned: always
  type: list
  elements: str
udev:
  description: Whether udev runs.
  returned: always
  type: bool
ssh_ports:
  description: Ports of the SSH server.
  returned: always
  type: list
  elements: int
ssh_includes:
  description: Whether the SSH server reads C(/etc/ssh/sshd_config.d).
  returned: always
  type: bool
ours:
  description: Units below C(/etc/systemd/system) that this collection wrote.
  returned: always
  type: list
  elements: str
groups:
  description: The host's groups.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._host import board


def main() -> None:
    module = AnsibleModule({}, supports_check_mode=True)
    module.exit_json(changed=False, **board.look())


if __name__ == "__main__":
    main()
