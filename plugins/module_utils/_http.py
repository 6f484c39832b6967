# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for the API modules: one kept-alive connection, faults that explain themselves, safe retries alone.

How a service's client uses it::

    transport = Transport("https://db.iot.internal:8086", Dialect(), ca_file="/etc/ssl/ca.pem",
                          headers={"Authorization": f"Token {token}"}, secrets=[token])
    buckets = transport.request("GET", "/api/v2/buckets", query={"limit": "100"}).json()
    found = transport.request("GET", f"/api/v2/buckets/{bucket_id}", absent=True)  # None: it is not there
    transport.request("POST", "/api/v2/buckets", body={"name": "x"}, retry=False)

A connection of its own for each call costs ten times the call itself (`open_url` does that), so `Transport`
keeps one `http.client` connection. Every failure is a `Fault`; nothing else is raised for what a network or a
server can do. Redirects are not followed (the credentials would travel along), proxies from the environment
are not used (the APIs are the site's own hosts).
"""

from __future__ import annotations

import http.client
import io
import json
import os
import select
import socket
import ssl
import time
import typing as t
import urllib.parse

# Repeating one of these leaves the server as doing it once does.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# The server (or a proxy before it) says: not now. 429 was certainly not carried out, the others perhaps were.
BUSY = frozenset({429, 502, 503, 504})
MAX_BODY = 64 * 1024 * 1024
MAX_WAIT = 15.0
MASK = "********"

Sleep = t.Callable[[float], None]


class Fault(Exception):
    """A request that did not get a usable answer: what was asked, what came back and what to do.

    kind is one of
    `connection` (nothing listened there: nothing was sent), `tls`,
    `timeout` and `broken` (sent, but no whole answer came: it may have been carried out),
    `status` (an answer with an error status), `redirect`,
    `body` (a good status with a body that is not what was promised) and `request` (it cannot be sent at all).
    """

    def __init__(
        self,
        kind: str,
        method: str,
        url: str,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        hint: str = "",
        attempts: int = 1,
    ) -> None:
        self.kind = kind
        self.method = method
        self.url = url
        self.message = message
        self.status = status
        self.code = code
        self.hint = hint
        self.attempts = attempts
        super().__init__(self.describe())

    def describe(self) -> str:
        """The fault in a sentence for people."""
        answer = ""
        if self.status is not None:
            answer = f"{self.status}{' ' + self.code if self.code else ''}: "
        tries = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        hint = f". {self.hint}" if self.hint else ""
        return f"{self.method} {self.url}: {answer}{self.message}{tries}{hint}"

    def amend(self, *, note: str = "", hint: str = "", attempts: int = 0) -> None:
        """What is known only to who asked: a note on what was done, a better hint."""
        self.message += f" ({note})" if note else ""
        self.hint = hint or self.hint
        self.attempts = attempts or self.attempts
        self.args = (self.describe(),)

    def as_dict(self) -> dict[str, t.Any]:
        """The fault as the `fault` return value of a module."""
        return {
            "kind": self.kind,
            "method": self.method,
            "url": self.url,
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "attempts": self.attempts,
        }


class Response:
    """An answer that was read to its end."""

    def __init__(self, method: str, url: str, status: int, headers: t.Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.url = url
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 becomes a replacement character."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> t.Any:
        """The body as JSON data, None for an empty one; Fault when it is anything else."""
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Fault(
                "body",
                self.method,
                self.url,
                f"the answer is not JSON ({error}): {excerpt(self.text)}",
                status=self.status,
                hint="Check that the address is the API's own and that no proxy answers for it",
            ) from error

    def json_dict(self) -> dict[str, t.Any]:
        """The body as a JSON object; Fault when it is anything else."""
        data = self.json()
        if not isinstance(data, dict):
            raise Fault(
                "body",
                self.method,
                self.url,
                f"the answer is not a JSON object: {excerpt(self.text)}",
                status=self.status,
            )
        return data


class Dialect:
    """How one API words its errors; a service's client overrides what differs.

    This one is for `{"code": ..., "message": ...}`.
    """

    name = "the API"

    def error(self, response: Response) -> tuple[str, str]:
        """The code and the message of an error answer."""
        try:
            data = json.loads(response.body)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            code = data.get("code")
            message = data.get("message", data.get("error", data.get("reason")))
            if code is not None or message is not None:
                text = message if isinstance(message, str) else json.dumps(message, sort_keys=True)
                return (str(code) if code is not None else ""), (text if message is not None else "")
        return "", excerpt(response.text) or "an empty answer"

    def absent(self, response: Response) -> bool:
        """Whether this answer says that the object is not there.

        Only a 404 in the API's own words does: a 404 page of a proxy, or a wrong path, says nothing about the
        object.
        """
        return response.status == 404 and bool(self.error(response)[0])

    def hint(self, status: int, code: str) -> str:
        """What to do about an error status."""
        if status == 401:
            return "Check the credentials: they are missing, wrong, expired or of another server"
        if status == 403:
            return "The credentials are valid but lack the permission for this"
        if status == 404:
            return "It does not exist on this server; check the address, and the server's version"
        if status == 429:
            return "The server limits the rate of requests; try again later"
        if status >= 500:
            return "The server failed or is not ready; look at its log"
        return ""


def excerpt(text: str, limit: int = 200) -> str:
    """The beginning of a text on one line, without what a terminal would act on."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[:limit] + "..."


def clean_url(url: str) -> str:
    """A URL as it may be shown: without a user name and a password."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class Transport:
    """One kept-alive connection to one server.

    base_url: `http://` or `https://`, with an optional path before every request's own; with unix_socket the
    host in it is only a name. ca_file and the client's certificate are PEM files.
    timeout limits each attempt; retries is how often one is repeated, with waits of backoff, 2 x backoff,
    4 x backoff... seconds, or what the server's Retry-After says, at most `MAX_WAIT`.
    secrets are masked wherever they would appear in a fault's text. Tests replace sleep and clock.
    """

    def __init__(
        self,
        base_url: str,
        dialect: Dialect | None = None,
        *,
        headers: t.Mapping[str, str] | None = None,
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        unix_socket: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.5,
        secrets: t.Iterable[str | None] = (),
        sleep: Sleep = time.sleep,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self.dialect = dialect or Dialect()
        self.headers = dict(headers or {})
        self.timeout = timeout
        self.retries = retries
        self.backoff = backoff
        self.requests = 0
        """How many requests were sent, retries included; 0 proves that nothing was contacted."""
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._sleep = sleep
        self._clock = clock
        self._unix_socket = unix_socket
        self._connection: http.client.HTTPConnection | None = None
        self._context: ssl.SSLContext | None = None

        self.base_url = clean_url(base_url).rstrip("/")
        parts = urllib.parse.urlsplit(self.base_url)
        self._path = parts.path
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise self._fault(
                "request",
                "CONNECT",
                self.base_url,
                "this is not an address of an API",
                hint="Write it as https://host:port or http://host:port",
            )
        self._host: str = parts.hostname
        self._tls = parts.scheme == "https"
        self._port = port or (443 if self._tls else 80)
        if self._tls:
            try:
                self._context = ssl.create_default_context(cafile=ca_file)
                if client_cert:
                    self._context.load_cert_chain(client_cert, client_key)
            except (OSError, ssl.SSLError) as error:
                files = ", ".join(name for name in (ca_file, client_cert, client_key) if name)
                raise self._fault(
                    "tls",
                    "CONNECT",
                    self.base_url,
                    f"cannot use the certificates in {files or 'the trust store'}: {error}",
                    hint="The files must exist, be readable for this user and hold PEM certificates",
                ) from error

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def add_secret(self, secret: str) -> None:
        """From now on this text is masked as well, for example a token that the server just made."""
        if secret and secret not in self._secrets:
            self._secrets = sorted([*self._secrets, secret], key=len, reverse=True)

    def mask(self, text: str) -> str:
        """The text without the secrets that this transport knows."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    @t.overload
    def request(
        self,
        method: str,
        path: str,
        *,
        body: t.Any = None,
        query: t.Mapping[str, t.Any] | None = None,
        headers: t.Mapping[str, str] | None = None,
        retry: bool | None = None,
        accept: t.Collection[int] = (),
        absent: t.Literal[False] = False,
        into: t.BinaryIO | None = None,
    ) -> Response: ...

    @t.overload
    def request(
        self,
        method: str,
        path: str,
        *,
        body: t.Any = None,
        query: t.Mapping[str, t.Any] | None = None,
        headers: t.Mapping[str, str] | None = None,
        retry: bool | None = None,
        accept: t.Collection[int] = (),
        absent: bool,
        into: t.BinaryIO | None = None,
    ) -> Response | None: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        body: t.Any = None,
        query: t.Mapping[str, t.Any] | None = None,
        headers: t.Mapping[str, str] | None = None,
        retry: bool | None = None,
        accept: t.Collection[int] = (),
        absent: bool = False,
        into: t.BinaryIO | None = None,
    ) -> Response | None:
        """Sends one request and returns its answer.

        body: bytes and str go out as they are, an open file from its beginning, anything else but None as JSON.
        query: None values are left out, lists repeated.
        retry: None repeats what can be repeated without harm: idempotent methods after any passing failure,
        others only when for certain nothing was carried out (nothing listened, or 429). False never repeats,
        True always (the caller knows better).
        accept: error statuses that are returned instead of raised.
        absent: None is returned when the API says that the object is not there.
        into: a file that gets the body of a good answer, whatever its size; the answer's own body is empty then.
        """
        method = method.upper()
        target = self._path + path
        if query:
            pairs = {name: value for name, value in query.items() if value is not None}
            target += "?" + urllib.parse.urlencode(pairs, doseq=True, quote_via=urllib.parse.quote)
        url = f"{self.base_url[: len(self.base_url) - len(self._path)]}{target}"
        payload, content_type = _encode(body)
        sent = {"Accept": "application/json", **self.headers}
        if content_type:
            sent["Content-Type"] = content_type
        if payload is not None and not isinstance(payload, bytes):
            sent["Content-Length"] = str(os.fstat(payload.fileno()).st_size)
        sent.update(headers or {})

        attempt = 0
        while True:
            attempt += 1
            wait = min(self.backoff * 2 ** (attempt - 1), MAX_WAIT)
            try:
                response = self._attempt(method, target, url, payload, sent, into)
            except Fault as fault:
                if attempt > self.retries or not _repeatable(method, fault, retry):
                    fault.amend(attempts=attempt)
                    raise
                self._sleep(wait)
                continue
            status = response.status
            if 200 <= status < 300 or status in accept:
                return response
            if absent and self.dialect.absent(response):
                return None
            if status in BUSY and attempt <= self.retries and _repeatable_status(method, status, retry):
                self._sleep(_retry_after(response, wait))
                continue
            raise self._status_fault(response, attempt)

    def _attempt(
        self,
        method: str,
        target: str,
        url: str,
        payload: bytes | t.BinaryIO | None,
        headers: t.Mapping[str, str],
        into: t.BinaryIO | None = None,
    ) -> Response:
        deadline = self._clock() + self.timeout
        connected = False
        try:
            connection = self._connect()
            connected = True
            self.requests += 1
            if payload is not None and not isinstance(payload, bytes):
                payload.seek(0)
            connection.request(method, target, body=payload, headers=dict(headers))
            answer = connection.getresponse()
            if into is not None and 200 <= answer.status < 300:
                body = self._save(answer, into, method, url)
            else:
                body = self._read(answer, deadline)
            # read1() leaves the answer open after its last byte, and an open answer blocks the connection.
            answer.close()
            if answer.will_close:
                self.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._network_fault(method, url, error, connected) from error
        return Response(method, url, answer.status, dict(answer.headers.items()), body)

    def _connect(self) -> http.client.HTTPConnection:
        """The kept connection when it still lives, else a new one that is connected."""
        connection = self._connection
        if connection is not None and connection.sock is not None and not _readable(connection.sock):
            return connection
        # A server closes an idle connection when it likes: that shows as "readable" (end of file). To find
        # out before anything is sent is what makes a POST safe here, where it could not be repeated.
        self.close()
        if self._unix_socket:
            connection = _UnixConnection(self._unix_socket, self.timeout)
        elif self._tls:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self.timeout, context=self._context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self.timeout)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _read(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        """The whole body, within limits: a slow trickle does not hold us for ever."""
        chunks: list[bytes] = []
        size = 0
        while chunk := answer.read1(65536):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY:
                raise http.client.HTTPException(f"the answer is larger than {MAX_BODY // 1024 // 1024} MiB")
            if self._clock() > deadline:
                raise TimeoutError("the answer did not end in time")
        # read1() ends without a word when a connection breaks before the announced length.
        if answer.length:
            raise http.client.IncompleteRead(b"".join(chunks), answer.length)
        return b"".join(chunks)

    def _save(self, answer: http.client.HTTPResponse, into: t.BinaryIO, method: str, url: str) -> bytes:
        """The body into a file. Each piece has to come in time, the whole may take as long as it takes."""
        into.seek(0)
        into.truncate()
        while chunk := answer.read1(1048576):
            try:
                into.write(chunk)
            except OSError as error:
                self.close()
                raise self._fault("request", method, url, f"the answer cannot be written: {error.strerror}", hint="Free space there") from error
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        return b""

    def _network_fault(self, method: str, url: str, error: Exception, connected: bool) -> Fault:
        where = self._unix_socket or f"{self._host}:{self._port}"
        if isinstance(error, TimeoutError):
            return self._fault(
                "timeout" if connected else "connection",
                method,
                url,
                f"no answer from {where} within {self.timeout:g} s",
                hint="The server hangs, is overloaded or a firewall drops the packets",
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._fault(
                "tls",
                method,
                url,
                f"the certificate of {where} was not accepted: {error.verify_message}",
                hint="Check ca_file, the address against the names in the certificate, and both clocks",
            )
        if isinstance(error, ssl.SSLError) and not (connected and isinstance(error, ssl.SSLEOFError)):
            return self._fault(
                "tls",
                method,
                url,
                f"TLS with {where} failed: {error.reason or error}",
                hint="Perhaps this port speaks plain http, or wants a client certificate",
            )
        if isinstance(error, (http.client.InvalidURL, ValueError)):
            # The error's own text would show the header, that is the token.
            return self._fault(
                "request",
                method,
                url,
                "the path or a header has characters that cannot be sent",
                hint="A token or password file perhaps holds a line break or something that is not ASCII",
            )
        if isinstance(error, http.client.IncompleteRead):
            return self._fault(
                "broken",
                method,
                url,
                f"{where} ended its answer before the announced length",
                hint="The service or a proxy before it broke off: look at its log, and run again",
            )
        if isinstance(error, OSError):
            detail = error.strerror or str(error)
            return self._fault(
                "broken" if connected else "connection",
                method,
                url,
                f"{where} closed the connection: {detail}" if connected else f"cannot reach {where}: {detail}",
                hint="Check that the service runs, listens there and that the name resolves",
            )
        return self._fault(
            "body",
            method,
            url,
            f"{where} does not speak HTTP as expected: {excerpt(str(error)) or type(error).__name__}",
            hint="Check the port, and whether it wants https instead of http",
        )

    def _status_fault(self, response: Response, attempts: int) -> Fault:
        code, message = self.dialect.error(response)
        if 300 <= response.status < 400:
            location = clean_url(response.headers.get("location", "nowhere"))
            return self._fault(
                "redirect",
                response.method,
                response.url,
                f"redirected to {location}, which is not followed",
                status=response.status,
                hint="Give the final address, also its scheme (https)",
                attempts=attempts,
            )
        hint = self.dialect.hint(response.status, code)
        if not code and "<html" in response.text[:1000].lower():
            hint = f"An HTML page answered, not {self.dialect.name}: check the address and any proxy before it"
        return self._fault(
            "status",
            response.method,
            response.url,
            message,
            status=response.status,
            code=code,
            hint=hint,
            attempts=attempts,
        )

    def _fault(
        self,
        kind: str,
        method: str,
        url: str,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        hint: str = "",
        attempts: int = 1,
    ) -> Fault:
        return Fault(
            kind,
            method,
            self.mask(url),
            self.mask(message),
            status=status,
            code=code,
            hint=hint,
            attempts=attempts,
        )


def _encode(body: t.Any) -> tuple[bytes | t.BinaryIO | None, str]:
    if body is None:
        return None, ""
    if isinstance(body, io.IOBase):
        return t.cast("t.BinaryIO", body), "application/octet-stream"
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json"


def _readable(sock: socket.socket) -> bool:
    """Whether an idle connection has something to say, which can only be its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def _repeatable(method: str, fault: Fault, retry: bool | None) -> bool:
    """Whether a request that got no answer may be sent again."""
    if fault.kind not in {"connection", "timeout", "broken"} or retry is False:
        return False
    # "connection" means that nothing was sent, so that nothing was carried out either.
    return bool(retry) or fault.kind == "connection" or method in IDEMPOTENT


def _repeatable_status(method: str, status: int, retry: bool | None) -> bool:
    if retry is not None:
        return retry
    return status == 429 or method in IDEMPOTENT


def _retry_after(response: Response, wait: float) -> float:
    """What the server asks for when that is a number of seconds, within reason."""
    text = response.headers.get("retry-after", "").strip()
    return min(max(float(text), wait), MAX_WAIT) if text.isascii() and text.isdigit() else wait
