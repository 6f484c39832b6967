# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._devices import hashing, profiles, registry, rows
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

HASHER = hashing.Hasher(b"k" * 32)
PROFILES = profiles.read(_devices.collection_profiles())


def user(name, password="a-long-password-1", **options):
    return rows.device_user(registry.Device(name, options.pop("profile", "raspberrypi"), **options), PROFILES["raspberrypi"], password, HASHER)


def test_a_row_is_what_emqx_reckons():
    one = user("dev-1")
    assert one.password_hash == hashlib.sha256(f"a-long-password-1{one.salt}".encode()).hexdigest()
    assert len(one.salt) <= 35 and len(one.password_hash) <= 100
    assert one.acl == (("allow", "publish", "sensor/raspberrypi/${username}"), ("allow", "subscribe", "command/raspberrypi/${username}"))
    assert "a-long-password-1" not in repr(one) and one.password_hash not in repr(one)


def test_rows_are_the_same_at_every_run_and_differ_with_name_and_password():
    assert user("dev-1") == user("dev-1")
    assert user("dev-1").password_hash != user("dev-2").password_hash
    assert user("dev-1").salt != user("dev-1", "another-password").salt


def test_service_accounts():
    one = rows.service_user({"username": "telegraf-x", "subscribe": ["a/+"], "acl": [{"action": "all", "topic": "x", "permission": "deny"}]}, "p" * 20, HASHER)
    assert one.auth == "certificate" and one.acl == (("deny", "all", "x"), ("allow", "subscribe", "a/+"))
    for rule in ({}, {"action": "read", "topic": "x"}, {"action": "all", "topic": "x", "permission": "maybe"}):
        with pytest.raises(DevicesError, match=r"acl\[0\]"):
            rows.service_user({"username": "x", "acl": [rule]}, "p" * 20, HASHER)


def test_the_file_that_travels():
    users = [user(f"dev-{number}") for number in range(3)]
    users.append(rows.device_user(registry.Device("dev-9", "raspberrypi"), PROFILES["raspberrypi"], "p" * 20, HASHER, ("o" * 20, "2030-01-01 00:00:00")))
    gone = rows.Gone(("old",), ("gone",), ("back",))
    data = rows.dump(users, gone)
    assert rows.load(data) == (users, gone) and gone.names == {"old", "gone"}
    assert data.count(b"sensor/raspberrypi") == 1, "shared permissions are written once"
    for broken in (b"", b"{}", data[: len(data) // 2], json.dumps({**json.loads(data), "format": 9}).encode()):
        with pytest.raises(DevicesError):
            rows.load(broken)


def test_the_digest():
    one, two = user("a"), user("b")
    assert rows.digest([one, two]) == rows.digest([two, one]) != rows.digest([one])
    assert rows.digest([one]) != rows.digest([user("a", auth="password")])


def test_the_key_is_of_all_that_is_wanted():
    users = [user("a")]
    none = rows.Gone()
    wishes = [(users, none, False), (users, rows.Gone(("x",)), False), (users, rows.Gone((), ("x",)), False), (users, none, True), ([], none, False)]
    wishes.append((users, rows.Gone((), (), ("x",)), False))
    assert len({rows.key(*wish) for wish in wishes}) == 6


def test_the_state_is_of_all_that_is_there():
    base = user("a")
    states = {rows.state(rows_.values()) for rows_ in (found(base), found(base, managed=False), found(base, plain=False), {})}
    assert len(states) == 4


def found(*users, managed=True, plain=True):
    return {one.username: rows.Found(one, managed, plain) for one in users}


def test_only_the_difference():
    have = {**found(user("same"), user("other", "old-password-123"), user("left"), user("revoked")), **found(user("foreign"), managed=False)}
    plan = rows.plan([user("same"), user("other"), user("new")], ["revoked", "never-there"], have, purge=False)
    assert [one.username for one in plan.add] == ["new"]
    assert [(one.username, why) for one, why in plan.update] == [("other", ["password"])]
    assert plan.remove == ["revoked"] and plan.unlisted == ["left"] and plan.unchanged == 1
    assert plan.counts() == {"added": 1, "updated": 1, "removed": 1, "unchanged": 1, "unlisted": 1}
    assert rows.plan([user("same")], [], have, purge=True).remove == ["left", "other", "revoked"], "what others made stays"
    assert not rows.plan([user("same")], [], found(user("same")), purge=True).changed


def test_why_a_row_changes():
    base = user("a")
    cases = {
        "password": found(user("a", "old-password-123")),
        "authentication": found(user("a", auth="password")),
        "permissions": found(rows.User("a", base.password_hash, base.salt, "certificate", (("allow", "all", "#"),))),
        "owner": found(base, managed=False),
    }
    for word, have in cases.items():
        assert rows.plan([base], [], have, purge=False).update == [(base, [word])]
    assert rows.plan([base], [], found(base, plain=False), purge=False).update == [(base, ["authentication"])], "no device is a superuser"


def test_the_diff_has_names_and_no_hash():
    have = found(user("b", "old-password-123"), user("gone"))
    diff = rows.plan([user("a"), user("b")], ["gone"], have, purge=False).diff()
    assert diff["before"] == "gone\nb\n" and diff["after"] == "a (certificate, 2 permissions)\nb: other password\n"
    for text in (user("a").password_hash, user("a").salt, user("b").password_hash):
        assert text not in str(diff)
    many = rows.plan([user(f"d{number}") for number in range(30)], [], {}, purge=False).diff(shown=10)
    assert many["after"].endswith("and 20 more\n") and many["after"].count("\n") == 11
