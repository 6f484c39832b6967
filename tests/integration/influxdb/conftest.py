# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The InfluxDB of the tests: one of yours by INFLUXDB_URL and INFLUXDB_TOKEN, else the lab's."""

from __future__ import annotations

import os
import secrets

import pytest
from stack.influxd import Server, set_up_influxd


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory):
    """A set up InfluxDB with an operator token."""
    url = os.environ.get("INFLUXDB_URL")
    if url:
        token = os.environ.get("INFLUXDB_TOKEN")
        if not token:
            pytest.fail("INFLUXDB_URL without INFLUXDB_TOKEN (an operator token)", pytrace=False)
        yield Server(url, token, os.environ.get("INFLUXDB_ORGANIZATION", "edgestack"), own=False)
        return
    with set_up_influxd(tmp_path_factory.mktemp("influxdb") / "data") as server:
        yield server


@pytest.fixture
def prefix(influxdb):
    """A prefix for names of one test; what has it is removed afterwards."""
    name = f"edgestack_test_{secrets.token_hex(4)}"
    yield name
    client = influxdb.client()
    org_id = client.organization_id(influxdb.organization)
    for authorization in client.authorizations(org_id):
        if authorization.get("description", "").startswith(name):
            client.delete(f"/api/v2/authorizations/{authorization['id']}")
    for mapping in client.mappings(org_id):
        if mapping["database"].startswith(name) and not mapping.get("virtual"):
            client.delete(f"/api/v2/dbrps/{mapping['id']}", {"orgID": org_id})
    for path, items, key in (
        ("/api/v2/replications", client.replications(org_id), "name"),
        ("/api/v2/remotes", client.remotes(org_id), "name"),
        ("/api/v2/tasks", client.tasks(org_id), "name"),
        ("/private/legacy/authorizations", client.v1_authorizations(org_id), "token"),
        ("/api/v2/buckets", client.buckets(org_id), "name"),
        ("/api/v2/users", client.listed("/api/v2/users", "users"), "name"),
        ("/api/v2/orgs", client.listed("/api/v2/orgs", "orgs"), "name"),
    ):
        for item in items:
            if item[key].startswith(name):
                client.delete(f"{path}/{item['id']}")
    client.close()
