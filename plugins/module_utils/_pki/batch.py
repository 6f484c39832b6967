# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates of many devices at once, on the controller.

Looking and issuing are spread over the cores with fork(): the authority's opened key is inherited, so it is neither
opened again nor sent anywhere. Files are written without an fsync of each: a chunk of devices is flushed with one call
before it is renamed into place, so that after a power cut a device has its old files or the new ones, complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pickle
import re
import shutil
import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import files, index, inspect, install, issue, model, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority, Revocation, certificate_pem
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

if t.TYPE_CHECKING:
    from cryptography import x509

    from ansible_collections.edgestack.iot.plugins.module_utils._pki.request import PrivateKey, PublicKey

KEY: t.Final = "device.key"
REQUEST: t.Final = "device.csr"
CERTIFICATE: t.Final = "device.pem"
TRUST: t.Final = "ca.pem"
CHAIN: t.Final = "the chain behind device.pem"

# A device's id is its certificate's common name, its MQTT user name and client id, and its directory.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")

# Issued, recorded, flushed and renamed together: what a killed run has to do again.
CHUNK: t.Final = 1000
# Below these a second process costs more than it brings.
_LOOK_PER_PROCESS: t.Final = 400
_ISSUE_PER_PROCESS: t.Final = {"ecdsa": 200, "rsa": 2}

_Item = t.TypeVar("_Item")
_Result = t.TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Device:
    id: str
    key_type: str


@dataclasses.dataclass(frozen=True)
class Devices:
    """Those that have a certificate, and the ids of those whose certificates are revoked."""

    present: list[Device]
    revoked: list[str]


@dataclasses.dataclass(frozen=True)
class Found:
    """What is to be done for one device."""

    device: Device
    reasons: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.reasons or self.changes)


@dataclasses.dataclass
class Outcome:
    total: int = 0
    issued: list[Found] = dataclasses.field(default_factory=list)
    adjusted: list[Found] = dataclasses.field(default_factory=list)
    revoked: list[str] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)
    """Revoked ones whose key and certificate were (check: would be) removed."""

    @property
    def changed(self) -> bool:
        return bool(self.issued or self.adjusted or self.revoked or self.removed)


def devices_of(entries: t.Iterable[t.Any], key_type: str) -> Devices:
    """Of a list as the registry has it; all findings at once.

    Devices that are revoked or absent, or that have a password only, have no certificate.

    :raises PkiError: for ids that no certificate, directory or MQTT client can have
    """
    devices: dict[str, Device] = {}
    folded: dict[str, str] = {}
    wrong: list[str] = []
    revoked: list[str] = []
    for position, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not entry.get("id"):
            wrong.append(f"entry {position} has no id")
            continue
        name = str(entry["id"])
        if not _ID.fullmatch(name):
            wrong.append(
                f"{name!r} can't be a device's id: letters, digits, '.', '_', ':', '@' and '-', at most 64, beginning with a letter or digit"
            )
            continue
        # Two devices whose ids differ in case only would share a directory on some file systems.
        other = folded.setdefault(name.casefold(), name)
        if name in devices or other != name:
            wrong.append(f"the device {name} is there twice" if other == name else f"the devices {other} and {name} differ in case only")
            continue
        kind = str(entry.get("key_type") or key_type)
        if kind not in model.KEY_TYPES:
            wrong.append(f"the device {name} has the unknown key_type {kind!r}")
            continue
        devices[name] = Device(name, kind)
        if str(entry.get("state") or "present") != "present" or str(entry.get("auth") or "") == "password":
            # Kept until here: an id must not be there twice, whatever its state.
            devices[name] = Device(name, "")
        if entry.get("state") == "revoked":
            revoked.append(name)
    if wrong:
        raise PkiError("; ".join(wrong[:20]) + (f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""))
    return Devices([device for device in devices.values() if device.key_type], revoked)


def processes_for(items: int, per_process: int, cores: int | None = None) -> int:
    available = cores if cores is not None else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, items // per_process))


def fork_map(function: t.Callable[[list[_Item]], list[_Result]], items: list[_Item], processes: int) -> list[_Result]:
    """Runs the function on equal parts of the items, one process each, and joins what they return.

    No multiprocessing: Ansible's workers must not have its helper processes, and nothing has to be sent to a fork.
    """
    if processes <= 1 or len(items) < 2:
        return function(items)
    parts = [items[start::processes] for start in range(processes)]
    children: list[tuple[int, t.BinaryIO]] = []
    for part in parts:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _work(function, part, reading, writing)
        os.close(writing)
        children.append((child, os.fdopen(reading, "rb")))
    results: list[_Result] = []
    failure: str | None = None
    for child, stream in children:
        with stream:
            data = stream.read()
        os.waitpid(child, 0)
        answer: tuple[str | None, list[_Result]] = pickle.loads(data) if data else ("a process of the batch died", [])  # noqa: S301
        failure = failure or answer[0]
        results.extend(answer[1])
    if failure is not None:
        raise PkiError(failure)
    return results


def _work(function: t.Callable[[list[_Item]], list[_Result]], part: list[_Item], reading: int, writing: int) -> t.NoReturn:
    """In the child: never returns to the caller's code, runs none of the parent's exit handlers."""
    status = 1
    try:
        os.close(reading)
        answer: tuple[str | None, list[_Result]]
        try:
            answer = (None, function(part))
        except (PkiError, OSError) as error:
            answer = (str(error), [])
        with os.fdopen(writing, "wb") as stream:
            pickle.dump(answer, stream)
        status = 0
    finally:
        os._exit(status)


class Batch:
    """Devices' directories below one path, and the authority that signs for them."""

    def __init__(
        self,
        path: str,
        authority: Authority,
        template: Wanted,
        now: datetime.datetime,
        cores: int | None = None,
        chunk: int = CHUNK,
    ) -> None:
        """:param template: everything but the common name and key type, which are the device's"""
        self.path = path
        self._authority = authority
        self._template = template
        self._now = now
        self._cores = cores
        self._chunk = chunk
        self._issuer: x509.Certificate | None = None
        self._bundle = b""
        self._chain = b""
        self._history = inspect.History()

    def _wanted(self, device: Device) -> Wanted:
        # A server needs an alternative name; an id is one where it can be a name at all.
        names = self._template.names if self._template.profile == "client" else model.normalize_names([device.id])
        return dataclasses.replace(self._template, common_name=device.id, key_type=device.key_type, names=names)

    def _directory(self, device: Device) -> str:
        return os.path.join(self.path, device.id)

    def _staging(self, device: Device) -> str:
        return os.path.join(self.path, f".{device.id}.new")

    def run(self, devices: list[Device], passphrase: str, check: bool = False, revoked: t.Sequence[str] = ()) -> Outcome:
        """:raises PkiError: chunks that were complete until then are in place"""
        records: list[index.Record] = []
        if self._authority.exists() or not check:
            self._issuer = self._authority.certificate()
            self._bundle = self._authority.bundle()
            self._chain = self._authority.intermediates()
            if revoked:
                records = self._authority.revoke([Revocation("cessationOfOperation", common_name=name) for name in revoked], self._now, check)
            self._history = self._authority.history()
        outcome = self._converge(devices, passphrase, check)
        # Recorded as revoked before, so nothing is lost with them.
        outcome.removed = self._remove(revoked, check)
        outcome.revoked = sorted({str(record["subject"]).rpartition("CN=")[2] for record in records})
        return outcome

    def _converge(self, devices: list[Device], passphrase: str, check: bool) -> Outcome:
        try:
            found = self._look(devices)
            if check or not any(one.changed for one in found):
                return self._outcome(found)
            with files.private_directory(self.path, ".lock"):
                # Again: of parallel forks the first one did it all.
                found = self._look(devices)
                self._apply(found, passphrase)
                return self._outcome(found)
        except OSError as error:
            raise PkiError(f"the devices' directory can't be used: {error}") from error

    def _remove(self, revoked: t.Iterable[str], check: bool) -> list[str]:
        """Key and certificate of those that are revoked, so that nobody takes them for good ones. A device that is present again gets others."""
        try:
            found = [name for name in revoked if any(os.path.lexists(os.path.join(self.path, name, file)) for file in (KEY, CERTIFICATE))]
            if found and not check:
                with files.private_directory(self.path, ".lock"):
                    for name in found:
                        for file in (KEY, CERTIFICATE):
                            with contextlib.suppress(FileNotFoundError):
                                os.unlink(os.path.join(self.path, name, file))
        except OSError as error:
            raise PkiError(f"the devices' directory can't be used: {error}") from error
        return found

    @staticmethod
    def _outcome(found: list[Found]) -> Outcome:
        return Outcome(
            len(found),
            [one for one in found if one.reasons],
            [one for one in found if one.changes and not one.reasons],
        )

    # Looking

    def _look(self, devices: list[Device]) -> list[Found]:
        found = fork_map(
            lambda part: [self._look_at(device) for device in part],
            devices,
            processes_for(len(devices), _LOOK_PER_PROCESS, self._cores),
        )
        # In the order of the registry again.
        order = {device.id: position for position, device in enumerate(devices)}
        return sorted(found, key=lambda one: order[one.device.id])

    def _look_at(self, device: Device) -> Found:
        directory = self._directory(device)
        key = files.read_optional(os.path.join(directory, KEY))
        certificate = files.read_optional(os.path.join(directory, CERTIFICATE))
        own = self._own_request(device)
        if own is not None:
            # Whatever key type was asked for: the device chose.
            device = dataclasses.replace(device, key_type=request.key_type_of(own))
        reasons = inspect.regeneration_reasons(self._wanted(device), certificate, key, self._issuer, self._now, self._history, own)
        if reasons:
            return Found(device, tuple(reasons))
        changes = []
        if certificate is not None and install.with_chain(certificate, self._chain) != certificate:
            changes.append(CHAIN)
        if files.read_optional(os.path.join(directory, TRUST)) != self._bundle:
            changes.append(TRUST)
        if own is None and os.stat(os.path.join(directory, KEY)).st_mode & 0o077:
            changes.append("the key was readable for others")
        return Found(device, (), tuple(changes))

    def _own_request(self, device: Device) -> PublicKey | None:
        """The key of a device that keeps its private one to itself."""
        path = os.path.join(self._directory(device), REQUEST)
        data = files.read_optional(path)
        if data is None:
            return None
        try:
            public = t.cast("PublicKey", request.load_request(data).public_key())
        except PkiError as error:
            raise PkiError(f"{path}: {error}") from None
        kind = request.key_type_of(public)
        if kind not in model.KEY_TYPES:
            raise PkiError(f"{path}: its key is {kind}, usable are {', '.join(model.KEY_TYPES)}")
        return public

    # Changing

    def _apply(self, found: list[Found], passphrase: str) -> None:
        self._remove_leftovers()
        for one in found:
            if one.changes:
                self._adjust(one.device)
        # RSA first: its cost is the same for every device, so that parts of equal length take equally long.
        to_issue = sorted((one.device for one in found if one.reasons), key=lambda device: device.key_type, reverse=True)
        if not to_issue:
            return
        issuer_key = self._authority.key(passphrase)
        for start in range(0, len(to_issue), self._chunk):
            self._issue(to_issue[start : start + self._chunk], issuer_key)

    def _remove_leftovers(self) -> None:
        """Of a run that was killed; under the lock they are nobody's."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.name.endswith(".new"):
                    shutil.rmtree(entry.path)

    def _adjust(self, device: Device) -> None:
        directory = self._directory(device)
        certificate = files.read_optional(os.path.join(directory, CERTIFICATE)) or b""
        for name, data in ((CERTIFICATE, install.with_chain(certificate, self._chain)), (TRUST, self._bundle)):
            if files.read_optional(os.path.join(directory, name)) != data:
                files.write_atomic(os.path.join(directory, name), data, files.PUBLIC_MODE, sync=False)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(os.path.join(directory, KEY), files.PRIVATE_MODE)

    def _issue(self, devices: list[Device], issuer_key: PrivateKey) -> None:
        rsa = sum(device.key_type.startswith("rsa") for device in devices)
        per_process = _ISSUE_PER_PROCESS["rsa" if rsa >= _ISSUE_PER_PROCESS["rsa"] else "ecdsa"]
        records = fork_map(
            lambda part: [self._make(device, issuer_key) for device in part],
            devices,
            processes_for(len(devices), per_process, self._cores),
        )
        self._authority.append(records)
        files.sync_filesystem(self.path)
        for device in devices:
            self._put(device)
        files.sync_filesystem(self.path)

    def _make(self, device: Device, issuer_key: PrivateKey) -> index.Record:
        if self._issuer is None:
            raise PkiError("there is no authority")
        wanted = self._wanted(device)
        own = self._own_request(device)
        key = None if own is not None else request.generate_key(device.key_type)
        public_key = own if key is None else key.public_key()
        certificate = issue.sign(wanted, t.cast("PublicKey", public_key), self._issuer, issuer_key, self._now)
        staging = self._staging(device)
        os.mkdir(staging, files.DIRECTORY_MODE)
        if key is not None:
            files.write_new(os.path.join(staging, KEY), request.private_pem(key), files.PRIVATE_MODE, sync=False)
        for name, data in ((CERTIFICATE, certificate_pem(certificate) + self._chain), (TRUST, self._bundle)):
            files.write_new(os.path.join(staging, name), data, files.PUBLIC_MODE, sync=False)
        return self._authority.record(certificate, wanted.profile, self._now)

    def _put(self, device: Device) -> None:
        """A new device appears in one step. Beside an old pair there may be files of others, so only the pair is
        replaced; should the run be killed between its two renames, the next one sees that they do not fit."""
        staging, directory = self._staging(device), self._directory(device)
        if not os.path.lexists(directory):
            os.rename(staging, directory)
            return
        for name in (KEY, CERTIFICATE, TRUST):
            try:
                os.replace(os.path.join(staging, name), os.path.join(directory, name))
            except FileNotFoundError:
                # The device has the key. One that was made here before would be taken for it.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))
        with contextlib.suppress(OSError):
            os.rmdir(staging)
