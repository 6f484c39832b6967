# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import socketserver
import threading

import pytest
from emqx_modules import answer, run_module

from ansible_collections.edgestack.iot.plugins.module_utils._emqx import arguments, module
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Client, Credentials, EmqxError
from ansible_collections.edgestack.iot.plugins.module_utils._emqx.resources.common import Outcome
from ansible_collections.edgestack.iot.plugins.module_utils._http import Fault


def params(emqx, **changes):
    defaults = {name: option.get("default") for name, option in arguments.connection_spec().items()}
    return {**defaults, "url": emqx.url, "api_key": "edgestack", "api_secret": "s3cret-of-the-key", "timeout": 2, **changes}


def test_one_connection_serves_all(emqx589):
    with emqx589.client() as client:
        for _number in range(3):
            client.get("/nodes")
        assert client.requests == 3
        kept = client._http._connection
        client.get("/nodes")
        assert client._http._connection is kept


def test_the_secret_comes_from_a_file(emqx589, tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3cret-of-the-key\n")
    with arguments.connect(params(emqx589, api_secret=None, api_secret_file=str(file))) as client:
        assert client.server().version == "5.8.9"


@pytest.mark.parametrize("content", [None, ""])
def test_a_secret_file_that_is_none(emqx589, tmp_path, content):
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    with pytest.raises(EmqxError, match=str(file)):
        arguments.connect(params(emqx589, api_secret=None, api_secret_file=str(file)))


def test_a_user_logs_in_once(emqx589):
    connection = params(emqx589, api_key=None, api_secret=None, username="admin", password="Pass-of-the-user1")
    with arguments.connect(connection) as client:
        client.get("/nodes")
        client.get("/nodes")
    assert [path for _method, path, _body in emqx589.log].count("/login") == 1


def test_a_wrong_password_is_tried_once_and_not_shown(emqx589):
    connection = params(emqx589, api_key=None, api_secret=None, username="admin", password="wrong-pass-1")
    with arguments.connect(connection) as client, pytest.raises(Fault) as error:
        client.get("/nodes")
    assert error.value.status == 401 and error.value.code == "BAD_USERNAME_OR_PWD"
    assert "wrong-pass-1" not in str(error.value)
    assert len(emqx589.log) == 1


def test_a_server_that_starts_is_waited_for(emqx589):
    emqx589.not_ready = 2
    with emqx589.client() as client:
        client.wait(10)
    emqx589.not_ready = 1000
    now = [0.0]
    times = {"sleep": lambda seconds: now.__setitem__(0, now[0] + seconds), "clock": lambda: now[0]}
    with emqx589.client(**times) as client, pytest.raises(Fault, match="does not run after 3 s"):
        client.wait(3)
    assert now[0] == pytest.approx(3)


def test_nobody_listens(emqx589):
    emqx589.close()
    with pytest.raises(Fault, match="does not run after 0 s"):
        arguments.connect(params(emqx589, wait_timeout=0))
    emqx589.server.socket.close()


def test_a_path_of_the_file_system(tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"seen": "%s"}' % self.path.encode())

        def address_string(self):
            return "unix"

        def log_message(self, *_args):
            pass

    path = str(tmp_path / "emqx.sock")
    with socketserver.UnixStreamServer(path, Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with Client(f"unix://{path}", Credentials("k", "secret-1")) as client:
            assert client.get("/nodes") == {"seen": "/api/v5/nodes"}
        server.shutdown()


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://x:port", "http://"])
def test_what_is_no_address(url):
    with pytest.raises(Fault):
        Client(url, Credentials("k", "secret-1"))


def test_credentials_in_the_address_are_refused():
    with pytest.raises(EmqxError) as error:
        Client("http://me:secret-1@host", Credentials("k", "secret-1"))
    assert "secret-1" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://host", "http://host:18083"),
        ("https://host/", "https://host:18084"),
        ("http://host:80/api/v5", "http://host:80"),
        ("http://[::1]", "http://[::1]:18083"),
    ],
)
def test_emqx_ports_are_the_default(url, base):
    assert Client(url, Credentials("k", "secret-1"))._http.base_url == base


def test_an_error_message_in_json_is_readable(emqx589):
    def fail(handler):
        answer(handler, 400, {"code": "BAD_REQUEST", "message": '{"unknown":"colour","reason":"unknown_fields","path":"root"}'})

    emqx589.fault = fail
    with emqx589.client() as client, pytest.raises(Fault) as error:
        client.get("/nodes")
    assert "400 BAD_REQUEST: reason unknown_fields, path root, unknown colour" in str(error.value)


def test_a_secret_that_the_server_sends_back_is_masked(emqx589):
    emqx589.fault = lambda handler: answer(handler, 400, {"code": "BAD_REQUEST", "message": "bad value given-secret-1"})
    with emqx589.client() as client:
        client.redact(["given-secret-1"])
        with pytest.raises(Fault) as error:
            client.post("/x", {})
    assert "given-secret-1" not in str(error.value.as_dict())


@pytest.mark.parametrize("body", [{"data": "x"}, [1], "text"])
def test_answers_of_the_wrong_kind(emqx589, body):
    emqx589.fault = lambda handler: answer(handler, 200, body if not isinstance(body, str) else '"text"')
    with emqx589.client() as client:
        with pytest.raises(Fault, match="is not"):
            client.pages("/clients")
        with pytest.raises(Fault, match="is not"):
            client.server()


def test_an_empty_answer(emqx589):
    emqx589.fault = lambda handler: answer(handler, 200, None)
    with emqx589.client() as client, pytest.raises(Fault, match="is empty"):
        client.find("/listeners/x")


def test_the_oldest_node_counts(emqx589):
    nodes = [{"node": "a", "version": "5.8.9", "edition": "Enterprise"}, {"node": "b", "version": "5.10.0"}]
    emqx589.fault = lambda handler: answer(handler, 200, nodes)
    with emqx589.client() as client:
        assert client.server().version == "5.8.9" and client.server().enterprise


def test_a_server_that_is_not_verified(tmp_path):
    import ssl

    client = Client("https://host", Credentials("k", "secret-1"), tls=__import__("dataclasses").replace(_tls(), verify=False))
    assert client._http._context.verify_mode == ssl.CERT_NONE
    assert Client("https://host", Credentials("k", "secret-1"))._http._context.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(Fault, match="cannot use the certificates"):
        Client("https://host", Credentials("k", "secret-1"), tls=_tls(ca_file=str(tmp_path / "none.pem")))


def _tls(**options):
    from ansible_collections.edgestack.iot.plugins.module_utils._emqx.client import Tls

    return Tls(**options)


class Ended(Exception):
    pass


class FakeModule:
    check_mode = False
    _diff = True

    def __init__(self, given):
        self.params = given
        self.warnings = []
        self.no_log_values = set()

    def exit_json(self, **result):
        self.result = result
        raise Ended

    def warn(self, text):
        self.warnings.append(text)

    def fail_json(self, msg, **result):
        self.result = {"failed": True, "msg": msg, **result}
        raise Ended


def test_a_module_ends_with_its_outcome_or_with_an_error(emqx589):
    fake = FakeModule({**params(emqx589), "settings": {"password": "out-of-place-1"}})
    with pytest.raises(Ended):
        module.run(fake, lambda client, params, check: Outcome(True, [{"before": 1}], ["a"], {"id": "x"}))
    assert "out-of-place-1" in fake.no_log_values
    assert fake.result == {"changed": True, "id": "x", "changed_fields": ["a"], "diff": [{"before": 1}]}
    fake._diff = False
    with pytest.raises(Ended):
        module.run(fake, lambda client, params, check: Outcome(warnings=["look"]))
    assert fake.result == {"changed": False} and fake.warnings == ["look"]
    with pytest.raises(Ended):
        module.run(fake, lambda client, params, check: client.get("/no_such_thing"))
    assert fake.result["failed"] and fake.result["fault"]["status"] in (400, 404)
    emqx589.violations.clear()

    def refuse(*_arguments):
        raise EmqxError("no", "do this")

    with pytest.raises(Ended):
        module.run(fake, refuse)
    assert fake.result["msg"] == "no. do this"


def test_plain_secrets_among_settings_are_refused():
    assert module.body_of({"password": "file:///x", "a": [{"b": 1}]}, {"password": None}, "") == {"password": "file:///x", "a": [{"b": 1}]}
    assert module.body_of({}, {"password": "p"}, "") == {"password": "p"}
    assert module.body_of({"ssl": {"enable": True}}, {"ssl": {"password": "p"}}, "") == {"ssl": {"enable": True, "password": "p"}}
    assert module.body_of({}, {"headers": {"authorization": "p"}}, "") == {"headers": {"authorization": "p"}}
    with pytest.raises(EmqxError, match=r"secrets\.colour is not known as a secret"):
        module.body_of({}, {"colour": "blue"}, "")
    for settings in ({"password": "plain-1"}, {"a": [{"secret": "plain-1"}]}, {"a": {"token": "plain-1"}}):
        with pytest.raises(EmqxError, match="plain text") as error:
            module.body_of(settings, None, "sources[0].")
        assert "plain-1" not in str(error.value)


def test_a_whole_module_in_this_process(emqx589):
    given = {"url": emqx589.url, "api_key": "edgestack", "api_secret": "s3cret-of-the-key"}
    result = run_module("emqx_alarm_info", given)
    assert [alarm["name"] for alarm in result["alarms"]] == ["high_memory", "other"] and result["changed"] is False
    assert run_module("emqx_alarm_info", {**given, "username": "x"})["failed"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"mqtt": {"reason": "unknown_fields", "unknown": [99, 111], "numbers": [1, 2]}}, "reason unknown_fields, unknown co, numbers [1, 2]"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_errors_without_a_code(emqx589, body, words):
    emqx589.fault = lambda handler: answer(handler, 400, body)
    with emqx589.client() as client, pytest.raises(Fault) as error:
        client.get("/nodes")
    assert f"400: {words}" in str(error.value)


def test_texts_and_files(emqx589):
    with emqx589.client() as client:
        assert client.text("/configs", {"key": "alarm"}).startswith("alarm {")
        emqx589.fault = lambda handler: answer(handler, 200, "<html>", "text/html")
        with pytest.raises(Fault, match="is not plain text"):
            client.text("/configs", {"key": "alarm"})
