# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation, hashes, revocations that wait, and what a broker is told."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
import time
import types

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._devices import broker, hashing, registry, revocations, state
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.module_utils._pki import authority, inspect, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import Wanted
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

KEY = b"k" * 32
NOW = 1_800_000_000.0
HOUR = 3600


def device(name, **options):
    return registry.Device(name, options.pop("profile", "raspberrypi"), **options)


# Hashes


def test_slow_hashes_are_reckoned_once(monkeypatch):
    calls = []
    real = hashlib.pbkdf2_hmac

    def reckon(*words):
        calls.append(words)
        return real(*words)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", reckon)
    one = hashing.Hasher(KEY, "pbkdf2")
    pairs = [(f"dev-{number}", "secret-1") for number in range(5)]
    one.prepare(pairs)
    rows = [one.row(*pair) for pair in pairs]
    assert len(calls) == 5 and len({hashed for hashed, _salt in rows}) == 5 and all(len(hashed) == 64 for hashed, _salt in rows)
    again = hashing.Hasher(KEY, "pbkdf2", dict(one.used))
    again.prepare(pairs)
    assert [again.row(*pair) for pair in pairs] == rows and len(calls) == 5
    assert again.row("dev-0", "secret-2") != rows[0] and len(calls) == 6
    fast = hashing.Hasher(KEY)
    fast.prepare(pairs)
    fast.row(*pairs[0])
    assert not fast.used


def test_bcrypt_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(DevicesError, match="Python package bcrypt"):
        hashing.Hasher(KEY, "bcrypt")
    with pytest.raises(DevicesError, match="none of sha256"):
        hashing.Hasher(KEY, "md5")


def test_bcrypt_gets_a_salt_of_its_alphabet(monkeypatch):
    asked = []

    def hashpw(password, salt):
        asked.append((password, salt))
        return salt.replace(b"$2a$", b"$2b$") + b"h" * 31

    monkeypatch.setitem(sys.modules, "bcrypt", types.SimpleNamespace(hashpw=hashpw))
    hashed, salt = hashing.Hasher(KEY, "bcrypt").row("dev-1", "secret-1")
    assert salt == "" and hashed.startswith("$2a$10$") and len(hashed) == 60
    [(password, given)] = asked
    assert password == b"secret-1" and len(given) == 29 and set(given[7:].decode()) <= set(hashing._BCRYPT_ALPHABET)


def test_real_bcrypt():
    bcrypt = pytest.importorskip("bcrypt")
    hashed, _salt = hashing.Hasher(KEY, "bcrypt").row("dev-1", "secret-1")
    assert bcrypt.checkpw(b"secret-1", hashed.encode()) and not bcrypt.checkpw(b"secret-2", hashed.encode())


@pytest.mark.parametrize(
    ("password", "algorithm", "words"),
    [
        ("fifteen-letters", "sha256", "less than 16"),
        ("seven-7", "pbkdf2", "less than 8"),
        ("x" * 73, "bcrypt", "72 bytes"),
        ("ä" * 37, "bcrypt", "72 bytes"),
        ("a-long-password\x07", "sha256", "control"),
    ],
)
def test_passwords_that_a_hash_does_not_protect(password, algorithm, words):
    with pytest.raises(DevicesError, match=words) as error:
        hashing.check_password(password, algorithm, "here")
    assert password not in str(error.value)
    assert hashing.check_password("eight-8-", "pbkdf2", "here") == "eight-8-"


# Rotation


def passwords(tmp_path, after=0.0, check=False, **options):
    return _devices.Passwords(str(tmp_path), check, now=NOW + after, **options)


def made(tmp_path, *names, age=0.0):
    for name in names:
        passwords(tmp_path).of(name)
        os.utime(tmp_path / name / "password", (NOW - age, NOW - age))
    return {name: (tmp_path / name / "password").read_text().strip() for name in names}


def test_rotation_by_device_profile_site_and_age(tmp_path):
    devices = [device("a"), device("b", profile="dht11"), device("c", site="north"), device("d")]
    rotations = {
        "a": _devices.Rotation(devices=("a",)),
        "b": _devices.Rotation(profiles=("dht11",)),
        "c": _devices.Rotation(sites=("north",)),
    }
    for only, rotation in rotations.items():
        old = made(tmp_path, "a", "b", "c", "d", age=2 * HOUR)
        rotation.check(devices)
        store = passwords(tmp_path)
        new = {one.id: store.rotate(one, rotation) for one in devices}
        assert store.rotated == [only] and {name for name in new if new[name] != old[name]} == {only}
        assert store.previous(only) is None, "without a grace period the old one is gone"
    made(tmp_path, "a", age=91 * 86400)
    store = passwords(tmp_path)
    for one in devices:
        store.rotate(one, _devices.Rotation(max_age=90))
    assert store.rotated == ["a"]
    # A new device gets its first password, which is no rotation.
    assert store.rotate(device("new"), _devices.Rotation(devices=("new",))) and store.made == ["new"]
    for rotation, words in (({"devices": ("x",)}, "device x"), ({"profiles": ("y",)}, "profile y"), ({"sites": ("z",)}, "site z")):
        with pytest.raises(DevicesError, match=words):
            _devices.Rotation(**rotation).check(devices)


def test_a_rotation_is_made_once(tmp_path):
    made(tmp_path, "a", age=NOW - time.time() + 2 * HOUR)
    rotation = _devices.Rotation(devices=("a",))
    first = _devices.Passwords(str(tmp_path), False)
    new = first.rotate(device("a"), rotation)
    second = _devices.Passwords(str(tmp_path), False)
    assert first.rotated == ["a"] and second.rotate(device("a"), rotation) == new and second.rotated == []
    # It is told apart from a device that was not named.
    second.rotate(device("b"), rotation)
    made(tmp_path, "c", age=HOUR)
    second.rotate(device("c"), rotation)
    assert first.too_young == [] and second.too_young == ["a"]
    assert second.rotate(device("a"), _devices.Rotation(devices=("a",), least_age=0)) != new


def test_the_password_before_works_for_a_while(tmp_path):
    old = made(tmp_path, "a", age=2 * HOUR)["a"]
    predicted = passwords(tmp_path, check=True, grace=48)
    assert predicted.rotate(device("a"), _devices.Rotation(devices=("a",))) != old and predicted.of("a") == old
    store = passwords(tmp_path, grace=48)
    new = store.rotate(device("a"), _devices.Rotation(devices=("a",)))
    assert store.previous("a") == (old, "2027-01-17 08:00:00") and store.of("a") == new
    assert oct(os.stat(tmp_path / "a" / "password.previous").st_mode & 0o777) == "0o600"
    assert passwords(tmp_path, after=47 * HOUR).previous("a") is not None
    assert passwords(tmp_path, after=48 * HOUR).previous("a") is None
    store.discard("a")
    assert os.listdir(tmp_path / "a") == []
    store.discard("a")


def test_slow_hashes_are_kept(tmp_path):
    store = passwords(tmp_path, algorithm="pbkdf2")
    hasher = store.hasher()
    row = hasher.row("a", "secret-1")
    store.keep(hasher)
    assert oct(os.stat(tmp_path / ".hashes.json").st_mode & 0o777) == "0o600"
    again = store.hasher()
    assert row[0] in again.cache.values()
    (tmp_path / ".hashes.json").write_text("{")
    assert store.hasher().cache == {}


# Revocations


def test_a_revocation_waits_until_its_broker_knows():
    record = revocations.Record()
    devices = [device("a", state="revoked"), device("b"), device("c", site="north", state="revoked"), device("d", state="absent")]
    brokers = {"centre": "main", "gateway": "north"}
    assert record.note(devices, brokers, "T1") == ["a on centre", "c on gateway"]
    assert record.note(devices, brokers, "T2") == []
    assert record.waiting() == [{"device": "a", "broker": "centre", "since": "T1"}, {"device": "c", "broker": "gateway", "since": "T1"}]
    assert record.waiting({"gateway"}) == record.waiting()[1:]
    record.done("centre", ["a"], "T3")
    assert [one["device"] for one in record.waiting()] == ["c"] and record.note(devices, brokers, "T4") == []
    # Present again before its broker was told: it is still to be told. Gone from the list: the same.
    record.note([device("a"), device("c", site="north")], brokers, "T5")
    record.note([], brokers, "T6")
    assert [one["device"] for one in record.waiting()] == ["c"]
    assert record.note([device("a", state="revoked")], brokers, "T7") == ["a on centre"], "a second time is another one"


def test_revocations_by_command(tmp_path):
    directory = str(tmp_path / "devices")
    known = {"a", "b"}
    with revocations.changing(directory) as record:
        assert revocations.command(record, known, ["a", "a"], [], "T1") == ["a is revoked by command"]
    assert oct(os.stat(os.path.join(directory, revocations.FILE)).st_mode & 0o777) == "0o600"
    record = revocations.read(directory)
    assert [one.state for one in revocations.applied([device("a"), device("b")], record)] == ["revoked", "present"]
    assert revocations.applied_to_entries([{"id": "a"}, {"id": "b"}, "none"], directory) == [{"id": "a", "state": "revoked"}, {"id": "b"}, "none"]
    assert revocations.command(record, known, ["a"], [], "T2") == []
    assert revocations.command(record, known, [], ["a", "b"], "T2") == ["a is readmitted by command"] and record.revoked == {}
    for revoke, readmit, words in ((["x"], [], "no device 'x'"), ([], ["a/b"], "has /"), (["a"], ["a"], "at once")):
        with pytest.raises(DevicesError, match=words):
            revocations.command(record, known, revoke, readmit, "T3")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"revoked": {}}', b'{"revoked": {}, "pending": [1], "reached": {}}'])
def test_a_damaged_record_is_not_taken_for_an_empty_one(tmp_path, content):
    assert revocations.read(str(tmp_path)) == revocations.Record()
    (tmp_path / revocations.FILE).write_bytes(content)
    with pytest.raises(DevicesError, match="is damaged"):
        revocations.read(str(tmp_path))
    (tmp_path / revocations.FILE).unlink()
    (tmp_path / revocations.FILE).mkdir()
    with pytest.raises(DevicesError, match="cannot read"):
        revocations.read(str(tmp_path))


def test_a_killed_run_leaves_the_record_as_it_was(tmp_path):
    with revocations.changing(str(tmp_path)) as record:
        record.revoked["a"] = "T1"
    with pytest.raises(KeyboardInterrupt), revocations.changing(str(tmp_path)) as record:
        record.revoked.clear()
        raise KeyboardInterrupt
    assert json.loads((tmp_path / revocations.FILE).read_text())["revoked"] == {"a": "T1"}


# How devices stand


def test_how_devices_stand(tmp_path):
    ca = authority.Authority(str(tmp_path / "pki"))
    now = inspect.utc_now()
    ca.ensure(authority.WantedAuthority("Test CA"), "a-passphrase", now)
    csr = request.make_request(request.generate_key("ecdsa_p256"), "x")
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "device.pem").write_bytes(ca.sign_request(Wanted.checked("a", profile="client", valid_days=100), csr, "a-passphrase", now))
    (tmp_path / "b" / "device.pem").write_text("nothing of the kind")
    (tmp_path / "a" / "password").write_text("x")
    os.utime(tmp_path / "a" / "password", (NOW, NOW))
    waiting = [{"device": "b", "broker": "centre", "since": "T1"}]
    rows = [state.row(one, str(tmp_path / one.id), waiting, NOW + 1) for one in (device("a"), device("b", state="revoked"), device("c", auth="password"))]
    ends = (now + datetime.timedelta(days=100)).strftime("%Y-%m-%d")
    assert [one["certificate_ends"] for one in rows] == [ends, "damaged", ""]
    assert [one["password_made"] for one in rows] == ["2027-01-15", "", ""] and [one["pending"] for one in rows] == [[], ["centre"], []]
    lines = state.table(rows, 9).splitlines()
    assert lines[0].split() == ["id", "profile", "site", "auth", "state", "certificate", "ends", "password", "made", "pending"]
    assert lines[2].endswith("centre") and lines[-1] == "and 6 more"


# What a broker is told


class Broker:
    """As much of a broker as is asked, with the order of what was done."""

    def __init__(self, bans=(), clients=()):
        self.bans = [dict(zip(("as", "who", "by"), ban, strict=True)) for ban in bans]
        self.clients = dict(clients)
        self.log = []

    def server(self):
        return types.SimpleNamespace(version="5.8.9", key=(5, 8, 9), edition="opensource", enterprise=False)

    def pages(self, path, query=None):
        if path == "/banned":
            return self.bans
        names = query["username"] if isinstance(query["username"], list) else [query["username"]]
        return [{"clientid": client, "username": name, "connected": True} for client, name in self.clients.items() if name in names]

    def post(self, path, body=None):
        if path == "/banned":
            self.log.append(f"ban {body['who']}")
            self.bans.append(body)
        else:
            self.log += [f"kick {name}" for name in body]

    def delete(self, path):
        self.log.append(f"delete {path}")
        return True


def test_banned_forgotten_and_ended_in_this_order():
    one = Broker(clients={"plug": "plug", "old": "old", "dev": "dev", "other": "other"})
    told = broker.settle(one, ["plug"], ["plug", "old"], ["dev"])
    assert told == broker.Settled(["plug"], [], ["old", "plug"], ["dev"]) and told.changed
    assert one.log == [
        "ban plug",
        "delete /clients/old/authorization/cache",
        "delete /clients/plug/authorization/cache",
        "kick old",
        "kick plug",
        "delete /clients/dev/authorization/cache",
    ]


def test_a_device_that_is_present_again_is_let_in():
    bans = [("username", "back", broker.BY), ("username", "theirs", "somebody"), ("clientid", "x", broker.BY), ("username", "still", broker.BY)]
    one = Broker(bans)
    told = broker.settle(one, ["still"], [], [])
    assert told == broker.Settled([], ["back"], [], []) and one.log == ["delete /banned/username/back"]


def test_check_mode_tells_nothing():
    one = Broker([("username", "back", broker.BY)], {"plug": "plug"})
    told = broker.settle(one, ["plug"], ["plug"], [], check=True)
    assert told.banned == ["plug"] and told.lifted == ["back"] and told.ended == ["plug"] and one.log == []
