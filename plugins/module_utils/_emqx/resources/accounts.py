# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may manage EMQX: API keys and users of the dashboard. Both are for users of the dashboard alone; an API key gets 401."""

from __future__ import annotations

import os
import typing as t

from ..._pki import files
from ..client import Client, EmqxError, path_of
from ..difference import Difference, prune
from ..versions import need
from .common import Json, Outcome, instant, need_instant, prepare, rows_of

# --- API keys ---

_KEY_READ_ONLY = ("name", "api_key", "api_secret", "created_at", "expired")


def api_key(
    client: Client,
    name: str,
    wanted: dict[str, Json],
    *,
    present: bool = True,
    secret_file: str | None = None,
    regenerate: str = "never",
    check: bool = False,
) -> Outcome:
    """One API key. Its secret is shown once, when it is made: into secret_file, or into the result.

    regenerate: never, lost (it exists and secret_file does not), always.
    """
    wanted = prune(wanted)
    need_instant(wanted.get("expired_at"), "expired_at")
    if "role" in wanted:
        need(client.server(), "roles", "role")
    path = path_of("api_key", name)
    current = client.find(path)
    have = None if current is None else {key: value for key, value in current.items() if key not in _KEY_READ_ONLY}
    if have is not None and "expired_at" in wanted and instant(wanted["expired_at"]) == instant(have.get("expired_at")):
        wanted["expired_at"] = have.get("expired_at")
    # The PUT takes what it does not name back to defaults, so Difference sends all of what is there.
    difference = Difference(wanted if present else None, have)
    outcome = Outcome(result={"name": name})
    outcome.add(difference, f"API key {name}")
    if not present:
        if difference.changed and not check:
            client.delete(path)
        return outcome
    again = have is not None and _again(name, secret_file, regenerate)
    if again:
        outcome.note("api_secret", f"API key {name}", {"api_secret": "the previous one"}, {"api_secret": "a new one"})
    if have is None or again:
        if secret_file:
            _writable(secret_file)
        if not check:
            _make(client, name, difference.after() or {}, again, secret_file, outcome)
    else:
        outcome.result["api_key"] = (current or {}).get("api_key")
        if difference.changed and not check:
            client.put(path, difference.body())
    outcome.result["key"] = {"enable": True, "expired_at": "infinity", **(difference.after() or {})}
    return outcome


def _again(name: str, secret_file: str | None, regenerate: str) -> bool:
    if regenerate == "always":
        return True
    if not secret_file or _read(secret_file):
        return False
    if regenerate == "lost":
        return True
    raise EmqxError(
        f"API key {name} exists and its secret is not in {secret_file}; EMQX showed it once, when the key was made",
        "Put the secret there, or set regenerate: lost to make a new key in its place",
    )


def _read(path: str) -> bytes:
    try:
        return (files.read_optional(path) or b"").strip()
    except OSError as error:
        raise EmqxError(f"cannot read secret_file {path} ({error})", "It must be a file that this user may read") from error


def _writable(path: str) -> None:
    """A secret that cannot be kept would be lost, so that is found out first."""
    directory = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise EmqxError(f"secret_file {path} cannot be written", "Name a file in a directory that exists and that this user may write to")


def _make(client: Client, name: str, wanted: dict[str, Json], again: bool, secret_file: str | None, outcome: Outcome) -> None:
    if again:
        client.delete(path_of("api_key", name))
    body = {"enable": True, "expired_at": "infinity", "desc": "", **wanted, "name": name}
    answer = client.post("/api_key", body)
    secret = answer.get("api_secret") if isinstance(answer, dict) else None
    if not isinstance(secret, str):
        raise client.unexpected("/api_key", "an API key with its secret")
    client.redact([secret])
    outcome.result["api_key"] = answer.get("api_key")
    if not secret_file:
        outcome.result["api_secret"] = secret
        return
    try:
        files.write_atomic(secret_file, secret.encode() + b"\n")
    except OSError as error:
        client.delete(path_of("api_key", name))
        raise EmqxError(f"secret_file {secret_file} cannot be written ({error}), so the new API key {name} was removed again", "Make room for it") from error


# --- users of the dashboard ---


def dashboard_user(
    client: Client,
    username: str,
    wanted: dict[str, Json],
    *,
    password: str | None = None,
    current_password: str | None = None,
    update_password: bool = False,
    present: bool = True,
    check: bool = False,
) -> Outcome:
    """One user of the dashboard. A password is changed with the current one; whether it has to be is asked by one login with the new one."""
    wanted = prune(wanted)
    prepare(client, prune({**wanted, "password": password, "old_pwd": current_password}))
    if "role" in wanted:
        need(client.server(), "roles", "role")
    if password is not None and (problem := password_problem(password)):
        raise EmqxError(f"password {problem}", "EMQX takes 8 to 64 ASCII characters of at least two kinds (letters, digits, others)")
    rows = rows_of(client, client.get("/users"), "/users")
    # Users of single sign-on may have the same names.
    row = next((row for row in rows if row.get("username") == username and row.get("backend", "local") == "local"), None)
    have: dict[str, Json] | None = None if row is None else {key: row[key] for key in ("description", "role") if key in row}
    label = f"dashboard user {username}"
    difference = Difference(wanted if present else None, have)
    outcome = Outcome(result={"username": username})
    outcome.add(difference, label)
    path = path_of("users", username)
    if not present:
        if difference.changed and not check:
            client.delete(path)
        return outcome
    outcome.result["user"] = {"description": "", **(difference.after() or {})}
    if have is None:
        if password is None:
            raise EmqxError(f"{label} does not exist, and password is not given", "Give a password to create it")
        if not check:
            client.post("/users", {"description": "", **wanted, "username": username, "password": password})
        return outcome
    other = update_password and password is not None and not client.accepts(username, password)
    if other and current_password is None:
        raise EmqxError(f"{label} has another password, and EMQX changes it only with the current one", "Give current_password")
    if difference.changed and not check:
        client.put(path, {"description": "", **difference.body()})
    if other:
        outcome.note("password", label, {"password": "the previous one"}, {"password": "a new one"})
        if not check:
            # Last, because it ends the user's sessions, which may be ours.
            client.post(f"{path}/change_pwd", {"old_pwd": current_password, "new_pwd": password})
    return outcome


def password_problem(password: str) -> str:
    """What EMQX would not take in a password of the dashboard."""
    if not 8 <= len(password) <= 64:
        return f"has {len(password)} characters"
    if not password.isascii() or not password.isprintable():
        return "has other characters than printable ASCII"
    kinds: set[t.Any] = {"letter" if char.isalpha() else "digit" if char.isdigit() else "other" for char in password}
    return "" if len(kinds) > 1 else "is of one kind of characters"
