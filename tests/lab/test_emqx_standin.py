# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's EMQX stand-in answers as recorded EMQX servers did, and treats MQTT clients as EMQX 5.8.9 does.

Every recorded exchange of tests/contracts/emqx is replayed, in order, on a fresh stand-in with a real MariaDB behind it;
then the table of what a client sees, the queue limits, TLS, files and the command line are tried.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import http.client
import http.server
import ipaddress
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import paho.mqtt.client as paho
import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from free_ports import free_port

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "lab" / "standins" / "emqx"
CONTRACTS = ROOT / "tests" / "contracts" / "emqx"
BINARY = ROOT / "build" / "lab" / "bin" / "emqx-standin"
DASHBOARD_PASSWORD = "public123"
DATABASE_PASSWORD = "emqxpw"

ACL_OPEN = ('{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.\n'
            '{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.\n'
            '{deny, all, subscribe, ["$SYS/#", {eq, "#"}, {eq, "+/#"}]}.\n{allow, all}.\n')
ACL_CLOSED = '{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.\n{deny, all}.\n'

AUTHN_QUERY = "SELECT password_hash, salt, is_superuser FROM mqtt_user WHERE username = ${username} LIMIT 1"
ACL_QUERY = "SELECT permission, action, topic FROM mqtt_acl WHERE username = ${username}"


def wait_for(what, seconds=10.0, pause=0.02):
    """Ask until the answer is true; the last answer is returned."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(pause)


# --- what the tests stand on ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def binary():
    """Build the stand-in when its sources are newer than the binary."""
    sources = [p for p in SOURCE.rglob("*") if p.is_file()]
    if not BINARY.exists() or BINARY.stat().st_mtime < max(p.stat().st_mtime for p in sources):
        if not shutil.which("go"):
            pytest.fail("Go >= 1.24 is needed to build the EMQX stand-in; it is not on PATH", pytrace=False)
        BINARY.parent.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(["go", "build", "-trimpath", "-o", str(BINARY), "."], cwd=SOURCE, capture_output=True, text=True,
                               env={**os.environ, "CGO_ENABLED": "0"}, check=False)
        assert built.returncode == 0, built.stderr
    return BINARY


class Database:
    """A MariaDB of the test's own, run by a user without rights."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.port = free_port()
        self.socket = directory / "db.sock"
        self.process = None

    def start(self):
        server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
        installer = shutil.which("mariadb-install-db")
        if not server or not installer:
            pytest.fail("mariadbd is missing: tests/lab/lab tools", pytrace=False)
        user = []
        if os.geteuid() == 0:
            account = next((a for a in ("mysql", "nobody") if a in {p.pw_name for p in pwd.getpwall()}), "nobody")
            shutil.chown(self.directory, account)
            user = [f"--user={account}"]
        data = self.directory / "data"
        made = subprocess.run([installer, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
                               "--skip-test-db", *user], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        self.process = subprocess.Popen(
            [server, "--no-defaults", f"--datadir={data}", f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
             "--innodb-buffer-pool-size=32M", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={self.directory}/pid", *user],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_for(self._up, 30), "mariadbd did not come up"
        self.run(
            "CREATE DATABASE mqtt CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            f"CREATE USER emqx@'%' IDENTIFIED BY '{DATABASE_PASSWORD}'",
            "GRANT SELECT ON mqtt.* TO emqx@'%'",
            "CREATE TABLE mqtt.mqtt_user (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(100) UNIQUE, password_hash VARCHAR(100),"
            " salt VARCHAR(35), is_superuser TINYINT(1) DEFAULT 0, created DATETIME)",
            "CREATE TABLE mqtt.mqtt_acl (id INT AUTO_INCREMENT PRIMARY KEY, ipaddress VARCHAR(60), username VARCHAR(255), clientid VARCHAR(255),"
            " action ENUM('publish','subscribe','all'), permission ENUM('allow','deny'), topic VARCHAR(255), qos TINYINT(1), retain TINYINT(1))")

    def _up(self):
        with contextlib.suppress(pymysql.Error):
            self.connect().close()
            return True
        return False

    def connect(self):
        return pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True)

    def run(self, *statements):
        connection = self.connect()
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    def add_user(self, name, password, *rules, superuser=0):
        salt = f"salt-{name}"
        digest = hashlib.sha256((salt + password).encode()).hexdigest()
        self.run(f"INSERT INTO mqtt.mqtt_user (username, password_hash, salt, is_superuser) VALUES ('{name}', '{digest}', '{salt}', {superuser})",
                 *(f"INSERT INTO mqtt.mqtt_acl (username, permission, action, topic) VALUES ('{name}', '{p}', '{a}', '{t}')" for p, a, t in rules))

    def clear(self):
        self.run("DELETE FROM mqtt.mqtt_user", "DELETE FROM mqtt.mqtt_acl")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture(scope="session")
def database():
    # not under pytest's tmp_path: that is root's alone, and mariadbd runs as another user
    directory = pathlib.Path(tempfile.mkdtemp(prefix="standin-db-"))
    db = Database(directory)
    try:
        db.start()
        yield db
    finally:
        db.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Authority:
    """A small CA for the tests."""

    def __init__(self, directory: pathlib.Path, name: str):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(self._sign(self.name, self.key.public_key(), ca=True).public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, ca=False, crl_url=None):
        now = datetime.datetime.now(datetime.UTC)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(days=2)).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        if crl_url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, common_name, file=None, crl_url=None):
        """Make a key and a certificate; the paths of both."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        cert = self.directory / f"{file or common_name}.pem"
        cert.write_bytes(self._sign(subject, key.public_key(), crl_url=crl_url).public_bytes(serialization.Encoding.PEM))
        path = self.directory / f"{file or common_name}.key"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return cert, path

    def crl(self, *certificates, hours=24.0):
        """The revocation list with these certificates' files in it, PEM."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now - datetime.timedelta(days=1))
                   .next_update(now + datetime.timedelta(hours=hours)))
        for file in certificates:
            serial = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Standin:
    """One running stand-in with directories and ports of its own."""

    def __init__(self, binary, directory: pathlib.Path, conf="", compat="5.8.9", node="emqx2@127.0.0.1", acl=ACL_OPEN, env=None, defaults=True):
        self.binary, self.directory, self.compat, self.node = binary, directory, compat, node
        self.etc, self.data = directory / "etc", directory / "data"
        for path in (self.etc / "certs", self.data, directory / "log"):
            path.mkdir(parents=True, exist_ok=True)
        self.port = {name: free_port() for name in ("api", "tcp", "ssl", "ws", "wss")}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("EMQX_")} | {
            "EMQX_ETC_DIR": str(self.etc), "EMQX_DATA_DIR": str(self.data), "EMQX_LOG_DIR": str(directory / "log"),
            "EMQX_STANDIN_COMPAT": compat, **(env or {})}
        (self.etc / "acl.conf").write_text(acl)
        listeners = "".join(f'listeners.{kind}.default.bind = "127.0.0.1:{self.port[kind]}"\n' for kind in ("tcp", "ssl", "ws", "wss"))
        (self.etc / "emqx.conf").write_text(
            f'node.name = "{node}"\nnode.cookie = "cookie"\n'
            f'dashboard {{ listeners.http.bind = "127.0.0.1:{self.port["api"]}", default_password = "{DASHBOARD_PASSWORD}" }}\n'
            + (listeners if defaults else "") + conf)
        self.process = None
        self.token = None

    def start(self):
        self.log = (self.directory / "console.log").open("ab")
        self.process = subprocess.Popen([self.binary, "foreground"], env=self.env, stdout=self.log, stderr=self.log)
        up = wait_for(lambda: self.process.poll() is not None or self._healthy(), 10)
        assert up and self.process.poll() is None, self.console()
        self.token = None
        return self

    def _healthy(self):
        with contextlib.suppress(OSError):
            return self.request("GET", "/status", auth=None)[0] == 200
        return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        if self.process:
            self.log.close()

    def console(self):
        return (self.directory / "console.log").read_text()

    def command(self, *words, env=None):
        return subprocess.run([self.binary, *words], env=self.env | (env or {}), capture_output=True, text=True, timeout=30, check=False)

    def request(self, method, path, body=None, auth="bearer", headers=None, raw=None):
        """One call of /api/v5: status, content type, decoded body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port["api"], timeout=20)
        head = {"Content-Type": "application/json", **(headers or {})}
        if auth == "bearer":
            if self.token is None:
                answer = self.request("POST", "/login", {"username": "admin", "password": DASHBOARD_PASSWORD}, auth=None)[2]
                self.token = answer["token"]
            head["Authorization"] = f"Bearer {self.token}"
        elif isinstance(auth, tuple):
            head["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        data = raw if raw is not None else (json.dumps(body) if body is not None else None)
        connection.request(method, "/api/v5" + path, data, head)
        answer = connection.getresponse()
        payload = answer.read()
        kind = answer.headers.get("Content-Type")
        connection.close()
        if not payload:
            return answer.status, kind, None
        try:
            return answer.status, kind, json.loads(payload)
        except ValueError:
            return answer.status, kind, payload.decode()

    def get(self, path):
        status, _kind, body = self.request("GET", path)
        assert status == 200, (status, body)
        return body

    def use_database(self, database, authn=None, authz=None):
        """Authentication and authorization by MySQL, as the collection sets them up."""
        common = {"server": f"127.0.0.1:{database.port}", "database": "mqtt", "username": "emqx", "password": DATABASE_PASSWORD,
                  "pool_size": 2, "ssl": {"enable": False}}
        assert self.request("POST", "/authentication", {
            "mechanism": "password_based", "backend": "mysql", "query": AUTHN_QUERY, "query_timeout": "2s",
            "password_hash_algorithm": {"name": "sha256", "salt_position": "prefix"}, **common, **(authn or {})})[0] == 200
        assert self.request("POST", "/authorization/sources", {"type": "mysql", "query": ACL_QUERY, **common, **(authz or {})})[0] == 204


@pytest.fixture
def standin(binary, tmp_path):
    """A factory; everything started by it is stopped at the end."""
    made = []

    def make(**options):
        one = Standin(binary, tmp_path / f"node{len(made)}", **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


# --- every recorded exchange --------------------------------------------------------------------------------------------


def recording(version):
    return [json.loads(line) for line in (CONTRACTS / f"recordings-{version}.jsonl").read_text().splitlines()]


RECORDED = {version: recording(version) for version in ("5.8.9", "5.3.0")}

# The ports of the recorded servers, and which of ours stands in for each. "other" and "spare" are free ports.
PORTS = {
    "5.8.9": {28183: "api", 21883: "tcp", 28883: "ssl", 28083: "ws", 28084: "wss", 3306: "db", 1883: "tcp", 18083: "api"},
    "5.3.0": {18083: "api", 1883: "tcp", 8883: "ssl", 8083: "ws", 8084: "wss", 3306: "db"},
}
# What the recorded servers had in their files when the recording began.
BEFORE = {
    "5.8.9": {"conf": "", "acl": ACL_OPEN, "node": "emqx2@127.0.0.1"},
    "5.3.0": {"conf": "", "acl": ACL_CLOSED, "node": "emqx@127.0.0.1"},
}

# What differs from run to run or from machine to machine: only type and form are compared.
VOLATILE = {"token", "api_key", "api_secret", "created_at", "last_modified_at", "created_at_sec", "at", "publish_at", "msgid", "load1", "load5",
            "load15", "max_fds", "memory_total", "memory_used", "otp_release", "process_used", "sys_path", "uptime", "filename", "size",
            "emqx_cert_expiry_at"}
COUNTERS = ("/metrics", "/stats", "/prometheus/stats")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)")


class Replay:
    """The exchanges of one version, made in order; each answer is kept for its own test."""

    def __init__(self, version, server, database):
        self.version, self.server = version, server
        self.ports = {str(old): str(database.port if name == "db" else server.port[name]) for old, name in PORTS[version].items()}
        self.keys = {}
        self.tokens = {}
        self.answers = [self.exchange(recorded) for recorded in RECORDED[version]]

    def ours(self, value):
        """The recorded value with our ports; ports that nothing stands for get a free one."""
        text = json.dumps(value)
        text = re.sub(r"\b(127\.0\.0\.1|0\.0\.0\.0):(\d{4,5})\b(?!/)", self._address, text)
        return json.loads(re.sub(r'"bind": 18083\b', f'"bind": "127.0.0.1:{self.ports["18083"]}"', text))

    def _address(self, match):
        if match[2] == "9091":  # Prometheus' push gateway: a default, nobody listens
            return match[0]
        return "127.0.0.1:" + self.ports.setdefault(match[2], str(free_port()))

    def exchange(self, recorded):
        request = recorded["request"]
        auth = None
        if request["auth"] == "bearer":
            auth = "bearer"
        elif request["auth"].startswith("basic:"):
            auth = self.keys.get(request["auth"].removeprefix("basic:"), ("nokey", "nosecret"))
        body, raw = self.ours(request["body"]), None
        if isinstance(body, str):
            body, raw = None, body
        status, kind, answer = self.server.request(request["method"], request["path"], body, auth, request["headers"], raw)
        before = recorded["response"]["body"]
        if isinstance(before, dict) and "api_secret" in before and isinstance(answer, dict):
            self.keys[before["api_key"]] = (answer.get("api_key", ""), answer.get("api_secret", ""))
        if request["path"] == "/login" and status == 200 and request["body"]["username"] == "admin":
            self.server.token = answer["token"]
        return status, kind, answer


@pytest.fixture(scope="session")
def replays(binary, database, tmp_path_factory):
    """Both replays; the servers run until the end, because the order of the tests is free."""
    database.clear()
    running, made = [], {}
    for version, before in BEFORE.items():
        directory = tmp_path_factory.mktemp(f"replay-{version}")
        server = Standin(binary, directory, compat=version, conf=before["conf"], acl=before["acl"], node=before["node"])
        cert, key = Authority(directory / "pki", "recorded CA").issue("server")
        for name, source in (("cert.pem", cert), ("key.pem", key), ("cacert.pem", directory / "pki" / "ca.pem")):
            shutil.copy(source, server.etc / "certs" / name)
        if version == "5.3.0":  # this recording was made on a server that had been set up before
            (server.data / "configs").mkdir()
            (server.data / "configs" / "cluster.hocon").write_text("authorization.no_match = deny\nmqtt.max_packet_size = 2MB\n")
        running.append(server.start())
        made[version] = Replay(version, server, database)
    yield made
    for server in running:
        server.stop()


def same(expected, actual, where, counters=False):
    """Same keys, same types, and the same value wherever that does not depend on the run."""
    name = where[-1] if where else ""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: {actual!r} instead of an object"
        if expected == {"...": "left out"}:
            return
        assert sorted(expected) == sorted(actual), f"{where}: keys"
        for key, value in expected.items():
            same(value, actual[key], [*where, key], counters)
        return
    if isinstance(expected, list):
        assert isinstance(actual, list), f"{where}: {actual!r} instead of a list"
        assert len(expected) == len(actual), f"{where}: {len(actual)} instead of {len(expected)} elements: {actual}"
        for i, value in enumerate(expected):
            same(value, actual[i], [*where, str(i)], counters)
        return
    assert type(expected) is type(actual), f"{where}: {actual!r} is not of the type of {expected!r}"
    if isinstance(expected, str) and TIME.fullmatch(expected):
        form = TIME.fullmatch(actual)
        assert form, f"{where}: {actual!r} is not a time like {expected!r}"
        assert (form[1] is None) == (TIME.fullmatch(expected)[1] is None), f"{where}: {actual!r} is not as precise as {expected!r}"
        return
    if name in VOLATILE or counters and isinstance(expected, (int, float)):
        return
    assert expected == actual, f"{where}: {actual!r} instead of {expected!r}"


def message_of(recorded):
    """An error's message without what is EMQX's innards: where in its sources it failed, a dump of a connector's terms."""
    for mark in (", [{", "=> #{local"):
        recorded = recorded.split(mark)[0]
    return recorded


def check(version, recorded, replay, actual):
    status, kind, body = actual
    request, response = recorded["request"], recorded["response"]
    expected = replay.ours(response["body"])
    assert status == response["status"], body
    assert (kind or "").split(";")[0] == (response["content_type"] or ""), kind
    if isinstance(expected, str) or isinstance(body, str):
        assert expected == body
        return
    at = (recorded["scenario"], recorded["step"])
    if at in (("bridges", "bad body"), ("configs", "hocon put bad")) and status == 500:
        assert body["code"] == expected["code"]
        assert message_of(body["message"]) == message_of(expected["message"])
        return
    if at == ("connectors", "delete in use"):  # the channels that are named; what is in them is a dump of Erlang terms
        assert body["code"] == expected["code"]
        named = re.compile(r'^\{<<"[^"]*">>|<<"(?:action|source):[^"]*">>')
        assert named.findall(body["message"]) == named.findall(expected["message"])
        return
    if at == ("authz", "mysql bad") and version == "5.3.0":  # the recording is cut off, and it tells of sources that the contract leaves out
        assert "(left out)" in expected["message"]
        told = json.loads(body["message"])
        assert body["code"] == expected["code"]
        assert expected["message"].startswith(f'{{"reason":"{told["reason"]}","path":"{told["path"]}","mismatches":{{')
        assert told["mismatches"]["mysql"]["reason"] == {"expected": "pos_integer()"}
        return
    if at == ("data", "files"):  # the recorded server had made an earlier export
        assert len(body["data"]) == body["meta"]["count"] == 1
        expected["data"], expected["meta"]["count"] = expected["data"][:1], 1
    if request["path"].startswith("/configs") and request["method"] == "GET" and version == "5.3.0":
        # where the image of that server had its log, which is a matter of the installation
        text = json.dumps(expected).replace("/opt/emqx/log", str(replay.server.directory / "log"))
        expected = json.loads(text)
        if isinstance(body, dict):
            body = json.loads(json.dumps(body).replace("${EMQX_LOG_DIR}", str(replay.server.directory / "log")))
    if isinstance(expected, dict) and at == ("banned", "create again"):
        assert body["code"] == expected["code"]
        same(json.loads(expected["message"]), json.loads(body["message"]), [])
        assert [k for k, _ in json.JSONDecoder(object_pairs_hook=list).decode(body["message"])] == \
            [k for k, _ in json.JSONDecoder(object_pairs_hook=list).decode(expected["message"])]
        return
    same(expected, body, [], counters=request["path"].split("?")[0] in COUNTERS)


@pytest.mark.parametrize(("version", "index"), [
    pytest.param(version, i, id=f"{version}-{i:03d}-{r['scenario']}-{r['step']}".replace(" ", "_"))
    for version, exchanges in RECORDED.items() for i, r in enumerate(exchanges)])
def test_recorded_exchange(replays, version, index):
    replay = replays[version]
    check(version, RECORDED[version][index], replay, replay.answers[index])


@pytest.mark.parametrize("version", ["5.8.9", "5.3.0"])
def test_embedded_openapi_document_is_the_contract(version):
    name = f"openapi-{version}.json"
    assert (SOURCE / name).read_bytes() == (CONTRACTS / name).read_bytes()


# --- what a client sees -------------------------------------------------------------------------------------------------


class Client:
    """Just enough MQTT to see every byte of an answer. With v5 a reason code that is left out is 0."""

    def __init__(self, port, version, *, tls=None, timeout=5.0):
        self.version = version
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.next_id = 0

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    @staticmethod
    def text(value):
        raw = value.encode()
        return struct.pack(">H", len(raw)) + raw

    def send(self, first, body):
        length, encoded = len(body), b""
        while True:
            length, digit = divmod(length, 128)
            encoded += bytes([digit | (0x80 if length else 0)])
            if not length:
                break
        self.sock.sendall(bytes([first]) + encoded + body)

    def take(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise ConnectionError("closed by the server")
            data += more
        return data

    def read(self):
        first, length, shift = self.take(1)[0], 0, 0
        while True:
            digit = self.take(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return first, self.take(length)

    def connect(self, client_id, username=None, password=None, *, clean=True, expiry=0):
        """The return or reason code of CONNACK, and whether there was a session."""
        flags = (2 if clean else 0) | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
        body = self.text("MQTT") + bytes([self.version, flags]) + struct.pack(">H", 60)
        if self.version == 5:
            body += bytes([5, 0x11]) + struct.pack(">I", expiry) if expiry else b"\0"
        body += self.text(client_id)
        for value in (username, password):
            if value is not None:
                body += self.text(value)
        self.send(0x10, body)
        first, answer = self.read()
        assert first == 0x20
        self.present = answer[0]
        return answer[1]

    def packet_id(self):
        self.next_id += 1
        return struct.pack(">H", self.next_id)

    def acknowledged(self, kind, packet):
        while True:
            first, body = self.read()
            if first & 0xF0 == 0x30:
                continue  # a message
            assert first == kind, hex(first)
            assert body[:2] == packet
            return body[2] if len(body) > 2 else 0

    def publish(self, topic, payload=b"x", qos=1, retain=False):
        packet = self.packet_id() if qos else b""
        self.send(0x30 | qos << 1 | retain, self.text(topic) + packet + (b"\0" if self.version == 5 else b"") + payload)
        if qos == 1:
            return self.acknowledged(0x40, packet)
        if qos == 2:
            received = self.acknowledged(0x50, packet)
            self.send(0x62, packet)
            return received, self.acknowledged(0x70, packet)
        return None

    def subscribe(self, topic, qos=1):
        packet = self.packet_id()
        self.send(0x82, packet + (b"\0" if self.version == 5 else b"") + self.text(topic) + bytes([qos]))
        while True:
            first, body = self.read()
            if first == 0x90:
                return body[-1]

    def message(self, acknowledge=True):
        """The next message: topic, payload, duplicate flag."""
        while True:
            first, body = self.read()
            if first & 0xF0 != 0x30:
                continue
            size = struct.unpack(">H", body[:2])[0]
            topic, rest = body[2:2 + size].decode(), body[2 + size:]
            if first & 0x06:
                packet, rest = rest[:2], rest[2:]
                if acknowledge:
                    self.send(0x40, packet)
            if self.version == 5:
                rest = rest[1 + rest[0]:]
            return topic, rest, bool(first & 8)

    def silence(self, seconds=0.4):
        """True when nothing comes."""
        self.sock.settimeout(seconds)
        try:
            self.read()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(5)
        return False


@pytest.fixture
def broker(standin, database):
    """A stand-in with the table's setting: MySQL for both, last rule deny, two devices."""
    database.clear()
    database.add_user("dev1", "pw-dev1", ("allow", "publish", "sensor/${username}/#"), ("allow", "subscribe", "command/${username}"))
    database.add_user("dev2", "pw-dev2", ("allow", "all", "sensor/${username}/#"), ("allow", "subscribe", "command/#"), ("deny", "all", "eq sensor/+"))
    database.add_user("root", "pw-root", superuser=1)
    one = standin(acl=ACL_CLOSED, conf="authorization { no_match = deny, deny_action = ignore }\n").start()
    one.use_database(database)
    return one


def login(broker, version, client_id, username=None, password=None, **options):
    client = Client(broker.port["tcp"], version)
    code = client.connect(client_id, username, password, **options)
    return client, code


BOTH = pytest.mark.parametrize("version", [4, 5])


@BOTH
def test_who_may_connect(broker, version):
    codes = {"good": 0, "bad": 4, "unknown": 5} if version == 4 else {"good": 0, "bad": 0x86, "unknown": 0x87}
    for want, user, password in (("good", "dev1", "pw-dev1"), ("bad", "dev1", "pw-dev2"), ("bad", None, None), ("bad", "dev1", None),
                                 ("unknown", "nobody", "pw-dev1"), ("unknown", "DEV1", "pw-dev1")):
        client, code = login(broker, version, "c", user, password)
        assert code == codes[want], (user, password)
        if code:
            with pytest.raises(ConnectionError):
                client.read()
        client.close()


@BOTH
def test_publish_that_is_denied(broker, version):
    watcher, _ = login(broker, version, "watcher", "root", "pw-root")
    assert watcher.subscribe("#") == 1
    client, code = login(broker, version, "c1", "dev1", "pw-dev1")
    assert code == 0
    assert client.publish("sensor/dev2/a") == (0 if version == 4 else 0x87)
    assert client.publish("sensor/dev2/a", qos=2) == ((0, 0) if version == 4 else (0x87, 0x92))
    client.publish("sensor/dev2/a", qos=0)
    assert watcher.silence(), "a denied message arrived"
    assert client.publish("sensor/dev1/a", b"mine") == 0
    assert watcher.message()[:2] == ("sensor/dev1/a", b"mine")
    watcher.close()
    assert wait_for(lambda: broker.request("GET", "/clients/watcher")[0] == 404)
    assert client.publish("sensor/dev1/a") == (0 if version == 4 else 0x10)
    assert client.publish("sensor/dev1/a", qos=2) == ((0, 0) if version == 4 else (0x10, 0))
    client.close()


@BOTH
def test_subscribe_that_is_denied(broker, version):
    client, _ = login(broker, version, "c1", "dev1", "pw-dev1")
    denied = 0x80 if version == 4 else 0x87
    assert client.subscribe("command/dev1") == 1
    assert client.subscribe("command/dev2") == denied
    assert client.subscribe("#") == denied
    assert [s["topic"] for s in broker.get("/subscriptions")["data"]] == ["command/dev1"]
    client.close()


def test_deny_action_disconnect(broker):
    assert broker.request("PUT", "/authorization/settings", {"no_match": "deny", "deny_action": "disconnect"})[0] == 200
    client, _ = login(broker, 5, "c1", "dev1", "pw-dev1")
    packet = client.packet_id()
    client.send(0x32, client.text("not/mine") + packet + b"\0x")
    first, body = client.read()
    assert (first, body[0]) == (0xE0, 0x87)


def test_rules_of_rows(broker, database):
    """`eq `, a placeholder without a value, qos and retain of a row."""
    database.run("INSERT INTO mqtt.mqtt_acl (username, permission, action, topic, qos, retain) VALUES ('dev1', 'allow', 'publish', 'only/qos1', 1, 0)",
                 "INSERT INTO mqtt.mqtt_acl (username, permission, action, topic) VALUES ('dev1', 'allow', 'publish', 'cert/${cert_common_name}')",
                 "INSERT INTO mqtt.mqtt_acl (username, permission, action, topic) VALUES ('dev1', 'allow', 'subscribe', 'eq lit/+')")
    assert broker.request("PUT", "/authorization/sources/mysql", {
        "type": "mysql", "server": f"127.0.0.1:{database.port}", "database": "mqtt", "username": "emqx", "password": "******",
        "query": "SELECT permission, action, topic, qos, retain FROM mqtt_acl WHERE username = ${username}"})[0] == 204
    client, _ = login(broker, 5, "c1", "dev1", "pw-dev1")
    assert client.publish("only/qos1") == 0x10
    assert client.publish("only/qos1", qos=2)[0] == 0x87
    assert client.publish("only/qos1", retain=True) == 0x87
    assert client.publish("cert/") == 0x87
    assert client.subscribe("lit/+") == 1
    assert client.subscribe("lit/a") == 0x87
    client.close()


def test_ban_kick_and_the_cache(broker, database):
    client, code = login(broker, 5, "c1", "dev1", "pw-dev1")
    assert code == 0
    assert client.publish("sensor/dev1/a") == 0x10
    # a ban leaves the live session alone, and keeps new ones out
    assert broker.request("POST", "/banned", {"as": "username", "who": "dev1"})[0] == 200
    assert client.publish("sensor/dev1/a") == 0x10
    for version, want in ((5, 0x8A), (4, 5)):
        other, code = login(broker, version, "c2", "dev1", "pw-dev1")
        assert code == want
        other.close()
    assert broker.request("DELETE", "/banned/username/dev1")[0] == 204
    # rows that are gone: the cached topic goes on, another does not, and the cache can be cleaned
    database.clear()
    assert client.publish("sensor/dev1/a") == 0x10
    assert client.publish("sensor/dev1/b") == 0x87
    assert broker.request("DELETE", "/clients/c1/authorization/cache")[0] == 204
    assert client.publish("sensor/dev1/a") == 0x87
    other, code = login(broker, 5, "c3", "dev1", "pw-dev1")
    assert code == 0x87
    other.close()
    # a kick says so, and ends the session
    assert broker.request("DELETE", "/clients/c1")[0] == 204
    first, body = client.read()
    assert (first, body[0]) == (0xE0, 0x98)
    with pytest.raises(ConnectionError):
        client.read()
    assert broker.request("GET", "/clients/c1")[0] == 404


def test_global_cache_clean(broker, database):
    client, _ = login(broker, 5, "c1", "dev1", "pw-dev1")
    assert client.publish("sensor/dev1/a") == 0x10
    database.clear()
    assert client.publish("sensor/dev1/a") == 0x10
    assert broker.request("DELETE", "/authorization/cache")[0] == 204
    assert client.publish("sensor/dev1/a") == 0x87
    client.close()


def test_stalled_database(broker, database):
    database.process.send_signal(signal.SIGSTOP)
    try:
        client = Client(broker.port["tcp"], 5, timeout=5)
        with pytest.raises(TimeoutError):
            client.connect("c1", "dev1", "pw-dev1")
        client.close()
    finally:
        database.process.send_signal(signal.SIGCONT)
    client, code = login(broker, 5, "c1", "dev1", "pw-dev1")
    assert code == 0
    client.close()


def test_secret_in_a_file(broker, database, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(DATABASE_PASSWORD + "\n")
    body = {"mechanism": "password_based", "backend": "mysql", "query": AUTHN_QUERY, "server": f"127.0.0.1:{database.port}", "database": "mqtt",
            "username": "emqx", "password": f"file://{secret}", "password_hash_algorithm": {"name": "sha256", "salt_position": "prefix"}}
    path = "/authentication/password_based:mysql"
    assert broker.request("PUT", path, body)[0] == 204
    assert broker.get(path)["password"] == f"file://{secret}"
    assert broker.get(path + "/status")["status"] == "connected"
    assert broker.request("PUT", path, body | {"password": "******"})[0] == 204
    assert broker.get(path)["password"] == f"file://{secret}"
    assert broker.request("PUT", path, body | {"password": f"file://{secret}.missing"})[0] == 204
    assert broker.get(path + "/status")["status"] == "disconnected"


@pytest.mark.parametrize(("name", "stored"), [
    ({"name": "plain", "salt_position": "disable"}, lambda p, s: p),
    ({"name": "md5", "salt_position": "suffix"}, lambda p, s: hashlib.md5((p + s).encode()).hexdigest()),
    ({"name": "sha", "salt_position": "prefix"}, lambda p, s: hashlib.sha1((s + p).encode()).hexdigest()),
    ({"name": "sha512", "salt_position": "prefix"}, lambda p, s: hashlib.sha512((s + p).encode()).hexdigest()),
    ({"name": "pbkdf2", "mac_fun": "sha256", "iterations": 4096, "dk_length": 32},
     lambda p, s: hashlib.pbkdf2_hmac("sha256", p.encode(), s.encode(), 4096, 32).hex()),
], ids=lambda v: v.get("name") if isinstance(v, dict) else "")
def test_hash_algorithms(broker, database, name, stored):
    hashed = stored("the-password", "pepper")
    database.run("ALTER TABLE mqtt.mqtt_user MODIFY password_hash VARCHAR(200)",
                 f"INSERT INTO mqtt.mqtt_user (username, password_hash, salt) VALUES ('hashed', '{hashed}', 'pepper')")
    assert broker.request("PUT", "/authentication/password_based:mysql", {
        "mechanism": "password_based", "backend": "mysql", "query": AUTHN_QUERY, "server": f"127.0.0.1:{database.port}", "database": "mqtt",
        "username": "emqx", "password": DATABASE_PASSWORD, "password_hash_algorithm": name})[0] == 204
    for password, want in (("the-password", 0), ("the-passwore", 0x86)):
        client, code = login(broker, 5, "c1", "hashed", password)
        assert code == want
        client.close()


def test_built_in_database(standin):
    one = standin(acl=ACL_CLOSED, conf="authorization.no_match = deny\n").start()
    assert one.request("POST", "/authentication", {"mechanism": "password_based", "backend": "built_in_database", "user_id_type": "username",
                                                   "password_hash_algorithm": {"name": "sha256", "salt_position": "suffix"}})[0] == 200
    assert one.request("POST", "/authentication/password_based:built_in_database/users", {"user_id": "u", "password": "pw"})[0] == 201
    assert one.request("POST", "/authorization/sources", {"type": "built_in_database", "enable": True})[0] == 204
    assert one.request("POST", "/authorization/sources/built_in_database/rules/users", [
        {"username": "u", "rules": [{"permission": "allow", "action": "publish", "topic": "t/${clientid}"}]}])[0] == 204
    one.stop()
    one.start()  # all of it is kept
    client, code = login(one, 5, "c9", "u", "pw")
    assert code == 0
    assert client.publish("t/c9") == 0x10
    assert client.publish("t/c8") == 0x87
    client.close()
    client, code = login(one, 5, "c9", "u", "pw2")
    assert code == 0x86
    client.close()


# --- certificates -------------------------------------------------------------------------------------------------------


def context(authority, pair=None):
    made = ssl.create_default_context(cafile=str(authority.ca))
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if pair:
        made.load_cert_chain(*map(str, pair))
    return made


def test_certificates(standin, database, tmp_path):
    database.clear()
    for name in ("dev1", "dev2"):
        database.add_user(name, f"pw-{name}", ("allow", "all", "sensor/${username}"))
    ours, theirs = Authority(tmp_path / "ca", "ours"), Authority(tmp_path / "other", "theirs")
    cert, key = ours.issue("server")
    one = standin(conf=f'''
listeners.ssl.default.ssl_options {{
  cacertfile = "{ours.ca}", certfile = "{cert}", keyfile = "{key}", verify = verify_peer, fail_if_no_peer_cert = true
}}
mqtt.peer_cert_as_clientid = cn
''').start()
    one.use_database(database)

    def attempt(pair, user, password, client_id="x", version=5):
        with Client(one.port["ssl"], version, tls=context(ours, pair)) as client:
            code = client.connect(client_id, user, password)
            return code, [c["clientid"] for c in one.get("/clients")["data"]]

    dev1, dev2 = ours.issue("dev1"), ours.issue("dev2")
    for version in (4, 5):
        for pair in (None, theirs.issue("dev1")):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                attempt(pair, "dev1", "pw-dev1", version=version)
    assert attempt(dev1, "dev1", "pw-dev1") == (0, ["dev1"]), "the client id is the certificate's"
    assert attempt(dev2, "dev1", "pw-dev1")[0] == 0, "EMQX takes another device's certificate when the query does not look at it"

    bound = AUTHN_QUERY.replace(" LIMIT", " AND ${cert_common_name} = username AND ${clientid} = username LIMIT")
    assert one.request("PUT", "/authentication/password_based:mysql", {
        "mechanism": "password_based", "backend": "mysql", "query": bound, "server": f"127.0.0.1:{database.port}", "database": "mqtt",
        "username": "emqx", "password": "******", "password_hash_algorithm": {"name": "sha256", "salt_position": "prefix"}})[0] == 204
    assert attempt(dev2, "dev1", "pw-dev1")[0] == 0x87
    assert attempt(dev2, "dev1", "pw-dev1", version=4)[0] == 5
    assert attempt(dev1, "dev1", "pw-dev1")[0] == 0
    # without a certificate the common name is an empty text, not NULL
    client, code = login(one, 5, "dev1", "dev1", "pw-dev1")
    assert code == 0x87
    client.close()
    # who claims another's client id gets its own, and nobody is thrown out
    with Client(one.port["ssl"], 5, tls=context(ours, dev1)) as first:
        assert first.connect("dev1", "dev1", "pw-dev1") == 0
        assert attempt(dev2, "dev2", "pw-dev2", client_id="dev1") == (0, ["dev1", "dev2"])
        assert first.publish("sensor/dev1") in (0, 0x10)
    # a renewed certificate is used without a restart
    old = cert.read_bytes()
    time.sleep(0.01)
    ours.issue("server")
    with Client(one.port["ssl"], 5, tls=context(ours, dev1)) as client:
        assert client.sock.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(cert.read_text())
        assert cert.read_bytes() != old


class ListServer:
    """Serves one revocation list over HTTP, with what a test says of it, and counts who asks."""

    def __init__(self):
        self.body, self.status, self.asked = b"", 200, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/crl.pem"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def lists():
    server = ListServer()
    yield server
    server.close()


def test_revocation_lists(standin, tmp_path, lists):
    """As EMQX: who is not in a valid list of its issuer is let in, and who cannot be looked up is refused."""
    ours, theirs = Authority(tmp_path / "ca", "ours"), Authority(tmp_path / "other", "theirs")
    cert, key = ours.issue("server")
    conf = f'''
crl_cache {{ refresh_interval = 500ms, http_timeout = 2s }}
listeners.ssl.default.ssl_options {{
  cacertfile = "{ours.ca}", certfile = "{cert}", keyfile = "{key}", verify = verify_peer, fail_if_no_peer_cert = true
  enable_crl_check = true
}}
log.console.level = debug
'''
    good, lost, bare = ours.issue("good", crl_url=lists.url), ours.issue("lost", crl_url=lists.url), ours.issue("bare")

    def enters(server, pair):
        try:
            with Client(server.port["ssl"], 5, tls=context(ours, pair)) as client:
                return client.connect("x") == 0
        except (ssl.SSLError, ConnectionError):
            return False

    def new(**options):
        return standin(conf=conf, env={"EMQX_STANDIN_CRL_HURRY": "500ms"}, **options).start()

    # Nothing that can be used: everyone is refused, and asked for anew at every handshake.
    one = new()
    for lists.body, lists.status in ((b"", 404), (b"<html>no list</html>", 404), (ssl.PEM_cert_to_DER_cert(cert.read_text()), 200),
                                     (theirs.crl(), 200)):
        assert not enters(one, good)
    assert "failed_to_fetch_crl" in one.console() and "revocation_status_undetermined" in one.console()
    # Lists of several issuers in one file; it is asked for once and kept.
    two = new()
    lists.body, lists.status, lists.asked = theirs.crl() + ours.crl(), 200, 0
    assert enters(two, good) and enters(two, lost)
    assert not enters(two, bare)
    assert "the certificate has no distribution point" in two.console()
    assert lists.asked < 20
    # Revoked: from the next refresh on, and the other one goes on.
    lists.body = ours.crl(lost[0])
    assert wait_for(lambda: not enters(two, lost), 10)
    assert enters(two, good)
    assert "certificate_revoked" in two.console()
    # What was fetched stays while its server is broken.
    lists.status = 500
    assert wait_for(lambda: "failed_to_fetch_crl_response" in two.console(), 10)
    assert enters(two, good) and not enters(two, lost)
    # After a restart there is nothing that stayed.
    two.stop()
    two.start()
    lists.body = b""
    assert not enters(two, good)
    # An expired list locks everyone out; the next one lets them in again.
    lists.body, lists.status = ours.crl(hours=-1), 200
    three = new()
    assert not enters(three, good)
    assert "the list has expired" in three.console()
    lists.body = ours.crl()
    assert wait_for(lambda: enters(three, good), 10)


def test_a_short_refresh_interval_counts_as_a_minute(standin, tmp_path, lists):
    ours = Authority(tmp_path / "ca", "ours")
    cert, key = ours.issue("server")
    one = standin(conf=f'''
crl_cache.refresh_interval = 100ms
listeners.ssl.default.ssl_options {{
  cacertfile = "{ours.ca}", certfile = "{cert}", keyfile = "{key}", verify = verify_peer, fail_if_no_peer_cert = true
  enable_crl_check = true
}}
''').start()
    lists.body = ours.crl()
    with Client(one.port["ssl"], 5, tls=context(ours, ours.issue("good", crl_url=lists.url))) as client:
        assert client.connect("x") == 0
    time.sleep(1)
    assert lists.asked == 1


# --- sessions and queues ------------------------------------------------------------------------------------------------


def test_session_is_kept_and_taken_over(broker, database):
    client, _ = login(broker, 4, "c1", "dev1", "pw-dev1", clean=False)
    assert client.subscribe("command/dev1") == 1
    second, code = login(broker, 4, "c1", "dev1", "pw-dev1", clean=False)
    assert (code, second.present) == (0, 1)
    with pytest.raises(ConnectionError):
        client.read()
    second.close()
    assert wait_for(lambda: not broker.get("/clients/c1")["connected"])
    # subscriptions of a session that is offline
    assert broker.request("POST", "/clients/c1/subscribe/bulk", [{"topic": "command/all", "qos": 1}])[0] == 200
    assert broker.request("POST", "/clients/nobody/subscribe/bulk", [{"topic": "x"}])[0] == 404
    assert broker.request("POST", "/publish", {"topic": "command/all", "qos": 1, "payload": "1"})[0] == 200
    assert broker.request("POST", "/clients/c1/unsubscribe/bulk", [{"topic": "command/all"}])[0] == 204
    assert broker.request("POST", "/publish", {"topic": "command/all", "qos": 1, "payload": "2"})[0] == 202
    third, _ = login(broker, 4, "c1", "dev1", "pw-dev1", clean=False)
    assert third.present == 1
    assert third.message()[:2] == ("command/all", b"1")
    third.close()
    # in memory: a restart ends it
    broker.stop()
    broker.start()
    fourth, code = login(broker, 4, "c1", "dev1", "pw-dev1", clean=False)
    assert (code, fourth.present) == (0, 0)
    fourth.close()


def test_window_and_queue(standin):
    """32 under way, 1000 waiting, the oldest dropped and counted; after a reconnect the same 32 come again, marked."""
    one = standin().start()
    slow, _ = login(one, 4, "slow", clean=False)
    slow.subscribe("t")
    with Client(one.port["tcp"], 4) as sender:
        sender.connect("sender")
        for i in range(1100):
            assert sender.publish("t", str(i).encode()) == 0
    state = one.get("/clients/slow")
    assert (state["inflight_cnt"], state["mqueue_len"]) == (32, 1000)
    assert state["send_msg.dropped.queue_full"] == state["send_msg.dropped"] == state["mqueue_dropped"] == 68
    assert one.get("/metrics?aggregate=true")["delivery.dropped.queue_full"] == 68
    assert [slow.message(acknowledge=False)[1] for _ in range(32)] == [str(i).encode() for i in range(32)]
    assert slow.silence(0.2), "more than the window"
    slow.close()
    again, _ = login(one, 4, "slow", clean=False)
    assert again.present == 1
    got = [again.message() for _ in range(1032)]
    assert [int(m[1]) for m in got] == [*range(32), *range(100, 1100)]
    assert [m[2] for m in got] == [True] * 32 + [False] * 1000
    assert wait_for(lambda: one.get("/clients/slow")["inflight_cnt"] == 0)
    again.close()


def test_offline_queue(standin):
    one = standin(conf="mqtt { max_mqueue_len = 10, mqueue_store_qos0 = false }\n").start()
    client, _ = login(one, 5, "c", expiry=100, clean=False)
    client.subscribe("t")
    client.close()
    assert wait_for(lambda: not one.get("/clients/c")["connected"])
    for i in range(15):
        one.request("POST", "/publish", {"topic": "t", "qos": 1, "payload": str(i)})
    one.request("POST", "/publish", {"topic": "t", "qos": 0, "payload": "q0"})
    state = one.get("/clients/c")
    assert (state["mqueue_len"], state["send_msg.dropped.queue_full"], state["expiry_interval"]) == (10, 5, 100)
    client, _ = login(one, 5, "c", expiry=100, clean=False)
    assert [client.message()[1] for _ in range(10)] == [str(i).encode() for i in range(5, 15)]
    assert client.silence(0.2)
    client.close()


@pytest.mark.parametrize(("limit", "word"), [("max_mailbox_size = 100", "mailbox_overflow"),
                                             ("max_mailbox_size = 1000000, max_heap_size = 1MB", "heap_too_large")])
def test_a_subscriber_that_does_not_read_is_killed(standin, limit, word):
    one = standin(conf=f"mqtt {{ max_inflight = 1000, max_mqueue_len = 1000000 }}\nforce_shutdown {{ {limit} }}\n").start()
    slow, _ = login(one, 5, "slow", clean=False, expiry=1000)
    slow.subscribe("t", 1)
    with Client(one.port["tcp"], 5) as sender:
        sender.connect("sender")
        payload = b"x" * 60000 if word == "mailbox_overflow" else b"x"
        end = time.monotonic() + 20
        while one.request("GET", "/clients/slow")[0] == 200 and time.monotonic() < end:
            for _ in range(100):
                sender.publish("t", payload)
    assert one.request("GET", "/clients/slow")[0] == 404, "the session is gone"
    assert word in one.console()
    slow.close()


def test_session_expires(standin):
    one = standin(conf='mqtt.session_expiry_interval = "1s"\n').start()
    client, _ = login(one, 4, "c", clean=False)
    client.subscribe("t")
    client.close()
    assert one.request("GET", "/clients/c")[0] == 200
    assert wait_for(lambda: one.request("GET", "/clients/c")[0] == 404, 4)
    assert one.get("/subscriptions")["data"] == []


def test_burst_with_manual_acknowledgement(standin):
    """What the pipeline does: QoS 1, a persistent session, acknowledgements in batches, nothing lost with the limits raised."""
    count = 20000
    one = standin(conf="mqtt { max_inflight = 2000, max_mqueue_len = 1000000 }\n"
                       "force_shutdown { max_mailbox_size = 100000, max_heap_size = 512MB }\n").start()
    got, pending, done = set(), [], threading.Event()
    subscriber = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="telegraf", clean_session=False, manual_ack=True)
    ready = threading.Event()

    def on_message(client, _data, message):
        pending.append((message.mid, message.qos))
        got.add(int(message.payload))
        if len(pending) >= 500 or len(got) == count:
            for mid, qos in pending:
                client.ack(mid, qos)
            pending.clear()
        if len(got) == count:
            done.set()

    subscriber.on_message = on_message
    subscriber.on_connect = lambda client, *_rest: client.subscribe("t/#", 1)
    subscriber.on_subscribe = lambda *_rest: ready.set()
    subscriber.connect("127.0.0.1", one.port["tcp"])
    subscriber.loop_start()
    assert ready.wait(5)
    with Client(one.port["tcp"], 4) as sender:
        sender.connect("sender")
        acks = threading.Thread(target=lambda: [sender.read() for _ in range(count)])
        acks.start()
        for i in range(count):
            sender.send(0x32, sender.text("t/a") + struct.pack(">H", i % 65535 + 1) + str(i).encode())
        acks.join(30)
        assert not acks.is_alive(), "not everything was acknowledged"
    assert done.wait(180), f"{len(got)} of {count} arrived"
    assert one.get("/clients/telegraf")["send_msg.dropped"] == 0
    subscriber.disconnect()
    subscriber.loop_stop()


def test_paho_reconnects_after_a_kick(standin):
    one = standin().start()
    connected = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="p", protocol=paho.MQTTv5)
    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda *_rest: connected.append(time.monotonic())
    from_server = []
    client.on_disconnect = lambda _c, _d, flags, _reason, _props: from_server.append(flags.is_disconnect_packet_from_server)
    client.connect("127.0.0.1", one.port["tcp"])
    client.loop_start()
    assert wait_for(lambda: len(connected) == 1)
    assert one.request("DELETE", "/clients/p")[0] == 204
    assert wait_for(lambda: len(connected) == 2)
    assert from_server == [True]
    client.disconnect()
    client.loop_stop()


def test_retained_will_shared_and_websocket(standin):
    one = standin().start()
    with Client(one.port["tcp"], 5) as client:
        client.connect("c")
        client.publish("r/1", b"kept", retain=True)
        client.subscribe("r/#")
        assert client.message()[:2] == ("r/1", b"kept")
    members = [login(one, 4, f"m{i}")[0] for i in range(2)]
    for member in members:
        member.subscribe("$share/g/s/#")
    with Client(one.port["tcp"], 4) as sender:
        sender.connect("sender")
        for i in range(4):
            sender.publish("s/1", str(i).encode())
    assert sorted(m.message()[1] for m in members for _ in range(2)) == [b"0", b"1", b"2", b"3"]
    seen = []
    mourner = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="mourner", transport="websockets")
    mourner.on_connect = lambda c, *_rest: c.subscribe("will")
    mourner.on_subscribe = lambda *_rest: seen.append("ready")
    mourner.on_message = lambda _c, _d, m: seen.append(m.payload)
    mourner.connect("127.0.0.1", one.port["ws"])
    mourner.loop_start()
    assert wait_for(lambda: seen == ["ready"])
    dying = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="dying")
    dying.will_set("will", b"gone")
    dying.connect("127.0.0.1", one.port["tcp"])
    dying.loop_start()
    assert wait_for(lambda: one.request("GET", "/clients/dying")[0] == 200)
    dying.loop_stop()
    dying.socket().close()
    assert wait_for(lambda: seen == ["ready", b"gone"])
    mourner.disconnect()
    mourner.loop_stop()


# --- files, environment, command line -----------------------------------------------------------------------------------


def test_layers(standin):
    """cluster.hocon < emqx.conf < environment; what the API changes is live at once, and each write leaves a .bak."""
    one = standin(conf="mqtt.max_inflight = 50\n", env={"EMQX_MQTT__MAX_MQUEUE_LEN": "77"}).start()
    zone = one.get("/configs/global_zone")["mqtt"]
    assert (zone["max_inflight"], zone["max_mqueue_len"]) == (50, 77)
    for _ in range(2):
        assert one.request("PUT", "/configs?mode=merge", headers={"Content-Type": "text/plain"},
                           raw="mqtt { max_inflight = 60, max_packet_size = 3MB }")[0] == 200
    zone = one.get("/configs/global_zone")["mqtt"]
    assert (zone["max_inflight"], zone["max_packet_size"]) == (60, "3MB")
    assert len(list((one.data / "configs").glob("cluster.hocon.*.bak"))) == 1
    one.stop()
    one.start()
    zone = one.get("/configs/global_zone")["mqtt"]
    assert (zone["max_inflight"], zone["max_packet_size"], zone["max_mqueue_len"]) == (50, "3MB", 77)
    assert one.request("PUT", "/configs?mode=merge", headers={"Content-Type": "text/plain"}, raw='node.cookie = "x"')[0] == 400


def test_default_password_is_seeded_once(standin):
    one = standin().start()
    conf = one.etc / "emqx.conf"
    conf.write_text(conf.read_text().replace(DASHBOARD_PASSWORD, "Another-pw-1"))
    one.stop()
    one.start()
    assert one.request("POST", "/login", {"username": "admin", "password": "Another-pw-1"}, auth=None)[0] == 401
    assert one.command("ctl", "admins", "passwd", "admin", "short").returncode == 0
    assert "ok" not in one.command("ctl", "admins", "passwd", "admin", "short").stdout
    assert one.command("ctl", "admins", "passwd", "admin", "Another-pw-1").stdout == "ok\n"
    assert one.request("POST", "/login", {"username": "admin", "password": "Another-pw-1"}, auth=None)[0] == 200


def test_api_keys_from_a_file(standin, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("edgestack:first-secret-1\nother:second:viewer\n")
    one = standin(conf=f'api_key.bootstrap_file = "{keys}"\n').start()
    assert one.request("GET", "/nodes", auth=("edgestack", "first-secret-1"))[0] == 200
    assert one.request("POST", "/banned", {"as": "clientid", "who": "x"}, auth=("other", "second"))[0] == 200
    keys.write_text("edgestack:rotated-secret\n")
    assert one.request("GET", "/nodes", auth=("edgestack", "rotated-secret"))[0] == 401
    one.stop()
    one.start()
    assert one.request("GET", "/nodes", auth=("edgestack", "rotated-secret"))[0] == 200
    assert one.request("GET", "/nodes", auth=("edgestack", "first-secret-1"))[0] == 401
    assert one.request("GET", "/nodes", auth=("other", "second"))[0] == 200


def test_check_config(standin):
    one = standin()
    conf = one.etc / "emqx.conf"
    good = conf.read_text()
    assert one.command("check_config").returncode == 0
    for bad, told in (("mqtt {", "}"), ("colour = blue\n", "colour"), ("mqtt.max_inflights = 3\n", "max_inflights"),
                      ("mqtt.max_inflight = many\n", "many"), ('listeners.tcp.x.bind = "nowhere"\n', "bad_port_number"),
                      ("listeners.udp.x.bind = 1\n", "udp"), ("authorization.no_match = perhaps\n", "perhaps"), ("a = b@c\n", "quotes"),
                      ("dashboard.listners.http.bind = 1\n", "listners"), ('node.data_dirs = "/x"\n', "data_dirs")):
        conf.write_text(good + bad)
        done = one.command("check_config")
        assert done.returncode != 0, bad
        assert told in done.stderr, done.stderr
    conf.unlink()
    assert one.command("check_config").returncode != 0


def test_a_taken_port_ends_the_boot(standin):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = standin(conf=f'listeners.tcp.extra.bind = "127.0.0.1:{taken.getsockname()[1]}"\n')
        done = one.command("foreground")
    assert done.returncode != 0
    assert "tcp:extra" in done.stderr


def test_listeners_that_are_disabled(standin):
    one = standin(conf="listeners.ws.default.enable = false\n")
    one.start()
    with pytest.raises(ConnectionRefusedError):
        Client(one.port["ws"], 4)
    shown = {e["id"]: e["status"]["running"] for e in one.get("/listeners")}
    assert shown == {"ssl:default": True, "tcp:default": True, "ws:default": False, "wss:default": True}


def test_a_person_sees_what_it_is(standin):
    one = standin()
    assert "stand-in" in one.command("version").stdout
    assert "not responding" in one.command("ctl", "status").stdout
    assert one.command("ctl", "status").returncode == 1
    one.start()
    assert "stand-in" in one.console()
    assert one.command("ctl", "status").stdout == "Node 'emqx2@127.0.0.1' 5.8.9 is started (stand-in)\n"
    assert "tcp:default" in one.command("ctl", "listeners").stdout
    assert "stand-in" in one.get("/nodes")[0]["otp_release"]
    connection = http.client.HTTPConnection("127.0.0.1", one.port["api"], timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert "stand-in" in answer.read().decode()
    assert "stand-in" in answer.headers["Server"]
    connection.close()
    one.stop()
    assert one.process.returncode == 0


def test_no_secret_in_the_log_or_for_others(broker, tmp_path):
    login(broker, 5, "c1", "dev1", "a-wrong-password")[0].close()
    login(broker, 5, "c1", "dev1", "pw-dev1")[0].close()
    for secret in (DASHBOARD_PASSWORD, DATABASE_PASSWORD, "a-wrong-password", "pw-dev1"):
        assert secret not in broker.console()
    stored = broker.data / "mnesia" / broker.node / "standin.json"
    assert stored.stat().st_mode & 0o077 == 0
    assert DASHBOARD_PASSWORD not in stored.read_text()


def test_builds_for_arm64_and_is_tidy(binary, tmp_path):
    done = subprocess.run(["go", "build", "-trimpath", "-o", str(tmp_path / "arm64"), "."], cwd=SOURCE, capture_output=True, text=True,
                          env={**os.environ, "CGO_ENABLED": "0", "GOARCH": "arm64"}, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["gofmt", "-l", "."], cwd=SOURCE, capture_output=True, text=True, check=True).stdout == ""
    for tool in (["go", "vet", "."], ["go", "test", "."]):
        done = subprocess.run(tool, cwd=SOURCE, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
