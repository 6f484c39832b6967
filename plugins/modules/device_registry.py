#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: device_registry
short_description: Devices as users and permissions in EMQX's MySQL tables
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes the tables C(mqtt_user) and C(mqtt_acl) say what the list of devices says, in one transaction, only the difference.
  - Reads the devices on the controller, makes missing passwords (C(PATH/ID/password), random, 0600) and hashes them (sha256 with a
    salt behind). The host is asked with a digest first; only when its rows differ, one file travels there. No device and no secret
    is among the arguments of anything that runs on the host.
  - Creates the tables (C(utf8mb4_bin)) and adds columns that are missing, without losing rows.
  - Permissions come from the device's profile.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
requirements:
  - PyMySQL on the host (C(python3-pymysql)).
options:
  devices:
    description:
      - The devices. Of each, C(id), C(profile), C(site) (default C(main)), C(auth) (C(certificate+password), the default, or
        C(password)) and C(state) (C(present), C(revoked) or C(absent)) are read.
    type: list
    elements: dict
    default: []
  devices_file:
    description: A YAML or CSV file with devices on the controller, also of thousands. Is added to O(devices).
    type: str
    default: ""
  site:
    description: Only the devices of this site; all of them when empty.
    type: str
    default: ""
  profiles_dir:
    description: Directory on the controller with the site's own profiles, which replace the collection's of the same name.
    type: path
  path:
    description: Directory of the devices' directories on the controller.
    type: path
    required: true
  service_accounts:
    description: Accounts of services, beside the devices.
    type: list
    elements: dict
    default: []
    suboptions:
      username:
        description: Name, which is also the client id and the certificate's common name.
        type: str
        required: true
      password_secret:
        description: Name of the secret in O(secrets_dir) that is its password; it is made when it is missing.
        type: str
      password_file:
        description: File on the controller with its password, instead.
        type: path
      auth:
        description: Whether it has a certificate and a password, or a password alone.
        type: str
        choices: [certificate, password]
        default: certificate
      publish:
        description: Topics that it may publish on.
        type: list
        elements: str
        default: []
      subscribe:
        description: Topic filters that it may subscribe to.
        type: list
        elements: str
        default: []
      acl:
        description: What else it may do or may not, asked before the former; a list of C(action) (C(publish), C(subscribe), C(all)),
          C(topic) and C(permission) (C(allow), the default, or C(deny)).
        type: list
        elements: dict
        default: []
  secrets_dir:
    description: The store of secrets on the controller.
    type: path
  purge:
    description: Whether users that this module made earlier and that are not listed any more are removed. Devices that are listed
      with C(state=revoked) or C(state=absent) are removed in any case. Rows that others made are left alone.
    type: bool
    default: false
  database:
    description: Name of the database.
    type: str
    default: mqtt
  login_unix_socket:
    description: The server's socket, to which root connects without a password.
    type: path
    default: /run/mysqld/mysqld.sock
  exchange:
    description: Used by the action plugin for talking to its other half on the host. Not for playbooks.
    type: dict
"""

EXAMPLES = r"""
- name: The devices of this broker's site, and Telegraf
  edgestack.iot.device_registry:
    devices:
      - {id: kitchen-pi, profile: raspberrypi}
      - {id: plug-1, profile: sonoff_pow, auth: password}
    path: "{{ inventory_dir }}/devices"
    profiles_dir: "{{ inventory_dir }}/profiles"
    secrets_dir: "{{ inventory_dir }}/secrets"
    service_accounts:
      - username: telegraf-centre
        password_secret: telegraf_mqtt_password_centre
        subscribe: [sensor/raspberrypi/+, tele/+/SENSOR]
"""

RETURN = r"""
counts:
  description: How many users were (in check mode, would be) added, updated and removed, are unchanged, or are ours and not listed.
  returned: success
  type: dict
  sample: {added: 2, updated: 0, removed: 0, unchanged: 98, unlisted: 0}
schema:
  description: What the tables lacked.
  returned: success
  type: list
  elements: str
total:
  description: Number of users that shall be there.
  returned: success
  type: int
unlisted:
  description: Some of the users that are ours and not listed; O(purge) removes them.
  returned: success
  type: list
  elements: str
passwords_made:
  description: Some of the devices that got a new password.
  returned: when there are any
  type: list
  elements: str
"""

import json
import os
import tempfile
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import pymysql

    PYMYSQL_ERROR = None
except ImportError:
    PYMYSQL_ERROR = traceback.format_exc()

from ansible_collections.edgestack.iot.plugins.module_utils._devices import database, rows
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError

# What was wanted and what was there after the last run, as digests: when both are the same again, nothing has to be sent.
RECORD = "/var/lib/edgestack/state/device_registry.json"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "devices": {"type": "list", "elements": "dict", "default": []},
            "devices_file": {"type": "str", "default": ""},
            "site": {"type": "str", "default": ""},
            "profiles_dir": {"type": "path"},
            "path": {"type": "path", "required": True},
            "service_accounts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "username": {"type": "str", "required": True},
                    "password_secret": {"type": "str", "no_log": False},
                    "password_file": {"type": "path", "no_log": False},
                    "auth": {"type": "str", "choices": ["certificate", "password"], "default": "certificate"},
                    "publish": {"type": "list", "elements": "str", "default": []},
                    "subscribe": {"type": "list", "elements": "str", "default": []},
                    "acl": {"type": "list", "elements": "dict", "default": []},
                },
            },
            "secrets_dir": {"type": "path", "no_log": False},
            "purge": {"type": "bool", "default": False},
            "database": {"type": "str", "default": "mqtt"},
            "login_unix_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
            # From the action plugin: `key`, a digest of what is wanted, `count`, the number of rows, and `rows_file` with them.
            "exchange": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    params = module.params
    exchange = params["exchange"]
    if not exchange:
        module.fail_json(msg="this module runs by its action plugin only")
    socket = params["login_unix_socket"]
    if module.check_mode and (PYMYSQL_ERROR or not os.path.exists(socket)):
        # A clean host in check mode: everything would be made.
        counts = {"added": exchange.get("count", 0), "updated": 0, "removed": 0, "unchanged": 0, "unlisted": 0}
        module.exit_json(changed=True, counts=counts, schema=[], unlisted=[], _done=True)
    if PYMYSQL_ERROR:
        module.fail_json(msg=missing_required_lib("PyMySQL", reason="package python3-pymysql"), exception=PYMYSQL_ERROR)
    try:
        connection = pymysql.connect(unix_socket=socket, user="root", database=params["database"], charset="utf8mb4", autocommit=False, connect_timeout=10)
        try:
            _run(module, connection)
        finally:
            connection.close()
    except pymysql.MySQLError as error:
        module.fail_json(msg=str(database.explain(error)))
    except DevicesError as error:
        module.fail_json(msg=str(error))


def _run(module: AnsibleModule, connection: database.Connection) -> None:
    params = module.params
    key, file_name = params["exchange"]["key"], params["exchange"].get("rows_file")
    if file_name is None:
        last = _read(RECORD)
        done = last.get("key") == key and last.get("state") is not None and last["state"] == database.state(connection)
        module.exit_json(changed=False, counts=last.get("counts", {}), schema=[], unlisted=last.get("unlisted", []), _done=done)
    with open(file_name, "rb") as file:
        wanted, gone = rows.load(file.read())
    outcome = database.converge(connection, wanted, gone, purge=params["purge"], check=module.check_mode)
    result = {
        "changed": outcome.plan.changed or bool(outcome.schema),
        "counts": outcome.plan.counts(),
        "schema": outcome.schema,
        "unlisted": outcome.plan.unlisted[:50],
        "_done": True,
    }
    if outcome.state is not None:
        counts = {"added": 0, "updated": 0, "removed": 0, "unchanged": len(wanted), "unlisted": len(outcome.plan.unlisted)}
        _write(RECORD, {"key": key, "state": outcome.state, "counts": counts, "unlisted": result["unlisted"]})
    if module._diff:
        diff = outcome.plan.diff()
        diff["after"] = "".join(f"{text}\n" for text in outcome.schema) + diff["after"]
        result["diff"] = diff
    module.exit_json(**result)


def _read(path: str) -> dict[str, object]:
    """The record of the last run. One that cannot be read only costs the comparison of all rows."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write(path: str, data: dict[str, object]) -> None:
    if _read(path) == data:
        return
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    # mkstemp makes it 0600.
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".device_registry-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(data, file)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
