#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_info
short_description: What must be known of a host before a component is installed on it
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Reads, in one round trip, the userland's architecture, the distribution, memory, free disk, the clock, the TCP ports that are
    listened on with their processes, and the versions of the installed packages.
  - Changes nothing.
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: N/A
  idempotent:
    description: Changes nothing.
    support: full
options: {}
"""

EXAMPLES = r"""
- name: Look at the host
  edgestack.iot.host_info:
  register: host

- name: Show whether it is a 32-bit userland
  ansible.builtin.debug:
    msg: "{{ host.architecture }}"
"""

RETURN = r"""
architecture:
  description: As C(dpkg --print-architecture) says, which is the userland's, not the kernel's.
  returned: always
  type: str
  sample: arm64
distribution:
  description: ID of os-release.
  returned: always
  type: str
  sample: debian
distribution_version:
  description: VERSION_ID of os-release.
  returned: always
  type: str
  sample: "12"
codename:
  description: VERSION_CODENAME of os-release.
  returned: always
  type: str
  sample: bookworm
memory_mb:
  description: Memory that the host may use, in MiB.
  returned: always
  type: int
free_disk_mb:
  description: Free space below /var/lib, in MiB.
  returned: always
  type: int
disk_mb:
  description: Size of the file system of /var/lib, in MiB.
  returned: always
  type: int
time:
  description: The host's clock, seconds since 1970 in UTC.
  returned: always
  type: float
listeners:
  description: TCP sockets that are listened on.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: The local address.
      type: str
    port:
      description: The port.
      type: int
    process:
      description: The process that listens; empty where the kernel hides it.
      type: str
    user:
      description: The user that it runs as.
      type: str
    uid:
      description: That user's number.
      type: int
cpus:
  description: Number of processors.
  returned: always
  type: int
engine:
  description: The Docker engine.
  returned: always
  type: dict
  contains:
    client:
      description: Whether the command C(docker) is there.
      type: bool
    version:
      description: Version of the engine that answers; empty when none does.
      type: str
    compose:
      description: Version of Compose v2; empty when it is not there.
      type: str
    images:
      description: Images, as C(repository:tag), and as C(repository@digest) where they came from a registry.
      type: list
      elements: str
memory_cgroup:
  description: Whether the kernel can limit memory.
  returned: always
  type: bool
projects:
  description: Components that are containers here, and the list of TCP ports that each publishes.
  returned: always
  type: dict
database:
  description: Which server made the data of the database's container, C(mariadb) or C(mysql); empty when there is none.
  returned: always
  type: str
  sample: mariadb
units:
  description: Units of the collection's own that are on the host.
  returned: always
  type: list
  elements: str
  sample: [edgestack-uplink.service, edgestack-uplink.timer]
users:
  description: Names of the host's users.
  returned: always
  type: list
  elements: str
whole:
  description: Directories below C(/opt/edgestack) that were filled to the end, such as virtual environments.
  returned: always
  type: list
  elements: str
packages:
  description: Versions of the installed Debian packages by name.
  returned: always
  type: dict
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._host import facts


def main() -> None:
    module = AnsibleModule({}, supports_check_mode=True)
    release = facts.os_release()
    module.exit_json(
        changed=False,
        architecture=facts.architecture(),
        distribution=release.get("ID", ""),
        distribution_version=release.get("VERSION_ID", ""),
        codename=release.get("VERSION_CODENAME", ""),
        memory_mb=facts.memory_mb(),
        free_disk_mb=facts.free_disk_mb(),
        disk_mb=facts.disk_mb(),
        time=time.time(),
        listeners=facts.listeners(),
        cpus=os.cpu_count() or 1,
        engine=facts.engine(),
        memory_cgroup=facts.memory_cgroup(),
        projects=facts.projects(),
        database=facts.database(),
        units=facts.units(),
        users=facts.users(),
        whole=facts.whole(),
        packages=facts.packages(),
    )


if __name__ == "__main__":
    main()
