#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: component
short_description: Configuration files and service of one component, as one set
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Compares all configuration files of a component in one round trip, validates the new ones before they replace the old ones,
    restarts the service if and only if it has not yet been healthy with exactly this configuration, and waits until it answers.
  - When the service does not become healthy, the configuration that ran before is put back and the task fails; what was tried
    stays on the host for a look.
  - The host keeps, per component, the digest that its service last became healthy with, so a run that was killed between write and
    restart is repaired by the next one.
attributes:
  check_mode:
    description: Can predict what would change without changing it, also where the component is not installed yet.
    support: full
  diff_mode:
    description: Shows the differences of the files; of secret files only that they differ.
    support: full
  idempotent:
    description: A second run with the same values changes nothing.
    support: full
options:
  name:
    description: The component's name; names its record on the host.
    type: str
    required: true
  unit:
    description: The systemd unit. Either this or O(container) is given.
    type: str
  container:
    description: The container that is the component's service, in place of O(unit).
    type: dict
    suboptions:
      directory:
        description: Directory with the Compose project's C(compose.yaml), which is one of the O(files). The project's only container is
          called C(edgestack-) and O(name).
        type: path
        required: true
      image:
        description: The image. It must be on the host; nothing is pulled.
        type: str
        required: true
      user:
        description: User and group that the container runs as, in numbers.
        type: str
        required: true
      configuration:
        description: Directory with the component's configuration, mounted in the container at the same path.
        type: path
        required: true
  directories:
    description: Directories that shall exist.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
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
        default: "0755"
  files:
    description: Configuration files, contents included.
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
        description: A command that must end with 0; C(%s) stands for the new file before it replaces the old one. Of a container's
          configuration (files below O(container.configuration)) it runs in a container of the component's image.
        type: str
      validate_at:
        description: Where the new file stands in that container, for a command that cannot be told a file's name.
        type: path
      restart:
        description: Whether a change of this file needs a restart of the service.
        type: bool
        default: true
  secrets:
    description: Files that hold a secret. Their contents appear in no output, diff or log.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      value:
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
        default: "0640"
      restart:
        description: Whether a change of this secret needs a restart of the service.
        type: bool
        default: true
  restart_on:
    description: Further texts whose change needs a restart, for example the fingerprint of a certificate.
    type: list
    elements: str
    default: []
  health:
    description: How to ask whether the component is healthy. With none of O(health.url), O(health.port) and O(health.command) it is
      enough that the unit is active or the container runs.
    type: dict
    default: {}
    suboptions:
      url:
        description: An address that answers with one of O(health.status).
        type: str
      ca_file:
        description: CA certificates that an C(https) address is verified with; the host's own trust store without it.
        type: path
      status:
        description: HTTP statuses that mean healthy.
        type: list
        elements: int
        default: [200]
      host:
        description: Where O(health.port) is asked.
        type: str
        default: 127.0.0.1
      port:
        description: A TCP port that accepts connections.
        type: int
      command:
        description: A command that ends with 0, as a list of words.
        type: list
        elements: str
        default: []
      timeout:
        description: How long the service may take, in seconds.
        type: int
        default: 60
  state_directory:
    description: Where the records are kept.
    type: path
    default: /var/lib/edgestack/state
"""

EXAMPLES = r"""
- name: Configure and run a small service
  edgestack.iot.component:
    name: telegraf
    unit: telegraf.service
    files:
      - path: /etc/telegraf/telegraf.conf
        content: "{{ lookup('ansible.builtin.template', 'telegraf.conf.j2') }}"
        mode: "0644"
        validate: telegraf config check --config %s
    secrets:
      - path: /etc/edgestack/telegraf/secrets/influxdb_token
        value: "{{ lookup('edgestack.iot.secret', 'influxdb_token_telegraf') }}"
        group: telegraf
    health:
      port: 8888
      timeout: 30

- name: Configure and run the same in a container
  edgestack.iot.component:
    name: telegraf
    container:
      directory: /opt/edgestack/telegraf
      image: telegraf:1.37.2
      user: "999:999"
      configuration: /etc/edgestack/containers/telegraf
    files:
      - path: /opt/edgestack/telegraf/compose.yaml
        content: "{{ lookup('ansible.builtin.template', 'compose.yaml.j2') }}"
        validate: docker compose --file %s config --quiet
      - path: /etc/edgestack/containers/telegraf/conf/telegraf.conf
        content: "{{ lookup('ansible.builtin.template', 'telegraf.conf.j2') }}"
        group: "999"
        mode: "0640"
        validate: telegraf config check --config %s
    health:
      port: 8888
"""

RETURN = r"""
changed_files:
  description: Files that differed.
  returned: always
  type: list
  elements: str
changed_directories:
  description: Directories that differed.
  returned: always
  type: list
  elements: str
restarted:
  description: Whether the service was (check mode, would be) restarted.
  returned: always
  type: bool
reasons:
  description: Why it was restarted.
  returned: always
  type: list
  elements: str
present:
  description: Whether the component runs with this configuration now; false in check mode where it would first be installed or
    restarted, so that later tasks contact nothing.
  returned: always
  type: bool
digest:
  description: Digest of everything whose change needs a restart.
  returned: always
  type: str
evidence:
  description: Directory on the host with the configuration that did not become healthy, and the journal.
  returned: when the service did not become healthy
  type: str
rolled_back:
  description: Whether the service is healthy again with the configuration that ran before.
  returned: when the service did not become healthy
  type: bool
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._component import converge, fileset, record, service


class _Module(AnsibleModule):
    def _log_invocation(self) -> None:
        """Ansible looks for a secret in the text of all arguments by its exact characters. One of several lines is escaped there, so
        that it would not be found, and would stand in the journal."""
        self.log(f"Invoked for {self.params['name']} ({self.params['unit'] or 'container'})")


def _owned() -> dict[str, dict[str, object]]:
    return {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
    }


def _argument_spec() -> dict[str, dict[str, object]]:
    return {
        "name": {"type": "str", "required": True},
        "unit": {"type": "str"},
        "container": {
            "type": "dict",
            "options": {
                "directory": {"type": "path", "required": True},
                "image": {"type": "str", "required": True},
                "user": {"type": "str", "required": True},
                "configuration": {"type": "path", "required": True},
            },
        },
        "directories": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {**_owned(), "mode": {"type": "str", "default": "0755"}},
        },
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                **_owned(),
                "content": {"type": "str", "required": True},
                "mode": {"type": "str", "default": "0644"},
                "validate": {"type": "str"},
                "validate_at": {"type": "path"},
                "restart": {"type": "bool", "default": True},
            },
        },
        "secrets": {
            "type": "list",
            "elements": "dict",
            "default": [],
            # The list itself holds no secret, its values do.
            "no_log": False,
            "options": {
                **_owned(),
                "value": {"type": "str", "required": True, "no_log": True},
                "mode": {"type": "str", "default": "0640"},
                "restart": {"type": "bool", "default": True},
            },
        },
        "restart_on": {"type": "list", "elements": "str", "default": []},
        "health": {
            "type": "dict",
            "default": {},
            "options": {
                "url": {"type": "str"},
                "ca_file": {"type": "path"},
                "status": {"type": "list", "elements": "int", "default": [200]},
                "host": {"type": "str", "default": "127.0.0.1"},
                "port": {"type": "int"},
                "command": {"type": "list", "elements": "str", "default": []},
                "timeout": {"type": "int", "default": 60},
            },
        },
        "state_directory": {"type": "path", "default": "/var/lib/edgestack/state"},
    }


def _mode(module: AnsibleModule, path: str, text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        module.fail_json(msg=f"{path}: the mode {text!r} is not an octal number such as '0640'")


def _image(module: AnsibleModule, one: dict[str, str]) -> fileset.Image | None:
    """Where the validator of a file runs: files of the container's configuration are judged by the image's own programs."""
    container = module.params["container"]
    if not container or not one["path"].startswith(container["configuration"].rstrip("/") + "/"):
        return None
    return fileset.Image(container["image"], container["user"], container["configuration"], one["validate_at"])


def _wanted_files(module: AnsibleModule) -> list[fileset.WantedFile]:
    wanted = [
        fileset.WantedFile(
            one["path"],
            one["content"].encode(),
            one["owner"],
            one["group"],
            _mode(module, one["path"], one["mode"]),
            validate=one["validate"],
            restart=one["restart"],
            image=_image(module, one),
        )
        for one in module.params["files"]
    ]
    wanted += [
        fileset.WantedFile(
            one["path"],
            one["value"].encode(),
            one["owner"],
            one["group"],
            _mode(module, one["path"], one["mode"]),
            secret=True,
            restart=one["restart"],
        )
        for one in module.params["secrets"]
    ]
    paths = [file.path for file in wanted]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        module.fail_json(msg=f"named more than once: {', '.join(twice)}")
    return wanted


def main() -> None:
    module = _Module(
        _argument_spec(), supports_check_mode=True, mutually_exclusive=[("unit", "container")], required_one_of=[("unit", "container")]
    )
    params = module.params
    health = params["health"]
    if sum(bool(health.get(key)) for key in ("url", "port", "command")) > 1:
        module.fail_json(msg="health: give one of url, port and command")
    try:
        outcome = converge.converge(
            record.Record(params["state_directory"], params["name"]),
            service.Compose(params["name"], params["container"]["directory"]) if params["container"] else service.Systemd(params["unit"]),
            service.Health(
                url=health.get("url"),
                ca_file=health.get("ca_file"),
                status=tuple(health.get("status") or (200,)),
                host=health.get("host") or "127.0.0.1",
                port=health.get("port"),
                command=tuple(health.get("command") or ()),
                timeout=health.get("timeout") or 60,
            ),
            [
                converge.Directory(one["path"], one["owner"], one["group"], _mode(module, one["path"], one["mode"]))
                for one in params["directories"]
            ],
            _wanted_files(module),
            params["restart_on"],
            check=module.check_mode,
        )
    except converge.ConvergeError as error:
        module.fail_json(msg=str(error), **error.details)
    except (fileset.FileSetError, service.ServiceError) as error:
        module.fail_json(msg=str(error))
    result = dataclasses.asdict(outcome)
    diff = result.pop("diff")
    result["present"] = result.pop("healthy")
    if module._diff:
        result["diff"] = diff
    module.exit_json(changed=outcome.changed, **result)


if __name__ == "__main__":
    main()
