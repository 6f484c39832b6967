# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib
import socket
import ssl
import threading
import time

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import case as cases
from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import foreign, readings, session
from ansible_collections.edgestack.iot.plugins.module_utils._mqtt.runner import Runner

VERSIONS = ["3.1.1", "5"]


def read(path):
    return pathlib.Path(path).read_text()


def make(broker, pki, description, **defaults):
    known = {"host": "127.0.0.1", "port": broker if isinstance(broker, int) else broker.port, "ca_file": str(pki / "ca.pem")}
    known.update(defaults)
    return cases.parse_case(description, known, read, lambda: "wrong-0123456789")


def attempt(broker, pki, description, timeout=3.0, **defaults):
    journal = readings.Journal(readings.Clock())
    result = Runner(journal, timeout).run_one(make(broker, pki, description, **defaults))
    return result, journal.readings


def drop(identity, *keys):
    return {key: value for key, value in identity.items() if key not in keys}


@pytest.fixture
def refusals(described):
    """The attempts that every broker has to refuse, by name."""
    one, two = described.one, described.two
    own, other = described.identity(one), described.identity(two)
    base = {"action": "connect", "expect": "refused"}
    return {
        "no certificate": base | drop(own, "tls") | {"refused_in": "tls"},
        "foreign certificate": base | own | {"refused_in": "tls", "tls": own["tls"] | {"foreign": True}},
        "wrong password": base | own | {"wrong_password": True, "refused_in": "connack"},
        "unknown user": base | own | {"username": "nobody", "wrong_password": True, "refused_in": "connack"},
        "anonymous": base | drop(own, "username", "password_file") | {"refused_in": "connack"},
        "other's certificate": base | own | {"tls": other["tls"], "refused_in": "connack"},
        "other case": base | own | {"username": one.upper(), "refused_in": "connack"},
    }


# Which missing protection lets each attempt in.
HOLES = {
    "no certificate": {"require_certificate": False, "certificate_is_user": False},
    "foreign certificate": {"verify_certificate": False, "certificate_is_user": False},
    "wrong password": {"check_password": False},
    "unknown user": {"check_user": False},
    "anonymous": {"check_user": False},
    "other's certificate": {"certificate_is_user": False, "client_id_is_user": False},
    "other case": {"ignore_case": True},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(HOLES))
def test_a_right_broker_refuses_and_a_hole_is_found(start, pki, refusals, name, version):
    description = refusals[name] | {"name": name, "version": version}
    result, _sent = attempt(start(), pki, description)
    assert result.ok, result
    result, _sent = attempt(start(**HOLES[name]), pki, description)
    assert not result.ok
    assert result.observed == "accepted"
    assert result.advice


@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_refusals_in_tls_name_the_alert(start, pki, refusals, tls):
    broker = start(max_tls=tls)
    seen = {name: attempt(broker, pki, refusals[name] | {"name": name})[0] for name in ("no certificate", "foreign certificate")}
    assert all(result.ok and result.observed.startswith("TLS alert ") for result in seen.values()), seen
    assert broker.connects == 0
    if tls is ssl.TLSVersion.TLSv1_3:
        assert seen["no certificate"].observed == "TLS alert certificate required"
    assert seen["no certificate"].expected == "refused in TLS"


def test_what_was_on_the_wire_is_shown(start, pki, refusals):
    broker = start()
    wrong = refusals["wrong password"] | {"name": "wrong password"}
    assert attempt(broker, pki, wrong)[0].observed == "CONNACK 4 bad user name or password"
    assert attempt(broker, pki, wrong | {"version": "5"})[0].observed == "CONNACK 0x86 bad user name or password"
    unknown = refusals["unknown user"] | {"name": "unknown user"}
    assert attempt(broker, pki, unknown)[0].observed == "CONNACK 5 not authorized"


def test_refused_at_the_wrong_place_is_no_pass(start, pki, refusals):
    description = refusals["no certificate"] | {"name": "no certificate"}
    # Without a certificate it gets as far as MQTT: the listener does not ask for one.
    result, _sent = attempt(start(require_certificate=False), pki, description)
    assert not result.ok and "it is TLS that has to refuse" in result.advice
    assert attempt(start(require_certificate=False), pki, description | {"refused_in": "any"})[0].ok
    result, _sent = attempt(start(), pki, refusals["foreign certificate"] | {"name": "x", "refused_in": "connack"})
    assert not result.ok and "it is MQTT that has to refuse" in result.advice


# -- what is never a pass for a refusal ------------------------------------------------------------------------
def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("expect", ["refused", "accepted"])
def test_nobody_listens(pki, described, expect):
    description = {"name": "x", "action": "connect", "expect": expect} | described.identity(described.one)
    result, _sent = attempt(unused_port(), pki, description)
    assert not result.ok and result.observed.startswith("nobody listens on 127.0.0.1:") and result.advice


def test_unknown_host(pki, described):
    description = {"name": "x", "action": "connect", "expect": "refused", "host": "no-such-host.invalid"}
    result, _sent = attempt(1883, pki, description | described.identity(described.one))
    assert not result.ok and "unknown host name" in result.observed


@pytest.mark.parametrize(
    ("changes", "observed"),
    [
        ({"busy": True}, "CONNACK 3 server unavailable"),
        ({"slam": True}, "closed without a reason before the CONNACK"),
        ({"answer": False}, "no CONNACK within 1 s"),
    ],
)
def test_a_broker_in_trouble_proves_no_refusal(start, pki, refusals, changes, observed):
    result, _sent = attempt(start(**changes), pki, refusals["wrong password"] | {"name": "x"}, timeout=1.0)
    assert (result.ok, result.observed) == (False, observed)


def test_a_server_that_is_not_trusted_proves_no_refusal(start, pki, refusals, tmp_path):
    chain, _key = foreign.make_foreign(str(pki / "ca.pem"), str(pki / "ca.pem"), str(tmp_path))
    for changes in ({"ca_file": chain}, {"server_name": "another.name"}):
        result, _sent = attempt(start(), pki, refusals["no certificate"] | {"name": "x"}, **changes)
        assert not result.ok and result.observed.startswith("the broker's certificate: ")


def test_server_name(start, pki, described):
    description = {"name": "x", "action": "connect", "expect": "accepted"} | described.identity(described.one)
    assert attempt(start(), pki, description, server_name="broker.iot.internal", host="localhost")[0].ok


def test_a_plain_listener_is_no_tls_refusal(start, pki, refusals):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            sock, _address = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"\x20\x02\x00\x05\x00\x00\x00")
                time.sleep(0.2)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        result, _sent = attempt(listener.getsockname()[1], pki, refusals["no certificate"] | {"name": "x"})
        thread.join(5)
    assert not result.ok and result.observed.startswith("TLS failed: ")


@pytest.mark.parametrize("greeting", [b"", b"220 hello"])
def test_a_tls_server_that_is_no_broker(pki, refusals, greeting):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            sock, _address = listener.accept()
            with context.wrap_socket(sock, server_side=True) as secure:
                secure.sendall(greeting)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        result, _sent = attempt(listener.getsockname()[1], pki, refusals["no certificate"] | {"name": "x"})
        thread.join(5)
    assert not result.ok
    assert result.observed == ("TLS failed: the server spoke before the client: this is not MQTT" if greeting else "closed without a reason before the CONNACK")


def test_missing_files_are_named(start, pki, described):
    own = described.identity(described.one, tls={"cert_file": "/nonexistent/device.pem", "key_file": "/nonexistent/device.key"})
    result, _sent = attempt(start(), pki, {"name": "x", "action": "connect", "expect": "refused"} | own)
    assert not result.ok and "cannot read /nonexistent/device.pem" in result.observed
    broken = described.identity(described.one)
    broken["tls"] = {"cert_file": str(pki / "ca.key"), "key_file": str(pki / "ca.key")}
    result, _sent = attempt(start(), pki, {"name": "x", "action": "connect", "expect": "refused"} | broken)
    assert not result.ok and result.observed.startswith("could not be tried: ")


# -- messages -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", [True, False])
def test_publish(start, pki, described, version, tls):
    broker = start(tls=tls)
    own = described.identity(described.one)
    description = {"name": "reading", "action": "publish", "expect": "accepted", "topic": described.topic(described.one)}
    result, sent = attempt(broker, pki, description | own | {"version": version}, **({} if tls else {"ca_file": None}))
    assert result.ok and result.observed == "PUBACK 0x00 success"
    (reading,) = sent
    assert (reading.wanted, reading.device) == (True, described.one)
    assert json.loads(broker.seen[0][2]) == {"time": reading.time, "nonce": reading.nonce, "value": reading.value}


@pytest.mark.parametrize("version", VERSIONS)
def test_delivered(start, pki, described, version):
    one, two = described.identity(described.one), described.identity(described.two)
    description = {
        "name": "x",
        "version": version,
        "action": "publish",
        "expect": "delivered",
        "topic": described.topic(described.one),
        "payload": "hello",
        "observer": two | {"topic": described.topic(described.one)},
    }
    broker = start(acl_subscribe=False)
    assert attempt(broker, pki, description | one)[0].ok
    assert attempt(broker, pki, description | one | {"qos": 0})[0].ok
    assert {seen[3] for seen in broker.seen} == {0, 1}
    result, _sent = attempt(start(acl_subscribe=False, deliver=False), pki, description | one, timeout=0.7)
    assert not result.ok and result.observed.endswith("the message did not arrive")
    result, _sent = attempt(start(), pki, description | one)
    assert not result.ok and result.observed.startswith("observer may not subscribe: 0x8")


@pytest.fixture
def trespass(described):
    topic = described.topic(described.two)
    own = described.identity(described.one)
    observer = described.identity(described.two) | {"topic": topic}
    return {"name": "trespass", "action": "publish", "expect": "not_delivered", "topic": topic, "observer": observer} | own


@pytest.mark.parametrize("version", VERSIONS)
def test_not_delivered(start, pki, trespass, version):
    result, sent = attempt(start(), pki, trespass | {"version": version})
    assert result.ok
    # MQTT 3.1.1 has no way to say no, and that is no proof either way.
    assert result.observed.startswith("PUBACK 0x00" if version == "3.1.1" else "PUBACK 0x87")
    assert [(reading.wanted, reading.device) for reading in sent] == [(False, "edgestack-verify-2"), (True, "edgestack-verify-2")]
    result, _sent = attempt(start(acl_publish=False), pki, trespass | {"version": version})
    assert (result.ok, result.observed) == (False, "the message arrived")


def test_nothing_is_proved_without_a_control_message(start, pki, trespass):
    result, _sent = attempt(start(deliver=False), pki, trespass, timeout=0.7)
    assert (result.ok, result.observed) == (False, "the control message did not arrive")


def test_the_intruder_has_to_be_let_in_to_prove_anything(start, pki, trespass):
    result, _sent = attempt(start(), pki, trespass | {"wrong_password": True})
    assert not result.ok and result.observed.startswith("CONNACK 4")
    result, _sent = attempt(start(), pki, trespass | {"observer": trespass["observer"] | {"username": "nobody"}})
    assert not result.ok and result.observed.startswith("observer: CONNACK 5")


@pytest.mark.parametrize("version", VERSIONS)
def test_subscribe(start, pki, described, version):
    description = {"name": "x", "version": version, "action": "subscribe", "topic": described.topic(described.two)}
    own = described.identity(described.one)
    assert attempt(start(), pki, description | own | {"expect": "refused"})[0].ok
    assert not attempt(start(), pki, description | own | {"expect": "accepted"})[0].ok
    assert not attempt(start(acl_subscribe=False), pki, description | own | {"expect": "refused"})[0].ok
    # A client that is not even let in shows nothing about subscriptions.
    assert not attempt(start(), pki, description | own | {"expect": "refused", "wrong_password": True})[0].ok


@pytest.mark.parametrize("version", VERSIONS)
def test_taking_anothers_client_id(start, pki, described, version):
    own, victim = described.identity(described.one), described.identity(described.two)
    description = {"name": "x", "version": version, "action": "connect", "expect": "untouched"} | own
    description |= {"client_id": described.two, "observer": victim | {"topic": described.topic(described.two)}}
    result, _sent = attempt(start(), pki, description)
    assert result.ok and result.observed.startswith("let in under its own id")
    # Refused is as good.
    result, _sent = attempt(start(client_id_from_certificate=False), pki, description)
    assert result.ok and "not authorized" in result.observed
    result, _sent = attempt(start(client_id_from_certificate=False, client_id_is_user=False), pki, description)
    assert not result.ok and result.observed.startswith("the other was thrown out: ")
    if version == "5":
        assert result.observed.endswith(": DISCONNECT")
    assert not attempt(start(busy=True), pki, description)[0].ok
    result, _sent = attempt(start(), pki, description | {"tls": {}})
    assert not result.ok and result.observed == "TLS alert certificate required"


# -- many at once ---------------------------------------------------------------------------------------------
def test_cases_of_one_device_do_not_disturb_each_other(start, pki, described, refusals):
    broker = start()
    one, two = described.identity(described.one), described.identity(described.two)
    todo = [{"name": f"{index}", "action": "publish", "expect": "accepted", "topic": described.topic(described.one)} | one for index in range(4)]
    todo += [{"name": f"{index}", "action": "publish", "expect": "accepted", "topic": described.topic(described.two)} | two for index in range(4, 8)]
    todo += [description | {"name": name} for name, description in refusals.items()]
    journal = readings.Journal(readings.Clock())
    results = Runner(journal, 5.0).run([make(broker, pki, description) for description in todo])
    assert [result.name for result in results] == [description["name"] for description in todo]
    assert all(result.ok for result in results), [result for result in results if not result.ok]
    assert len({reading.time for reading in journal.readings}) == len({reading.nonce for reading in journal.readings}) == 8


def test_cases_of_different_devices_run_at_the_same_time(start, pki, described):
    broker = start(answer=False)
    todo = [{"name": name, "action": "connect", "expect": "accepted"} | described.identity(name) for name in (described.one, described.two)]
    begin = time.monotonic()
    results = Runner(readings.Journal(readings.Clock()), 2.0).run([make(broker, pki, description) for description in todo])
    assert not any(result.ok for result in results)
    assert time.monotonic() - begin < 3.5


# -- descriptions ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "fly"}, "unknown action"),
        ({"expect": "delivered"}, "of connect one can expect"),
        ({"action": "subscribe"}, "subscribe needs a topic"),
        ({"action": "publish", "topic": "a", "expect": "delivered"}, "can only be seen by an observer"),
        ({"observer": {"client_id": "o", "topic": "t"}}, "nothing for an observer to see"),
        ({"tls": {"foreign": True}}, "made after cert_file"),
        ({"tls": {"cert_file": "/a"}}, "cert_file needs key_file"),
        ({"host": None}, "host and port are needed"),
    ],
)
def test_a_case_that_makes_no_sense(changes, message):
    description = {"name": "x", "host": "h", "port": 1, "action": "connect", "expect": "refused", "client_id": "c"} | changes
    with pytest.raises(cases.CaseError, match=message):
        cases.parse_case(description, {}, read, lambda: "")


def test_expand_fills_in_the_clients_properties():
    clients = {
        "one": {"client_id": "a", "username": "a", "password_file": "/a", "tls": {"cert_file": "/a.pem", "key_file": "/a.key"}},
        "two": {"client_id": "b", "tls": {"cert_file": "/b.pem", "key_file": "/b.key"}},
    }

    def expand(**changes):
        return cases.expand({"name": "x", "client": "one", "client_id": None, "certificate": "own"} | changes, clients)

    assert {"client_id": "a", "username": "a", "tls": {"cert_file": "/a.pem", "key_file": "/a.key"}}.items() <= expand().items()
    assert expand(client_id="b", username="A").items() >= {"client_id": "b", "username": "A", "password_file": "/a"}.items()
    assert expand(certificate="none", tls={"enabled": False})["tls"] == {"enabled": False}
    assert expand(certificate="foreign")["tls"] == {"cert_file": "/a.pem", "key_file": "/a.key", "foreign": True}
    assert expand(certificate="two")["tls"] == {"cert_file": "/b.pem", "key_file": "/b.key"}
    assert not {"username", "password_file"} & set(expand(anonymous=True))
    assert expand(observer={"client": "two", "topic": "t"})["observer"].items() >= {"client_id": "b", "topic": "t"}.items()
    for changes in ({"client": "three"}, {"certificate": "three"}, {"observer": {"client": "three"}}):
        with pytest.raises(cases.CaseError, match="no client 'three'"):
            expand(**changes)
    with pytest.raises(cases.CaseError, match="client_id is needed"):
        expand(client=None)


def test_a_password_is_not_in_a_representation(pki, described):
    case = make(1, pki, {"name": "x", "action": "connect", "expect": "accepted"} | described.identity(described.one))
    assert case.identity.password == f"secret of {described.one}"
    assert "secret of" not in repr(case)


def test_other_errors_of_the_network():
    target = session.Target("127.0.0.1", 1)
    one = session.Session(target, session.Identity("c"), "5", 1.0)
    assert one._failed(OSError(113, "No route to host")).kind == session.UNREACHABLE
    assert one._failed(TimeoutError()).kind == session.TIMEOUT
    assert one._failed(ssl.SSLEOFError(8, "EOF")).kind == session.CLOSED
    assert one._failed(BrokenPipeError()).text == "closed without a reason before the CONNACK"


def test_a_foreign_certificate_looks_like_the_real_one(pki, described, tmp_path):
    real = str(pki / f"{described.one}.pem")
    chain, key = foreign.make_foreign(str(pki / "ca.pem"), real, str(tmp_path))
    assert foreign.common_name(chain) == foreign.common_name(real) == described.one
    assert pathlib.Path(key).stat().st_mode & 0o777 == 0o600
    # The imitation of an authority without a key identifier (a device's certificate has none either).
    (tmp_path / "second").mkdir()
    chain, _key = foreign.make_foreign(real, real, str(tmp_path / "second"))
    assert foreign.common_name(chain) == described.one
