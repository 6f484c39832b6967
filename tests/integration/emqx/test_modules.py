# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

PREFIX = "edgestack-test"
pytestmark = pytest.mark.integration


def life(emqx, module, look, steps):
    """Each step is predicted first, which writes nothing, then done, then done again, which changes nothing."""
    for arguments, changes in steps:
        before = look()
        predicted = emqx.run(module, check=True, **arguments)
        assert not predicted.get("failed"), predicted
        assert look() == before, "check mode wrote"
        done = emqx.run(module, **arguments)
        assert not done.get("failed"), done
        assert done["changed"] is predicted["changed"] is changes, (arguments, done)
        assert done["diff"] == predicted["diff"]
        assert (look() != before) is changes
        again = emqx.run(module, **arguments)
        assert again["changed"] is False, again


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


def test_clients_that_are_not_there(emqx):
    assert emqx.run("emqx_client", clientids=[f"{PREFIX}-nobody"], usernames=[f"{PREFIX}-nobody"])["changed"] is False


def test_information(emqx):
    result = emqx.run("emqx_info", gather=["listeners", "authentication", "authorization_sources", "authorization_settings", "clients", "subscriptions"])
    assert result["changed"] is False and result["version"] and result["nodes"]
    assert {row["id"] for row in result["listeners"]} == {row["id"] for row in emqx.read("/listeners")}


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("emqx_info", {}),
        ("emqx_listener", {"type": "tcp", "name": PREFIX, "state": "absent"}),
        ("emqx_banned", {"entries": [{"as": "clientid", "who": PREFIX}], "state": "absent"}),
        ("emqx_authentication", {"backend": "built_in_database", "state": "absent"}),
        ("emqx_authorization", {"sources": [{"type": "built_in_database", "state": "absent"}]}),
        ("emqx_client", {"clientids": [PREFIX]}),
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
