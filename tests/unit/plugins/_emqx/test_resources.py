# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import EmqxError, path_of
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources import (
    authentication,
    authorization,
    clients,
    information,
    listeners,
    subscriptions,
)
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.versions import UnsupportedError
from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault

MYSQL = {
    "mechanism": "password_based",
    "backend": "mysql",
    "server": "127.0.0.1:3306",
    "database": "mqtt",
    "username": "emqx",
    "password": "emqxpw-123",
    "pool_size": 4,
    "query": "SELECT 1",
    "query_timeout": "5s",
    "ssl": {"enable": False},
    "password_hash_algorithm": {"name": "sha256", "salt_position": "suffix"},
}
SOURCE = {
    "type": "mysql",
    "server": "127.0.0.1:3306",
    "database": "mqtt",
    "username": "emqx",
    "password": "emqxpw-123",
    "pool_size": 2,
    "query": "SELECT 2",
}
BUILTIN = {"mechanism": "password_based", "backend": "built_in_database", "user_id_type": "username"}
RULES = '%% comment\n{allow, {username, "x"}, all, ["#"]}.\n\n{deny, all}.\n'


def authn(client, **options):
    wanted = {**MYSQL, **options.pop("fields", {})}
    return authentication.authenticator(client, wanted, **options)


def authz(client, **options):
    options.setdefault("wanted", [dict(SOURCE), {"type": "file", "rules": RULES}])
    options.setdefault("order", ["mysql", "file"])
    options.setdefault("settings", {"no_match": "deny", "deny_action": "ignore", "cache": {"ttl": "60s"}})
    return authorization.sources(client, **options)


def listener(client, **options):
    fields = options.pop("fields", {"bind": "127.0.0.1:2883", "max_connections": 100, "acceptors": 4})
    return listeners.listener(client, fields, kind="tcp", name="plant", **options)


def ban(client, **options):
    entries = options.pop("entries", [{"as": "username", "who": "dev/1", "reason": "revoked", "by": "devices"}])
    return clients.banned(client, entries, **options)


LIVES = {
    "authentication": (authn, {"fields": {"pool_size": 6}}, {"present": False}),
    "authorization": (
        authz,
        {"settings": {"no_match": "deny", "cache": {"max_size": 64}}},
        {"wanted": [{"type": "mysql", "state": "absent"}], "order": [], "settings": None},
    ),
    "listener": (listener, {"fields": {"max_connections": 200}}, {"state": "absent"}),
    "banned": (ban, {"entries": [{"as": "username", "who": "dev/1", "reason": "stolen"}]}, {"present": False}),
}


@pytest.mark.parametrize("name", sorted(LIVES))
def test_a_life(emqx, name):
    """Create, no change, one field, remove, remove again; each predicted first, and the prediction writes nothing."""
    act, change, remove = LIVES[name]
    with emqx.client() as client:
        for options, changes in (({}, True), ({}, False), (change, True), (change, False), (remove, True), (remove, False)):
            before = emqx.state()
            count = len(emqx.writes)
            predicted = act(client, check=True, **options)
            assert emqx.state() == before and len(emqx.writes) == count, "check mode wrote"
            real = act(client, **options)
            assert (predicted.changed, predicted.diff, predicted.fields) == (real.changed, real.diff, real.fields)
            assert real.changed is changes, (options, real.diff)
            assert bool(len(emqx.writes) > count) is changes, "a write without a change, or a change without a write"
            assert "emqxpw-123" not in str(real)
            assert bool(real.diff) is changes


def test_the_server_then_has_what_was_wanted(emqx):
    with emqx.client() as client:
        authn(client)
        authz(client)
        listener(client)
    assert emqx.authn[0]["password"] == "emqxpw-123" and emqx.authn[0]["pool_size"] == 4
    assert [row["type"] for row in emqx.sources] == ["mysql", "file"]
    assert emqx.sources[1]["rules"] == RULES
    assert emqx.settings["no_match"] == "deny" and emqx.settings["cache"]["enable"] is True
    assert emqx.listeners["tcp:plant"]["bind"] == "127.0.0.1:2883"


def test_an_update_keeps_the_masked_password(emqx):
    with emqx.client() as client:
        authn(client)
        authn(client, fields={"pool_size": 6})
        assert emqx.authn[0]["password"] == "emqxpw-123"
        changed = authn(client, fields={"pool_size": 6, "password": "another-1"}).changed
        # 5.3.0 shows the password, 5.8.9 masks it, so there the change cannot be seen.
        assert changed is (emqx.version == "5.3.0")
        assert authn(client, fields={"pool_size": 6, "password": "another-1"}, resend_secrets=True).changed is (emqx.version != "5.3.0")
    assert emqx.authn[0]["password"] == "another-1"


def test_paths_of_secrets_are_compared(emqx589):
    with emqx589.client() as client:
        assert authn(client, fields={"password": "file:///a"}).changed
        assert not authn(client, fields={"password": "file:///a"}).changed
        outcome = authn(client, fields={"password": "file:///b"})
    assert outcome.fields == ["password"]
    assert outcome.diff[0]["before"] == {"password": "file:///a"} and outcome.diff[0]["after"] == {"password": "file:///b"}


def test_secret_files_need_a_version(emqx):
    with emqx.client() as client:
        if emqx.version == "5.3.0":
            with pytest.raises(UnsupportedError, match=r"needs EMQX 5\.4, this is 5\.3\.0"):
                authn(client, fields={"password": "file:///a"})
            assert emqx.writes == []
        else:
            assert authn(client, fields={"password": "file:///a"}).changed


def test_position(emqx):
    with emqx.client() as client:
        authn(client)
        authentication.authenticator(client, BUILTIN)
        outcome = authn(client, position="rear", check=True)
        assert outcome.result["order"] == ["password_based:built_in_database", "password_based:mysql"]
        assert authn(client, position="rear").changed
        assert [row["id"] for row in emqx.authn] == outcome.result["order"]
        assert not authn(client, position="after:password_based:built_in_database").changed
        assert authn(client, position="before:password_based:built_in_database").changed
        for wrong in ("sideways", "before:nobody"):
            with pytest.raises(EmqxError):
                authn(client, position=wrong)


def test_a_new_one_in_front_is_predicted(emqx):
    with emqx.client() as client:
        authentication.authenticator(client, BUILTIN)
        predicted = authn(client, position="front", check=True)
        real = authn(client, position="front")
    assert predicted.result["order"] == real.result["order"] == ["password_based:mysql", "password_based:built_in_database"]
    assert [row["id"] for row in emqx.authn] == real.result["order"]


def test_wait_until_connected(emqx):
    now = [0.0]
    times = {"sleep": lambda seconds: now.__setitem__(0, now[0] + seconds), "clock": lambda: now[0]}
    with emqx.client() as client:
        assert authn(client, wait_connected=5, **times).result["status"] == "connected"
        assert authz(client, wait_connected=5, **times).result["status"] == {"mysql": "connected"}
        emqx.connected = "disconnected"
        with pytest.raises(EmqxError, match="disconnected after 5 s"):
            authn(client, wait_connected=5, **times)
        # A local one has nothing to wait for, nor has one that is switched off.
        authentication.authenticator(client, BUILTIN, wait_connected=5, **times)
        authn(client, fields={"enable": False}, wait_connected=5, **times)


def test_settings_that_are_not_given_stay(emqx):
    with emqx.client() as client:
        authz(client, wanted=[], order=[], settings={"deny_action": "disconnect", "cache": {"max_size": 100}})
        authz(client, wanted=[], order=[], settings={"no_match": "deny"})
    assert emqx.settings["deny_action"] == "disconnect" and emqx.settings["cache"]["max_size"] == 100


def test_exclusive_sources(emqx):
    with emqx.client() as client:
        authz(client)
        authorization.sources(client, wanted=[{"type": "built_in_database"}])
        outcome = authz(client, exclusive=True, check=True)
        assert outcome.changed and outcome.result["order"] == ["mysql", "file"]
        authz(client, exclusive=True)
    assert [row["type"] for row in emqx.sources] == ["mysql", "file"]


def test_order_of_three(emqx):
    with emqx.client() as client:
        authz(client)
        authorization.sources(client, wanted=[{"type": "built_in_database"}], order=["mysql", "built_in_database"])
        assert [row["type"] for row in emqx.sources] == ["mysql", "built_in_database", "file"]
        with pytest.raises(EmqxError, match="no source redis"):
            authorization.sources(client, order=["redis"])
        with pytest.raises(EmqxError, match="more than once"):
            authorization.sources(client, wanted=[SOURCE, SOURCE])


def test_excludes_need_a_version(emqx):
    with emqx.client() as client:
        if emqx.version == "5.3.0":
            with pytest.raises(UnsupportedError):
                authz(client, settings={"cache": {"excludes": ["a/#"]}})
        else:
            authz(client, settings={"cache": {"excludes": ["a/#"]}})
            assert emqx.settings["cache"]["excludes"] == ["a/#"]


def test_the_mask_is_refused(emqx):
    with emqx.client() as client:
        with pytest.raises(EmqxError, match="is what EMQX shows"):
            authn(client, fields={"password": "******"})
        assert emqx.log == []


def test_cinfo_needs_a_version(emqx589):
    with emqx589.client() as client, pytest.raises(UnsupportedError, match=r"5\.9"):
        authentication.authenticator(client, {"mechanism": "cinfo"})


def test_listener_states(emqx):
    with emqx.client() as client:
        with pytest.raises(EmqxError, match="bind is not given"):
            listener(client, fields={})
        assert listener(client, state="started").changed
        assert not listener(client, state="started").changed
        assert listener(client, state="stopped").result["listener"]["running"] is False
        assert emqx.listeners["tcp:plant"]["running"] is False
        assert not listener(client, state="stopped").changed
        assert listener(client, state="started").changed
        assert listener(client, state="restarted").changed and listener(client, state="restarted", check=True).changed
        assert emqx.writes[-1] == ("POST", "/listeners/tcp:plant/restart")


def test_a_listeners_tls(emqx):
    tls = {"verify": "verify_peer", "fail_if_no_peer_cert": True, "cacertfile": "/ca.pem"}
    with emqx.client() as client:
        wanted = {"ssl_options": tls, "bind": "0.0.0.0:28883"}
        outcome = listeners.listener(client, wanted, kind="ssl", name="default")
        assert sorted(outcome.fields) == ["bind", "ssl_options.cacertfile", "ssl_options.fail_if_no_peer_cert", "ssl_options.verify"]
        assert not listeners.listener(client, wanted, kind="ssl", name="default").changed
    # What was not given is still there.
    assert emqx.listeners["ssl:default"]["ssl_options"]["depth"] == 10


def test_many_bans_and_pages(emqx589):
    entries = [{"as": "clientid", "who": f"c{number}", "until": "infinity"} for number in range(25)]
    with emqx589.client() as client:
        assert len(ban(client, entries=entries).result["added"]) == 25
        assert len(client.pages("/banned", limit=10)) == 25
        outcome = ban(client, entries=entries[:5], exclusive=True)
        assert len(outcome.result["removed"]) == 20 and outcome.result["added"] == []
        assert not ban(client, entries=entries[:5], exclusive=True).changed
        with pytest.raises(EmqxError, match="more than once"):
            ban(client, entries=[entries[0], entries[0]])


def test_the_end_of_a_ban_is_one_instant(emqx589):
    with emqx589.client() as client:
        ban(client, entries=[{"as": "peerhost", "who": "10.0.0.1", "until": "2030-01-01T00:00:00Z"}])
        assert not ban(client, entries=[{"as": "peerhost", "who": "10.0.0.1", "until": "1893456000"}]).changed
        assert not ban(client, entries=[{"as": "peerhost", "who": "10.0.0.1", "until": "2030-01-01T01:00:00+01:00"}]).changed
        assert ban(client, entries=[{"as": "peerhost", "who": "10.0.0.1", "until": "2031-01-01T00:00:00Z"}], check=True).changed


@pytest.mark.parametrize("entry", [{"as": "clientid_re", "who": "^x"}, {"as": "clientid", "who": "x", "until": "infinity"}])
def test_bans_that_need_a_version(emqx, entry):
    with emqx.client() as client:
        if emqx.version == "5.3.0":
            with pytest.raises(UnsupportedError):
                ban(client, entries=[entry])
        else:
            assert ban(client, entries=[entry]).changed


def test_sessions_are_ended(emqx):
    for number in range(5):
        emqx.clients[f"c{number}"] = {"clientid": f"c{number}", "username": f"u{number % 2}", "connected": number < 3}
    with emqx.client() as client:
        assert not clients.end_sessions(client, clientids=["nobody"]).changed
        predicted = clients.end_sessions(client, clientids=["c0", "c4"], usernames=["u1"], check=True)
        assert len(emqx.clients) == 5
        real = clients.end_sessions(client, clientids=["c0", "c4"], usernames=["u1"])
        assert predicted.diff == real.diff and real.result["clients"] == ["c0", "c1", "c3", "c4"]
        assert list(emqx.clients) == ["c2"]
        # The cache is cleaned before the session ends.
        assert emqx.writes[-2:] == [("DELETE", "/clients/c4/authorization/cache"), ("POST", "/clients/kickout/bulk")]
        assert clients.end_sessions(client, query={"username": "u0"}, kick=False).result["clients"] == ["c2"]
        assert list(emqx.clients) == ["c2"]


def test_information(emqx):
    emqx.clients["c1"] = {"clientid": "c1", "username": "u1"}
    everything = ["alarms", "authentication", "authorization_settings", "authorization_sources", "banned", "clients", "cluster"]
    everything += ["configuration", "listeners", "metrics", "stats", "subscriptions"]
    everything += ["bridges", "plugins", "retainer", "rules", *(["actions", "connectors", "sources"] if emqx.version != "5.3.0" else [])]
    with emqx.client() as client:
        authn(client)
        authz(client)
        result = information.information(client, everything)
        assert set(everything) < set(result) and result["version"] == emqx.version and result["nodes"] == ["emqx@127.0.0.1"]
        assert "emqxpw-123" not in str(result) and "plain-one" not in str(result)
        assert information.information(client, ["clients", "subscriptions"], clientids=["nobody"])["clients"] == []
        before = len(emqx.writes)
        assert information.information(client, []) == {"version": emqx.version, "edition": "Opensource", "nodes": ["emqx@127.0.0.1"]}
        assert len(emqx.writes) == before


def subscribe(client, wanted, exclusive=True, check=False):
    return subscriptions.subscriptions(client, "c1", wanted, exclusive=exclusive, check=check)


def test_a_sessions_topics(emqx):
    with emqx.client() as client:
        none = subscribe(client, {"a/+": 1})
        assert not none.changed and none.result == {"session": False, "subscribed": [], "unsubscribed": []}
        session = emqx.clients["c1"] = {"clientid": "c1", "username": "u1", "connected": False, "topics": {"a/+": 1, "old": 0}}
        predicted = subscribe(client, {"a/+": 1, "b": 1}, check=True)
        assert predicted.changed and session["topics"] == {"a/+": 1, "old": 0}
        done = subscribe(client, {"a/+": 1, "b": 1})
        assert done.diff == predicted.diff and session["topics"] == {"a/+": 1, "b": 1}
        assert done.result == {"session": True, "subscribed": ["b"], "unsubscribed": ["old"]}
        assert not subscribe(client, {"a/+": 1, "b": 1}).changed
        assert subscribe(client, {"b": 2}, exclusive=False).result["subscribed"] == ["b"] and session["topics"] == {"a/+": 1, "b": 2}
        for wrong in ({"": 1}, {"a": 3}):
            with pytest.raises(EmqxError, match="cannot be subscribed to"):
                subscribe(client, wrong)
    assert emqx.violations == []


def test_a_subscription_that_does_not_hold_is_no_success(emqx589, monkeypatch):
    emqx589.clients["c1"] = {"clientid": "c1", "username": "u1", "connected": True, "topics": {}}
    with emqx589.client() as client:
        monkeypatch.setattr(client, "post", lambda *_words: None)
        with pytest.raises(EmqxError, match="is subscribed to"):
            subscribe(client, {"a": 1})


ACTS = {
    "authentication": authn,
    "authentication absent": lambda client: authn(client, present=False),
    "authorization": authz,
    "authorization absent": lambda client: authz(client, wanted=[{"type": "mysql", "state": "absent"}], order=[]),
    "listener": listener,
    "listener absent": lambda client: listener(client, state="absent"),
    "listener stopped": lambda client: listener(client, state="stopped"),
    "banned": ban,
    "banned absent": lambda client: ban(client, present=False),
    "client": lambda client: clients.end_sessions(client, clientids=["c1"]),
    "info": lambda client: information.information(client, ["listeners"]),
    "subscription": lambda client: subscribe(client, {"a/+": 1}),
}


def prepare(emqx, name):
    """There is something to remove, so that ok would be false."""
    emqx.clients["c1"] = {"clientid": "c1", "username": "u1", "connected": True}
    if "absent" in name or "stopped" in name:
        with emqx.client() as client:
            authn(client)
            authz(client)
            listener(client)
            ban(client)
    emqx.log.clear()


@pytest.mark.parametrize("name", sorted(ACTS))
def test_a_fault_is_never_an_ok(emqx589, fault, name):
    prepare(emqx589, name)
    state = emqx589.state()
    emqx589.fault = fault
    with emqx589.client(timeout=0.1) as client, pytest.raises(Fault) as error:
        ACTS[name](client)
    assert emqx589.state() == state
    assert f"{emqx589.url}/api/v5/" in str(error.value) and "GET" in str(error.value)


@pytest.mark.parametrize("name", sorted(set(ACTS) - {"info"}))
def test_a_fault_of_a_write_is_never_an_ok(emqx589, fault, name):
    prepare(emqx589, name)
    emqx589.fault = fault
    emqx589.fault_when = lambda method, path: method != "GET"
    with emqx589.client(timeout=0.1) as client, pytest.raises((Fault, EmqxError)) as error:
        ACTS[name](client)
    assert any(method in str(error.value) for method in ("POST", "PUT", "DELETE"))


def test_a_write_that_may_have_been_done_is_not_sent_twice(emqx589, faults):
    emqx589.fault = faults["reset"]
    emqx589.fault_when = lambda method, path: method == "POST"
    with emqx589.client() as client, pytest.raises(Fault):
        authn(client)
    assert emqx589.writes == [("POST", "/authentication")]


def test_names_are_escaped():
    assert path_of("banned", "clientid", "a/b ?#") == "/banned/clientid/a%2Fb%20%3F%23"
    assert path_of("authentication", "password_based:mysql") == "/authentication/password_based:mysql"
