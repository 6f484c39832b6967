# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of devices, checked as a whole before anything is made of it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .source import DevicesError, load_devices

# One id is a certificate's common name (64 characters at most), a user name, a client id, a level of topics, a tag in the
# database and a directory's name. A wildcard, a slash or a quote in it would widen permissions or leave the directory.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Accounts of the collection's own.
_RESERVED = re.compile(r"(?:telegraf|grafana|streamlit|influxdb|emqx|mqtt|root|admin)(?:$|-)|edgestack-", re.IGNORECASE)
VERIFY_PROFILE = "edgestack_verify"
AUTH = {"certificate": "certificate", "certificate+password": "certificate", "password": "password"}
STATES = ("present", "revoked", "absent")
# Further keys belong to other parts (key_type: the certificate; description, location: people).
KEYS = {"id", "profile", "site", "auth", "state", "key_type", "description", "location"}
SHOWN = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """auth: certificate (which needs the password too) or password alone. state: present, revoked or absent."""

    id: str
    profile: str
    site: str = "main"
    auth: str = "certificate"
    state: str = "present"


def id_problem(name: t.Any) -> str | None:
    """Why this cannot be a device's id."""
    if not isinstance(name, str) or not name:
        return f"id {name!r}: is no text (quote it, if it is a number)"
    if _ID.fullmatch(name):
        return None
    if len(name) > 64:
        return f"id {name[:64]!r}...: has {len(name)} characters; a certificate's name has at most 64"
    if not name.isascii():
        return f"id {name!r}: has characters that are not ASCII"
    bad = sorted({char for char in name if not re.match(r"[A-Za-z0-9._:@-]", char)})
    if bad:
        shown = " ".join(char if char.isprintable() and char != " " else repr(char) for char in bad)
        return f"id {name!r}: has {shown}; allowed are letters, digits and . _ : @ -"
    return f"id {name!r}: must begin with a letter or a digit"


def _entry(entry: t.Any, profiles: t.Container[str], site: str) -> tuple[Device | None, list[str]]:
    if not isinstance(entry, dict):
        return None, [f"{entry!r} is no dictionary with an id and a profile"]
    problems = []
    name = entry.get("id")
    problem = id_problem(name)
    if problem:
        problems.append(problem)
    unknown = sorted(str(key) for key in set(entry) - KEYS)
    if unknown:
        problems.append(f"id {name!r}: unknown {', '.join(unknown)}; known are {', '.join(sorted(KEYS))}")
    profile = entry.get("profile")
    state = entry.get("state", "present")
    # A device that goes away may name a profile that is already gone.
    if not isinstance(profile, str) and state == "present":
        problems.append(f"id {name!r}: profile is missing")
    elif profile not in profiles and state == "present":
        problems.append(f"id {name!r}: there is no profile {profile!r}")
    auth = entry.get("auth", "certificate")
    if auth not in AUTH:
        problems.append(f"id {name!r}: auth {auth!r} is none of {', '.join(AUTH)}")
    if state not in STATES:
        problems.append(f"id {name!r}: state {state!r} is none of {', '.join(STATES)}")
    where = entry.get("site", site)
    if not isinstance(where, str) or not _SITE.fullmatch(where):
        problems.append(f"id {name!r}: site {where!r} is none")
    if isinstance(name, str) and _RESERVED.match(name) and profile != VERIFY_PROFILE:
        problems.append(f"id {name!r}: is reserved for the services' own accounts")
    if problems:
        return None, problems
    return Device(str(name), str(profile or ""), str(where), AUTH[auth], state), []


def parse(entries: t.Iterable[t.Any], profiles: t.Container[str], site: str = "main") -> list[Device]:
    """The devices, or one error with all that is wrong. site is of those that name none."""
    devices: list[Device] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for entry in entries:
        device, wrong = _entry(entry, profiles, site)
        problems += wrong
        if device is None:
            continue
        folded = device.id.casefold()
        if folded in seen:
            same = device.id == seen[folded]
            problems.append(f"id {device.id!r}: is there twice" if same else f"id {device.id!r}: differs from {seen[folded]!r} in case only")
        seen.setdefault(folded, device.id)
        devices.append(device)
    if problems:
        more = f"\nand {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DevicesError("devices that cannot be used:\n" + "\n".join(problems[:SHOWN]) + more)
    return devices


def read(entries: t.Iterable[t.Any], file: str | None, profiles: t.Container[str], site: str = "main") -> list[Device]:
    """The devices of a variable and of a file together."""
    return parse([*entries, *(load_devices(file) if file else [])], profiles, site)
