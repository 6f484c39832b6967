# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EMQX's REST API over one kept-alive connection.

Nothing here knows Ansible. What the network or the server does wrong is a Fault (see _http); what a caller asks for that
cannot be is an EmqxError. Only EMQX's own 404 (JSON with a code) means absent; a 404 page of a proxy does not.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import ssl
import time
import typing as t
import urllib.parse
import uuid

from .._http import Dialect, Fault, Response, Transport

API = "/api/v5"

Json = t.Any


class EmqxError(Exception):
    """Something that was asked for and cannot be: what, and what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}. {hint}" if hint else problem)


class EmqxDialect(Dialect):
    """EMQX's errors: {"code", "message"}, where the message is a text, a structure, or JSON in a text."""

    name = "EMQX's REST API"

    _HINTS = {
        400: "EMQX refuses what was sent; its message names the field",
        401: "Check api_key and api_secret (or api_secret_file), or username and password. A key that was rotated in the bootstrap"
        " file is read at EMQX's start only, and API keys may not manage users or API keys",
        403: "This key or user lacks the right; use one with the role administrator",
        404: "Check url, and whether this EMQX version and edition has this part of the API",
        405: "This EMQX version does not have this request",
        409: "It exists already, made by someone else meanwhile; run again",
        429: "EMQX limits the rate of requests; try again later",
        502: "A proxy answers in EMQX's place: check that EMQX runs, and that url names EMQX itself",
        503: "EMQX is not ready: check its service, and raise wait_timeout for a slow host",
        504: "A proxy waited for EMQX in vain: check that EMQX runs, and that url names EMQX itself",
    }

    def error(self, response: Response) -> tuple[str, str]:
        code, message = super().error(response)
        if code and message.startswith("{"):
            message = _readable(message) or message
        elif not code:
            # 5.3 on HOCON that it does not know: {"mqtt": {"reason": ..., "path": [109, 113, ...]}}.
            message = _readable(response.text) or message
        return code, message if len(message) <= 1500 else message[:1500] + "..."

    def hint(self, status: int, code: str) -> str:
        return self._HINTS.get(status) or ("EMQX failed inside: look at its log" if status >= 500 else "")


def _readable(text: str) -> str:
    """A structure in a text as words, or nothing when it is none."""
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(parts, dict) and len(parts) == 1 and isinstance(inner := next(iter(parts.values())), dict):
        parts = inner
    if not isinstance(parts, dict):
        return ""
    return ", ".join(f"{key} {_flat(parts[key])}" for key in sorted(parts, key=_rank))


def _rank(key: str) -> tuple[int, str]:
    first = ("reason", "path", "unknown", "value")
    return (first.index(key) if key in first else len(first), key)


def _flat(value: Json) -> str:
    if isinstance(value, list) and value and all(isinstance(code, int) and 32 <= code < 0x110000 for code in value):
        # A text of Erlang's, which is a list of characters.
        return "".join(map(chr, value))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Credentials:
    """Either an API key with its secret, or a user of the dashboard with a password."""

    api_key: str | None = None
    api_secret: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Tls:
    """How an https server is verified, and with what we present ourselves."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    verify: bool = True


class _EmqxTransport(Transport):
    """The transport, which on request does not verify the server (validate_certs: false)."""

    def __init__(self, base_url: str, tls: Tls, **options: t.Any) -> None:
        super().__init__(base_url, EmqxDialect(), ca_file=tls.ca_file, client_cert=tls.client_cert, client_key=tls.client_key, **options)
        if self._context is not None and not tls.verify:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE


@dataclasses.dataclass(frozen=True)
class Server:
    """What answers: the oldest version among its nodes, and its edition."""

    version: str
    edition: str
    nodes: tuple[str, ...]

    @property
    def enterprise(self) -> bool:
        return self.edition.lower() == "enterprise"


def path_of(*parts: str) -> str:
    """A path whose parts are escaped (a slash in a name stays part of the name); ':' is as EMQX's own documents write it."""
    return "".join("/" + urllib.parse.quote(part, safe=":@") for part in parts)


class Client:
    """One server. url: http://host:port, https://host:port or unix:///path/to/socket; without /api/v5."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        tls: Tls | None = None,
        timeout: float = 30,
        retries: int = 2,
        backoff: float = 0.3,
        sleep: t.Callable[[float], None] = time.sleep,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.username or parts.password:
            raise EmqxError("url must not hold credentials", "Use api_key and api_secret_file, or username and password")
        base = url.rstrip("/").removesuffix(API)
        socket_path = None
        if parts.scheme == "unix":
            base, socket_path = "http://localhost", parts.path
        elif parts.scheme in ("http", "https") and parts.hostname and ":" not in parts.netloc.rpartition("]")[2]:
            # EMQX's own ports, not those of the web.
            port = 18083 if parts.scheme == "http" else 18084
            base = parts._replace(netloc=f"{parts.netloc}:{port}").geturl().rstrip("/").removesuffix(API)
        self._credentials = credentials
        self._token: str | None = None
        self._server: Server | None = None
        self._sleep = sleep
        self._clock = clock
        options = {
            "unix_socket": socket_path,
            "backoff": backoff,
            "secrets": [credentials.api_secret, credentials.password],
            "sleep": sleep,
            "clock": clock,
        }
        self._http = _EmqxTransport(base, tls or Tls(), timeout=timeout, retries=retries, **options)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self._http.requests

    def redact(self, secrets: t.Iterable[str]) -> None:
        """Texts that appear in no error message, also when the server sends them back."""
        for secret in secrets:
            self._http.add_secret(secret)

    def get(self, path: str, query: t.Mapping[str, t.Any] | None = None) -> Json:
        """What is there; a Fault when it is absent."""
        return self._json(self._http.request("GET", API + path, query=query, headers=self._authorization()))

    def find(self, path: str) -> Json | None:
        """What is there, or None when EMQX itself says that it is absent."""
        answer = self._http.request("GET", API + path, headers=self._authorization(), absent=True)
        return None if answer is None else self._json(answer)

    def text(self, path: str, query: t.Mapping[str, t.Any] | None = None) -> str:
        """What is there as plain text (HOCON)."""
        answer = self._http.request("GET", API + path, query=query, headers={**self._authorization(), "Accept": "text/plain"})
        if not answer.text.strip() or "<html" in answer.text[:1000].lower():
            raise self.unexpected(path, "plain text of EMQX")
        return answer.text

    def download(self, path: str, query: t.Mapping[str, t.Any] | None = None) -> bytes:
        """A file's content."""
        return self._http.request("GET", API + path, query=query, headers={**self._authorization(), "Accept": "*/*"}).body

    def post(self, path: str, body: Json = None, *, empty: bool = False) -> Json:
        return self._done(self._http.request("POST", API + path, body=body, headers=self._authorization()), empty)

    def put(self, path: str, body: Json = None, *, empty: bool = False) -> Json:
        return self._done(self._http.request("PUT", API + path, body=body, headers=self._authorization()), empty)

    def put_text(self, path: str, text: str, query: t.Mapping[str, t.Any]) -> None:
        """Sends HOCON. EMQX answers with nothing, and 5.3 and 5.8 answer 200 to what they cannot parse: look afterwards."""
        headers = {**self._authorization(), "Content-Type": "text/plain"}
        self._done(self._http.request("PUT", API + path, body=text.encode(), query=query, headers=headers), True)

    def upload(self, path: str, field: str, name: str, content: bytes) -> None:
        """Sends a file as a form does."""
        boundary = f"edgestack-{uuid.uuid4().hex}"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        headers = {**self._authorization(), "Content-Type": f"multipart/form-data; boundary={boundary}"}
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        self._done(self._http.request("POST", API + path, body=body, headers=headers), False)

    def delete(self, path: str, query: t.Mapping[str, t.Any] | None = None) -> bool:
        """True when it was there (or EMQX does not say), False when EMQX says that it is absent."""
        answer = self._http.request("DELETE", API + path, query=query, headers=self._authorization(), absent=True)
        if answer is not None:
            self._done(answer, False)
        return answer is not None

    def accepts(self, username: str, password: str) -> bool:
        """Whether this user of the dashboard logs in with this password: one attempt, and its session is ended again."""
        answer = self._http.request("POST", API + "/login", body={"username": username, "password": password}, retry=False, accept=(401,))
        if answer.status == 401:
            code, message = self._http.dialect.error(answer)
            if code == "BAD_USERNAME_OR_PWD":
                return False
            raise Fault(
                "status", "POST", answer.url, message, status=401, code=code, hint="Wait: after five wrong passwords EMQX 5.9 locks a user for ten minutes"
            )
        token = answer.json_dict().get("token")
        if not isinstance(token, str):
            raise self.unexpected("/login", "a token")
        self._http.add_secret(token)
        self._http.request("POST", API + "/logout", body={"username": username}, headers={"Authorization": f"Bearer {token}"})
        return True

    def pages(self, path: str, query: t.Mapping[str, t.Any] | None = None, limit: int = 1000) -> list[Json]:
        """All rows of a paged list."""
        rows: list[Json] = []
        page = 1
        while True:
            body = self.get(path, {**(query or {}), "page": page, "limit": limit})
            if not isinstance(body, dict) or not isinstance(body.get("data"), list):
                raise self.unexpected(path, "a page of a list")
            rows += body["data"]
            meta = body.get("meta") or {}
            # The list of bans has a count and no hasnext.
            more = meta.get("hasnext", len(rows) < int(meta.get("count") or 0))
            if not more or not body["data"]:
                return rows
            page += 1

    def unexpected(self, path: str, wanted: str) -> Fault:
        """An answer of the right status and the wrong kind."""
        url = self._http.base_url + API + path
        return Fault("body", "GET", url, f"the answer is not {wanted}", hint="Check that url is the address of EMQX's REST API")

    def wait(self, limit: float) -> None:
        """Waits until GET /status says that EMQX runs. It needs no credentials."""
        end = self._clock() + limit
        pause = 0.1
        while True:
            try:
                # What is not EMQX's "not ready" is a fault at once.
                answer = self._http.request("GET", API + "/status", retry=False, accept=(503,))
                said = "503, not ready"
                if answer.status == 200:
                    return
            except Fault as fault:
                if fault.kind not in ("connection", "timeout"):
                    raise
                said = fault.message
            if self._clock() >= end:
                raise Fault(
                    "connection", "GET", self._http.base_url + API + "/status", f"EMQX does not run after {limit:g} s ({said})",
                    hint="Check the service (systemctl status emqx), its log, and url; raise wait_timeout for a slow host",
                )  # fmt: skip
            self._sleep(min(pause, max(0.0, end - self._clock())))
            pause = min(pause * 1.5, 2.0)

    def server(self) -> Server:
        """Version and edition, asked once."""
        if self._server is None:
            nodes = self.get("/nodes")
            known = [node for node in nodes if isinstance(node, dict) and isinstance(node.get("version"), str)] if isinstance(nodes, list) else []
            if not known:
                raise self.unexpected("/nodes", "a list of nodes with their versions")
            # The oldest node decides what the cluster can do.
            oldest = min(known, key=lambda node: version_key(node["version"]))
            self._server = Server(oldest["version"], str(oldest.get("edition") or ""), tuple(str(node.get("node") or "") for node in known))
        return self._server

    def _json(self, answer: Response) -> Json:
        body = answer.json()
        if body is None:
            raise Fault(
                "body", answer.method, answer.url, "the answer is empty", status=answer.status,
                hint="A proxy or another program answers here: check url",
            )  # fmt: skip
        return body

    def _done(self, answer: Response, empty: bool) -> Json:
        """A write that was carried out: 204, or an answer with content. 200 with nothing is a proxy's, unless EMQX does that here."""
        if answer.status == 204 or (empty and not answer.body):
            return None
        return self._json(answer)

    def _authorization(self) -> dict[str, str]:
        own = self._credentials
        if own.api_key is not None:
            pair = f"{own.api_key}:{own.api_secret or ''}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        if self._token is None:
            # One attempt: since 5.9 five wrong passwords lock the user for ten minutes.
            answer = self._http.request("POST", API + "/login", body={"username": own.username, "password": own.password or ""}, retry=False).json_dict()
            if not isinstance(answer.get("token"), str):
                raise self.unexpected("/login", "a token")
            self._token = str(answer["token"])
            self._http.add_secret(self._token)
        return {"Authorization": "Bearer " + self._token}


def version_key(version: str) -> tuple[int, ...]:
    """5.8.9 -> (5, 8, 9); what follows the numbers (-rc.1, +build) does not count."""
    found = re.match(r"[ve]?(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    if not found:
        raise EmqxError(f"cannot read the version {version!r}", "Check that url is the address of EMQX's REST API")
    return tuple(int(part or 0) for part in found.groups())
