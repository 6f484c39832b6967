#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: grafana_user
short_description: A user of Grafana with a role
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes a user, or sets its password and its role in the administrator's organisation when they are others.
  - Signs in once as the user to see whether the password is the wanted one. Grafana locks a user after five wrong passwords, for five
    minutes; a locked user's password is set again.
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
  admin_login:
    description: Name of the administrator.
    type: str
    default: admin
  admin_password_file:
    description: File on the host with the administrator's password.
    type: path
    required: true
  login:
    description: Name of the user.
    type: str
    required: true
  password:
    description: Its password.
    type: str
    required: true
  role:
    description: Its role.
    type: str
    choices: [None, Viewer, Editor, Admin]
    default: Viewer
"""

EXAMPLES = r"""
- name: A user that may look
  edgestack.iot.grafana_user:
    url: https://127.0.0.1:3000
    ca_file: /etc/edgestack/grafana/tls/ca.pem
    admin_password_file: /etc/edgestack/grafana/secrets/admin_password
    login: wallboard
    password: "{{ wallboard_password }}"
"""

RETURN = r"""
login:
  description: Name of the user.
  returned: success
  type: str
  sample: wallboard
fault:
  description: The request that failed, with kind, method, url, status, code, message, hint and attempts.
  returned: when a request failed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.edgestack.iot.plugins.module_utils._grafana import user
from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault


def main() -> None:
    module = AnsibleModule(
        {
            "url": {"type": "str", "default": "https://127.0.0.1:3000"},
            "ca_file": {"type": "path"},
            "admin_login": {"type": "str", "default": "admin"},
            # The file's name is no secret.
            "admin_password_file": {"type": "path", "required": True, "no_log": False},
            "login": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "role": {"type": "str", "choices": list(user.ROLES), "default": "Viewer"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        with open(params["admin_password_file"], encoding="utf-8") as file:
            password = file.read().strip("\n")
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"cannot read the administrator's password: {error}")
    module.no_log_values.add(password)
    secrets = [password, params["password"]]

    def connect(login: str, password: str) -> user.Transport:
        return user.connect(params["url"].rstrip("/"), login, password, ca_file=params["ca_file"], secrets=secrets)

    try:
        admin = connect(params["admin_login"], password)
        try:
            before, after = user.ensure(admin, connect, params["login"], params["password"], params["role"], module.check_mode)
        finally:
            admin.close()
    except Fault as fault:
        module.fail_json(msg=str(fault), fault=fault.as_dict())
    result = {"changed": before != after, "login": params["login"]}
    if module._diff:
        header = f"user {params['login']}"
        result["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
