# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller's plugins for devices share: where profiles are, and each device's password."""

from __future__ import annotations

import os
import secrets
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._devices import profiles, registry
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._pki import files
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

# A fast hash (sha256) is no protection for a password that can be guessed.
SHORTEST = 16

DEVICES_SPEC: dict[str, t.Any] = {
    "devices": {"type": "list", "elements": "dict", "default": []},
    "devices_file": {"type": "str", "default": ""},
    "site": {"type": "str", "default": ""},
    "profiles_dir": {"type": "path"},
    "path": {"type": "path", "required": True},
}


def collection_profiles() -> str:
    """The profiles that the collection brings."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.path.join(root, "roles", "devices", "files", "profiles")


def read_profiles(loader: t.Any, *directories: str | None) -> dict[str, profiles.Profile]:
    """The collection's profiles and those of the directories, which replace them by name."""
    return profiles.read(collection_profiles(), *(_controller.directory_of(loader, path) for path in directories if path))


def read_devices(loader: t.Any, params: t.Mapping[str, t.Any]) -> tuple[list[registry.Device], dict[str, profiles.Profile]]:
    """The devices of a site (all when it is empty) and the profiles, for DEVICES_SPEC."""
    known = read_profiles(loader, params.get("profiles_dir"))
    file = params.get("devices_file")
    found = registry.read(params.get("devices") or [], _controller.directory_of(loader, file) if file else None, known)
    site = params.get("site")
    return [device for device in found if not site or device.site == site], known


class Passwords:
    """One file per device, <directory>/<id>/password, 0600; made when it is missing."""

    def __init__(self, directory: str, check: bool) -> None:
        self.directory = directory
        self.check = check
        self.made: list[str] = []

    def lock(self) -> t.ContextManager[None]:
        """To be held while anything is made: all brokers of a play come at once."""
        return files.private_directory(self.directory, ".passwords.lock")

    def salt_key(self) -> bytes:
        """The secret from which salts are derived. Losing it changes every row once, and nothing else."""
        path = os.path.join(self.directory, ".salt_key")
        data = files.read_optional(path)
        if data is None or len(data.strip()) < 32:
            data = secrets.token_hex(32).encode()
            if not self.check:
                files.write_atomic(path, data + b"\n")
        return data.strip()

    def of(self, device: str) -> str:
        folder = os.path.join(self.directory, device)
        path = os.path.join(folder, "password")
        data = files.read_optional(path)
        if data is not None and data.strip():
            return checked(data, path)
        password = secrets.token_urlsafe(24)
        self.made.append(device)
        if not self.check:
            os.makedirs(folder, mode=files.DIRECTORY_MODE, exist_ok=True)
            files.write_atomic(path, password.encode() + b"\n", sync=False)
        return password

    def flush(self) -> None:
        """The new files are on the disk before the database knows their hashes."""
        if self.made and not self.check:
            files.sync_filesystem(self.directory)


def checked(data: bytes, where: str) -> str:
    """A password from a file, which must be fit for a fast hash and for MQTT."""
    try:
        password = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise DevicesError(f"{where}: the password is not UTF-8") from None
    if len(password) < SHORTEST:
        raise DevicesError(
            f"{where}: the password has less than {SHORTEST} characters, too few for sha256. Write a longer one, or remove the file and a random one is made"
        )
    if not password.isprintable():
        raise DevicesError(f"{where}: the password has more than one line, or control characters")
    return password
