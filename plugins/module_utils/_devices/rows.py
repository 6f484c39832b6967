# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of EMQX's documented tables, made on the controller and compared on the host.

The host keeps a record of the last run: a digest of what was wanted, and one of what was there then. When both are still
the same, the outcome is, and nothing has to be sent: one round trip.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .hashing import Hasher
from .profiles import Profile
from .registry import Device
from .source import DevicesError

FORMAT = 2
ACTIONS = ("publish", "subscribe", "all")
PERMISSIONS = ("allow", "deny")
Acl = tuple[str, str, str]
"""permission, action, topic"""


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """One row of mqtt_user, and its rows of mqtt_acl in the order in which they are asked.

    previous: hash, salt and end (UTC) of the password before, while that works too.
    """

    username: str
    password_hash: str = dataclasses.field(repr=False)
    salt: str = dataclasses.field(repr=False)
    auth: str = "certificate"
    acl: tuple[Acl, ...] = ()
    previous: tuple[str, str, str] | None = dataclasses.field(default=None, repr=False)


def profile_acl(profile: Profile) -> tuple[Acl, ...]:
    """Permissions of a profile; ${username} is replaced by EMQX."""
    return tuple(
        [("allow", "publish", topic) for topic in profile["topics"]["publish"]] + [("allow", "subscribe", topic) for topic in profile["topics"]["subscribe"]]
    )


def device_user(device: Device, profile: Profile, password: str, hasher: Hasher, previous: tuple[str, str] | None = None) -> User:
    """previous: the password before, and until when it works."""
    before = None if previous is None else (*hasher.row(device.id, previous[0]), previous[1])
    return User(device.id, *hasher.row(device.id, password), device.auth, profile_acl(profile), before)


def service_user(account: t.Mapping[str, t.Any], password: str, hasher: Hasher) -> User:
    """An account of a service (Telegraf), whose permissions are given."""
    name = str(account["username"])
    acl: list[Acl] = []
    for number, rule in enumerate(account.get("acl") or []):
        permission, action, topic = rule.get("permission") or "allow", rule.get("action"), rule.get("topic")
        if permission not in PERMISSIONS or action not in ACTIONS or not isinstance(topic, str) or not topic:
            raise DevicesError(f"service account {name}: acl[{number}] needs an action ({', '.join(ACTIONS)}), a topic and a permission (allow, deny)")
        acl.append((permission, action, topic))
    acl += [("allow", action, str(topic)) for action in ("publish", "subscribe") for topic in account.get(action) or []]
    return User(name, *hasher.row(name, password), str(account.get("auth") or "certificate"), tuple(acl))


def _line(user: User) -> bytes:
    return json.dumps(
        [user.username, user.password_hash, user.salt, user.auth, user.acl, user.previous], separators=(",", ":"), ensure_ascii=True
    ).encode()  # fmt: skip


def digest(users: t.Iterable[User]) -> str:
    """Of all rows, whatever their order; it tells nothing about them."""
    total = hashlib.sha256()
    for user in sorted(users, key=lambda one: one.username):
        total.update(_line(user) + b"\n")
    return total.hexdigest()


@dataclasses.dataclass(frozen=True)
class Gone:
    """Devices whose rows go: revoked ones are banned, too; absent ones may come back. readmitted: revoked and present again before
    this broker was told, so that a session of theirs may be of their old credentials."""

    revoked: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    readmitted: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset((*self.revoked, *self.absent))


def key(users: t.Iterable[User], gone: Gone, purge: bool) -> str:
    """Of all that is wanted of the database."""
    return hashlib.sha256(json.dumps([digest(users), gone.revoked, gone.absent, gone.readmitted, purge]).encode()).hexdigest()


def dump(users: t.Iterable[User], gone: Gone) -> bytes:
    """The file that travels to the host. Permissions that many users share are written once."""
    sets: dict[tuple[Acl, ...], int] = {}
    rows = [[one.username, one.password_hash, one.salt, one.auth, sets.setdefault(one.acl, len(sets)), one.previous] for one in users]
    tree = {"format": FORMAT, "acl": list(sets), "users": rows, **dataclasses.asdict(gone)}
    return json.dumps(tree, separators=(",", ":")).encode()


def load(data: bytes) -> tuple[list[User], Gone]:
    """What dump() wrote."""
    try:
        tree = json.loads(data)
        if tree["format"] != FORMAT:
            raise DevicesError(f"the rows are in format {tree['format']}, not {FORMAT}")
        sets = [tuple((str(rule[0]), str(rule[1]), str(rule[2])) for rule in acl) for acl in tree["acl"]]
        users = [
            User(str(name), str(hashed), str(salt), str(auth), sets[number], previous and (str(previous[0]), str(previous[1]), str(previous[2])))
            for name, hashed, salt, auth, number, previous in tree["users"]
        ]
        return users, Gone(*(tuple(map(str, tree[name])) for name in ("revoked", "absent", "readmitted")))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DevicesError(f"the file with the rows is damaged ({type(error).__name__})") from error


@dataclasses.dataclass
class Plan:
    """What a transaction does. Names are in the order of the wanted rows; reasons never hold a value."""

    add: list[User] = dataclasses.field(default_factory=list)
    update: list[tuple[User, list[str]]] = dataclasses.field(default_factory=list)
    remove: list[str] = dataclasses.field(default_factory=list)
    unlisted: list[str] = dataclasses.field(default_factory=list)
    unchanged: int = 0

    @property
    def changed(self) -> bool:
        return bool(self.add or self.update or self.remove)

    def counts(self) -> dict[str, int]:
        return {
            "added": len(self.add), "updated": len(self.update), "removed": len(self.remove),
            "unchanged": self.unchanged, "unlisted": len(self.unlisted),
        }  # fmt: skip

    def diff(self, shown: int = 1000) -> dict[str, t.Any]:
        """Names and what changes, never a hash."""
        before = [f"{name}" for name in self.remove] + [f"{user.username}" for user, _why in self.update]
        after = [f"{user.username} ({user.auth}, {len(user.acl)} permissions)" for user in self.add]
        after += [f"{user.username}: other {', '.join(why)}" for user, why in self.update]
        return {
            "before_header": "mqtt_user, mqtt_acl", "after_header": "mqtt_user, mqtt_acl",
            "before": _lines(before, shown), "after": _lines(after, shown),
        }  # fmt: skip


def _lines(names: list[str], shown: int) -> str:
    more = [f"and {len(names) - shown} more"] if len(names) > shown else []
    return "".join(f"{name}\n" for name in [*names[:shown], *more])


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One user in the database. managed: a row of ours; plain: not a superuser, which none of ours is."""

    user: User
    managed: bool = True
    plain: bool = True


def state(found: t.Iterable[Found]) -> str:
    """Digest of all that is in the tables, also of rows that others made."""
    total = hashlib.sha256()
    for one in sorted(found, key=lambda other: other.user.username):
        total.update(_line(one.user) + (b"m" if one.managed else b"-") + (b"p" if one.plain else b"-") + b"\n")
    return total.hexdigest()


def plan(wanted: t.Sequence[User], gone: t.Collection[str], found: t.Mapping[str, Found], purge: bool) -> Plan:
    """Only the difference. A revoked or absent device goes in any case, what is not listed only with purge."""
    result = Plan()
    names = set()
    for user in wanted:
        names.add(user.username)
        have = found.get(user.username)
        if have is None:
            result.add.append(user)
            continue
        why = [
            word
            for word, same in (
                ("password", (have.user.password_hash, have.user.salt) == (user.password_hash, user.salt)),
                ("previous password", have.user.previous == user.previous),
                ("authentication", have.user.auth == user.auth and have.plain),
                ("permissions", have.user.acl == user.acl),
                ("owner", have.managed),
            )
            if not same
        ]
        if why:
            result.update.append((user, why))
        else:
            result.unchanged += 1
    for name in sorted(found):
        if name in names:
            continue
        if name in gone or (purge and found[name].managed):
            result.remove.append(name)
        elif found[name].managed:
            result.unlisted.append(name)
    return result
