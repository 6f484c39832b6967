# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transport against a server that does everything that servers, proxies and networks do wrong."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import socket
import ssl
import threading

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils import _http
from ansible_collections.edgestack.iot.plugins.module_utils._http import MASK, Dialect, Fault, Response, Transport

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


def answer(status: str, body: bytes | str = b"", **headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class Server:
    """Answers with the given bytes, one item a request; an item may be a function of the connection."""

    def __init__(self, *script, context=None, path=None):
        self.script = list(script)
        self.requests: list[bytes] = []
        self.connections = 0
        self.context = context
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen()
            self.port = 0
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def run(self):
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), connection:
                if self.context:
                    connection = self.context.wrap_socket(connection, server_side=True)
                self.serve(connection)

    def serve(self, connection):
        while self.script:
            data = b""
            while b"\r\n\r\n" not in data:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                data += chunk
            head, _end, body = data.partition(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    while len(body) < int(line.split(b":")[1]):
                        body += connection.recv(65536)
            self.requests.append(head + b"\r\n\r\n" + body)
            item = self.script.pop(0)
            if callable(item):
                item(connection)
                return
            connection.sendall(item)
            if b"Connection: close" in item:
                return
        # Stays open, silent, until the other end goes.
        connection.settimeout(10)
        connection.recv(1)

    def close(self):
        self.listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(*script, **options):
        servers.append(Server(*script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def client(server, **options):
    waits: list[float] = []
    options = {"timeout": 3, "retries": 2, "backoff": 0.5, **options}
    transport = Transport(server.url, sleep=waits.append, **options)
    transport.waits = waits
    return transport


def fault_of(call) -> Fault:
    with pytest.raises(Fault) as caught:
        call()
    return caught.value


def test_one_connection_for_all_requests(serve):
    server = serve(OK, answer("204 No Content"), OK)
    with client(server, headers={"Authorization": "Token t"}) as transport:
        assert transport.request("GET", "/a", query={"x": "a b/&", "none": None, "many": [1, 2]}).json() == {"ok": True}
        assert transport.request("delete", "/b").json() is None
        assert transport.request("POST", "/c", body={"k": "ü"}, headers={"X-Y": "z"}).json_dict() == {"ok": True}
    assert server.connections == 1 and transport.requests == 3
    assert server.requests[0].startswith(b"GET /a?x=a%20b%2F%26&many=1&many=2 HTTP/1.1\r\n")
    assert b"Authorization: Token t" in server.requests[0] and b"Accept: application/json" in server.requests[0]
    assert server.requests[2].endswith(b'{"k": "\\u00fc"}') and b"Content-Type: application/json" in server.requests[2]
    assert b"X-Y: z" in server.requests[2]


def test_bodies_that_are_texts_or_bytes(serve):
    server = serve(OK, OK)
    transport = client(server)
    transport.request("POST", "/a", body="line")
    transport.request("POST", "/b", body=b"\x00")
    assert b"text/plain" in server.requests[0] and b"octet-stream" in server.requests[1]


def test_a_path_in_the_address_and_a_user_that_is_not_shown(serve):
    server = serve(OK, answer("404 Not Found", '{"code": "x", "message": "y"}'))
    transport = Transport(f"http://user:secret@127.0.0.1:{server.port}/base/", timeout=3)
    transport.request("GET", "/a")
    assert server.requests[0].startswith(b"GET /base/a HTTP/1.1")
    fault = fault_of(lambda: transport.request("GET", "/a"))
    assert fault.url == f"http://127.0.0.1:{server.port}/base/a" and "secret" not in str(fault)


def test_a_connection_that_the_server_closed_meanwhile_is_made_anew_also_for_a_post(serve):
    server = serve(answer("200 OK", "{}", Connection="keep-alive"), lambda connection: None, OK)
    transport = client(server)
    transport.request("GET", "/a")
    # The server closes after this one, without a word.
    fault = fault_of(lambda: transport.request("POST", "/b", body={}))
    assert fault.kind == "broken" and fault.attempts == 1
    assert transport.request("POST", "/c", body={}).status == 200
    assert server.connections == 2

    other = serve(answer("200 OK", "{}"), OK)
    transport = client(other)
    transport.request("GET", "/a")
    transport._connection.sock.shutdown(socket.SHUT_RD)
    assert transport.request("POST", "/b", body={}).status == 200
    assert other.connections == 2


def test_an_answer_that_says_close(serve):
    server = serve(answer("200 OK", "{}", Connection="close"), OK)
    transport = client(server)
    transport.request("GET", "/a")
    transport.request("GET", "/b")
    assert server.connections == 2


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "409 Conflict", "500 Oops"])
def test_an_error_says_everything_and_is_not_repeated(serve, status):
    server = serve(answer(status, '{"code": "the code", "message": "the message"}'))
    transport = client(server)
    fault = fault_of(lambda: transport.request("GET", "/thing"))
    number = int(status[:3])
    assert (fault.kind, fault.status, fault.code, fault.message) == ("status", number, "the code", "the message")
    assert f"GET {server.url}/thing: {number} the code: the message" in str(fault)
    assert bool(fault.hint) == (number not in (400, 409))
    assert fault.as_dict()["status"] == number and fault.as_dict()["url"] == f"{server.url}/thing"
    assert transport.waits == [] and len(server.requests) == 1


def test_accepted_statuses_are_returned(serve):
    server = serve(answer("503 Busy", "{}"), answer("409 Conflict", "{}"))
    transport = client(server)
    assert transport.request("GET", "/a", accept=(503,)).status == 503
    assert transport.request("GET", "/b", accept=(409,)).status == 409


def test_only_the_apis_own_404_is_absent(serve):
    own = answer("404 Not Found", '{"code": "not found", "message": "no"}')
    page = answer("404 Not Found", "<html><body>nginx</body></html>", Content_Type="text/html")
    server = serve(own, page, own, answer("401 Unauthorized", '{"code": "x"}'))
    transport = client(server)
    assert transport.request("GET", "/a", absent=True) is None
    fault = fault_of(lambda: transport.request("GET", "/a", absent=True))
    assert fault.status == 404 and "HTML" in fault.hint and "nginx" in fault.message
    assert fault_of(lambda: transport.request("GET", "/a")).status == 404
    assert fault_of(lambda: transport.request("GET", "/a", absent=True)).status == 401


def test_redirects_are_not_followed(serve):
    server = serve(answer("302 Found", "", Location="https://user:pw@elsewhere/login"))
    fault = fault_of(lambda: client(server, headers={"Authorization": "Token t"}).request("GET", "/a"))
    assert fault.kind == "redirect" and "https://elsewhere/login" in str(fault) and "pw" not in str(fault)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<html>login</html>", "not JSON"),
        ('{"half": [1, ', "not JSON"),
        ("[" * 100000, "not JSON"),
        ("[1]", "not a JSON object"),
        ("\x1b[31mred\x07" + "x" * 500, "not JSON"),
    ],
)
def test_good_status_bad_body(serve, body, message):
    fault = fault_of(lambda: client(serve(answer("200 OK", body))).request("GET", "/a").json_dict())
    assert fault.kind == "body" and message in fault.message and fault.status == 200
    assert "\x1b" not in fault.message and len(fault.message) < 350


def test_retries_of_what_can_be_repeated(serve):
    busy = answer("503 Busy", "{}")
    server = serve(busy, busy, OK)
    transport = client(server)
    assert transport.request("PUT", "/a", body={}).status == 200
    assert transport.waits == [0.5, 1.0]
    server = serve(answer("429 Slow", "{}", Retry_After="7"), answer("429 Slow", "{}", Retry_After="900"), OK)
    transport = client(server)
    assert transport.request("POST", "/a", body={}).status == 200
    assert transport.waits == [7.0, _http.MAX_WAIT]
    server = serve(answer("503 Busy", "{}", Retry_After="Thu, 01 Jan 2026 00:00:00 GMT"), OK)
    transport = client(server)
    transport.request("GET", "/a")
    assert transport.waits == [0.5]


def test_what_is_not_repeated(serve):
    server = serve(answer("503 Busy", "{}"), OK)
    assert fault_of(lambda: client(server).request("POST", "/a", body={})).status == 503
    server = serve(answer("503 Busy", "{}"), OK)
    assert client(server).request("POST", "/a", body={}, retry=True).status == 200
    server = serve(answer("429 Slow", "{}"), OK)
    assert fault_of(lambda: client(server).request("GET", "/a", retry=False)).status == 429
    server = serve(*[answer("503 Busy", '{"message": "still starting"}')] * 3)
    transport = client(server)
    fault = fault_of(lambda: transport.request("GET", "/a"))
    assert fault.attempts == 3 and "after 3 attempts" in str(fault) and "still starting" in str(fault)
    gone = lambda connection: None  # noqa: E731
    server = serve(gone, OK)
    assert client(server).request("GET", "/a").status == 200
    server = serve(gone, OK)
    assert fault_of(lambda: client(server).request("GET", "/a", retry=False)).kind == "broken"
    server = serve(gone, OK)
    assert client(server).request("POST", "/a", retry=True).status == 200


def test_nothing_listens(serve):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    waits = []
    transport = Transport(f"http://127.0.0.1:{port}", retries=1, sleep=waits.append)
    # Nothing was sent, so that a POST may be repeated too.
    fault = fault_of(lambda: transport.request("POST", "/a", body={}))
    assert fault.kind == "connection" and fault.attempts == 2 and "refused" in fault.message and fault.hint
    assert transport.requests == 0 and waits == [0.5]
    fault = fault_of(lambda: Transport("http://no-such-host.invalid", retries=0).request("GET", "/"))
    assert fault.kind == "connection" and "no-such-host.invalid:80" in fault.message


def test_a_server_that_hangs_or_drips(serve):
    server = serve(lambda connection: connection.recv(1))
    fault = fault_of(lambda: client(server, timeout=0.2, retries=0).request("GET", "/a"))
    assert fault.kind == "timeout" and "0.2 s" in fault.message

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x")

    ticks = itertools.count()
    fault = fault_of(lambda: client(serve(drip), timeout=2, retries=0, clock=lambda: next(ticks)).request("GET", "/a"))
    assert fault.kind == "timeout"


def test_an_answer_without_end(serve, monkeypatch):
    monkeypatch.setattr(_http, "MAX_BODY", 1000)
    fault = fault_of(lambda: client(serve(answer("200 OK", b"x" * 5000)), retries=0).request("GET", "/a"))
    assert fault.kind == "body" and "larger" in fault.message


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broken"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "body"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "body"),
        (b"", "broken"),
    ],
)
def test_answers_that_are_none(serve, raw, kind):
    fault = fault_of(lambda: client(serve(lambda connection: connection.sendall(raw)), retries=0).request("GET", "/a"))
    assert fault.kind == kind and fault.hint is not None


def test_secrets_are_masked_everywhere(serve):
    server = serve(
        answer("400 Bad", '{"code": "c", "message": "bad token s3cret-token and s3cret"}'),
        answer("400 Bad", '{"message": {"password": "made-later"}}'),
    )
    transport = client(server, secrets=["s3cret", "s3cret-token", None, ""])
    fault = fault_of(lambda: transport.request("GET", "/a/s3cret-token"))
    assert "s3cret" not in str(fault) + str(fault.as_dict()) and str(fault).count(MASK) == 3
    transport.add_secret("made-later")
    transport.add_secret("made-later")
    transport.add_secret("")
    assert "made-later" not in str(fault_of(lambda: transport.request("GET", "/a")))
    for value in ("top\nsecret", "töken-€"):
        fault = fault_of(lambda value=value: client(server, headers={"Authorization": value}).request("GET", "/a"))
        assert fault.kind == "request" and "secret" not in str(fault) and "€" not in str(fault) and "line break" in fault.hint
    assert fault_of(lambda: client(server).request("GET", "/a b")).kind == "request"


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://", "http://x:port", "http://x:99999", "http://x/?a=b", "http://x#f"])
def test_addresses_that_are_none(url):
    fault = fault_of(lambda: Transport(url))
    assert fault.kind == "request" and "https://host:port" in fault.hint


def test_a_unix_socket(serve, tmp_path):
    path = str(tmp_path / "api.sock")
    serve(OK, path=path)
    assert Transport("http://api", unix_socket=path).request("GET", "/a").json() == {"ok": True}
    missing = Transport("http://api", unix_socket=str(tmp_path / "none"), retries=0)
    fault = fault_of(lambda: missing.request("GET", "/a"))
    assert fault.kind == "connection" and "none" in fault.message


@pytest.fixture
def pki(tmp_path):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return tmp_path


def test_tls(serve, pki):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "cert.pem", pki / "key.pem")
    context.load_verify_locations(pki / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = serve(OK, OK, context=context)
    files = {"client_cert": str(pki / "cert.pem"), "client_key": str(pki / "key.pem")}
    good = Transport(f"https://localhost:{server.port}", ca_file=str(pki / "cert.pem"), timeout=3, **files)
    assert good.request("GET", "/a").json() == {"ok": True} and good.request("GET", "/b").status == 200
    assert server.connections == 1
    good.close()

    server = serve(OK, context=context)
    for url, ca in ((f"https://localhost:{server.port}", None), (f"https://127.0.0.1:{server.port}", str(pki / "cert.pem"))):
        fault = fault_of(lambda url=url, ca=ca: Transport(url, ca_file=ca, timeout=3).request("GET", "/a"))
        assert fault.kind == "tls" and "certificate" in fault.message and fault.attempts == 1
    # It wants a certificate of ours.
    bare = Transport(f"https://localhost:{server.port}", ca_file=str(pki / "cert.pem"), timeout=3, retries=0)
    assert fault_of(lambda: bare.request("GET", "/a")).kind in ("tls", "broken")
    plain = serve(OK)
    assert fault_of(lambda: Transport(f"https://localhost:{plain.port}", timeout=1, retries=0).request("GET", "/")).kind in (
        "tls",
        "connection",
    )
    for option in ({"ca_file": str(pki / "none.pem")}, {"client_cert": str(pki / "key.pem")}):
        fault = fault_of(lambda option=option: Transport("https://localhost", **option))
        assert fault.kind == "tls" and "PEM" in fault.hint


def test_dialect_reads_what_there_is():
    dialect = Dialect()

    def read(body: str, status: int = 500):
        return dialect.error(Response("GET", "u", status, {}, body.encode()))

    assert read('{"code": 7, "message": {"b": 1}}') == ("7", '{"b": 1}')
    assert read('{"error": "e"}') == ("", "e")
    assert read('{"code": "only"}') == ("only", "")
    assert read('{"other": 1}') == ("", '{"other": 1}')
    assert read("") == ("", "an empty answer")
    assert json.dumps(Fault("k", "GET", "u", "m").as_dict())


def test_a_large_body_goes_through_a_file_both_ways(serve, tmp_path):
    """Also beyond what is taken into memory, and from the beginning when it is repeated."""
    body = bytes(range(256)) * 4096
    server = serve(answer("503 Service Unavailable", "later"), answer("200 OK", body), answer("503 Service Unavailable"), answer("204 No Content"))
    with client(server) as transport, (tmp_path / "file").open("w+b") as file:
        file.write(b"what was there before, and is longer" * 40000)
        response = transport.request("GET", "/backup", into=file)
        assert response.body == b"" and file.seek(0) == 0 and file.read() == body
        transport.request("PUT", "/restore", body=file)
        assert transport.requests == 4
    for sent in server.requests[2:]:
        head, _end, data = sent.partition(b"\r\n\r\n")
        assert data == body and b"Content-Length: 1048576" in head and b"chunked" not in head


def test_an_error_answer_does_not_get_into_the_file(serve, tmp_path):
    server = serve(answer("404 Not Found", '{"code": "not found", "message": "no"}'), answer("500 Internal Server Error", '{"code": "x", "message": "broken"}'))
    with client(server, retries=0) as transport, (tmp_path / "file").open("w+b") as file:
        assert transport.request("GET", "/a", absent=True, into=file) is None
        assert "broken" in fault_of(lambda: transport.request("GET", "/b", into=file)).message
        assert file.seek(0, 2) == 0


def test_a_cut_off_body_is_no_file(serve, tmp_path):
    def cut(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        connection.close()

    with client(serve(cut), retries=0) as transport, (tmp_path / "file").open("w+b") as file:
        assert fault_of(lambda: transport.request("GET", "/a", into=file)).kind == "broken"


def test_a_full_disk_is_not_the_servers_fault(serve):
    with client(serve(answer("200 OK", b"x" * 100000)), retries=0) as transport, open("/dev/full", "w+b", buffering=0) as file:

        class Full:
            """/dev/full cannot be truncated or sought in on every kernel."""

            write = staticmethod(file.write)
            seek = truncate = staticmethod(lambda *_position: 0)

        fault = fault_of(lambda: transport.request("GET", "/a", into=Full()))
    assert fault.kind == "request" and "No space left" in fault.message
