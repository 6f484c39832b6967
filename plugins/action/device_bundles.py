# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import copy
import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._devices import bundle
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._pki import files
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller, _devices

ARGUMENT_SPEC: dict[str, t.Any] = {
    **_devices.DEVICES_SPEC,
    "server": {"type": "str", "required": True},
    "port": {"type": "int", "default": 8883},
    "password_port": {"type": "int", "default": 0},
    "password_tls": {"type": "bool", "default": False, "no_log": False},
    "ca_file": {"type": "path"},
}


class ActionModule(ActionBase):
    """Runs in the controller's process only."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        directory = _controller.directory_of(self._loader, params["path"])
        check = bool(self._task.check_mode)
        try:
            total, changed = self._write(params, directory, check)
        except DevicesError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"cannot write {error.filename}: {error.strerror}") from None
        lines = [f"{name}: {', '.join(what)}" for name, what in list(changed.items())[:50]]
        if len(changed) > 50:
            lines.append(f"and {len(changed) - 50} more")
        result.update(
            changed=bool(changed),
            path=directory,
            total=total,
            devices=list(changed)[:50],
            # Names of files only: one of them holds the password.
            diff={"before_header": directory, "after_header": directory, "before": "", "after": "".join(f"{line}\n" for line in lines)},
        )
        return result

    def _write(self, params: dict[str, t.Any], directory: str, check: bool) -> tuple[int, dict[str, list[str]]]:
        devices, profiles = _devices.read_devices(self._loader, params)
        broker = bundle.Broker(params["server"], params["port"], params["password_port"], params["password_tls"])
        authority = files.read_optional(_controller.directory_of(self._loader, params["ca_file"])) if params["ca_file"] else None
        passwords = _devices.Passwords(directory, check)
        changed: dict[str, list[str]] = {}
        present = [device for device in devices if device.state == "present"]
        with contextlib.nullcontext() if check else passwords.lock():
            for device in present:
                folder = os.path.join(directory, device.id)
                material = self._material(folder, authority)
                wanted = bundle.files(device, profiles[device.profile], broker, passwords.of(device.id), material)
                if device.auth == "password" and broker.password_tls and authority is not None:
                    wanted["ca.pem"] = (authority, files.PUBLIC_MODE)
                written = self._one(folder, wanted, check)
                # What another profile, or another way to connect, had.
                written += self._remove(folder, [name for name in bundle.NAMES if name not in wanted], check)
                if written:
                    changed[device.id] = written
            for device in devices:
                # A revoked device's bundle has its password in it.
                if device.state == "revoked":
                    removed = self._remove(os.path.join(directory, device.id), bundle.NAMES, check)
                    if removed:
                        changed[device.id] = removed
            if changed and not check:
                files.sync_filesystem(directory)
        return len(present), changed

    @staticmethod
    def _material(folder: str, authority: bytes | None) -> bundle.Material:
        def text(name: str) -> str:
            return (files.read_optional(os.path.join(folder, name)) or b"").decode()

        return bundle.Material(text("ca.pem") or (authority or b"").decode(), text("device.pem"), text("device.key"))

    @staticmethod
    def _remove(folder: str, names: t.Iterable[str], check: bool) -> list[str]:
        removed = []
        for name in names:
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                removed.append(f"{name} removed")
                if not check:
                    os.unlink(path)
        return removed

    @staticmethod
    def _one(folder: str, wanted: dict[str, tuple[bytes, int]], check: bool) -> list[str]:
        written = []
        for name, (content, mode) in wanted.items():
            path = os.path.join(folder, name)
            if files.read_optional(path) == content and os.stat(path).st_mode & 0o777 == mode:
                continue
            written.append(name)
            if not check:
                os.makedirs(folder, mode=files.DIRECTORY_MODE, exist_ok=True)
                files.write_atomic(path, content, mode, sync=False)
        return written
