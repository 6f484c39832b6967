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
  - Reads the devices on the controller, makes missing passwords (C(PATH/ID/password), random, 0600) and hashes them. The host is
    asked with a digest first; only when its rows differ, one file travels there. No device and no secret is among the arguments of
    anything that runs on the host.
  - Creates the tables (C(utf8mb4_bin)) and adds columns that are missing, without losing rows.
  - Permissions come from the device's profile.
  - Tells a running broker (O(broker)) what has changed. A device that is revoked is banned, what was authorized for it is forgotten and
    its session is ended, right after its rows are gone; one that is present again is let in; other permissions count at once.
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
  password_hash:
    description:
      - How passwords are hashed, for all users of a broker alike, because its authenticator has one algorithm.
      - V(sha256) (the salt is a suffix) is enough for passwords that are long and random. One of your own with less than 16 characters
        is refused with it; V(pbkdf2) (SHA-256, 10000 iterations, 32 bytes) and V(bcrypt) (10 rounds) take 8.
      - V(bcrypt) needs the Python package C(bcrypt) on the controller. Both are reckoned once per password.
    type: str
    choices: [sha256, pbkdf2, bcrypt]
    default: sha256
  password_grace:
    description:
      - How many hours the password before a rotation works beside the new one. With V(0), only the new one works.
      - The old one stands in the table C(mqtt_user_previous) with its end, C(valid_until). Which of the two was sent, the authenticator's
        query has to find out with C(${password}), and EMQX logs the parameters of a query that fails. So it is off by default, goes
        with V(sha256) only, and the role C(edgestack.iot.emqx) has such a query only while C(devices_password_grace) is set.
    type: float
    default: 0
  rotate:
    description:
      - Passwords that are made anew. Whoever was let in stays until it disconnects.
    type: dict
    suboptions:
      devices:
        description: Of these devices.
        type: list
        elements: str
        default: []
      profiles:
        description: Of all devices with these profiles.
        type: list
        elements: str
        default: []
      sites:
        description: Of all devices of these sites.
        type: list
        elements: str
        default: []
      max_age:
        description: Of all devices whose password (the time of its file) is older than so many days; 0 is never.
        type: float
        default: 0
      least_age:
        description:
          - A password that was named and is younger than this, in seconds, is not made anew. So several brokers of a play, a second run
            and the run after one that was killed do it once. It is said in a warning.
        type: float
        default: 3600
  broker:
    description:
      - The broker that reads these tables. Without it, or when O(broker.api_secret_file) is not there yet, none is told.
      - When it does not answer, that is a warning, and the next run tells it.
    type: dict
    suboptions:
      url:
        description: Where its REST API listens.
        type: str
        default: http://127.0.0.1:18083
      api_key:
        description: Name of an API key.
        type: str
        required: true
      api_secret_file:
        description: File with the key's secret, on the host.
        type: path
        required: true
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
    broker:
      api_key: edgestack
      api_secret_file: /etc/edgestack/emqx/secrets/api_secret

- name: New passwords for all plugs; the old ones work for two more days
  edgestack.iot.device_registry:
    devices_file: devices.csv
    path: "{{ inventory_dir }}/devices"
    password_grace: 48
    rotate:
      profiles: [sonoff_pow]
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
broker:
  description: Users that were (in check mode, would be) banned and let in again, and clients whose sessions were ended.
  returned: when the broker was told something
  type: dict
  sample: {banned: [plug-1], lifted: [], ended: [plug-1], cleaned: []}
settled:
  description: Whether the broker knows all of it. When it does not, revocations stay pending.
  returned: success
  type: bool
passwords_rotated:
  description: Some of the devices whose password was made anew.
  returned: when there are any
  type: list
  elements: str
passwords_made:
  description: Some of the devices that got their first password.
  returned: when there are any
  type: list
  elements: str
"""

import dataclasses
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

from ansible_collections.edgestack.iot.plugins.module_utils._devices import broker, database, rows
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._emqx import arguments
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import EmqxError
from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault

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
            "password_hash": {"type": "str", "default": "sha256", "choices": ["sha256", "pbkdf2", "bcrypt"], "no_log": False},
            "password_grace": {"type": "float", "default": 0, "no_log": False},
            "rotate": {
                "type": "dict",
                "options": {
                    "devices": {"type": "list", "elements": "str", "default": []},
                    "profiles": {"type": "list", "elements": "str", "default": []},
                    "sites": {"type": "list", "elements": "str", "default": []},
                    "max_age": {"type": "float", "default": 0},
                    "least_age": {"type": "float", "default": 3600},
                },
            },
            "broker": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "default": "http://127.0.0.1:18083"},
                    "api_key": {"type": "str", "required": True, "no_log": False},
                    "api_secret_file": {"type": "path", "required": True, "no_log": False},
                },
            },
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
        module.exit_json(changed=True, counts=counts, schema=[], unlisted=[], settled=True, _done=True)
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
        done = last.get("key") == key and last.get("settled") is True and last.get("state") is not None and last["state"] == database.state(connection)
        module.exit_json(changed=False, counts=last.get("counts", {}), schema=[], unlisted=last.get("unlisted", []), settled=done, _done=done)
    with open(file_name, "rb") as file:
        wanted, gone = rows.load(file.read())
    outcome = database.converge(connection, wanted, gone.names, purge=params["purge"], check=module.check_mode)
    told = _settle(module, gone, outcome.plan, _read(RECORD))
    result = {
        "changed": outcome.plan.changed or bool(outcome.schema) or (told is not None and told.changed),
        "settled": told is not None,
        "counts": outcome.plan.counts(),
        "schema": outcome.schema,
        "unlisted": outcome.plan.unlisted[:50],
        "_done": True,
    }
    if outcome.state is not None:
        counts = {"added": 0, "updated": 0, "removed": 0, "unchanged": len(wanted), "unlisted": len(outcome.plan.unlisted)}
        record = {"key": key, "state": outcome.state, "counts": counts, "unlisted": result["unlisted"], "settled": told is not None}
        _write(RECORD, record | ({"banned": sorted(gone.revoked)} if told is not None else {}))
    if told is not None and (told.changed or told.cleaned):
        result["broker"] = dataclasses.asdict(told)
    if module._diff:
        diff = outcome.plan.diff()
        if told is not None:
            for names, what in ((told.banned, "banned"), (told.lifted, "no longer banned"), (told.ended, "session ended")):
                diff["after"] += "".join(f"{name}: {what}\n" for name in names[:1000])
        diff["after"] = "".join(f"{text}\n" for text in outcome.schema) + diff["after"]
        result["diff"] = diff
    module.exit_json(**result)


def _settle(module: AnsibleModule, gone: rows.Gone, plan: rows.Plan, last: dict[str, object]) -> broker.Settled | None:
    """Tells the broker; None when it could not be told."""
    connection = module.params["broker"]
    # Without a secret there is no broker yet, and nobody who is connected to it.
    if not connection or not os.path.exists(connection["api_secret_file"]):
        return broker.Settled()
    changed = [user.username for user, why in plan.update if {"permissions", "authentication"} & set(why)]
    known = last.get("settled") is True and last.get("banned") == sorted(gone.revoked)
    if known and not plan.remove and not changed and not gone.readmitted:
        return broker.Settled()
    removed = [*plan.remove, *gone.readmitted, *([] if known else gone.names)]
    try:
        with arguments.connect({**connection, "timeout": 10, "wait_timeout": 5}) as client:
            return broker.settle(client, gone.revoked, removed, changed, check=module.check_mode)
    except (Fault, EmqxError) as error:
        what = f"{len(gone.revoked)} revoked devices" if gone.revoked else "what has changed"
        module.warn(f"the rows are as they shall be, but the broker could not be told of {what}, and the next run will do it: {error}")
        return None


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
