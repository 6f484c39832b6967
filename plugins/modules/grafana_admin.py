#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: grafana_admin
short_description: Password of Grafana's administrator
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Signs in once with the password of a file on the host. When Grafana refuses it, sets it with Grafana's command line client, which gets
    it through a pipe.
  - Grafana reads the password of its configuration at the first start only; this module is how a changed one comes into effect.
  - Fails without changing anything while Grafana has locked the user, which it does for five minutes after five wrong passwords. To tell
    that from a wrong password it reads the service's journal.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
options:
  url:
    description: Address of Grafana.
    type: str
    default: https://127.0.0.1:3000
  ca_file:
    description: CA certificates that the server is verified with; the host's own trust store without it.
    type: path
  login:
    description: Name of the administrator in Grafana. It must be the first user (number 1).
    type: str
    default: admin
  password_file:
    description: File on the host with the password. A newline at its end does not count.
    type: path
    required: true
  unit:
    description: The systemd unit whose journal is read.
    type: str
    default: grafana-server.service
  user:
    description: The system's user that Grafana runs as.
    type: str
    default: grafana
  container:
    description: Name of the container that Grafana runs in. O(unit) and O(user) do not count then, and O(homepath), O(config_file) and
      O(program) are paths in it.
    type: str
  program:
    description: Grafana's command line program.
    type: str
    default: /usr/sbin/grafana
  homepath:
    description: Directory with Grafana's own files.
    type: path
    default: /usr/share/grafana
  config_file:
    description: Grafana's configuration, which names its database.
    type: path
    default: /etc/grafana/grafana.ini
"""

EXAMPLES = r"""
- name: Set the administrator's password
  edgestack.iot.grafana_admin:
    url: https://127.0.0.1:3000
    ca_file: /etc/edgestack/grafana/tls/ca.pem
    password_file: /etc/edgestack/grafana/secrets/admin_password
"""

RETURN = r"""
login:
  description: Name of the administrator.
  returned: always
  type: str
  sample: admin
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._grafana import admin


def main() -> None:
    module = AnsibleModule(
        {
            "url": {"type": "str", "default": "https://127.0.0.1:3000"},
            "ca_file": {"type": "path"},
            "login": {"type": "str", "default": "admin"},
            # The file's name is no secret.
            "password_file": {"type": "path", "required": True, "no_log": False},
            "unit": {"type": "str", "default": "grafana-server.service"},
            "user": {"type": "str", "default": "grafana"},
            "container": {"type": "str"},
            "program": {"type": "str", "default": "/usr/sbin/grafana"},
            "homepath": {"type": "path", "default": "/usr/share/grafana"},
            "config_file": {"type": "path", "default": "/etc/grafana/grafana.ini"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        with open(params["password_file"], encoding="utf-8") as file:
            password = file.read().rstrip("\n")
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"cannot read the password: {error}")
    if not password or "\n" in password:
        module.fail_json(msg=f"{params['password_file']} must hold one line, the password")
    module.no_log_values.add(password)
    server = admin.Server(
        params["url"].rstrip("/"),
        login=params["login"],
        ca_file=params["ca_file"],
        homepath=params["homepath"],
        config=params["config_file"],
        user=params["user"],
        unit=params["unit"],
        program=params["program"],
        container=params["container"],
    )
    try:
        changed = admin.ensure(server, password, module.check_mode)
    except admin.AdminError as error:
        module.fail_json(msg=str(error))
    result = {"changed": changed, "login": params["login"]}
    if module._diff:
        header = f"password of {params['login']}"
        result["diff"] = {
            "before_header": header,
            "after_header": header,
            "before": "another password\n" if changed else "",
            "after": "the wanted password\n" if changed else "",
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
