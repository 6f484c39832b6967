# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import EmqxError, Server, version_key
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.difference import Difference, mask, secrets_in
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.versions import CAPABILITIES, UnsupportedError, has, need


@pytest.mark.parametrize(
    ("key", "wanted", "current"),
    [
        ("query_timeout", "5s", 5000),
        ("query_timeout", "5s", "5000ms"),
        ("ttl", "1m", "60s"),
        ("ttl", "1h30m", "90m"),
        ("max_packet_size", "1MB", 1048576),
        ("max_packet_size", "2048KB", "2MB"),
        ("enable", "true", True),
        ("enable", False, "false"),
        ("pool_size", "4", 4),
        ("max_connections", "Infinity", "infinity"),
        ("bind", 1883, "0.0.0.0:1883"),
        ("bind", ":8883", "0.0.0.0:8883"),
        ("versions", ["tlsv1.2", "tlsv1.3"], ["tlsv1.3", "tlsv1.2"]),
        ("excludes", [], None),
        ("description", "", None),
    ],
)
def test_one_value_written_in_two_ways_is_no_change(key, wanted, current):
    assert not Difference({key: wanted}, {key: current}).changed


@pytest.mark.parametrize(
    ("key", "wanted", "current"),
    [
        ("query_timeout", "5s", 5),
        ("username", "5s", "5000ms"),
        ("enable", True, False),
        ("bind", "127.0.0.1:1883", "0.0.0.0:1883"),
        ("access_rules", ["allow all", "deny all"], ["deny all", "allow all"]),
        ("pool_size", 4, None),
        ("rules", [{"topic": "a"}], [{"topic": "b"}]),
    ],
)
def test_another_value_is_a_change(key, wanted, current):
    assert Difference({key: wanted}, {key: current}).changed


def test_what_the_server_adds_is_no_change_and_what_is_not_given_stays():
    difference = Difference({"a": {"b": 1}, "c": None}, {"a": {"b": 1, "added": 2}, "c": 5, "id": "x"}, read_only=("id",))
    assert not difference.changed
    assert difference.body() == {"a": {"b": 1, "added": 2}, "c": 5}


def test_a_list_of_objects_may_have_more_fields_on_the_server():
    assert not Difference({"rules": [{"topic": "t"}]}, {"rules": [{"topic": "t", "qos": [0, 1, 2]}]}).changed


def test_where_the_server_merges_only_the_wish_is_sent():
    assert Difference({"max": 2}, {"max": 1, "other": 3}, merges=True).body() == {"max": 2}


def test_changed_diff_and_body_agree():
    difference = Difference({"pool_size": 6, "ssl": {"verify": "verify_peer"}}, {"pool_size": 4, "ssl": {"verify": "verify_none", "depth": 10}})
    assert difference.changed
    assert difference.fields == ["pool_size", "ssl.verify"]
    assert difference.body() == {"pool_size": 6, "ssl": {"verify": "verify_peer", "depth": 10}}
    assert difference.diff("x") == {
        "before_header": "x", "after_header": "x",
        "before": {"pool_size": 4, "ssl.verify": "verify_none"},
        "after": {"pool_size": 6, "ssl.verify": "verify_peer"},
    }  # fmt: skip
    assert difference.after() == difference.body()


def test_create_and_remove():
    made = Difference({"name": "x", "password": "plain"}, None)
    assert made.changed and made.body() == {"name": "x", "password": "plain"}
    assert made.diff("x")["after"] == {"name": "x", "password": "******"}
    gone = Difference(None, {"name": "x", "password": "plain"})
    assert gone.changed and gone.after() is None
    assert gone.diff("x")["before"] == {"name": "x", "password": "******"}
    assert not Difference(None, None).changed
    assert Difference(None, None).diff("x")["before"] == {}


@pytest.mark.parametrize(
    ("wanted", "current", "shown", "resend", "changed"),
    [
        ("plain", "plain", True, False, False),
        ("plain", "other", True, False, True),
        ("plain", "******", True, False, False),
        ("plain", "******", True, True, True),
        ("file:///a", "file:///a", True, False, False),
        ("file:///a", "file:///b", True, False, True),
        ("file:///a", "******", True, False, True),  # shows paths, so this is none
        ("file:///a", "******", False, False, False),
        ("file:///a", "******", False, True, True),
        ("plain", None, True, False, True),
        ("", None, True, False, False),
    ],
)
def test_secrets(wanted, current, shown, resend, changed):
    difference = Difference({"ssl": {"password": wanted}}, {"ssl": {"password": current}}, files_shown=shown, resend_secrets=resend)
    assert difference.changed is changed
    for text in ("plain", "other"):
        assert text not in str(difference.diff("x"))


def test_a_masked_secret_that_stays_is_sent_as_the_mask():
    difference = Difference({"pool_size": 6, "password": "plain"}, {"pool_size": 4, "password": "******"})
    assert difference.body() == {"pool_size": 6, "password": "******"}
    difference = Difference({"password": "plain"}, {"password": "******"}, resend_secrets=True)
    assert difference.body() == {"password": "plain"}
    assert difference.diff("x")["before"] == {"password": "****** (previous)"}


def test_mask_and_secrets():
    tree = {"a": [{"token": "t1"}], "password": "p1", "secret": "file:///x", "b": {"private_key": "k1"}, "n": 1}
    assert mask(tree) == {"a": [{"token": "******"}], "password": "******", "secret": "file:///x", "b": {"private_key": "******"}, "n": 1}
    assert sorted(secrets_in(tree)) == ["k1", "p1", "t1"]
    # What EMQX fills in is no secret; a text that only begins so is one.
    assert mask({"password": "${password}"}) == {"password": "${password}"} and secrets_in({"password": "${password}"}) == []
    assert mask({"password": "${x}y"}) == {"password": "******"}


@pytest.mark.parametrize(("text", "key"), [("5.8.9", (5, 8, 9)), ("e5.10.4", (5, 10, 4)), ("6.3.0-beta.2", (6, 3, 0)), ("6", (6, 0, 0))])
def test_versions(text, key):
    assert version_key(text) == key


def test_what_is_no_version():
    with pytest.raises(EmqxError):
        version_key("nonsense")


def server(version, edition="Opensource"):
    return Server(version, edition, ("n",))


def test_capabilities():
    assert has(server("5.8.9"), "secret_files")
    assert not has(server("5.3.0"), "secret_files")
    assert has(server("5.10.4"), "has_bridges") and not has(server("6.0.0"), "has_bridges")
    assert not has(server("5.8.9"), "roles") and has(server("5.8.9", "Enterprise"), "roles") and has(server("5.9.0", ""), "roles")
    with pytest.raises(KeyError):
        has(server("5.8.9"), "no_such_thing")
    assert all(capability.what for capability in CAPABILITIES.values())


@pytest.mark.parametrize(
    ("version", "name", "words"),
    [
        ("5.3.0", "secret_files", "needs EMQX 5.4, this is 5.3.0"),
        ("6.2.2", "has_bridges", "is gone since EMQX 6.0, this is 6.2.2"),
        ("5.8.9", "roles", "needs the Enterprise edition or EMQX 5.9, this is 5.8.9 (Opensource)"),
    ],
)
def test_what_is_lacking_is_said(version, name, words):
    with pytest.raises(UnsupportedError) as error:
        need(server(version), name, "the option")
    assert words in str(error.value)
    need(server("5.9.0", "Enterprise"), name, "the option")


def test_another_kind_of_a_nested_object_replaces_it():
    current = {"query": "x", "password_hash_algorithm": {"name": "sha256", "salt_position": "suffix"}}
    wanted = {"password_hash_algorithm": {"name": "pbkdf2", "mac_fun": "sha256", "iterations": 10000}}
    difference = Difference(wanted, current)
    assert difference.body() == {"query": "x", **wanted} and difference.after() == difference.body()
    same = Difference({"password_hash_algorithm": {"name": "sha256"}}, current)
    assert not same.changed and same.body() == current
