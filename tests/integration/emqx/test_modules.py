# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse

import paho.mqtt.client as paho
import pytest

ROOT = pathlib.Path(__file__).parents[3]
PREFIX = "edgestack-test"
pytestmark = pytest.mark.integration


def life(emqx, module, look, steps):
    """Each step is predicted first, which writes nothing, then done, then done again, which changes nothing and sends nothing."""
    for arguments, changes in steps:
        before = look()
        predicted = emqx.run(module, check=True, **arguments)
        assert not predicted.get("failed"), predicted
        assert look() == before, "check mode wrote"
        done = emqx.run(module, **arguments)
        assert not done.get("failed"), done
        assert done["changed"] is predicted["changed"] is changes, (arguments, done)
        assert (done["diff"], done.get("changed_fields")) == (predicted["diff"], predicted.get("changed_fields"))
        assert bool(done["diff"]) is changes
        assert (look() != before) is changes, "the server says otherwise than the module"
        emqx.proxy.writes.clear()
        again = emqx.run(module, **arguments)
        assert again["changed"] is False, again
        assert emqx.proxy.writes == [], "what is there already was sent"
        for secret in SECRETS:
            assert secret not in json.dumps([predicted, done, again]), "a secret is in the result"


SECRETS = ("first-secret-1", "other-secret-2")


def test_a_listener(emqx, port):
    given = {"type": "tcp", "name": PREFIX, "bind": f"127.0.0.1:{port}", "acceptors": 2, "max_connections": "100"}

    def look():
        found = emqx.read(f"/listeners/tcp:{PREFIX}")
        return found and {key: found[key] for key in found if key != "current_connections"}

    life(
        emqx,
        "emqx_listener",
        look,
        [
            (given, True),
            ({**given, "settings": {"tcp_options": {"nodelay": "true", "send_timeout": "15s"}}}, False),
            ({**given, "max_connections": "200"}, True),
            ({**given, "max_connections": "200", "state": "stopped"}, True),
            ({**given, "max_connections": "200", "state": "started"}, True),
            ({"type": "tcp", "name": PREFIX, "state": "absent"}, True),
            ({"type": "tcp", "name": PREFIX, "state": "absent"}, False),
        ],
    )


def test_listeners_in_one_task(emqx, port):
    listeners = [{"type": "tcp", "name": PREFIX, "bind": f"127.0.0.1:{port}", "state": "started"}, {"type": "ws", "name": PREFIX, "state": "absent"}]
    result = emqx.run("emqx_listener", listeners=listeners)
    assert result["changed"] and result["listeners"][f"tcp:{PREFIX}"]["running"] is True and result["listeners"][f"ws:{PREFIX}"] is None
    assert emqx.run("emqx_listener", listeners=listeners)["changed"] is False


def test_a_port_that_is_taken(emqx):
    taken = emqx.url.rpartition(":")[2]
    result = emqx.run("emqx_listener", type="tcp", name=PREFIX, bind=f"127.0.0.1:{taken}")
    assert result["failed"] and "400" in result["msg"]
    assert emqx.read(f"/listeners/tcp:{PREFIX}") is None


def test_bans(emqx):
    entries = [{"as": "clientid", "who": f"{PREFIX}-{number}", "reason": "test", "by": "test"} for number in range(3)]
    life(
        emqx,
        "emqx_banned",
        lambda: sorted((row["as"], row["who"], row["reason"]) for row in emqx.read("/banned?page=1&limit=1000")["data"]),
        [
            ({"entries": entries}, True),
            ({"entries": [{**entries[0], "reason": "another"}, *entries[1:]]}, True),
            ({"entries": entries[:2], "state": "absent"}, True),
            ({"entries": entries, "state": "absent"}, True),
        ],
    )


def test_an_authenticator(emqx):
    given = {"mechanism": "password_based", "backend": "built_in_database"}
    if emqx.read("/authentication/password_based:built_in_database"):
        pytest.skip("this server has a built-in authenticator of its own")
    algorithm = {"name": "sha256", "salt_position": "suffix"}
    life(
        emqx,
        "emqx_authentication",
        lambda: emqx.read("/authentication"),
        [
            # Disabled, so that it decides nothing on a server that is in use.
            ({**given, "enable": False, "settings": {"user_id_type": "username", "password_hash_algorithm": algorithm}}, True),
            ({**given, "settings": {"password_hash_algorithm": {**algorithm, "name": "sha512"}}}, True),
            ({**given, "position": "front"}, len(emqx.read("/authentication")) > 0),
            ({**given, "state": "absent"}, True),
            ({**given, "state": "absent"}, False),
        ],
    )


def test_an_authorization_source(emqx):
    if any(row["type"] == "built_in_database" for row in emqx.read("/authorization/sources")["sources"]):
        pytest.skip("this server has a built-in source of its own")
    settings = emqx.read("/authorization/settings")
    try:
        life(
            emqx,
            "emqx_authorization",
            lambda: (emqx.read("/authorization/sources"), emqx.read("/authorization/settings")),
            [
                ({"sources": [{"type": "built_in_database", "enable": False}]}, True),
                ({"cache": {"max_size": settings["cache"]["max_size"] + 1}}, True),
                ({"sources": [{"type": "built_in_database", "state": "absent"}]}, True),
                ({"sources": [{"type": "built_in_database", "state": "absent"}]}, False),
            ],
        )
        assert emqx.read("/authorization/settings")["no_match"] == settings["no_match"]
    finally:
        emqx.read("/authorization/sources/built_in_database", "DELETE")
        emqx.read("/authorization/settings", "PUT", settings)


def test_rules_with_a_mistake(emqx):
    before = emqx.read("/authorization/sources")
    result = emqx.run("emqx_authorization", sources=[{"type": "file", "rules": "{allow, oops"}])
    assert result["failed"] and "400" in result["msg"] and "bad_acl_file_content" in result["msg"]
    assert emqx.read("/authorization/sources") == before


def test_a_client_is_thrown_out(emqx, port):
    """Seen by the client itself: its connection ends."""
    host = urllib.parse.urlsplit(emqx.url).hostname
    if host not in ("127.0.0.1", "localhost"):
        pytest.skip("a listener on the loopback of a server elsewhere cannot be reached")
    assert emqx.run("emqx_listener", type="tcp", name=PREFIX, bind=f"127.0.0.1:{port}", enable_authn="false")["changed"]
    ended = threading.Event()
    device = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"{PREFIX}-1", reconnect_on_failure=False)
    device.username_pw_set(f"{PREFIX}-user", "x")
    device.on_disconnect = lambda *_arguments: ended.set()
    for given in ({"clientids": [f"{PREFIX}-1"]}, {"usernames": [f"{PREFIX}-user"]}, {"query": {"like_clientid": PREFIX}}):
        ended.clear()
        device.connect(host, port)
        device.loop_start()
        wait_for(lambda: emqx.read(f"/clients/{PREFIX}-1"))
        if "query" in given and not emqx.all(f"/clients?like_clientid={PREFIX}"):
            pytest.skip("this server does not know the query")
        subscribed = {"clientid": f"{PREFIX}-1", "topics": [f"{PREFIX}/a"]}
        look = functools.partial(emqx.read, f"/clients/{PREFIX}-1/subscriptions")
        life(emqx, "emqx_subscription", look, [(subscribed, True), ({**subscribed, "qos": 0}, True)])
        cleaned = emqx.run("emqx_client", state="cache_cleaned", **given)
        predicted = emqx.run("emqx_client", check=True, **given)
        assert cleaned["changed"] and predicted["changed"] and emqx.read(f"/clients/{PREFIX}-1") and not ended.is_set()
        done = emqx.run("emqx_client", **given)
        assert done["clients"] == [f"{PREFIX}-1"] and done["diff"] == predicted["diff"]
        assert ended.wait(5), "the client is still connected"
        device.loop_stop()
        wait_for(lambda: emqx.read(f"/clients/{PREFIX}-1") is None)
        assert emqx.run("emqx_client", **given)["changed"] is False


def wait_for(what):
    end = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_clients_that_are_not_there(emqx):
    assert emqx.run("emqx_client", clientids=[f"{PREFIX}-nobody"], usernames=[f"{PREFIX}-nobody"])["changed"] is False


def test_information(emqx):
    result = emqx.run("emqx_info", gather=["listeners", "authentication", "authorization_sources", "authorization_settings", "clients", "subscriptions"])
    assert result["changed"] is False and result["version"] and result["nodes"]
    assert {row["id"] for row in result["listeners"]} == {row["id"] for row in emqx.read("/listeners")}



# --- users and rules of the built-in databases


@pytest.fixture
def built_in(emqx):
    """A built-in authenticator and source, ours when there were none: disabled, so that they decide nothing."""
    ours = []
    for path, where, body in (
        ("/authentication/password_based:built_in_database", "/authentication",
         {"mechanism": "password_based", "backend": "built_in_database", "user_id_type": "username", "enable": False}),
        ("/authorization/sources/built_in_database", "/authorization/sources", {"type": "built_in_database", "enable": False}),
    ):  # fmt: skip
        if emqx.read(path) is None:
            emqx.read(where, "POST", body)
            ours.append(path)
    yield bool(len(ours) == 2)
    rules = "/authorization/sources/built_in_database/rules"
    for row in emqx.all("/authentication/password_based:built_in_database/users"):
        if row["user_id"].startswith(PREFIX):
            emqx.read(f"/authentication/password_based:built_in_database/users/{row['user_id']}", "DELETE")
    for kind, field in (("users", "username"), ("clients", "clientid")):
        for row in emqx.all(f"{rules}/{kind}"):
            if row[field].startswith(PREFIX):
                emqx.read(f"{rules}/{kind}/{row[field]}", "DELETE")
    for path in ours:
        emqx.read(path, "DELETE")


def user_list(emqx):
    return sorted((row["user_id"], row["is_superuser"]) for row in emqx.all("/authentication/password_based:built_in_database/users"))


@pytest.mark.parametrize("count", [2, 15])
def test_users_of_the_built_in_database(emqx, built_in, count):
    users = [{"user_id": f"{PREFIX}-{number}", "password": "first-secret-1"} for number in range(count)]
    life(
        emqx,
        "emqx_authentication_user",
        lambda: user_list(emqx),
        [
            ({"users": users}, True),
            ({"users": [{"user_id": users[0]["user_id"]}]}, False),
            ({"users": [{**users[0], "is_superuser": True}, *users[1:]]}, True),
            ({"users": users[1:], "state": "absent"}, True),
            ({"users": users, "state": "absent"}, True),
        ],
    )
    emqx.run("emqx_authentication_user", users=users[:1])
    given = {"users": [{**users[0], "password": "other-secret-2"}], "update_password": "always"}
    assert emqx.run("emqx_authentication_user", check=True, **given)["changed"] and emqx.run("emqx_authentication_user", **given)["changed"]


def test_no_other_users(emqx, built_in):
    if not built_in:
        pytest.skip("this server has users of its own")
    users = [{"user_id": f"{PREFIX}-{number}", "password": "first-secret-1"} for number in range(3)]
    emqx.run("emqx_authentication_user", users=users)
    life(emqx, "emqx_authentication_user", lambda: user_list(emqx), [({"users": users[:1], "exclusive": True}, True)])
    assert user_list(emqx) == [(users[0]["user_id"], False)]


RULE = {"permission": "allow", "action": "publish", "topic": "a/${username}/#"}
DENY = {"permission": "deny", "action": "all", "topic": "#", "qos": [1, 0], "retain": "true"}


def test_rules_of_the_built_in_database(emqx, built_in):
    rules = "/authorization/sources/built_in_database/rules"
    users = [{"name": f"{PREFIX}-{number}", "rules": [RULE]} for number in range(3)]
    clients = [{"name": f"{PREFIX}-{number}", "rules": [RULE, DENY]} for number in range(3)]
    life(
        emqx,
        "emqx_authorization_rule",
        lambda: (emqx.all(f"{rules}/users"), emqx.all(f"{rules}/clients"), emqx.read(f"{rules}/all")),
        [
            ({"users": users, "clients": clients}, True),
            ({"users": [{**users[0], "rules": [DENY, RULE]}], "clients": clients[:1]}, True),
            ({"users": users[1:], "state": "absent"}, True),
            ({"users": users, "clients": clients, "state": "absent"}, True),
            *([({"everyone": [RULE]}, True), ({"everyone": []}, True)] if built_in else []),
        ],
    )
    emqx.proxy.writes.clear()
    many = [{"name": f"{PREFIX}-{number}", "rules": [RULE]} for number in range(600)]
    assert len(emqx.run("emqx_authorization_rule", users=many)["added"]) == 600
    assert len(emqx.proxy.writes) == 2, "a request for each"


def test_no_other_rules(emqx, built_in):
    if not built_in:
        pytest.skip("this server has rules of its own")
    named = [{"name": f"{PREFIX}-{number}", "rules": [RULE]} for number in range(2)]
    emqx.run("emqx_authorization_rule", users=named, clients=named, everyone=[RULE])
    result = emqx.run("emqx_authorization_rule", users=named[:1], exclusive=True)
    assert result["removed"] == [f"username {PREFIX}-1", f"clientid {PREFIX}-0", f"clientid {PREFIX}-1", "all"]
    assert emqx.run("emqx_authorization_rule", users=named[:1], exclusive=True)["changed"] is False
    emqx.run("emqx_authorization_rule", users=named, state="absent")


def test_on_a_server_without_built_in_databases(emqx):
    if emqx.read("/authentication/password_based:built_in_database") or emqx.read("/authorization/sources/built_in_database"):
        pytest.skip("this server has them")
    for module, given in (("emqx_authentication_user", {"users": [{"user_id": PREFIX, "password": "first-secret-1"}]}),
                          ("emqx_authorization_rule", {"users": [{"name": PREFIX, "rules": [RULE]}]})):  # fmt: skip
        predicted = emqx.run(module, check=True, **given)
        assert predicted["changed"] and "There is no auth" in predicted["warnings"][0]
        done = emqx.run(module, **given)
        assert done["failed"] and "Make it first" in done["msg"]


def test_the_file_of_rules(emqx):
    before = emqx.read("/authorization/sources/file")
    if before is None or not emqx.standin:
        pytest.skip("the rules of a server that is in use stay as they are")
    rules = [
        {"permission": "allow", "username": f'{PREFIX}"x', "addresses": ["10.0.0.0/8"], "action": "subscribe", "topics": ["eq a/#", "b"]},
        {"permission": "deny"},
    ]
    text = '%% ours\n\n{allow, {\'and\', [{username, "' + PREFIX + '\\"x"}, {ipaddrs, ["10.0.0.0/8"]}]}, subscribe, [{eq, "a/#"}, "b"]}.\n{deny, all}.\n'
    try:
        life(
            emqx,
            "emqx_acl_file",
            lambda: emqx.read("/authorization/sources"),
            [({"rules": rules}, True), ({"content": text}, False), ({"rules": rules[1:], "enable": False}, True)],
        )
    finally:
        emqx.read("/authorization/sources/file", "PUT", before)


# --- keys and users of the dashboard


def test_an_api_key(emqx, tmp_path):
    file = tmp_path / "secret"
    given = {"name": PREFIX, "description": "test", "expired_at": "2036-01-01T00:00:00Z", "secret_file": str(file)}

    def look():
        return emqx.read(f"/api_key/{PREFIX}")

    life(
        emqx,
        "emqx_api_key",
        look,
        [
            (given, True),
            ({**given, "expired_at": "2036-01-01T01:00:00+01:00"}, False),
            ({**given, "description": "other"}, True),
            ({"name": PREFIX, "enable": False}, True),
        ],
    )
    key = look()
    # What was not named stayed: a PUT that leaves it out would make the key live for ever.
    assert key["desc"] == "other" and key["enable"] is False and key["expired_at"].startswith("2036-01-01")
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    lost = emqx.run("emqx_api_key", **{**given, "description": "other"})
    assert lost["failed"] and "regenerate" in lost["msg"] and look() == key
    predicted = emqx.run("emqx_api_key", check=True, **given, regenerate="lost")
    assert predicted["changed"] and look() == key and not file.exists()
    again = emqx.run("emqx_api_key", **given, regenerate="lost")
    assert again["changed"] and again["diff"] == predicted["diff"] and again["api_key"] == look()["api_key"] != key["api_key"]
    assert emqx.run("emqx_api_key", **given, enable=True, regenerate="lost")["changed"] is True
    used = emqx.run("emqx_info", api_key=again["api_key"], api_secret=None, api_secret_file=str(file), username=None, password=None)
    assert used["version"]
    life(emqx, "emqx_api_key", look, [({"name": PREFIX, "state": "absent"}, True), ({"name": PREFIX, "state": "absent"}, False)])


def test_the_secret_of_an_api_key_is_returned_once(emqx):
    made = emqx.run("emqx_api_key", name=PREFIX)
    assert made["changed"] and len(made["api_secret"]) > 20 and made["key"]["enable"] is True
    again = emqx.run("emqx_api_key", name=PREFIX)
    assert again["changed"] is False and "api_secret" not in again and again["api_key"] == made["api_key"]
    other = emqx.run("emqx_api_key", name=PREFIX, regenerate="always")
    assert other["changed"] and other["api_secret"] != made["api_secret"]


def test_a_user_of_the_dashboard(emqx):
    given = {"name": PREFIX, "new_password": "first-secret-1", "description": "test"}
    life(
        emqx,
        "emqx_dashboard_user",
        lambda: next((row for row in emqx.read("/users") if row["username"] == PREFIX), None),
        [
            (given, True),
            ({**given, "new_password": "other-secret-2"}, False),
            ({**given, "description": "other"}, True),
        ],
    )
    change = {"name": PREFIX, "new_password": "other-secret-2", "update_password": "always"}
    asked = emqx.run("emqx_dashboard_user", **change)
    assert asked["failed"] and "current_password" in asked["msg"]
    wrong = emqx.run("emqx_dashboard_user", **change, current_password="wrong-secret-3")
    assert wrong["failed"] and wrong["fault"]["code"] == "ERROR_PWD_NOT_MATCH" and "wrong-secret-3" not in json.dumps(wrong)
    predicted = emqx.run("emqx_dashboard_user", check=True, **change, current_password="first-secret-1")
    done = emqx.run("emqx_dashboard_user", **change, current_password="first-secret-1")
    assert predicted["changed"] and done["changed"] and predicted["diff"] == done["diff"]
    again = emqx.run("emqx_dashboard_user", **change, current_password="first-secret-1")
    assert again["changed"] is False
    assert not any(secret in json.dumps([predicted, done, again]) for secret in SECRETS)
    emqx.proxy.writes.clear()
    gone = {"name": PREFIX, "state": "absent"}
    assert emqx.run("emqx_dashboard_user", **gone)["changed"] and not emqx.run("emqx_dashboard_user", **gone)["changed"]


@pytest.mark.parametrize("module", ["emqx_api_key", "emqx_dashboard_user"])
def test_a_role_that_would_be_ignored_is_refused(emqx, module):
    if emqx.read("/nodes")[0]["edition"].lower() == "enterprise" or emqx.number >= (5, 9):
        pytest.skip("this edition has roles")
    result = emqx.run(module, name=PREFIX, role="viewer", **({"new_password": "first-secret-1"} if "user" in module else {}))
    assert result["failed"] and "needs the Enterprise edition" in result["msg"]
    assert emqx.read(f"/api_key/{PREFIX}") is None and PREFIX not in str(emqx.read("/users"))


def test_a_key_may_not_manage_keys(emqx):
    if not emqx.key:
        pytest.skip("no API key is given")
    own = {"api_key": emqx.key[0], "api_secret": emqx.key[1], "username": None, "password": None}
    for module, state in itertools.product(("emqx_api_key", "emqx_dashboard_user"), ("present", "absent")):
        result = emqx.run(module, name=PREFIX, state=state, **own)
        assert result["failed"] and result["fault"]["status"] == 401 and "API keys may not manage" in result["fault"]["hint"]


# --- data integration


def still(row, *names):
    """A row without what changes by itself."""
    volatile = ("node_status", "status", "status_reason", "error", "created_at", "last_modified_at", *names)
    return row and {key: value for key, value in row.items() if key not in volatile}


CONNECTOR = {
    "type": "mqtt",
    "name": PREFIX,
    "settings": {"server": "127.0.0.1:1", "clientid_prefix": PREFIX, "username": PREFIX, "keepalive": "30s", "ssl": {"enable": False}},
    "secrets": {"password": "first-secret-1"},
}
ACTION = {"type": "mqtt", "name": PREFIX, "connector": PREFIX, "parameters": {"topic": f"{PREFIX}/${{topic}}", "qos": 1, "payload": "${payload}"}}
SOURCE = {"type": "mqtt", "name": PREFIX, "connector": PREFIX, "parameters": {"topic": f"{PREFIX}/#", "qos": 1}}
BRIDGE = {
    **CONNECTOR,
    "settings": {
        "server": "127.0.0.1:1", "username": PREFIX, "proto_ver": "v5", "keepalive": "30s",
        "egress": {"remote": {"topic": f"{PREFIX}/${{topic}}", "qos": 1, "retain": False, "payload": "${payload}"}},
    },
}  # fmt: skip


@pytest.fixture
def connector(emqx):
    if emqx.number < (5, 4):
        pytest.skip("this version has no connectors")
    result = emqx.run("emqx_connector", **CONNECTOR)
    assert result["changed"], result
    return result


def gone(given):
    return {"type": given["type"], "name": given["name"], "state": "absent"}


def test_a_connector(emqx):
    if emqx.number < (5, 4):
        refused = emqx.run("emqx_connector", **CONNECTOR)
        assert refused["failed"] and f"needs EMQX 5.4, this is {emqx.version}" in refused["msg"]
        return
    life(
        emqx,
        "emqx_connector",
        lambda: still(emqx.read(f"/connectors/mqtt:{PREFIX}")),
        [
            (CONNECTOR, True),
            ({**CONNECTOR, "secrets": {"password": "other-secret-2"}}, False),
            ({**CONNECTOR, "settings": {"keepalive": "60s", "ssl": {"verify": "verify_none"}}}, True),
            ({"type": "mqtt", "name": PREFIX, "enable": False}, True),
            (gone(CONNECTOR), True),
            (gone(CONNECTOR), False),
        ],
    )
    emqx.run("emqx_connector", **CONNECTOR)
    always = emqx.run("emqx_connector", **{**CONNECTOR, "secrets": {"password": "other-secret-2"}}, update_secret="always")
    assert always["changed"] and always["changed_fields"] == ["password"] and "other-secret-2" not in json.dumps(always)
    waited = emqx.run("emqx_connector", **CONNECTOR, wait_connected=1)
    assert waited["failed"] and "after 1 s" in waited["msg"]


@pytest.mark.parametrize(("module", "given", "change"), [
    ("emqx_action", ACTION, {"parameters": {"qos": 0}}),
    ("emqx_source", SOURCE, {"parameters": {"topic": f"{PREFIX}/+"}}),
])  # fmt: skip
def test_an_action_and_a_source(emqx, connector, module, given, change):
    life(
        emqx,
        module,
        lambda: still(emqx.read(f"/{module.removeprefix('emqx_')}s/mqtt:{PREFIX}")),
        [
            (given, True),
            ({**given, **change}, True),
            ({**given, **change, "settings": {"description": "test"}}, True),
            (gone(given), True),
            (gone(given), False),
        ],
    )


def test_what_is_in_use_is_not_removed(emqx, connector):
    assert emqx.run("emqx_action", **ACTION)["changed"]
    assert emqx.run("emqx_rule", id=PREFIX, sql=f'SELECT * FROM "{PREFIX}"', actions=[f"mqtt:{PREFIX}"])["changed"]
    for module, hint in (("emqx_action", "rules that use it"), ("emqx_connector", "actions and sources")):
        result = emqx.run(module, **gone(ACTION))
        assert result["failed"] and hint in result["msg"], result
    assert emqx.read(f"/actions/mqtt:{PREFIX}") and emqx.read(f"/connectors/mqtt:{PREFIX}")


def test_an_action_needs_a_connector(emqx, connector):
    result = emqx.run("emqx_action", **{**ACTION, "connector": None})
    assert result["failed"] and "connector is not given" in result["msg"]
    result = emqx.run("emqx_action", **{**ACTION, "connector": f"{PREFIX}-nobody"})
    assert result["failed"] and f"{PREFIX}-nobody" in result["msg"]


def test_a_bridge(emqx):
    if emqx.number >= (6, 0):
        refused = emqx.run("emqx_bridge", **BRIDGE)
        assert refused["failed"] and "is gone since EMQX 6.0" in refused["msg"]
        return
    life(
        emqx,
        "emqx_bridge",
        lambda: still(emqx.read(f"/bridges/mqtt:{PREFIX}")),
        [
            (BRIDGE, True),
            ({**BRIDGE, "settings": {**BRIDGE["settings"], "keepalive": "60s"}}, True),
            ({"type": "mqtt", "name": PREFIX, "enable": False}, True),
            (gone(BRIDGE), True),
            (gone(BRIDGE), False),
        ],
    )


def test_a_rule(emqx):
    given = {"id": PREFIX, "sql": f'SELECT * FROM "{PREFIX}/#"', "description": "test", "actions": [{"function": "console"}]}
    life(
        emqx,
        "emqx_rule",
        lambda: still(emqx.read(f"/rules/{PREFIX}")),
        [
            (given, True),
            ({**given, "actions": [{"function": "republish", "args": {"topic": f"{PREFIX}-b", "qos": 1, "payload": "${payload}", "retain": False}}]}, True),
            ({"id": PREFIX, "enable": False}, True),
            ({"id": PREFIX, "sql": given["sql"]}, False),
            ({"id": PREFIX, "state": "absent"}, True),
            ({"id": PREFIX, "state": "absent"}, False),
        ],
    )
    orphan = emqx.run("emqx_rule", **{**given, "actions": [f"mqtt:{PREFIX}-nobody"]})
    assert orphan["changed"] and f"there is no action mqtt:{PREFIX}-nobody" in orphan["warnings"][0]
    bad = emqx.run("emqx_rule", id=f"{PREFIX}-2", sql="SELEC nothing")
    assert bad["failed"] and "400" in bad["msg"] and emqx.read(f"/rules/{PREFIX}-2") is None


# --- configuration and messages


def test_a_part_of_the_configuration(emqx):
    path = "/configs?key=alarm"
    before = emqx.read("/configs/alarm")
    try:
        life(
            emqx,
            "emqx_config",
            lambda: emqx.read(path, accept="text/plain"),
            [
                ({"config": {"alarm": {"size_limit": before["size_limit"] + 1}}}, True),
                ({"hocon": f"alarm {{ size_limit = {before['size_limit'] + 1} }}"}, False),
                ({"hocon": "alarm.validity_period = 2d # two days\n"}, True),
                ({"config": {"alarm": {"validity_period": "48h"}}}, False),
            ],
        )
        result = emqx.run("emqx_config", config={"alarm": {"validity_period": "2d"}})
        assert result["config"]["alarm"]["size_limit"] == before["size_limit"] + 1
        bad = emqx.run("emqx_config", config={"alarm": {"colour": "blue"}})
        assert bad["failed"] and "colour" in bad["msg"]
    finally:
        emqx.read("/configs/alarm", "PUT", before)


@pytest.mark.parametrize(("given", "words"), [
    ({"config": {"node": {"name": "x@y"}}}, "emqx.conf"),
    ({"hocon": "mqtt { = }"}, "HOCON, line 1"),
    ({"hocon": "include \"x\""}, "include"),
    ({"config": {"dashboard": {"default_password": "first-secret-1"}}}, "plain text"),
    ({"config": {"mqtt": 5}}, "no part"),
])  # fmt: skip
def test_configuration_that_is_refused(emqx, given, words):
    emqx.proxy.writes.clear()
    result = emqx.run("emqx_config", **given)
    assert result["failed"] and words in result["msg"] and emqx.proxy.writes == []
    assert "first-secret-1" not in json.dumps(result)


def test_durable_sessions_that_are_off(emqx):
    result = emqx.run("emqx_config", check=True, config={"durable_sessions": {"heartbeat_interval": "6s"}})
    if emqx.number < (5, 7):
        assert result["failed"] and "needs EMQX 5.7" in result["msg"]
    elif result.get("failed"):
        assert "durable_sessions are off" in result["msg"]


def test_retained_messages(emqx):
    messages = [{"topic": f"{PREFIX}/{number}", "payload": "ü", "qos": 1} for number in range(2)]
    other = {"topic": f"{PREFIX}/b", "payload": "/wA=", "payload_encoding": "base64"}

    def look():
        return sorted((row["topic"], emqx.read(f"/mqtt/retainer/message/{row['topic'].replace('/', '%2F')}")["payload"])
                      for row in emqx.all("/mqtt/retainer/messages") if row["topic"].startswith(PREFIX))  # fmt: skip

    life(
        emqx,
        "emqx_retained",
        look,
        [
            ({"messages": [*messages, other]}, True),
            ({"messages": [{**messages[0], "payload": "other"}]}, True),
            ({"messages": [{"topic": messages[0]["topic"], "state": "absent"}]}, True),
            ({"messages": [{"topic": f"{PREFIX}/#", "state": "absent"}]}, True),
            ({"messages": [{"topic": f"{PREFIX}/+", "state": "absent"}]}, False),
        ],
    )
    settings = emqx.read("/mqtt/retainer")
    try:
        life(emqx, "emqx_retained", lambda: emqx.read("/mqtt/retainer"), [({"settings": {"max_payload_size": "512KB"}}, True)])
        if emqx.standin:
            off = emqx.run("emqx_retained", messages=messages, settings={"enable": False})
            assert off["failed"] and "retainer is off" in off["msg"]
    finally:
        emqx.read("/mqtt/retainer", "PUT", settings)


def test_published_messages(emqx):
    one = {"topic": f"{PREFIX}/x", "payload": "y", "qos": 1}
    emqx.proxy.writes.clear()
    assert emqx.run("emqx_publish", check=True, messages=[one])["changed"] and emqx.proxy.writes == []
    done = emqx.run("emqx_publish", messages=[one])
    assert done["changed"] and done["results"] == [{"topic": one["topic"], "id": None, "delivered": False}]
    assert len(emqx.run("emqx_publish", messages=[one, {**one, "properties": {"content_type": "text/plain"}}])["results"]) == 2
    nobody = emqx.run("emqx_publish", messages=[one], require_subscribers=True)
    assert nobody["failed"] and "nobody was subscribed" in nobody["msg"]


# --- nodes


def test_backups(emqx, tmp_path):
    if emqx.number < (5, 4):
        refused = emqx.run("emqx_backup", state="listed")
        assert refused["failed"] and "needs EMQX 5.4" in refused["msg"]
        return
    dest, second = tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"
    before = emqx.all("/data/files")
    predicted = emqx.run("emqx_backup", check=True, state="exported", dest=str(dest))
    assert predicted["changed"] and emqx.all("/data/files") == before and not dest.exists()
    made = emqx.run("emqx_backup", state="exported", dest=str(dest))
    name = made["filename"]
    try:
        assert made["changed"] and made["diff"] == predicted["diff"] and dest.read_bytes()[:2] == b"\x1f\x8b" and dest.stat().st_mode & 0o777 == 0o600
        assert name in [row["filename"] for row in emqx.run("emqx_backup", state="listed")["backups"]]
        life(emqx, "emqx_backup", lambda: second.exists() and second.read_bytes(), [({"state": "downloaded", "filename": name, "dest": str(second)}, True)])
        assert second.read_bytes() == dest.read_bytes()
        if emqx.standin:
            # It merges what is there already.
            assert emqx.run("emqx_backup", check=True, state="imported", filename=name)["changed"]
            assert emqx.run("emqx_backup", state="imported", filename=name)["changed"]
            assert emqx.run("emqx_backup", state="imported", src=str(dest))["changed"]
        absent = {"state": "absent", "filename": name}
        life(emqx, "emqx_backup", lambda: [row["filename"] for row in emqx.all("/data/files")], [(absent, True), (absent, False)])
    finally:
        if any(row["filename"] == name for row in emqx.all("/data/files")):
            emqx.read(f"/data/files/{name}", "DELETE")
    for given in ({"state": "imported", "filename": name}, {"state": "downloaded", "filename": name, "dest": str(second)}):
        assert emqx.run("emqx_backup", **given)["failed"]


def test_alarms(emqx):
    for active in (True, False):
        result = emqx.run("emqx_alarm_info", active=active)
        assert result["changed"] is False
        assert {row["name"] for row in result["alarms"]} == {row["name"] for row in emqx.all(f"/alarms?activated={str(active).lower()}")}


def test_a_healthy_cluster(emqx):
    result = emqx.run("emqx_cluster", nodes=1)
    assert result["changed"] is False and result["nodes"] == emqx.read("/cluster")["nodes"] and set(result["running"]) <= set(result["nodes"])
    many = emqx.run("emqx_cluster", nodes=99, wait=0)
    assert many["failed"] and "of 99 nodes" in many["msg"]
    assert emqx.run("emqx_cluster", state="joined", node=result["nodes"][0])["changed"] is False
    assert emqx.run("emqx_cluster", state="left", node=f"{PREFIX}@nowhere")["changed"] is False


def test_what_this_edition_lacks(emqx):
    if emqx.read("/license"):
        pytest.skip("this edition has a licence")
    for module, given in (("emqx_license", {"key": "default"}), ("emqx_cluster", {"state": "evacuated", "node": "x@y"})):
        result = emqx.run(module, **given)
        assert result["failed"] and "needs the Enterprise edition or EMQX 5.9" in result["msg"]


def test_a_plugin_that_is_not_there(emqx):
    given = {"name": f"{PREFIX.replace('-', '_')}-1.0.0"}
    assert emqx.run("emqx_plugin", **given)["failed"]


def test_one_module_as_ansible_runs_it(emqx):
    """The other tests run the modules in this process; a process of its own gives the same."""
    given = {"url": emqx.url, **emqx.credentials("emqx_info"), "gather": ["listeners"]}
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.edgestack.iot.plugins.modules.emqx_info"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}), capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "build" / "collections")},
    )  # fmt: skip
    same = emqx.run("emqx_info", gather=["listeners"])
    assert {key: value for key, value in json.loads(done.stdout).items() if key != "invocation"} == {
        key: value for key, value in same.items() if key not in ("invocation", "warnings", "diff")
    }


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("emqx_info", {}),
        ("emqx_listener", {"type": "tcp", "name": PREFIX, "state": "absent"}),
        ("emqx_banned", {"entries": [{"as": "clientid", "who": PREFIX}], "state": "absent"}),
        ("emqx_authentication", {"backend": "built_in_database", "state": "absent"}),
        ("emqx_authorization", {"sources": [{"type": "built_in_database", "state": "absent"}]}),
        ("emqx_client", {"clientids": [PREFIX]}),
        ("emqx_acl_file", {"content": "{deny, all}."}),
        ("emqx_alarm_info", {}),
        ("emqx_api_key", {"name": PREFIX, "state": "absent"}),
        ("emqx_authentication_user", {"users": [{"user_id": PREFIX}], "state": "absent"}),
        ("emqx_authorization_rule", {"users": [{"name": PREFIX}], "state": "absent"}),
        ("emqx_backup", {"state": "listed"}),
        ("emqx_bridge", {"type": "mqtt", "name": PREFIX, "state": "absent"}),
        ("emqx_connector", {"type": "mqtt", "name": PREFIX, "state": "absent"}),
        ("emqx_action", {"type": "mqtt", "name": PREFIX, "state": "absent"}),
        ("emqx_source", {"type": "mqtt", "name": PREFIX, "state": "absent"}),
        ("emqx_cluster", {}),
        ("emqx_config", {"config": {"alarm": {"size_limit": 1}}}),
        ("emqx_dashboard_user", {"name": PREFIX, "state": "absent"}),
        ("emqx_license", {"key": "default"}),
        ("emqx_plugin", {"name": "edgestack_test-1.0.0", "state": "absent"}),
        ("emqx_publish", {"messages": [{"topic": PREFIX, "payload": "x"}]}),
        ("emqx_retained", {"messages": [{"topic": PREFIX, "state": "absent"}]}),
        ("emqx_rule", {"id": PREFIX, "state": "absent"}),
        ("emqx_subscription", {"clientid": PREFIX, "topics": ["a"]}),
    ],
)
def test_without_rights_nothing_is_ok(emqx, module, arguments):
    wrong = {"api_key": "edgestack-nobody", "api_secret": "wrong-secret-0001", "username": None, "password": None}
    result = emqx.run(module, **wrong, **arguments)
    assert result["failed"] and result["fault"]["status"] == 401 and "api_secret" in result["fault"]["hint"]
    assert "wrong-secret-0001" not in str(result)


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("emqx_listener", {"type": "tcp", "name": PREFIX}, "bind"),
        ("emqx_authentication", {"backend": "mysql", "settings": {"password": "plain-secret-1"}}, "plain text"),
        ("emqx_authentication", {"backend": "built_in_database", "settings": {"user_id_type": "username", "colour": "blue"}}, "colour"),
        ("emqx_banned", {"entries": [{"as": "clientid", "who": PREFIX}] * 2}, "more than once"),
        ("emqx_authorization", {"order": ["redis"]}, "no source redis"),
    ],
)
def test_bad_input(emqx, module, arguments, words):
    result = emqx.run(module, **arguments)
    assert result["failed"] and words in result["msg"]
    assert "plain-secret-1" not in str(result)
