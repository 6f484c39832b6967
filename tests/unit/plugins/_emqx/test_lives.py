# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other resources, against the small EMQX of conftest: lives, and what each refuses."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import EmqxError
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import (
    accounts,
    authentication,
    authorization,
    described,
    information,
    messages,
    nodes,
    settings,
)
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import instant
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.versions import UnsupportedError
from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault

CONNECTOR = {"server": "127.0.0.1:1883", "username": "gw1", "password": "plain-secret-1", "ssl": {"enable": False}}
ACTION = {"connector": "uplink", "parameters": {"topic": "site/a/${topic}", "qos": 1}}
BRIDGE = {**CONNECTOR, "egress": {"remote": {"topic": "a", "qos": 1, "retain": False, "payload": "${payload}"}}}
RULE = {"sql": 'SELECT * FROM "a"', "actions": [{"function": "console"}]}
ALLOW = {"permission": "allow", "action": "publish", "topic": "a/#"}
DENY = {"permission": "deny", "action": "all", "topic": "#", "qos": [1, 0], "retain": "true"}
GZIP = b"\x1f\x8bpackage"


@pytest.fixture
def built_in(emqx):
    emqx.authn.append({"id": "password_based:built_in_database", "mechanism": "password_based", "backend": "built_in_database"})
    emqx.sources.append({"type": "built_in_database", "enable": True})
    return emqx


@pytest.fixture
def enterprise(emqx589):
    emqx589.edition = "Enterprise"
    return emqx589


def clock():
    now = [0.0]
    return {"sleep": lambda seconds: now.__setitem__(0, now[0] + seconds), "clock": lambda: now[0]}


def live(emqx, act, steps):
    """Each step is predicted, done and repeated; steps are (options, whether it changes)."""
    with emqx.client() as client:
        for options, changes in steps:
            before, count = emqx.state(), len(emqx.writes)
            predicted = act(client, check=True, **options)
            assert emqx.state() == before and len(emqx.writes) == count, "check mode wrote"
            real = act(client, **options)
            assert (predicted.changed, predicted.diff, predicted.fields) == (real.changed, real.diff, real.fields)
            assert real.changed is changes is bool(real.diff), (options, real.diff)
            assert (len(emqx.writes) > count) is changes
            count = len(emqx.writes)
            assert not act(client, **options).changed and len(emqx.writes) == count
            assert "secret-1" not in str(real) and "secret-2" not in str(real)


@pytest.mark.parametrize(
    ("kind", "wanted", "change"),
    [
        ("CONNECTOR", CONNECTOR, {"keepalive": "60s"}),
        ("ACTION", ACTION, {"parameters": {"qos": 0}}),
        ("SOURCE", {**ACTION, "parameters": {"topic": "a", "qos": 1}}, {"parameters": {"qos": 0}}),
        ("BRIDGE", BRIDGE, {"keepalive": "60s"}),
        ("RULE", RULE, {"enable": False}),
    ],
)
def test_the_one_life_of_what_is_described(emqx589, kind, wanted, change):
    what = getattr(described, kind)

    def act(client, wanted, present=True, check=False):
        return described.manage(client, what, wanted, name="uplink", type="mqtt", present=present, check=check)

    gone = {"wanted": {}, "present": False}
    live(emqx589, act, [({"wanted": wanted}, True), ({"wanted": change}, True), (gone, True), (gone, False)])


def test_a_masked_secret_stays_unless_it_is_sent_always(emqx589):
    with emqx589.client() as client:

        def act(**fields):
            options = {"resend_secrets": fields.pop("always", False)}
            return described.manage(client, described.CONNECTOR, {**CONNECTOR, **fields}, name="uplink", type="mqtt", **options)

        act()
        assert not act(password="other-secret-2").changed
        act(keepalive="60s")
        assert emqx589.things["connectors"]["mqtt:uplink"]["password"] == "plain-secret-1"
        assert act(password="other-secret-2", always=True).fields == ["password"]
        assert emqx589.things["connectors"]["mqtt:uplink"]["password"] == "other-secret-2"
        assert act(password="file:///x").changed and not act(password="file:///x").changed


def test_versions_of_what_is_described(emqx):
    with emqx.client() as client:
        if emqx.version == "5.3.0":
            with pytest.raises(UnsupportedError, match=r"needs EMQX 5\.4, this is 5\.3\.0"):
                described.manage(client, described.CONNECTOR, CONNECTOR, name="x", type="mqtt")
        emqx.version = "6.0.1"
    with emqx.client() as client, pytest.raises(UnsupportedError, match=r"is gone since EMQX 6\.0"):
        described.manage(client, described.BRIDGE, BRIDGE, name="x", type="mqtt")


def test_what_a_new_one_needs(emqx589):
    with emqx589.client() as client:
        for kind, field in ((described.ACTION, "connector"), (described.RULE, "sql")):
            with pytest.raises(EmqxError, match=f"{field} is not given"):
                described.manage(client, kind, {}, name="x", type="mqtt")
        assert emqx589.writes == []


def test_what_is_in_use_says_what_to_do(emqx589):
    with emqx589.client() as client:
        described.manage(client, described.ACTION, ACTION, name="up", type="mqtt")
        assert not described.rule(client, {**RULE, "actions": ["mqtt:up"]}, name="r").warnings
        with pytest.raises(Fault, match="rules that use it first"):
            described.manage(client, described.ACTION, {}, name="up", type="mqtt", present=False)


def test_a_rule_whose_action_is_missing(emqx):
    with emqx.client() as client:
        assert "no action mqtt:nobody" in described.rule(client, {**RULE, "actions": ["mqtt:nobody"]}, name="r").warnings[0]


def test_a_connection_is_waited_for(emqx589):
    with emqx589.client() as client:
        done = described.manage(client, described.CONNECTOR, CONNECTOR, name="up", type="mqtt", wait_connected=3, **clock())
        assert done.result["status"] == "connected"
        emqx589.connected = "disconnected"
        with pytest.raises(EmqxError, match=r"connectors/mqtt:up is saved, and disconnected after 3 s \(refused\)"):
            described.manage(client, described.CONNECTOR, CONNECTOR, name="up", type="mqtt", wait_connected=3, **clock())


# --- built-in database


@pytest.mark.parametrize("count", [2, 12])
def test_users_of_the_built_in_database(built_in, count):
    users = [{"user_id": f"u/{number}", "password": "plain-secret-1"} for number in range(count)]

    def act(client, entries, **options):
        return authentication.users(client, entries, **options)

    live(
        built_in,
        act,
        [
            ({"entries": users}, True),
            ({"entries": [{**users[0], "is_superuser": True}]}, True),
            ({"entries": users[:1], "present": False}, True),
            ({"entries": users[1:2], "exclusive": True}, count > 2),
        ],
    )


def test_users_that_are_refused(built_in):
    user = {"user_id": "u", "password": "plain-secret-1"}
    with built_in.client() as client:
        for entries, options, words in (
            ([{"user_id": "u"}], {}, "takes no user without one"),
            ([user, user], {}, "more than once"),
            ([user], {"exclusive": True, "present": False}, "exclusive"),
            ([user], {"authenticator_id": "scram:built_in_database"}, "no authenticator"),
        ):
            with pytest.raises(EmqxError, match=words):
                authentication.users(client, entries, **options)
        assert built_in.writes == []
        authentication.users(client, [user])
        with pytest.raises(EmqxError, match="together with the password"):
            authentication.users(client, [{"user_id": "u", "is_superuser": True}])
        assert authentication.users(client, [{**user, "password": "other-secret-2"}], update_password=True).result["updated"] == ["u"]
        assert built_in.built_in_users["u"] == {"user_id": "u", "password": "other-secret-2", "is_superuser": False}
        assert "no authenticator" in authentication.users(client, [user], authenticator_id="x:y", check=True).warnings[0]


def test_what_was_done_before_a_fault_is_said(built_in, faults):
    built_in.fault = faults["500"]
    built_in.fault_when = lambda method, path: method == "POST" and len(built_in.built_in_users) == 2
    with built_in.client() as client, pytest.raises(Fault, match="2 of 3 requests of this task were carried out before"):
        authentication.users(client, [{"user_id": f"u{number}", "password": "plain-secret-1"} for number in range(3)])


def test_rules_of_the_built_in_database(built_in):
    def act(client, **options):
        return authorization.rules(client, **options)

    users = [{"name": f"u{number}", "rules": [ALLOW, DENY]} for number in range(3)]
    live(
        built_in,
        act,
        [
            ({"users": users, "clients": users, "everyone": [ALLOW]}, True),
            ({"users": [{**users[0], "rules": [DENY, ALLOW]}], "everyone": [DENY]}, True),
            ({"users": users[:1], "clients": users, "present": False}, True),
            ({"users": users[:1], "exclusive": True}, True),
            ({"everyone": [ALLOW]}, True),
            ({"everyone": []}, True),
        ],
    )
    with built_in.client() as client:
        for options, words in (
            ({}, "no rules are named"),
            ({"users": [{"name": "x"}]}, "has no rules"),
            ({"users": users, "exclusive": True, "present": False}, "exclusive"),
            ({"users": [*users, *users]}, "more than once"),
        ):
            with pytest.raises(EmqxError, match=words):
                authorization.rules(client, **options)


def test_rules_without_their_source(emqx):
    with emqx.client() as client:
        with pytest.raises(EmqxError, match="no authorization source built_in_database"):
            authorization.rules(client, everyone=[ALLOW])
        assert authorization.rules(client, everyone=[ALLOW], users=[{"name": "u", "rules": [ALLOW]}], check=True).warnings


def test_the_file_of_rules(emqx):
    rows = [
        {"permission": "allow", "username": 'a"b', "clientid_regex": "^x", "addresses": ["10.0.0.0/8"], "action": "publish", "topics": ["eq a/#", "b"]},
        {"permission": "deny", "action": "all"},
    ]
    text = authorization.acl_text(rows)
    assert text == (
        '{allow, {\'and\', [{username, "a\\"b"}, {clientid, {re, "^x"}}, {ipaddrs, ["10.0.0.0/8"]}]}, publish, [{eq, "a/#"}, "b"]}.\n{deny, all}.\n'
    )
    live(emqx, lambda client, check=False: authorization.acl_file(client, text, check=check), [({}, True)])
    for row, words in (({"permission": "deny", "action": "publish"}, "no topics"), ({"permission": "deny", "username": "a\nb"}, "cannot stand")):
        with pytest.raises(EmqxError, match=words):
            authorization.acl_text([row])


# --- accounts


def test_an_api_key(emqx, tmp_path):
    file = tmp_path / "secret"

    def act(client, wanted, **options):
        return accounts.api_key(client, "k", wanted, **options)

    keep = {"secret_file": str(file)}
    live(
        emqx,
        act,
        [
            ({"wanted": {"desc": "x", "expired_at": "2036-01-01T00:00:00Z"}, **keep}, True),
            ({"wanted": {"expired_at": "2036-01-01T01:00:00+01:00"}, **keep}, False),
            ({"wanted": {"enable": False}}, True),
        ],
    )
    assert file.read_text().startswith("secret-of-") and emqx.keys["k"]["expired_at"] == "2036-01-01T00:00:00Z"
    with emqx.client() as client:
        file.unlink()
        with pytest.raises(EmqxError, match="regenerate: lost"):
            act(client, {}, **keep)
        assert act(client, {}, **keep, regenerate="lost", check=True).changed and not file.exists()
        assert act(client, {}, **keep, regenerate="lost").changed and file.exists()
        assert emqx.keys["k"]["desc"] == "x" and emqx.keys["k"]["enable"] is False
        assert act(client, {}, regenerate="always").result["api_secret"]
        for bad in ("sometime", "2036-13-01T00:00:00Z"):
            with pytest.raises(EmqxError, match="is no time"):
                act(client, {"expired_at": bad})
        with pytest.raises(UnsupportedError, match="Enterprise"):
            act(client, {"role": "viewer"})
    live(emqx, act, [({"wanted": {}, "present": False}, True), ({"wanted": {}, "present": False}, False)])


def test_a_secret_that_cannot_be_kept(emqx589, tmp_path, monkeypatch):
    with emqx589.client() as client:
        for path in (tmp_path / "no" / "secret", tmp_path):
            with pytest.raises(EmqxError, match="cannot be written"):
                accounts.api_key(client, "k", {}, secret_file=str(path))
        assert emqx589.writes == []

        def full(*_arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(accounts.files, "write_atomic", full)
        with pytest.raises(EmqxError, match="was removed again") as error:
            accounts.api_key(client, "k", {}, secret_file=str(tmp_path / "secret"))
        assert emqx589.keys == {} and "secret-of-" not in str(error.value)
        accounts.api_key(client, "k", {})
        with pytest.raises(EmqxError, match="cannot read secret_file"):
            accounts.api_key(client, "k", {}, secret_file=str(tmp_path))


def test_a_user_of_the_dashboard(emqx):
    def act(client, wanted, **options):
        return accounts.dashboard_user(client, "ops", wanted, **options)

    live(emqx, act, [({"wanted": {"description": "x"}, "password": "plain-secret-1"}, True), ({"wanted": {"description": "y"}}, True)])
    change = {"password": "other-secret-2", "update_password": True}
    with emqx.client() as client:
        with pytest.raises(EmqxError, match="Give current_password"):
            act(client, {}, **change)
        with pytest.raises(Fault, match="ERROR_PWD_NOT_MATCH"):
            act(client, {}, **change, current_password="wrong-secret-3")
    live(emqx, act, [({"wanted": {"description": "z"}, **change, "current_password": "plain-secret-1"}, True)])
    assert emqx.users["ops"]["password"] == "other-secret-2"
    with emqx.client() as client, pytest.raises(UnsupportedError):
        act(client, {"role": "viewer"})
    live(emqx, act, [({"wanted": {}, "present": False}, True), ({"wanted": {}, "present": False}, False)])
    with emqx.client() as client, pytest.raises(EmqxError, match="password is not given"):
        act(client, {})


@pytest.mark.parametrize("password", ["short1", "x" * 60 + "12345", "pässword-12", "onlyletters"])
def test_passwords_that_emqx_would_not_take(emqx589, password):
    with emqx589.client() as client, pytest.raises(EmqxError, match="8 to 64") as error:
        accounts.dashboard_user(client, "ops", {}, password=password)
    assert password not in str(error.value) and emqx589.log == []


def test_a_locked_user_is_no_wrong_password(emqx589):
    from emqx_modules import answer

    emqx589.users["ops"] = {"username": "ops", "description": "", "password": "plain-secret-1"}
    emqx589.fault = lambda handler: answer(handler, 401, {"code": "LOGIN_LOCKED", "message": "locked"})
    emqx589.fault_when = lambda method, path: path == "/login"
    with emqx589.client() as client, pytest.raises(Fault, match="ten minutes"):
        accounts.dashboard_user(client, "ops", {}, password="other-secret-2", update_password=True)
    emqx589.fault = lambda handler: answer(handler, 200, {"version": "x"})
    with emqx589.client() as client, pytest.raises(Fault, match="is not a token"):
        client.accepts("ops", "x")


# --- settings


def test_a_part_of_the_configuration(emqx):
    live(
        emqx,
        lambda client, wanted, check=False: settings.configuration(client, wanted, check=check),
        [({"wanted": {"alarm": {"size_limit": 5}}}, True), ({"wanted": {"alarm": {"validity_period": "1d"}}}, False), ({"wanted": {"new": {"a": 1}}}, True)],
    )
    emqx.takes_config = False
    with emqx.client() as client:
        with pytest.raises(EmqxError, match=r"did not: alarm\.size_limit"):
            settings.configuration(client, {"alarm": {"size_limit": 6}})
        for wanted, words in (({"rpc": {}}, r"emqx\.conf"), ({"mqtt": 1}, "no part")):
            with pytest.raises(EmqxError, match=words):
                settings.configuration(client, wanted)


def test_durable_sessions(emqx):
    with emqx.client() as client:
        if emqx.version == "5.3.0":
            with pytest.raises(UnsupportedError, match=r"5\.7"):
                settings.configuration(client, {"durable_sessions": {"enable": True}})
            return
        with pytest.raises(EmqxError, match="are off, so heartbeat_interval"):
            settings.configuration(client, {"durable_sessions": {"heartbeat_interval": "6s"}})
        assert "restarted" in settings.configuration(client, {"durable_sessions": {"enable": True, "heartbeat_interval": "6s"}}).warnings[0]
        assert settings.configuration(client, {"durable_sessions": {"heartbeat_interval": "7s"}}).changed


def key_of(customer, start="20220111"):
    lines = ["220111", "0", "10", customer, "a@foo.com", "plant", start, "100000", "10", ""]
    return base64.b64encode("\n".join(lines).encode()).decode() + ".c2lnbmF0dXJl"


def test_a_licence(enterprise):
    def act(client, key, check=False, **options):
        return settings.licence(client, key, check=check, **options)

    others = {"key": None, "settings": {"connection_high_watermark": "90%"}}
    live(enterprise, act, [({"key": key_of("Foo")}, False), ({"key": key_of("Bar")}, True), (others, True)])
    with enterprise.client() as client:
        assert act(client, "file:///etc/licence", force=True, check=True).changed and not act(client, key_of("Bar")).changed
        assert act(client, "file:///etc/licence", check=True).changed is True
        assert act(client, "evaluation", check=True).diff[0]["after"] == {"type": "evaluation"}
        for wrong in ("nonsense", base64.b64encode(b"a\nb").decode()):
            with pytest.raises(EmqxError, match="is no licence key"):
                act(client, wrong)


def test_no_licence_in_the_open_source_edition(emqx):
    with emqx.client() as client, pytest.raises(UnsupportedError, match="Enterprise"):
        settings.licence(client, "default")


# --- messages


def test_retained_messages(emqx):
    def act(client, rows=(), **options):
        return messages.retained(client, rows, **options)

    one = {"topic": "a/1", "payload": "ü", "qos": 1}
    binary = {"topic": "a/2", "payload": "/w==", "payload_encoding": "base64"}
    live(
        emqx,
        act,
        [
            ({"rows": [one, binary]}, True),
            ({"rows": [{**one, "payload": "x"}]}, True),
            ({"rows": [{"topic": "a/1", "state": "absent"}]}, True),
            ({"rows": [{"topic": "+/+", "state": "absent"}]}, True),
            ({"settings": {"max_payload_size": "2MB"}}, True),
        ],
    )
    emqx.kept.update({"$SYS/x": {}, "b/c": {}})
    with emqx.client() as client:
        assert act(client, [{"topic": "#", "state": "absent"}], check=True).result["removed"] == ["b/c"]
        assert act(client, [{"topic": "b/+/#", "state": "absent"}], check=True).result["removed"] == ["b/c"]
        assert act(client, [{"topic": "b/c/+", "state": "absent"}], check=True).result["removed"] == []
        for row, words in (
            ({"topic": "a/#", "payload": "x"}, "no topic name"),
            ({"topic": "a", "payload": ""}, "an empty payload"),
            ({"topic": "a", "payload": "%", "payload_encoding": "base64"}, "not base64"),
        ):
            with pytest.raises(EmqxError, match=words):
                act(client, [row])
        with pytest.raises(EmqxError, match="did not retain"):
            act(client, [{"topic": "a", "payload": "x" * 2000}], sleep=lambda _seconds: None)
        with pytest.raises(EmqxError, match="retainer is off"):
            act(client, [one], settings={"enable": False})


def test_published_messages(emqx):
    rows = [{"topic": "nobody", "payload": "x", "qos": 1}, {"topic": "a", "payload": "x"}]
    with emqx.client() as client:
        predicted = messages.publish(client, rows, check=True)
        assert emqx.writes == []
        done = messages.publish(client, rows)
        assert done.changed and predicted.diff == done.diff and [one["delivered"] for one in done.result["results"]] == [False, True]
        assert not messages.publish(client, []).changed
        with pytest.raises(EmqxError, match="nobody was subscribed to nobody"):
            messages.publish(client, rows[:1], require_subscribers=True)
        with pytest.raises(EmqxError, match="did not publish to odd: topic_name_invalid"):
            messages.publish(client, [{"topic": "odd", "payload": "x"}])


# --- nodes


def test_a_cluster(emqx):
    def act(client, state, node="", **options):
        return nodes.cluster(client, state, node=node, wait=3, **clock(), **options)

    live(emqx, act, [({"state": "joined", "node": "b@host"}, True), ({"state": "healthy", "nodes": 2}, False), ({"state": "left", "node": "b@host"}, True)])
    with emqx.client() as client:
        with pytest.raises(EmqxError, match="1 of 2 nodes"):
            act(client, "healthy", nodes=2)
        for node, words in (("lone@host", "emqx_license"), ("far@host", "same cookie")):
            with pytest.raises(Fault, match=words):
                act(client, "joined", node)
        with pytest.raises(EmqxError, match="the only node"):
            act(client, "left", "emqx@127.0.0.1")
        with pytest.raises(UnsupportedError, match="Enterprise"):
            act(client, "evacuated", "emqx@127.0.0.1")


def test_an_evacuation(enterprise):
    def act(client, state, check=False, **options):
        return nodes.cluster(client, state, node="n@h", wait=3, check=check, **clock(), **options)

    live(enterprise, act, [({"state": "evacuated", "evacuation": {"conn_evict_rate": 5}}, True), ({"state": "serving"}, True)])
    with enterprise.client() as client, pytest.raises(EmqxError, match="evicting_conns after 3 s, 3 clients"):
        act(client, "evacuated")


def test_a_plugin(emqx589, tmp_path):
    file = tmp_path / "p.tar.gz"
    file.write_bytes(GZIP)
    emqx589.plugins["other-1.0.0"] = {"running": True, "config": {}}

    def act(client, state, **options):
        return nodes.plugin(client, "mine-1.0.0", state, **options)

    live(
        emqx589,
        act,
        [
            ({"state": "present", "src": str(file)}, True),
            ({"state": "started"}, True),
            ({"state": "started", "config": {"level": 2}}, True),
            ({"state": "started", "position": "front"}, True),
            ({"state": "stopped"}, True),
            ({"state": "absent"}, True),
            ({"state": "absent"}, False),
            ({"state": "started", "src": str(file), "position": "front"}, True),
        ],
    )
    with emqx589.client() as client:
        with pytest.raises(EmqxError, match="is no plugin"):
            nodes.plugin(client, "mine", "started")
        with pytest.raises(EmqxError, match="src is not given"):
            nodes.plugin(client, "new-1.0.0", "started")
        for content, words in ((None, "cannot read src"), (b"x", r"no \.tar\.gz")):
            wrong = tmp_path / "wrong"
            if content:
                wrong.write_bytes(content)
            with pytest.raises(EmqxError, match=words):
                nodes.plugin(client, "new-1.0.0", "started", src=str(wrong))
        emqx589.allows_plugins = False
        with pytest.raises(Fault, match="plugins allow new-1"):
            nodes.plugin(client, "new-1.0.0", "started", src=str(file))


def test_backups(emqx589, tmp_path):
    dest, package = tmp_path / "dest", tmp_path / "up.tar.gz"
    package.write_bytes(GZIP)
    with emqx589.client() as client:
        assert nodes.backup(client, "exported", check=True, dest=str(dest)).changed and not emqx589.backups and not dest.exists()
        made = nodes.backup(client, "exported", dest=str(dest))
        assert made.result["filename"] == "new.tar.gz" and dest.read_bytes() == b"\x1f\x8bnew"
        assert not nodes.backup(client, "downloaded", filename="new.tar.gz", dest=str(dest)).changed
        assert nodes.backup(client, "downloaded", filename="new.tar.gz", dest=str(tmp_path / "b"), check=True).changed
        assert nodes.backup(client, "imported", src=str(package), check=True).changed and "up.tar.gz" not in emqx589.backups
        assert nodes.backup(client, "imported", src=str(package)).changed and "up.tar.gz" in emqx589.backups
        assert nodes.backup(client, "imported", filename="new.tar.gz").changed
        assert len(nodes.backup(client, "listed").result["backups"]) == 2
        assert nodes.backup(client, "absent", filename="up.tar.gz").changed and not nodes.backup(client, "absent", filename="up.tar.gz").changed
        for state, options, words in (
            ("imported", {"filename": "no"}, "no backup no"),
            ("downloaded", {"filename": "no", "dest": str(dest)}, "no backup no"),
            ("exported", {"dest": str(tmp_path / "no" / "x")}, "is no directory"),
            ("downloaded", {"filename": "new.tar.gz", "dest": str(tmp_path)}, "cannot write dest"),
        ):
            with pytest.raises(EmqxError, match=words):
                nodes.backup(client, state, **options)


def test_backups_need_a_version(emqx):
    if emqx.version == "5.3.0":
        with emqx.client() as client, pytest.raises(UnsupportedError, match=r"5\.4"):
            nodes.backup(client, "listed")


def test_alarms(emqx):
    with emqx.client() as client:
        assert information.alarms(client, names=["high_memory"]) == [{"name": "high_memory", "activated": "true"}]
        assert len(information.alarms(client, activated=False)) == 2


@pytest.mark.parametrize(("value", "seconds"), [("1970-01-02T00:00:00Z", 86400), ("86400", 86400.0), ("infinity", "infinity"), ("soon", "soon")])
def test_instants(value, seconds):
    assert instant(value) == seconds


WRONG = {
    "connector": lambda client: described.manage(client, described.CONNECTOR, CONNECTOR, name="x", type="mqtt"),
    "rule": lambda client: described.rule(client, {**RULE, "actions": ["mqtt:x"]}, name="x"),
    "key": lambda client: accounts.api_key(client, "k", {}),
    "licence": lambda client: settings.licence(client, "default"),
    "retained": lambda client: messages.retained(client, []),
    "publish": lambda client: messages.publish(client, [{"topic": "a", "payload": "x"}]),
    "cluster": lambda client: nodes.cluster(client, "healthy"),
    "export": lambda client: nodes.backup(client, "exported"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_answers_of_the_wrong_kind(enterprise, name):
    from emqx_modules import answer

    enterprise.fault = lambda handler: answer(handler, 200, "[]" if name == "connector" else '"text"')
    enterprise.fault_when = lambda method, path: path != "/nodes" and not (name in ("key", "rule", "export") and method == "GET" and path != "/actions")
    with enterprise.client() as client, pytest.raises(Fault, match="is not"):
        WRONG[name](client)
