# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that EMQX asks, in MySQL or MariaDB. Takes a connection of the DB-API (PyMySQL); knows no Ansible."""

from __future__ import annotations

import dataclasses
import typing as t

from . import rows
from .rows import Found, Plan, User, plan
from .source import DevicesError

CHARSET = "utf8mb4"
# Bytes are compared: with another collation DEV1 would be dev1, and a latin1 default refuses everyone.
COLLATION = "utf8mb4_bin"

# As EMQX documents them, and `auth` and `managed` of ours. mqtt_user keeps one row per name, as everything expects that reads it;
# the password before the last rotation stands in a table of its own while it works.
COLUMNS: dict[str, dict[str, str]] = {
    "mqtt_user": {
        "id": "INT UNSIGNED NOT NULL AUTO_INCREMENT",
        "username": "VARCHAR(100) NOT NULL",
        "password_hash": "VARCHAR(100) NOT NULL",
        "salt": "VARCHAR(35) NOT NULL DEFAULT ''",
        "is_superuser": "TINYINT(1) NOT NULL DEFAULT 0",
        "created": "DATETIME NULL DEFAULT CURRENT_TIMESTAMP",
        "auth": "ENUM('certificate','password') NOT NULL DEFAULT 'certificate'",
        "managed": "TINYINT(1) NOT NULL DEFAULT 0",
    },
    "mqtt_acl": {
        "id": "INT UNSIGNED NOT NULL AUTO_INCREMENT",
        "ipaddress": "VARCHAR(60) NOT NULL DEFAULT ''",
        "username": "VARCHAR(255) NOT NULL DEFAULT ''",
        "clientid": "VARCHAR(255) NOT NULL DEFAULT ''",
        "action": "ENUM('publish','subscribe','all') NOT NULL",
        "permission": "ENUM('allow','deny') NOT NULL",
        "topic": "VARCHAR(255) NOT NULL DEFAULT ''",
        "qos": "TINYINT(1) NULL",
        "retain": "TINYINT(1) NULL",
    },
    "mqtt_user_previous": {
        "username": "VARCHAR(100) NOT NULL",
        "password_hash": "VARCHAR(100) NOT NULL",
        "salt": "VARCHAR(35) NOT NULL DEFAULT ''",
        # UTC.
        "valid_until": "DATETIME NOT NULL",
    },
}
KEYS = {
    "mqtt_user": "PRIMARY KEY (id), UNIQUE KEY mqtt_username (username)",
    "mqtt_acl": "PRIMARY KEY (id), KEY mqtt_acl_username (username)",
    "mqtt_user_previous": "PRIMARY KEY (username)",
}
_CHUNK = 1000


class Cursor(t.Protocol):
    """As much of a DB-API cursor as is used."""

    def execute(self, query: str, args: t.Any = None) -> t.Any: ...

    def executemany(self, query: str, args: t.Any) -> t.Any: ...

    def fetchall(self) -> t.Any: ...

    def close(self) -> None: ...


class Connection(t.Protocol):
    """As much of a DB-API connection as is used; autocommit is off."""

    def cursor(self) -> Cursor: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


class Tables:
    """The two tables of one database, read and changed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def schema_changes(self) -> list[tuple[str, str]]:
        """What the tables lack: a text for people, and the statement. Rows stay as they are."""
        self._cursor.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name IN ('mqtt_user', 'mqtt_acl', 'mqtt_user_previous')"
        )
        there: dict[str, dict[str, str | None]] = {}
        for table, column, collation in self._cursor.fetchall():
            there.setdefault(str(table), {})[str(column).lower()] = collation
        changes = []
        for table, columns in COLUMNS.items():
            have = there.get(table)
            if have is None:
                parts = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                changes.append((
                    f"create table {table}",
                    f"CREATE TABLE {table} ({parts}, {KEYS[table]}) ENGINE=InnoDB DEFAULT CHARSET={CHARSET} COLLATE={COLLATION}",
                ))  # fmt: skip
                continue
            if any(collation not in (None, COLLATION) for collation in have.values()):
                changes.append((
                    f"convert table {table} to {COLLATION}",
                    f"ALTER TABLE {table} CONVERT TO CHARACTER SET {CHARSET} COLLATE {COLLATION}",
                ))  # fmt: skip
            for name, kind in columns.items():
                if name not in have:
                    changes.append((f"add column {table}.{name}", f"ALTER TABLE {table} ADD COLUMN {name} {kind}"))
        return changes

    def change_schema(self, statements: t.Iterable[str]) -> None:
        for statement in statements:
            self._cursor.execute(statement)

    def readable(self, changes: t.Sequence[tuple[str, str]]) -> bool:
        """Whether rows can be read although these changes have not been made (check mode)."""
        return not any(text.startswith(("create", "add")) for text, _statement in changes)

    def read(self) -> dict[str, Found]:
        """All users with their permissions, in the order in which EMQX gets them."""
        acl: dict[str, list[tuple[str, str, str]]] = {}
        odd: set[str] = set()
        self._cursor.execute("SELECT username, permission, action, topic, qos, retain, ipaddress, clientid FROM mqtt_acl ORDER BY id")
        for username, permission, action, topic, qos, retain, ipaddress, clientid in self._cursor.fetchall():
            acl.setdefault(username, []).append((permission, action, topic))
            if qos is not None or retain is not None or ipaddress or clientid:
                # Not one of ours: shown as a difference of this user's permissions.
                odd.add(username)
        self._cursor.execute("SELECT username, password_hash, salt, DATE_FORMAT(valid_until, '%Y-%m-%d %H:%i:%s') FROM mqtt_user_previous")
        previous = {username: (hashed, salt, until) for username, hashed, salt, until in self._cursor.fetchall()}
        self._cursor.execute("SELECT username, password_hash, salt, auth, is_superuser, managed FROM mqtt_user")
        found = {}
        for username, hashed, salt, auth, superuser, managed in self._cursor.fetchall():
            rules = tuple(acl.get(username, ()))
            if username in odd:
                rules = (*rules, ("", "", ""))
            found[username] = Found(User(username, hashed or "", salt or "", auth or "", rules, previous.get(username)), bool(managed), not superuser)
        # Permissions without a user are of no use to anybody, until somebody makes that user.
        for username in (set(acl) | set(previous)) - set(found):
            found[username] = Found(User(username, "", "", "", tuple(acl.get(username, ())), previous.get(username)), False)
        return found

    def apply(self, change: Plan) -> None:
        """All of it or nothing."""
        try:
            self._apply(change)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    def _apply(self, change: Plan) -> None:
        self._delete("mqtt_user", change.remove)
        self._delete("mqtt_acl", change.remove)
        self._delete("mqtt_user_previous", change.remove)
        written = [*change.add, *(user for user, _why in change.update)]
        if not written:
            return
        self._cursor.executemany(
            "INSERT INTO mqtt_user (username, password_hash, salt, is_superuser, auth, managed) VALUES (%s, %s, %s, 0, %s, 1)"
            " ON DUPLICATE KEY UPDATE password_hash = VALUES(password_hash), salt = VALUES(salt), is_superuser = 0,"
            " auth = VALUES(auth), managed = 1",
            [(user.username, user.password_hash, user.salt, user.auth) for user in written],
        )
        self._delete("mqtt_user_previous", [user.username for user, _why in change.update])
        previous = [(user.username, *user.previous) for user in written if user.previous]
        if previous:
            self._cursor.executemany("INSERT INTO mqtt_user_previous (username, password_hash, salt, valid_until) VALUES (%s, %s, %s, %s)", previous)
        fresh = [user for user, why in change.update if "permissions" in why]
        self._delete("mqtt_acl", [user.username for user in fresh])
        rules = [(user.username, *rule) for user in [*change.add, *fresh] for rule in user.acl]
        if rules:
            self._cursor.executemany("INSERT INTO mqtt_acl (username, permission, action, topic) VALUES (%s, %s, %s, %s)", rules)

    def _delete(self, table: str, names: t.Sequence[str]) -> None:
        for start in range(0, len(names), _CHUNK):
            part = names[start : start + _CHUNK]
            places = ", ".join(["%s"] * len(part))
            self._cursor.execute(f"DELETE FROM {table} WHERE username IN ({places})", list(part))  # noqa: S608 - a table of ours


@dataclasses.dataclass
class Outcome:
    """What was (check: would be) done, what the schema lacked, and a digest of what is there now (None: it cannot be told)."""

    plan: Plan
    schema: list[str]
    state: str | None = None


def converge(connection: Connection, wanted: t.Sequence[User], gone: t.Collection[str], *, purge: bool, check: bool) -> Outcome:
    """Makes the tables and their rows what they shall be, in one transaction."""
    tables = Tables(connection)
    schema = tables.schema_changes()
    lacks = [text for text, _statement in schema]
    if check and not tables.readable(schema):
        return Outcome(plan(wanted, gone, {}, purge), lacks)
    if not check:
        tables.change_schema(statement for _text, statement in schema)
    found = tables.read()
    change = plan(wanted, gone, found, purge)
    if check:
        return Outcome(change, lacks)
    if change.changed:
        tables.apply(change)
        found = tables.read()
    return Outcome(change, lacks, rows.state(found.values()))


def state(connection: Connection) -> str | None:
    """A digest of what is there; None when the tables are not as they shall be."""
    tables = Tables(connection)
    return None if tables.schema_changes() else rows.state(tables.read().values())


def explain(error: Exception) -> DevicesError:
    """A database error as it can be shown: its number and text, without the statement's values."""
    arguments: tuple[t.Any, ...] = error.args
    number = arguments[0] if arguments and isinstance(arguments[0], int) else None
    hints = {
        1044: "The user may not use this database",
        1045: "root over the unix socket is refused: run the module as root (become), and leave root's unix_socket authentication on",
        1049: "The database does not exist: run the mysql role first",
        1205: "Another transaction holds the rows; run again",
        2002: "MySQL does not run, or its socket is elsewhere: check the service and login_unix_socket",
        2003: "MySQL does not run, or its socket is elsewhere: check the service and login_unix_socket",
        2013: "MySQL went away in the middle; nothing of this run was kept. Run again",
    }
    text = str(arguments[1]) if len(arguments) > 1 and number != 1062 else type(error).__name__
    hint = f". {hints[number]}" if number in hints else ""
    return DevicesError(f"MySQL: {text}{f' ({number})' if number else ''}{hint}")
