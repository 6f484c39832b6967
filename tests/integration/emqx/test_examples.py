# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the documentation, run on a fresh stand-in: first what makes things, then what removes them."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re

import pytest
import yaml
from emqx_examples import MODULES, examples, files_in, load
from emqx_modules import run_module
from free_ports import free_port

pytestmark = pytest.mark.integration

# In the order in which they build on one another.
ORDER = (
    "info", "authentication", "authentication_user", "authorization", "authorization_rule", "acl_file", "listener", "connector", "action", "source",
    "rule", "bridge", "config", "retained", "publish", "backup", "banned", "client", "subscription", "api_key", "dashboard_user", "alarm_info", "cluster",
)  # fmt: skip
NOT_RUN = {
    "emqx_license": "the open-source edition has no licence",
    "emqx_plugin": "there is no plugin to install",
    "emqx_authentication: Tokens that somebody else signs, asked before the database": "the stand-in has no JWT",
    "emqx_authentication: A directory": "the stand-in has no LDAP",
    "emqx_authentication: A service of our own": "the stand-in has no HTTP",
    "emqx_cluster: A second node": "there is no second node",
}


def standin(base, compat):
    spec = importlib.util.spec_from_file_location("emqx_conftest", pathlib.Path(__file__).with_name("conftest.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.running_standin(base, compat)


@pytest.fixture(scope="module")
def server(emqx, tmp_path_factory):
    if emqx.version != "5.8.9" or not emqx.standin:
        pytest.skip("the examples are written for a server of their own, of this version")
    with standin(tmp_path_factory.mktemp("examples"), "5.8.9") as url:
        yield url


def placed(given, directory, url):
    """The arguments with this server, these files and free ports."""
    text = json.dumps(given).replace("/etc/edgestack/emqx", str(directory)).replace("/var/backups", str(directory))
    text = re.sub(r"(0\.0\.0\.0|127\.0\.0\.1):(1883|8883|8084|8885)", lambda found: f"127.0.0.1:{free_port()}", text)
    given = {key: value for key, value in json.loads(text).items() if key not in ("api_secret_file", "wait_connected")}
    if "username" in given:
        return {**given, "url": url, "password": "Pass-of-the-test-1"}
    return {**given, "url": url, "api_key": "edgestack-test", "api_secret": "secret-of-the-test-1"}


def test_the_examples(server, tmp_path):
    files_in(tmp_path)
    making, removing = [], []
    for name in (f"emqx_{name}" for name in ORDER):
        for task, given in examples(name):
            if f"{name}: {task}" not in NOT_RUN:
                (removing if given.get("state") == "absent" else making).append((name, task, placed(given, tmp_path, server)))
    # The examples about the built-in databases need them.
    base = placed({"api_key": "x"}, tmp_path, server)
    for name, given in (("emqx_authentication", {"backend": "built_in_database", "settings": {"user_id_type": "username"}}),
                        ("emqx_authorization", {"sources": [{"type": "built_in_database"}]})):  # fmt: skip
        assert run_module(name, {**base, **given})["changed"]
    done = 0
    for name, task, given in [*making, *reversed(removing)]:
        predicted = run_module(name, given, check=True)
        result = run_module(name, given)
        assert not result.get("failed"), (name, task, result)
        assert predicted["changed"] is result["changed"], (name, task)
        attributes = yaml.safe_load(load(name).DOCUMENTATION).get("attributes", {})
        if attributes.get("idempotent", {}).get("support") != "partial":
            assert run_module(name, given)["changed"] is False, (name, task)
        done += 1
    assert done >= 35


def test_what_is_not_run_is_known():
    names = {f"emqx_{name}" for name in ORDER} | {name for name in NOT_RUN if ":" not in name}
    assert names == set(MODULES)
