# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import os
import tempfile
import time
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._devices import hashing, registry, revocations, rows
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._secrets import store
from ansible_collections.edgestack.iot.plugins.module_utils._secrets.policy import SecretsError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller, _devices

MODULE = "edgestack.iot.device_registry"
ARGUMENT_SPEC: dict[str, t.Any] = {
    **_devices.DEVICES_SPEC,
    "service_accounts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "username": {"type": "str", "required": True},
            # Names of where a password is, no passwords.
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
    "password_hash": {"type": "str", "default": "sha256", "choices": list(hashing.ALGORITHMS), "no_log": False},
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
}


class ActionModule(ActionBase):
    """Reads and hashes on the controller. The host is first asked whether what is wanted and what is there are as they were after
    the last run; only when they are not, one file (0600) travels there."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        check = bool(self._task.check_mode)
        try:
            self._check(params)
            users, gone, passwords = self._users(params, check, str((task_vars or {}).get("inventory_hostname", "")))
        except (DevicesError, SecretsError) as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"cannot write {error.filename}: {error.strerror}") from None
        host_params = {name: params[name] for name in ("path", "purge", "database", "login_unix_socket", "broker")}
        exchange = {"key": rows.key(users, gone, params["purge"]), "count": len(users)}
        asked = self._module({**host_params, "exchange": exchange}, task_vars)
        if not asked.get("failed") and not asked.pop("_done", False):
            asked = self._send(users, gone, {**host_params, "exchange": exchange}, task_vars)
        asked.pop("_done", None)
        for what, names in (("passwords_made", passwords.made), ("passwords_rotated", passwords.rotated)):
            if names:
                asked["changed"] = True
                asked[what] = names[:50]
        if passwords.too_young:
            # Who asked for it would take "ok" for done.
            more = len(passwords.too_young) - 5
            self._display.warning(
                f"not made anew, because they are younger than {params['rotate']['least_age']:g} s (least_age): the passwords of"
                f" {', '.join(passwords.too_young[:5])}{f' and {more} more' if more > 0 else ''}"
            )
        asked["total"] = len(users)
        if asked.get("settled") and not check and not asked.get("failed"):
            self._reached(passwords.directory, str((task_vars or {}).get("inventory_hostname", "")), gone)
        result.update(asked)
        return result

    @staticmethod
    def _check(params: dict[str, t.Any]) -> None:
        if params["password_grace"] < 0:
            raise DevicesError(f"password_grace is {params['password_grace']}: it must be 0 (none) or a number of hours")
        if params["password_grace"] and params["password_hash"] != "sha256":  # noqa: S105 - the name of a hash
            raise DevicesError(
                f"password_grace goes with sha256 only: the database, which has to find out which password was sent, can't reckon"
                f" {params['password_hash']}. Set it to 0, so that a rotation counts at once"
            )

    @staticmethod
    def _reached(directory: str, broker: str, gone: rows.Gone) -> None:
        record = revocations.read(directory)
        waiting = record.pending.get(broker, {})
        # Nothing to write is the rule.
        if not waiting and set(gone.revoked) <= set(record.reached.get(broker, {})):
            return
        with revocations.changing(directory) as record:
            record.done(broker, [*gone.revoked, *waiting], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def _users(self, params: dict[str, t.Any], check: bool, broker: str) -> tuple[list[rows.User], rows.Gone, _devices.Passwords]:
        everywhere, profiles = _devices.read_all(self._loader, params)
        rotation = _devices.Rotation(**{name: tuple(value) if isinstance(value, list) else value for name, value in (params["rotate"] or {}).items()})
        rotation.check(everywhere)
        devices = [device for device in everywhere if not params["site"] or device.site == params["site"]]
        directory = _controller.directory_of(self._loader, params["path"])
        passwords = _devices.Passwords(directory, check, params["password_hash"], params["password_grace"])
        if check:
            users, gone = self._make(params, devices, profiles, passwords, rotation)
        else:
            with passwords.lock():
                users, gone = self._make(params, devices, profiles, passwords, rotation)
                passwords.flush()
        # What this broker was never told: of devices that are not in the list any more, and of devices that are present again.
        names = {user.username for user in users}
        waiting = set(revocations.read(directory).pending.get(broker, {}))
        revoked = tuple(sorted({*gone.revoked, *(waiting - names)}))
        return users, rows.Gone(revoked, gone.absent, tuple(sorted(waiting & names))), passwords

    def _make(
        self,
        params: dict[str, t.Any],
        devices: list[registry.Device],
        profiles: dict[str, t.Any],
        passwords: _devices.Passwords,
        rotation: _devices.Rotation,
    ) -> tuple[list[rows.User], rows.Gone]:
        hasher = passwords.hasher()
        gone: dict[str, list[str]] = {"revoked": [], "absent": []}
        present = []
        for device in devices:
            if device.state == "present":
                present.append((device, passwords.rotate(device, rotation), passwords.previous(device.id)))
            else:
                gone[device.state].append(device.id)
                if device.state == "revoked":
                    passwords.discard(device.id)
        hasher.prepare([(device.id, password) for device, password, _previous in present])
        users = [
            rows.device_user(device, profiles[device.profile], password, hasher, previous if params["password_grace"] else None)
            for device, password, previous in present
        ]
        names = {user.username for user in users}
        for account in params["service_accounts"]:
            if account["username"] in names:
                raise DevicesError(f"service account {account['username']}: there is a device, or another account, of this name")
            names.add(account["username"])
            users.append(rows.service_user(account, self._service_password(account, params, passwords.check), hasher))
        passwords.keep(hasher)
        return users, rows.Gone(tuple(gone["revoked"]), tuple(gone["absent"]))

    def _service_password(self, account: dict[str, t.Any], params: dict[str, t.Any], check: bool) -> str:
        where = f"service account {account['username']}"
        if account["password_file"]:
            path = _controller.directory_of(self._loader, account["password_file"])
            try:
                with open(path, "rb") as file:
                    return _devices.checked(file.read(), path, params["password_hash"])
            except OSError as error:
                raise DevicesError(f"{where}: cannot read {path}: {error.strerror}") from None
        if not account["password_secret"] or not params["secrets_dir"]:
            raise DevicesError(f"{where}: say where its password is: password_secret with secrets_dir, or password_file")
        secrets = store.Store(_controller.directory_of(self._loader, params["secrets_dir"]), _controller.cipher_of(self._loader))
        name = store.check_name(account["password_secret"])
        value = secrets.read(name)
        if value is None and not check:
            # A host outside of this run's limit has none yet; it will find this one.
            secrets.ensure([store.Wanted(name=name)])
            value = secrets.read(name)
        return store.placeholder(name) if value is None else _devices.checked(value.encode(), where, params["password_hash"])

    def _send(self, users: list[rows.User], gone: rows.Gone, host_params: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        local = ""
        remote_tmp = self._make_tmp_path()
        try:
            handle, local = tempfile.mkstemp(prefix="rows-", dir=C.DEFAULT_LOCAL_TMP)
            with os.fdopen(handle, "wb") as file:
                file.write(rows.dump(users, gone))
            # The directory is 0700 on the host, so it does not matter with which mode a connection creates the file.
            remote = self._transfer_file(local, self._connection._shell.join_path(remote_tmp, "rows"))
            host_params["exchange"] = {**host_params["exchange"], "rows_file": remote}
            return self._module(host_params, task_vars)
        finally:
            if local:
                os.unlink(local)
            self._remove_tmp_path(remote_tmp, force=True)

    def _module(self, params: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        answer = self._execute_module(module_name=MODULE, module_args=params, task_vars=task_vars)
        # What the action tells the module is not what the task said.
        answer.pop("invocation", None)
        return dict(answer)
