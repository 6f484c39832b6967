# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module and state, with every fault, while it reads and while it writes: never an ok, never a changed, always what to do."""

from __future__ import annotations

import ast
import dataclasses

import pytest
from emqx_examples import MODULES
from emqx_modules import FAULTS

PREFIX = "edgestack-test"
pytestmark = pytest.mark.integration

AUTHENTICATOR = "password_based:built_in_database"
NAMED = {"type": "mqtt", "name": PREFIX}
CONNECTOR = {**NAMED, "settings": {"server": "127.0.0.1:1", "ssl": {"enable": False}}}
ACTION = {**NAMED, "connector": PREFIX, "parameters": {"topic": PREFIX}}
BRIDGE = {**CONNECTOR, "settings": {**CONNECTOR["settings"], "egress": {"remote": {"topic": PREFIX, "qos": 1, "retain": False, "payload": "${payload}"}}}}
USER = {"users": [{"user_id": f"{PREFIX}-1", "password": "first-secret-1"}]}
RULES = {"users": [{"name": f"{PREFIX}-1", "rules": [{"permission": "allow", "action": "all", "topic": "a"}]}]}
MESSAGE = {"topic": f"{PREFIX}/1", "payload": "x"}
BAN = {"entries": [{"as": "clientid", "who": f"{PREFIX}-1"}]}
LISTENER = {"type": "tcp", "name": PREFIX, "bind": "127.0.0.1:0"}
SQL = {"id": PREFIX, "sql": 'SELECT * FROM "a"'}
DASHBOARD = {"name": PREFIX, "new_password": "first-secret-1"}
DATABASE = {"backend": "built_in_database", "settings": {"user_id_type": "username"}}


@dataclasses.dataclass(frozen=True)
class Act:
    """What is tried. first: what must be there for it to have something to do. writes: whether it then writes."""

    module: str
    given: dict
    first: tuple = ()
    writes: bool = True
    since: tuple = (5, 0)


def absent(given, **more):
    return {**{key: given[key] for key in ("type", "name", "id", "entries", "users") if key in given}, "state": "absent", **more}


MAKE = {
    "connector": ("emqx_connector", CONNECTOR),
    "action": ("emqx_action", ACTION),
    "source": ("emqx_source", ACTION),
    "bridge": ("emqx_bridge", BRIDGE),
    "rule": ("emqx_rule", SQL),
    "authenticator": ("emqx_authentication", {**DATABASE, "enable": False}),
    "authorization": ("emqx_authorization", {"sources": [{"type": "built_in_database", "enable": False}]}),
    "user": ("emqx_authentication_user", USER),
    "rules": ("emqx_authorization_rule", RULES),
    "listener": ("emqx_listener", LISTENER),
    "banned": ("emqx_banned", BAN),
    "retained": ("emqx_retained", {"messages": [MESSAGE]}),
    "key": ("emqx_api_key", {"name": PREFIX}),
    "dashboard": ("emqx_dashboard_user", DASHBOARD),
}

ACTS = {
    "authentication": Act("emqx_authentication", {**DATABASE, "enable": False}),
    "authentication changed": Act("emqx_authentication", {**DATABASE, "enable": True}, ("authenticator",)),
    "authentication absent": Act("emqx_authentication", {**DATABASE, "state": "absent"}, ("authenticator",)),
    "authentication_user": Act("emqx_authentication_user", USER, ("authenticator",)),
    "authentication_user changed": Act("emqx_authentication_user", {**USER, "update_password": "always"}, ("authenticator", "user")),
    "authentication_user absent": Act("emqx_authentication_user", absent(USER), ("authenticator", "user")),
    "authorization": Act("emqx_authorization", {"sources": [{"type": "built_in_database", "enable": False}]}),
    "authorization settings": Act("emqx_authorization", {"deny_action": "disconnect"}),
    "authorization absent": Act("emqx_authorization", {"sources": [{"type": "built_in_database", "state": "absent"}]}, ("authorization",)),
    "authorization_rule": Act("emqx_authorization_rule", RULES, ("authorization",)),
    "authorization_rule absent": Act("emqx_authorization_rule", absent(RULES), ("authorization", "rules")),
    "acl_file": Act("emqx_acl_file", {"rules": [{"permission": "deny"}], "enable": False}),
    "listener": Act("emqx_listener", LISTENER),
    "listener changed": Act("emqx_listener", {**LISTENER, "max_connections": "77"}, ("listener",)),
    "listener stopped": Act("emqx_listener", {**LISTENER, "state": "stopped"}, ("listener",)),
    "listener absent": Act("emqx_listener", absent(LISTENER), ("listener",)),
    "api_key": Act("emqx_api_key", {"name": PREFIX}),
    "api_key changed": Act("emqx_api_key", {"name": PREFIX, "enable": False}, ("key",)),
    "api_key anew": Act("emqx_api_key", {"name": PREFIX, "regenerate": "always"}, ("key",)),
    "api_key absent": Act("emqx_api_key", {"name": PREFIX, "state": "absent"}, ("key",)),
    "dashboard_user": Act("emqx_dashboard_user", DASHBOARD),
    "dashboard_user changed": Act("emqx_dashboard_user", {**DASHBOARD, "description": "x"}, ("dashboard",)),
    "dashboard_user absent": Act("emqx_dashboard_user", {"name": PREFIX, "state": "absent"}, ("dashboard",)),
    "banned": Act("emqx_banned", BAN),
    "banned absent": Act("emqx_banned", absent(BAN), ("banned",)),
    "client": Act("emqx_client", {"usernames": [PREFIX]}, writes=False),
    "subscription": Act("emqx_subscription", {"clientid": PREFIX, "topics": ["a"]}, writes=False),
    "connector": Act("emqx_connector", CONNECTOR, since=(5, 4)),
    "connector changed": Act("emqx_connector", {**CONNECTOR, "enable": False}, ("connector",), since=(5, 4)),
    "connector absent": Act("emqx_connector", absent(CONNECTOR), ("connector",), since=(5, 4)),
    "action": Act("emqx_action", ACTION, ("connector",), since=(5, 4)),
    "action absent": Act("emqx_action", absent(ACTION), ("connector", "action"), since=(5, 4)),
    "source": Act("emqx_source", ACTION, ("connector",), since=(5, 4)),
    "source absent": Act("emqx_source", absent(ACTION), ("connector", "source"), since=(5, 4)),
    "bridge": Act("emqx_bridge", BRIDGE),
    "bridge absent": Act("emqx_bridge", absent(BRIDGE), ("bridge",)),
    "rule": Act("emqx_rule", SQL),
    "rule changed": Act("emqx_rule", {**SQL, "enable": False}, ("rule",)),
    "rule absent": Act("emqx_rule", absent(SQL), ("rule",)),
    "retained": Act("emqx_retained", {"messages": [MESSAGE]}),
    "retained absent": Act("emqx_retained", {"messages": [{"topic": f"{PREFIX}/#", "state": "absent"}]}, ("retained",)),
    "retained settings": Act("emqx_retained", {"settings": {"max_payload_size": "999KB"}}),
    "config": Act("emqx_config", {"config": {"alarm": {"size_limit": 999}}}),
    "publish": Act("emqx_publish", {"messages": [MESSAGE]}),
    "publish many": Act("emqx_publish", {"messages": [MESSAGE, MESSAGE]}),
    "backup exported": Act("emqx_backup", {"state": "exported"}, since=(5, 4)),
    "backup listed": Act("emqx_backup", {"state": "listed"}, writes=False, since=(5, 4)),
    "backup absent": Act("emqx_backup", {"state": "absent", "filename": "x"}, writes=False, since=(5, 4)),
    "alarm_info": Act("emqx_alarm_info", {}, writes=False),
    "info": Act("emqx_info", {"gather": ["listeners"]}, writes=False),
    "cluster healthy": Act("emqx_cluster", {}, writes=False),
    "cluster joined": Act("emqx_cluster", {"state": "joined", "node": f"{PREFIX}@nowhere", "wait": 0}),
    "plugin": Act("emqx_plugin", {"name": "edgestack_test-1.0.0", "state": "absent"}, writes=False),
    "license": Act("emqx_license", {"key": "default"}, writes=False),
}
PATHS = (
    "/listeners", "/banned", "/authentication", "/authorization/sources", "/authorization/settings", "/rules", "/bridges", "/connectors", "/actions",
    "/sources", "/api_key", "/users", "/mqtt/retainer", "/mqtt/retainer/messages", "/configs/alarm", "/data/files",
)  # fmt: skip


def everything(emqx):
    """What is on the server, by a reader of its own."""
    found = {}
    for path in PATHS:
        body = emqx.read(f"{path}?page=1&limit=1000") if path in ("/banned", "/rules", "/mqtt/retainer/messages", "/data/files") else emqx.read(path)
        found[path] = str(body)
    database = emqx.read(f"/authentication/{AUTHENTICATOR}/users?page=1&limit=1000")
    return found | {"users": database, "rules": emqx.read("/authorization/sources/built_in_database/rules/users?page=1&limit=1000")}


@pytest.fixture
def prepared(emqx, request):
    if not emqx.standin:
        pytest.skip("faults are tried on a server of our own")
    act = ACTS[request.param]
    if emqx.number < act.since:
        pytest.skip("this version does not have it")
    for name in act.first:
        module, given = MAKE[name]
        result = emqx.run(module, **given)
        assert not result.get("failed"), result
    yield act
    emqx.read(f"/authentication/{AUTHENTICATOR}", "DELETE")
    emqx.read("/authorization/sources/built_in_database", "DELETE")


@pytest.mark.parametrize("prepared", sorted(ACTS), indirect=True)
def test_a_fault_is_never_an_ok(emqx, prepared):
    before = everything(emqx)
    emqx.proxy.writes.clear()
    phases = {"any request": lambda method, path: True}
    if prepared.writes:
        phases["a write"] = lambda method, path: method != "GET"
    for phase, when in phases.items():
        for name, fault in FAULTS.items():
            emqx.proxy.fault, emqx.proxy.when, emqx.proxy.shown = fault, when, 0
            # A stall is tried once, all else is repeated as a user's run would, without the pauses.
            options = {"backoff": 0, "timeout": 0.15, "retries": 0} if name == "stall" else {"backoff": 0}
            result = emqx.run(prepared.module, client_options=options, **prepared.given)
            emqx.proxy.fault = None
            case = f"{name}, {phase}: {result}"
            assert emqx.proxy.shown, f"the fault was not met: {case}"
            assert result.get("failed") and not result.get("changed"), case
            assert result.get("fault", {}).get("hint") or ". " in result["msg"], f"nothing says what to do: {case}"
            # What is answered with nothing is looked at afterwards, which has words of its own.
            said = (f"{emqx.proxy.url}/api/v5/", "POST /", "EMQX said", "not healthy")
            assert any(words in result["msg"] for words in said), case
    assert emqx.proxy.writes == [] and everything(emqx) == before
    if prepared.module not in ("emqx_cluster", "emqx_license"):
        # Only now is it certain that there was something to do.
        assert emqx.run(prepared.module, **prepared.given)["changed"] is prepared.writes
    if prepared.module in ("emqx_authorization", "emqx_retained", "emqx_config", "emqx_acl_file"):
        restore(emqx, before)


def test_every_module_is_tried():
    assert {act.module for act in ACTS.values()} == set(MODULES)


def restore(emqx, before):
    for path in ("/authorization/settings", "/mqtt/retainer", "/configs/alarm"):
        emqx.read(path, "PUT", ast.literal_eval(before[path]))
    for row in ast.literal_eval(before["/authorization/sources"])["sources"]:
        emqx.read(f"/authorization/sources/{row['type']}", "PUT", row)
