# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be tried, and what has to come of it."""

from __future__ import annotations

import dataclasses
import typing as t

from .session import Identity, Target

CONNECT, PUBLISH, SUBSCRIBE = "connect", "publish", "subscribe"

# What may be expected of each action.
EXPECTATIONS: dict[str, tuple[str, ...]] = {
    CONNECT: ("accepted", "refused", "untouched"),
    PUBLISH: ("accepted", "delivered", "not_delivered"),
    SUBSCRIBE: ("accepted", "refused"),
}
NEEDS_OBSERVER = ("delivered", "not_delivered", "untouched")


class CaseError(ValueError):
    """A case that cannot be tried as it is written."""


@dataclasses.dataclass(frozen=True)
class Observer:
    """An authorised client that watches a topic while the case runs.

    With "untouched" it is also the victim whose session has to survive.
    """

    identity: Identity
    topic: str


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to try against a broker."""

    name: str
    target: Target
    identity: Identity
    action: str
    expect: str
    version: str = "3.1.1"
    topic: str | None = None
    payload: str | None = None
    qos: int = 1
    refused_in: str = "any"
    foreign: bool = False
    observer: Observer | None = None

    def __post_init__(self) -> None:
        allowed = EXPECTATIONS.get(self.action)
        if allowed is None:
            raise CaseError(f"{self.name}: unknown action {self.action!r}")
        if self.expect not in allowed:
            raise CaseError(f"{self.name}: of {self.action} one can expect {' or '.join(allowed)}")
        if self.action != CONNECT and not self.topic:
            raise CaseError(f"{self.name}: {self.action} needs a topic")
        if self.expect in NEEDS_OBSERVER and self.observer is None:
            raise CaseError(f"{self.name}: {self.expect} can only be seen by an observer")
        if self.expect not in NEEDS_OBSERVER and self.observer is not None:
            raise CaseError(f"{self.name}: with {self.expect} there is nothing for an observer to see")
        if self.foreign and not (self.identity.cert_file and self.target.ca_file):
            raise CaseError(f"{self.name}: a foreign certificate is made after cert_file and ca_file")

    @property
    def claims(self) -> frozenset[str]:
        """Every name under which this case may hold a session.

        A broker ends a session when another one takes its client id, and with `peer_cert_as_clientid` the
        certificate decides on that id. Cases with a name in common must not run at the same time.
        """
        identities = [self.identity] + ([self.observer.identity] if self.observer else [])
        names = {value for one in identities for value in (one.client_id, one.username, one.cert_file) if value}
        return frozenset(f"{self.target.host}:{self.target.port}/{name}" for name in names)


def expand(data: t.Mapping[str, t.Any], clients: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """A description with its client's properties filled in; what it says itself counts more."""

    def client(name: str) -> t.Mapping[str, t.Any]:
        if name not in clients:
            raise CaseError(f"{data.get('name', 'observer')}: there is no client {name!r}")
        return clients[name]

    out = _given(client(str(data["client"]))) if data.get("client") else {}
    tls = _given(out.get("tls") or {}) | _given(data.get("tls") or {})
    out |= _given(data)
    certificate = str(data.get("certificate") or "own")
    if certificate == "foreign":
        tls["foreign"] = True
    elif certificate != "own":
        for key in ("cert_file", "key_file"):
            tls.pop(key, None)
        if certificate != "none":
            tls |= _given(client(certificate).get("tls") or {})
    if data.get("anonymous"):
        out.pop("username", None)
        out.pop("password_file", None)
    if data.get("observer"):
        out["observer"] = expand(data["observer"], clients)
    if not out.get("client_id"):
        raise CaseError(f"{data.get('name', 'observer')}: client_id is needed, or a client that has one")
    out["tls"] = tls
    return out


def _given(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in data.items() if value is not None}


def parse_identity(data: t.Mapping[str, t.Any], read_password: t.Callable[[str], str]) -> Identity:
    """An identity from its description; the password comes from its file."""
    tls = data.get("tls") or {}
    if tls.get("cert_file") and not tls.get("key_file"):
        raise CaseError(f"{data.get('client_id')}: cert_file needs key_file")
    password = read_password(str(data["password_file"])) if data.get("password_file") else None
    return Identity(
        client_id=str(data["client_id"]),
        username=None if data.get("username") is None else str(data["username"]),
        password=password,
        cert_file=_text(tls.get("cert_file")),
        key_file=_text(tls.get("key_file")),
    )


def parse_case(
    data: t.Mapping[str, t.Any],
    defaults: t.Mapping[str, t.Any],
    read_password: t.Callable[[str], str],
    wrong_password: t.Callable[[], str],
) -> Case:
    """A case from its description; CaseError says what is wrong with it."""
    tls = data.get("tls") or {}
    host, port = data.get("host") or defaults.get("host"), data.get("port") or defaults.get("port")
    if not host or not port:
        raise CaseError(f"{data['name']}: host and port are needed")
    target = Target(
        host=str(host),
        port=int(port),
        ca_file=_text(tls.get("ca_file") or defaults.get("ca_file")) if tls.get("enabled", True) else None,
        server_name=_text(tls.get("server_name") or defaults.get("server_name")),
    )
    identity = parse_identity(data, read_password)
    if data.get("wrong_password"):
        identity = dataclasses.replace(identity, password=wrong_password())
    watcher = data.get("observer")
    observer = None
    if watcher:
        observer = Observer(parse_identity(watcher, read_password), str(watcher["topic"]))
    return Case(
        name=str(data["name"]),
        target=target,
        identity=identity,
        action=str(data["action"]),
        expect=str(data["expect"]),
        version=str(data.get("version") or "3.1.1"),
        topic=_text(data.get("topic")),
        payload=_text(data.get("payload")),
        qos=int(data.get("qos", 1)),
        refused_in=str(data.get("refused_in") or "any"),
        foreign=bool(tls.get("foreign")),
        observer=observer,
    )


def _text(value: t.Any) -> str | None:
    return None if value is None or value == "" else str(value)
