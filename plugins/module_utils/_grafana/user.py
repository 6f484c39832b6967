# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user of Grafana with a role of the organisation, made by its administrator."""

from __future__ import annotations

import base64
import typing as t

from .._http import Dialect, Fault, Response, Transport

ROLES = ("None", "Viewer", "Editor", "Admin")


class GrafanaDialect(Dialect):
    """Grafana's errors have a message, and a code only since lately."""

    name = "Grafana"

    def absent(self, response: Response) -> bool:
        return response.status == 404 and "not found" in self.error(response)[1].lower()


def connect(url: str, login: str, password: str, *, ca_file: str | None = None, secrets: t.Iterable[str] = ()) -> Transport:
    token = base64.b64encode(f"{login}:{password}".encode()).decode()
    # A refused sign-in counts towards a lock: nothing is tried twice.
    return Transport(
        url, GrafanaDialect(), headers={"Authorization": f"Basic {token}"}, ca_file=ca_file, retries=0, secrets=[password, token, *secrets]
    )


class Connect(t.Protocol):
    """A connection for a name and a password."""

    def __call__(self, login: str, password: str) -> Transport: ...


def ensure(admin: Transport, connect_as: Connect, login: str, password: str, role: str, check: bool) -> tuple[dict[str, str], dict[str, str]]:
    """What the user is like and what it shall be (empty: it is not there); they differ exactly when something was (check: would be) changed."""
    wanted = {"login": login, "role": role, "password": "the wanted one"}
    answer = admin.request("GET", "/api/users/lookup", query={"loginOrEmail": login}, absent=True)
    if answer is None:
        if not check:
            made = admin.request("POST", "/api/admin/users", body={"login": login, "name": login, "password": password}).json_dict()
            _set_role(admin, int(made["id"]), role)
        return {}, wanted
    found = answer.json_dict()
    number = int(found["id"])
    if found.get("isGrafanaAdmin"):
        raise Fault("request", "GET", "/api/users/lookup", f"{login} is an administrator of the server; it is left alone", hint="Choose another name")
    current = {**wanted, "role": _role(admin, number)}
    own = connect_as(login, password)
    try:
        if own.request("GET", "/api/user", accept=(401,)).status == 401:
            current["password"] = "another one"  # noqa: S105
    finally:
        own.close()
    if not check:
        if current["password"] != wanted["password"]:
            admin.request("PUT", f"/api/admin/users/{number}/password", body={"password": password})
        if current["role"] != role:
            _set_role(admin, number, role)
    return current, wanted


def _set_role(admin: Transport, number: int, role: str) -> None:
    if _role(admin, number) != role:
        admin.request("PATCH", f"/api/org/users/{number}", body={"role": role})


def _role(admin: Transport, number: int) -> str:
    """The user's role in the administrator's organisation; empty when it is in another."""
    found: t.Any = admin.request("GET", "/api/org/users").json()
    return next((str(one["role"]) for one in found or [] if int(one["userId"]) == number), "")
