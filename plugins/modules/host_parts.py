#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_parts
short_description: Parts of a host's preparation, and changes that cannot lock you out
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - A part is a set of files and the commands that make the host use them. All parts are compared in one round trip; files are validated
    before they replace others, the commands run if and only if the host has not yet taken exactly this set, and when one of them fails,
    what was there before is put back and used again.
  - A guarded part (O(parts[].guard)) takes itself back after that many seconds, without the controller and also over a power cut, unless a
    B(new) connection to the host, made after the change, confirms it. This task makes that connection, confirms, and fails when the
    change was taken back. With a connection that is not SSH this proves only that the connection's own way still works.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
options:
  parts:
    description: The parts, in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name; also of the record that the host keeps. Lower-case letters, digits and hyphens.
        type: str
        required: true
      state:
        description: Whether the part shall be there. V(absent) removes the files that an earlier run wrote.
        type: str
        choices: [present, absent]
        default: present
      skip:
        description: Why this host cannot have the part; nothing is done then, and RV(skipped) says it. Empty is no reason.
        type: str
        default: ""
      files:
        description: The part's files.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: Absolute path.
            type: path
            required: true
          content:
            description: The whole content.
            type: str
            required: true
          owner:
            description: Owner's name or number.
            type: str
            default: root
          group:
            description: Group's name or number.
            type: str
            default: root
          mode:
            description: Permissions in octal, quoted.
            type: str
            default: "0644"
          validate:
            description: A command that must end with 0; C(%s) stands for the new file before it replaces the old one.
            type: str
      apply:
        description: Commands, without a shell, that make the host use the files.
        type: list
        elements: str
        default: []
      undo:
        description: Commands that run before the files are removed.
        type: list
        elements: str
        default: []
      removed:
        description: Commands that run after the files are removed.
        type: list
        elements: str
        default: []
      guard:
        description: Seconds after which a change takes itself back unless a new connection confirms it; V(0) is without.
        type: int
        default: 0
  phase:
    description: Used by this task itself; V(confirm) keeps guarded changes.
    type: str
    choices: [bring, confirm]
    default: bring
  state_directory:
    description: Where the records are kept.
    type: path
    default: /var/lib/edgestack/state
  guard_directory:
    description: Where unconfirmed changes keep what they would put back.
    type: path
    default: /var/lib/edgestack/guard
seealso:
  - module: edgestack.iot.component
"""

EXAMPLES = r"""
- name: Keep less of the journal, and let no password in
  edgestack.iot.host_parts:
    parts:
      - name: journal
        files:
          - path: /etc/systemd/journald.conf.d/50-site.conf
            content: |
              [Journal]
              SystemMaxUse=64M
        apply: [systemctl restart systemd-journald.service]
        removed: [systemctl restart systemd-journald.service]
      - name: ssh
        guard: 60
        files:
          - path: /etc/ssh/sshd_config.d/10-site.conf
            content: |
              PasswordAuthentication no
        apply: [sshd -t, systemctl reload ssh.service]
        removed: [systemctl reload ssh.service]
"""

RETURN = r"""
changed_files:
  description: Files that differed.
  returned: always
  type: list
  elements: str
changed_parts:
  description: Parts that changed, or whose commands ran again.
  returned: always
  type: list
  elements: str
confirmed:
  description: Guarded parts that a new connection has confirmed.
  returned: when there were some
  type: list
  elements: str
skipped_parts:
  description: Parts that this host cannot have, each with the reason.
  returned: always
  type: dict
  sample: {watchdog: there is no /dev/watchdog0}
"""

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._component import fileset
from ansible_collections.edgestack.iot.plugins.module_utils._host import guard, parts

FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}
SPEC: dict[str, dict[str, t.Any]] = {
    "parts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "skip": {"type": "str", "default": ""},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
            "apply": {"type": "list", "elements": "str", "default": []},
            "undo": {"type": "list", "elements": "str", "default": []},
            "removed": {"type": "list", "elements": "str", "default": []},
            "guard": {"type": "int", "default": 0},
        },
    },
    "phase": {"type": "str", "choices": ["bring", "confirm"], "default": "bring"},
    "state_directory": {"type": "path", "default": "/var/lib/edgestack/state"},
    "guard_directory": {"type": "path", "default": "/var/lib/edgestack/guard"},
}


def _part(module: AnsibleModule, one: dict[str, t.Any]) -> parts.Part:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", one["name"]):
        module.fail_json(msg=f"the part's name {one['name']!r} is none (lower-case letters, digits, hyphens); nothing was changed")
    if one["guard"] < 0:
        module.fail_json(msg=f"{one['name']}: guard is a number of seconds, not {one['guard']}; nothing was changed")
    files = one["files"] if one["state"] == "present" else []
    if one["state"] == "present" and not files:
        module.fail_json(msg=f"{one['name']}: a part has files; nothing was changed")
    wanted = []
    for file in files:
        try:
            mode = int(file["mode"], 8)
        except ValueError:
            module.fail_json(msg=f"{file['path']}: the mode {file['mode']!r} is not an octal number such as '0640'; nothing was changed")
        wanted.append(fileset.WantedFile(file["path"], file["content"].encode(), file["owner"], file["group"], mode, validate=file["validate"]))
    return parts.Part(one["name"], tuple(wanted), tuple(one["apply"]), tuple(one["undo"]), tuple(one["removed"]), one["guard"])


def main() -> None:
    module = AnsibleModule(SPEC, supports_check_mode=True)
    params = module.params
    wanted = [_part(module, one) for one in params["parts"] if not one["skip"]]
    names = [one["name"] for one in params["parts"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        module.fail_json(msg=f"parts named more than once: {', '.join(twice)}; nothing was changed")
    host = parts.Host(params["state_directory"], params["guard_directory"])
    result: dict[str, t.Any] = {
        "changed": False,
        "changed_files": [],
        "changed_parts": [],
        "skipped_parts": {one["name"]: one["skip"] for one in params["parts"] if one["skip"]},
    }
    pending, diff = [], []
    try:
        for part in wanted:
            if params["phase"] == "confirm":
                host.confirm(part)
                continue
            outcome = host.bring(part, module.check_mode)
            if outcome.changed:
                result["changed"] = True
                result["changed_parts"].append(part.name)
            result["changed_files"] += outcome.changed_files
            diff += outcome.diff
            if outcome.pending:
                pending.append(part.name)
    except (parts.PartError, guard.GuardError, fileset.FileSetError) as error:
        # What was changed before it in this run stays; a guarded change among it is still to be confirmed.
        module.fail_json(msg=str(error), pending=pending, **result)
    if module._diff:
        result["diff"] = diff
    module.exit_json(pending=pending, **result)


if __name__ == "__main__":
    main()
