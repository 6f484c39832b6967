# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs cases against a broker, those that do not disturb each other at the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from . import case as cases
from . import codes, session
from .foreign import make_foreign
from .readings import Journal
from .session import Identity, Outcome, Session

# How long a message that must not arrive is waited for after the control message has arrived. The control message
# was published later, so on a working broker the other would have come before it.
GRACE_SECONDS = 0.5
WORKERS = 8

ADVICE = {
    session.UNREACHABLE: "is the broker running, does it listen on that address, and is the port open from the controller?"
    " A connection that nobody answers proves no refusal",
    session.TIMEOUT: "the broker accepts connections and does not answer: is its user database (MySQL) slow or away?"
    " Behind a firewall that drops packets nothing is proved either",
    session.UNTRUSTED: "the broker's certificate has to be signed by the authority in ca_file and to name the host as the"
    " controller reaches it (server_name): run site.yml, which issues it anew",
    session.TLS_OTHER: "TLS failed for a reason that says nothing about the client: is this the TLS listener's port?",
    session.CLOSED: "the connection was closed without a reason, which overload does too; the broker's log has the reason",
}


class ProbeError(Exception):
    """A step that the case depends on failed, so that it proves nothing."""

    def __init__(self, observed: str, advice: str) -> None:
        super().__init__(observed)
        self.advice = advice


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a case."""

    name: str
    expected: str
    observed: str
    ok: bool
    seconds: float
    advice: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """For the module's result."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Verdict:
    observed: str
    ok: bool
    advice: str = ""


@dataclasses.dataclass(frozen=True)
class _Watch:
    """An observer's session, and what it is subscribed to."""

    session: Session
    topic: str


class Runner:
    """Runs a list of cases; every wait is bounded by `timeout`."""

    def __init__(self, journal: Journal, timeout: float = 10.0, workers: int = WORKERS) -> None:
        self._journal = journal
        self._timeout = timeout
        self._workers = workers

    def run(self, todo: t.Sequence[cases.Case]) -> list[Result]:
        """All results, in the order of the cases."""
        locks = {claim: threading.Lock() for claim in sorted({claim for one in todo for claim in one.claims})}
        with ThreadPoolExecutor(max_workers=self._workers, thread_name_prefix="mqtt") as pool:
            return list(pool.map(lambda one: self._locked(one, locks), todo))

    def _locked(self, case: cases.Case, locks: dict[str, threading.Lock]) -> Result:
        # Taken in one order by everybody: no deadlock.
        with contextlib.ExitStack() as stack:
            for claim in sorted(case.claims):
                stack.enter_context(locks[claim])
            return self.run_one(case)

    def run_one(self, case: cases.Case) -> Result:
        """One case. Whatever goes wrong becomes a result that is not ok."""
        begin = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                verdict = self._try(case, stack)
        except ProbeError as exc:
            verdict = _Verdict(str(exc), False, exc.advice)
        except (OSError, ValueError) as exc:
            verdict = _Verdict(f"could not be tried: {exc}", False, "are the files of the test's devices complete?")
        expected = case.expect.replace("_", " ")
        if case.expect == "refused" and case.refused_in != "any":
            expected += " in TLS" if case.refused_in == "tls" else " by MQTT"
        return Result(case.name, expected, verdict.observed, verdict.ok, round(time.monotonic() - begin, 2), verdict.advice)

    # -- steps ---------------------------------------------------------------------------------------------
    def _session(self, case: cases.Case, identity: Identity, stack: contextlib.ExitStack) -> Session:
        missing = session.require_files(identity, case.target)
        if missing:
            raise ProbeError(f"could not be tried: {missing}", "site.yml makes the files of the test's devices")
        one = Session(case.target, identity, case.version, self._timeout)
        stack.callback(one.close)
        return one

    def _try(self, case: cases.Case, stack: contextlib.ExitStack) -> _Verdict:
        identity = case.identity
        if case.foreign:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="mqtt_check."))
            chain, key = make_foreign(str(case.target.ca_file), str(identity.cert_file), directory)
            identity = dataclasses.replace(identity, cert_file=chain, key_file=key)
        watch = self._observer(case, stack)
        client = self._session(case, identity, stack)
        outcome = client.open()
        if case.action == cases.CONNECT and case.expect == "refused":
            return refusal(outcome, case.refused_in)
        if case.expect == "untouched" and watch is not None:
            return self._untouched(case, client, outcome, watch)
        if outcome.kind != session.ACCEPTED:
            raise ProbeError(outcome.text, ADVICE.get(outcome.kind, "this client has to be let in: is it registered here?"))
        if case.action == cases.CONNECT:
            return _Verdict("accepted", True)
        if case.action == cases.SUBSCRIBE:
            return self._subscribe(case, client)
        return self._publish(case, client, watch)

    def _observer(self, case: cases.Case, stack: contextlib.ExitStack) -> _Watch | None:
        """The authorised client, connected and subscribed."""
        if case.observer is None:
            return None
        observer = self._session(case, case.observer.identity, stack)
        outcome = observer.open()
        if outcome.kind != session.ACCEPTED:
            raise ProbeError(f"observer: {outcome.text}", ADVICE.get(outcome.kind, "the observer has to be let in"))
        granted = observer.subscribe(case.observer.topic)
        if granted is None or granted >= 0x80:
            shown = "no SUBACK" if granted is None else codes.reason(granted)
            raise ProbeError(f"observer may not subscribe: {shown}", f"allow it to subscribe to {case.observer.topic}")
        return _Watch(observer, case.observer.topic)

    def _subscribe(self, case: cases.Case, client: Session) -> _Verdict:
        code = client.subscribe(str(case.topic))
        if code is None:
            return _Verdict(client.lost or "no SUBACK", False, "the broker does not answer a subscription")
        refused = code >= 0x80
        observed = f"SUBACK {codes.reason(code)}"
        if refused == (case.expect == "refused"):
            return _Verdict(observed, True)
        advice = "it can read what others publish" if not refused else "its permissions do not hold this topic"
        return _Verdict(observed, False, advice)

    def _publish(self, case: cases.Case, client: Session, watch: _Watch | None) -> _Verdict:
        topic = str(case.topic)
        if case.payload is not None:
            payload = case.payload.encode()
        else:
            payload = self._journal.make(case.name, topic, wanted=case.expect != "not_delivered")[1]
        code = client.publish(topic, payload, case.qos)
        answer = "no PUBACK" if code is None else f"PUBACK {codes.reason(code)}"
        if client.lost:
            answer = client.lost
        if watch is None:
            accepted = code is not None and code < 0x80
            return _Verdict(answer, accepted, "" if accepted else "the message was not taken: see its permissions")
        if case.expect == "delivered":
            arrived = self._wait_for(watch.session, payload)
            observed = "the message arrived" if arrived else f"{answer}, the message did not arrive"
            return _Verdict(observed, arrived, "" if arrived else "see its permissions and the broker's counters")
        self._control(case, watch)
        if arrived_at(watch.session, payload):
            return _Verdict("the message arrived", False, "anyone may write in another device's name: see the permissions")
        return _Verdict(f"{answer}, the message did not arrive, a control message did", True)

    def _untouched(self, case: cases.Case, client: Session, outcome: Outcome, watch: _Watch) -> _Verdict:
        """The client claims the victim's client id. Let in under its own name or refused: both are right."""
        victim = watch.session
        if outcome.kind not in (session.ACCEPTED, session.CONNACK):
            raise ProbeError(outcome.text, ADVICE.get(outcome.kind, "the case is about MQTT and did not get that far"))
        if outcome.kind == session.CONNACK and outcome.code not in codes.ACCESS_REFUSED:
            raise ProbeError(outcome.text, "the broker refused for a reason that is not about who the client is")
        self._linger(victim, client)
        advice = "bind the client id to the certificate: mqtt.peer_cert_as_clientid = cn"
        if not victim.connected:
            return _Verdict(f"the other was thrown out: {victim.lost}", False, advice)
        payload = self._control(case, watch, client)
        if arrived_at(client, payload):
            return _Verdict("it receives the other's messages", False, advice)
        if not victim.connected:
            return _Verdict(f"the other was thrown out: {victim.lost}", False, advice)
        own = "let in under its own id" if outcome.kind == session.ACCEPTED else outcome.text
        return _Verdict(f"{own}, the other stays and gets its messages alone", True)

    def _control(self, case: cases.Case, watch: _Watch, *others: Session) -> bytes:
        """The observer publishes on its topic itself, which shows that messages arrive there; answers the payload."""
        observer = watch.session
        payload = self._journal.make(f"{case.name} (control message)", watch.topic, wanted=True)[1]
        code = observer.publish(watch.topic, payload, 1)
        if code is None or code >= 0x80 or not self._wait_for(observer, payload):
            raise ProbeError("the control message did not arrive", "so nothing is proved: may the observer publish on its topic?")
        self._linger(observer, *others)
        return payload

    def _wait_for(self, one: Session, payload: bytes) -> bool:
        deadline = time.monotonic() + self._timeout
        while not arrived_at(one, payload) and one.lost is None and time.monotonic() < deadline:
            one.pump(0.05)
        return arrived_at(one, payload)

    @staticmethod
    def _linger(*sessions: Session) -> None:
        """Let come what is still on its way."""
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            for one in sessions:
                one.pump(0.02)
            if not any(one.connected for one in sessions):
                return


def arrived_at(one: Session, payload: bytes) -> bool:
    """Whether a session has received exactly this payload."""
    return any(body == payload for _topic, body in one.messages)


def refusal(outcome: Outcome, refused_in: str) -> _Verdict:
    """Whether an attempt that has to be refused was refused for being who it is, and where it has to be."""
    if outcome.kind == session.ACCEPTED:
        return _Verdict("accepted", False, "this client must not be let in: see the listener's TLS settings and the authenticator")
    if outcome.kind not in (session.TLS, session.CONNACK):
        return _Verdict(outcome.text, False, ADVICE[outcome.kind])
    if outcome.kind == session.CONNACK and outcome.code not in codes.ACCESS_REFUSED:
        return _Verdict(outcome.text, False, "the broker refused for a reason that is not about who the client is")
    if refused_in not in ("any", outcome.kind):
        where = "TLS" if refused_in == session.TLS else "MQTT"
        return _Verdict(outcome.text, False, f"refused, but it is {where} that has to refuse this one")
    return _Verdict(outcome.text, True)
