# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of InfluxDB 2's API: names to ids, lists to their end, queries to rows.

Nothing here knows Ansible. Failures are `Fault` (what the network or the server did) and `Refused` (what the caller asked for).
"""

from __future__ import annotations

import base64
import csv
import io
import re
import typing as t

from .._http import Dialect, Fault, Response, Transport

PAGE = 100


class Refused(Exception):
    """What was asked for cannot be done; the text says why and what to do instead."""


class InfluxDialect(Dialect):
    """InfluxDB's errors are `{"code": "not found", "message": "..."}`; those of the InfluxQL endpoint `{"error": "..."}`."""

    name = "InfluxDB"

    def absent(self, response: Response) -> bool:
        # An address that InfluxDB does not know is answered with the same code: that says nothing about the object.
        code, message = self.error(response)
        return response.status == 404 and code == "not found" and message != "path not found"

    def hint(self, status: int, code: str) -> str:
        if status == 401:
            return "The token is missing, wrong, inactive or of another InfluxDB, or it lacks the permission for this"
        if status == 403:
            return "The token is valid but lacks the permission for this; organisation-wide changes need an operator token"
        if status == 422 and code == "conflict":
            return "It exists already, or InfluxDB is already set up"
        if status >= 500:
            return "InfluxDB failed or is still starting; look at its log (journalctl -u influxdb)"
        return super().hint(status, code)


def read_token(token: str | None, token_file: str | None) -> str:
    """The token itself, given or from a file; empty when neither is given."""
    if token:
        return token.strip()
    if not token_file:
        return ""
    try:
        with open(token_file, encoding="utf-8") as stream:
            text = stream.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Refused(f"cannot read the token in {token_file}: {reason}") from None
    if not text:
        raise Refused(f"the token file {token_file} is empty")
    return text


class Client:
    """InfluxDB 2 at one address, with one token."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @classmethod
    def connect(
        cls,
        url: str,
        token: str = "",
        *,
        ca_file: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        secrets: t.Iterable[str | None] = (),
    ) -> Client:
        """A client for this address; nothing is sent yet."""
        headers = {"Authorization": f"Token {token}"} if token else {}
        return cls(
            Transport(
                url,
                InfluxDialect(),
                headers=headers,
                ca_file=ca_file,
                timeout=timeout,
                retries=retries,
                secrets=[token, *secrets],
            )
        )

    def close(self) -> None:
        self.transport.close()

    # -- the server ------------------------------------------------------------------------------------------------

    def health(self) -> dict[str, t.Any]:
        """What the server says of itself; also a sick one (503) answers."""
        return self.transport.request("GET", "/health", accept=(503,)).json_dict()

    def build(self) -> str:
        """OSS for the open-source server."""
        return self.transport.request("GET", "/health", accept=(503,)).headers.get("x-influxdb-build", "")

    def setup_allowed(self) -> bool:
        """Whether this InfluxDB still waits for its first user, organisation and bucket."""
        data = self.transport.request("GET", "/api/v2/setup").json_dict()
        allowed = data.get("allowed")
        if not isinstance(allowed, bool):
            raise Fault("body", "GET", f"{self.transport.base_url}/api/v2/setup", "the answer does not say whether setup is allowed")
        return allowed

    def setup(self, body: dict[str, t.Any]) -> dict[str, t.Any]:
        # Never repeated: an answer that got lost would be followed by "already set up".
        return self.transport.request("POST", "/api/v2/setup", body=body, retry=False).json_dict()

    # -- lists -----------------------------------------------------------------------------------------------------

    def listed(self, path: str, key: str, query: dict[str, t.Any] | None = None, *, paged: bool = True) -> list[dict[str, t.Any]]:
        """All objects of a list, page by page where the server pages."""
        found: list[dict[str, t.Any]] = []
        while True:
            page = {"limit": PAGE, "offset": len(found)} if paged else {}
            response = self.transport.request("GET", path, query={**(query or {}), **page})
            data = response.json_dict()
            # An empty list of remotes or replications is null.
            items = data.get(key) or ([] if key in data else None)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise Fault("body", "GET", response.url, f"the answer has no list of {key}", status=response.status)
            found += items
            if not paged or len(items) < PAGE:
                return found

    def organization(self, name: str) -> dict[str, t.Any] | None:
        """The organisation with this name, None when there is none (or none that the token may see)."""
        response = self.transport.request("GET", "/api/v2/orgs", query={"org": name}, absent=True)
        if response is None:
            return None
        orgs = response.json_dict().get("orgs") or []
        return next((org for org in orgs if org.get("name") == name), None)

    def organization_id(self, name: str) -> str:
        org = self.organization(name)
        if org is None:
            raise Refused(
                f"InfluxDB at {self.transport.base_url} has no organisation {name}, or this token may not see it;"
                " check the name, or set InfluxDB up first (edgestack.iot.influxdb2_setup)"
            )
        return str(org["id"])

    def named(self, path: str, key: str, query: dict[str, t.Any], what: str) -> dict[str, t.Any] | None:
        """The object with a name, None when there is none. One that the token may not see is neither: the list is empty then."""
        response = self.transport.request("GET", path, query=query, absent=True)
        if response is None:
            return None
        items = response.json_dict().get(key) or []
        if not items:
            raise Refused(f"{what} is there, but this token may not see it; an operator token may")
        return t.cast("dict[str, t.Any]", items[0])

    def tasks(self, org_id: str) -> list[dict[str, t.Any]]:
        """All tasks of an organisation; this list goes on after an id, not from an offset."""
        found: list[dict[str, t.Any]] = []
        while True:
            after = {"after": found[-1]["id"]} if found else {}
            page = self.listed("/api/v2/tasks", "tasks", {"orgID": org_id, "limit": PAGE, **after}, paged=False)
            found += page
            if len(page) < PAGE:
                return found

    def remotes(self, org_id: str) -> list[dict[str, t.Any]]:
        return self.listed("/api/v2/remotes", "remotes", {"orgID": org_id}, paged=False)

    def replications(self, org_id: str) -> list[dict[str, t.Any]]:
        return self.listed("/api/v2/replications", "replications", {"orgID": org_id}, paged=False)

    def v1_authorizations(self, org_id: str) -> list[dict[str, t.Any]]:
        return self.listed("/private/legacy/authorizations", "authorizations", {"orgID": org_id}, paged=False)

    def accepts_password(self, path: str, username: str, password: str, ok: t.Collection[int]) -> bool:
        """Whether this name and password are accepted; nothing else is told by the answer."""
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.transport.add_secret(credentials)
        headers = {"Authorization": f"Basic {credentials}"}
        answer = self.transport.request("POST" if path.endswith("signin") else "GET", path, headers=headers, retry=True, accept=(401, *ok))
        if answer.status == 401:
            return False
        cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        if cookie:
            # The session that the probe began; it would end by itself.
            self.transport.request("POST", "/api/v2/signout", headers={"Cookie": cookie, "Authorization": ""}, retry=True, accept=(401,))
        return True

    def buckets(self, org_id: str) -> list[dict[str, t.Any]]:
        return self.listed("/api/v2/buckets", "buckets", {"orgID": org_id})

    def authorizations(self, org_id: str) -> list[dict[str, t.Any]]:
        return self.listed("/api/v2/authorizations", "authorizations", {"orgID": org_id}, paged=False)

    def mappings(self, org_id: str) -> list[dict[str, t.Any]]:
        return self.listed("/api/v2/dbrps", "content", {"orgID": org_id}, paged=False)

    # -- changes ---------------------------------------------------------------------------------------------------

    def create(self, path: str, body: dict[str, t.Any]) -> dict[str, t.Any]:
        return self.transport.request("POST", path, body=body).json_dict()

    def update(self, path: str, body: dict[str, t.Any], query: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        # Every update here sets values, so that to repeat it does no harm.
        return self.transport.request("PATCH", path, body=body, query=query, retry=True).json_dict()

    def delete(self, path: str, query: dict[str, t.Any] | None = None) -> None:
        """Deletes it; that it is gone already (also because a repeated request came twice) is fine."""
        self.transport.request("DELETE", path, query=query, absent=True)

    # -- queries ---------------------------------------------------------------------------------------------------

    def influxql(self, query: str, database: str, retention_policy: str | None = None, epoch: str | None = None) -> list[dict[str, t.Any]]:
        """The rows of an InfluxQL query: the series' name as `name`, its tags, its columns."""
        rows: list[dict[str, t.Any]] = []
        for series in self.influxql_series(query, database, retention_policy, epoch):
            head = {"name": series["name"]} if "name" in series else {}
            head.update(series.get("tags") or {})
            rows += [{**head, **dict(zip(series["columns"], values, strict=True))} for values in series.get("values") or []]
        return rows

    def influxql_series(self, query: str, database: str, retention_policy: str | None = None, epoch: str | None = None) -> list[dict[str, t.Any]]:
        """The series of an InfluxQL query's answer, with name, tags, columns and values."""
        refuse_writing_influxql(query)
        response = self.transport.request("GET", "/query", query={"db": database, "rp": retention_policy, "q": query, "epoch": epoch})
        return influxql_series(response.json_dict(), response)

    def flux(self, query: str, organization: str) -> list[dict[str, t.Any]]:
        """The rows of a Flux query."""
        refuse_writing_flux(query)
        response = self.transport.request(
            "POST",
            "/api/v2/query",
            query={"org": organization},
            body={"query": query, "type": "flux", "dialect": {"header": True, "annotations": ["datatype", "group", "default"]}},
            headers={"Accept": "application/csv"},
            # It reads.
            retry=True,
        )
        return flux_rows(response)


_INFLUXQL_READS = re.compile(r"\s*(select|show|explain)\b", re.IGNORECASE)
_INFLUXQL_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_INFLUXQL_INTO = re.compile(r"\binto\b", re.IGNORECASE)
_FLUX_WRITES = re.compile(r"\b(to|wideTo|post|endpoint|map_to|notify)\s*\(")
_FLUX_IGNORED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|//[^\n]*")


def refuse_writing_influxql(query: str) -> None:
    """Queries are run in check mode too, so they must only read."""
    bare = _INFLUXQL_QUOTED.sub("''", query)
    for statement in bare.split(";"):
        if statement.strip() and (not _INFLUXQL_READS.match(statement) or _INFLUXQL_INTO.search(statement)):
            raise Refused(f"only SELECT (without INTO), SHOW and EXPLAIN are run, this is something else: {statement.strip()[:80]}")


def refuse_writing_flux(query: str) -> None:
    """The same for Flux, as far as its text tells; a token that may only read is what makes it certain."""
    found = _FLUX_WRITES.search(_FLUX_IGNORED.sub('""', query))
    if found:
        raise Refused(f"only queries that read are run, this one calls {found.group(1)}()")


def influxql_series(data: dict[str, t.Any], response: Response) -> list[dict[str, t.Any]]:
    """The series of all statements; Fault when one of them failed, or its answer is cut off."""
    if data.get("error"):
        raise Fault("status", response.method, response.url, str(data["error"]), status=response.status)
    found: list[dict[str, t.Any]] = []
    for result in data.get("results") or []:
        # An error of one statement comes with the status 200.
        if result.get("error"):
            raise Fault("status", response.method, response.url, str(result["error"]), status=response.status, hint="Check the query")
        if result.get("partial"):
            raise Fault("body", response.method, response.url, "the answer is cut off", status=response.status)
        found += result.get("series") or []
    return found


_FLUX_TYPES: dict[str, t.Callable[[str], t.Any]] = {
    "long": int,
    "unsignedLong": int,
    "double": float,
    "boolean": lambda text: text == "true",
}


def flux_rows(response: Response) -> list[dict[str, t.Any]]:
    """Rows of annotated CSV, with the values' types. Tables follow one another, each with annotations and a header."""
    rows: list[dict[str, t.Any]] = []
    types: list[str] = []
    defaults: list[str] = []
    header: list[str] = []
    for line in csv.reader(io.StringIO(response.text)):
        if not line:
            header = []
        elif line[0] == "#datatype":
            types, header = line, []
        elif line[0] == "#default":
            defaults = line
        elif line[0].startswith("#"):
            continue
        elif not header:
            header = line
        else:
            row = {}
            for index, name in enumerate(header):
                if index == 0 and not name:
                    continue
                text = line[index] if index < len(line) else ""
                if not text and index < len(defaults):
                    text = defaults[index]
                kind = types[index] if index < len(types) else "string"
                row[name] = _flux_value(kind, text)
            if set(row) >= {"error", "reference"} or set(row) == {"error"}:
                raise Fault("status", response.method, response.url, str(row["error"]), status=response.status, hint="Check the query")
            rows.append(row)
    return rows


def _flux_value(kind: str, text: str) -> t.Any:
    if kind == "string":
        return text
    if not text:
        return None
    return _FLUX_TYPES.get(kind, str)(text)
