# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller's plugins for devices share: where profiles are, and each device's password."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import time
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._devices import hashing, profiles, registry, revocations
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._pki import files
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

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


def read_profiles(loader: t.Any, *directories: str | None, kind: str = "device") -> dict[str, profiles.Profile]:
    """The collection's profiles and those of the directories, which replace them by name."""
    return profiles.read(collection_profiles(), *(_controller.directory_of(loader, path) for path in directories if path), kind=kind)


def read_all(loader: t.Any, params: t.Mapping[str, t.Any]) -> tuple[list[registry.Device], dict[str, profiles.Profile]]:
    """The devices of all sites and the profiles, for DEVICES_SPEC; with what was revoked by command."""
    known = read_profiles(loader, params.get("profiles_dir"))
    file = params.get("devices_file")
    found = registry.read(params.get("devices") or [], _controller.directory_of(loader, file) if file else None, known)
    if params.get("path"):
        found = revocations.applied(found, revocations.read(_controller.directory_of(loader, params["path"])))
    return found, known


def read_devices(loader: t.Any, params: t.Mapping[str, t.Any]) -> tuple[list[registry.Device], dict[str, profiles.Profile]]:
    """The devices of a site (all when it is empty) and the profiles."""
    found, known = read_all(loader, params)
    site = params.get("site")
    return [device for device in found if not site or device.site == site], known


@dataclasses.dataclass(frozen=True)
class Rotation:
    """Which passwords are made anew: of these devices, or of all of these profiles or sites, or all that are older than max_age days.

    least_age: a password that is younger (in seconds) was made anew already, by this command: by another broker's run, or before this
    one was killed.
    """

    devices: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    max_age: float = 0
    least_age: float = 3600

    def check(self, known: t.Iterable[registry.Device]) -> None:
        """:raises DevicesError: for names that nothing has"""
        devices = list(known)
        for what, names, there in (
            ("there is no device", self.devices, {one.id for one in devices}),
            ("no device has the profile", self.profiles, {one.profile for one in devices}),
            ("no device is of the site", self.sites, {one.site for one in devices}),
        ):
            unknown = sorted(set(names) - there)
            if unknown:
                raise DevicesError(f"rotation: {what} {' or '.join(unknown)}")

    def names(self, device: registry.Device) -> bool:
        return device.id in self.devices or device.profile in self.profiles or device.site in self.sites

    def due(self, device: registry.Device, age: float) -> bool:
        return (self.names(device) and age >= self.least_age) or bool(self.max_age and age > self.max_age * 86400)


class Passwords:
    """One file per device, <directory>/<id>/password, 0600; made when it is missing. Beside it, while the one before works, that one and
    its end."""

    def __init__(self, directory: str, check: bool, algorithm: str = "sha256", grace: float = 0, now: float | None = None) -> None:
        """:param grace: how long the password before a rotation works, in hours"""
        self.directory = directory
        self.check = check
        self.made: list[str] = []
        self.rotated: list[str] = []
        self.too_young: list[str] = []
        """Named for a rotation, and kept all the same."""
        self._algorithm = algorithm
        self._grace = grace
        self._now = time.time() if now is None else now

    def lock(self) -> t.ContextManager[None]:
        """To be held while anything is made: all brokers of a play come at once."""
        return files.private_directory(self.directory, ".passwords.lock")

    def hasher(self) -> hashing.Hasher:
        """With the secret from which salts are derived (losing it changes every row once, and nothing else), and hashes that were slow."""
        path = os.path.join(self.directory, ".salt_key")
        data = files.read_optional(path)
        if data is None or len(data.strip()) < 32:
            data = secrets.token_hex(32).encode()
            if not self.check:
                files.write_atomic(path, data + b"\n")
        hasher = hashing.Hasher(data.strip(), self._algorithm)
        if hasher.slow:
            with contextlib.suppress(ValueError):
                hasher.cache = dict(json.loads(files.read_optional(self._cache) or b"{}"))
        return hasher

    @property
    def _cache(self) -> str:
        return os.path.join(self.directory, ".hashes.json")

    def keep(self, hasher: hashing.Hasher) -> None:
        """Slow hashes are reckoned once."""
        if hasher.slow and not self.check:
            data = json.dumps({**hasher.cache, **hasher.used}, sort_keys=True).encode()
            if data != files.read_optional(self._cache):
                files.write_atomic(self._cache, data)

    def of(self, device: str) -> str:
        path = os.path.join(self.directory, device, "password")
        data = files.read_optional(path)
        if data is not None and data.strip():
            return checked(data, path, self._algorithm)
        return self._make(device, self.made)

    def rotate(self, device: registry.Device, rotation: Rotation) -> str:
        """Its password, made anew when that is due."""
        path = os.path.join(self.directory, device.id, "password")
        try:
            age = self._now - os.stat(path).st_mtime
        except FileNotFoundError:
            return self.of(device.id)
        before = self.of(device.id)
        if not rotation.due(device, age):
            if rotation.names(device):
                self.too_young.append(device.id)
            return before
        if self._grace and not self.check:
            # First, so that a killed run loses neither.
            until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._now + self._grace * 3600))
            files.write_atomic(f"{path}.previous", f"{before}\n{until}\n".encode(), sync=False)
        return self._make(device.id, self.rotated)

    def _make(self, device: str, names: list[str]) -> str:
        password = secrets.token_urlsafe(24)
        names.append(device)
        if not self.check:
            folder = os.path.join(self.directory, device)
            os.makedirs(folder, mode=files.DIRECTORY_MODE, exist_ok=True)
            files.write_atomic(os.path.join(folder, "password"), password.encode() + b"\n", sync=False)
        return password

    def previous(self, device: str) -> tuple[str, str] | None:
        """The password before and until when it works (UTC); None when it does no longer."""
        data = files.read_optional(os.path.join(self.directory, device, "password.previous"))
        password, _newline, until = (data or b"").decode(errors="replace").strip().partition("\n")
        if not until or until <= time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._now)):
            return None
        return password, until

    def discard(self, device: str) -> None:
        """A device that was revoked never comes back with its old password."""
        for name in ("password", "password.previous"):
            with contextlib.suppress(FileNotFoundError):
                if not self.check:
                    os.unlink(os.path.join(self.directory, device, name))

    def flush(self) -> None:
        """The new files are on the disk before the database knows their hashes."""
        if (self.made or self.rotated) and not self.check:
            files.sync_filesystem(self.directory)


def checked(data: bytes, where: str, algorithm: str = "sha256") -> str:
    """A password from a file, which must be fit for the hash and for MQTT."""
    try:
        password = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise DevicesError(f"{where}: the password is not UTF-8") from None
    return hashing.check_password(password, algorithm, where)
