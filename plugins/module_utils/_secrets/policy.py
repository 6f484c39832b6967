# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How secrets are made: every policy's characters are safe unquoted and quoted in HOCON, TOML, INI, YAML and SQL.

That means: no quotes, no ``$``, backslash, ``#``, spaces or ``%``; the first character is a letter or digit, so that no
command line takes a secret for an option.
"""

from __future__ import annotations

import dataclasses
import secrets
import string
import typing as t


class SecretsError(Exception):
    """What a user can do something about; never has a secret's value in it."""


@dataclasses.dataclass(frozen=True)
class Policy:
    name: str
    alphabet: str
    first: str
    default_length: int
    minimum: int
    maximum: int
    # Each of these sets must be represented.
    classes: tuple[str, ...] = ()
    # A separator after each so many characters, for what a person may have to type.
    group: int = 0


_UNAMBIGUOUS = "abcdefghijkmnpqrstuvwxyz23456789"

POLICIES: t.Final[dict[str, Policy]] = {
    policy.name: policy
    for policy in (
        # EMQX's dashboard: 8 to 64 ASCII characters of at least two classes; others ask for three.
        Policy(
            "password",
            string.ascii_letters + string.digits,
            string.ascii_letters,
            24,
            8,
            64,
            (string.ascii_lowercase, string.ascii_uppercase, string.digits),
        ),
        Policy("token", string.ascii_letters + string.digits + "-_", string.ascii_letters + string.digits, 64, 16, 256),
        Policy("hex", "0123456789abcdef", "0123456789abcdef", 64, 16, 256),
        # An Erlang cookie is an atom: 255 characters at most.
        Policy("cookie", string.ascii_letters + string.digits, string.ascii_letters, 40, 16, 255),
        Policy("passphrase", _UNAMBIGUOUS, _UNAMBIGUOUS, 39, 19, 128, (), 4),
    )
}


def policy_for(name: str, length: int | None = None) -> tuple[Policy, int]:
    """The policy and the length, checked."""
    policy = POLICIES.get(name)
    if policy is None:
        raise SecretsError(f"unknown policy {name!r}: use one of {', '.join(sorted(POLICIES))}")
    wanted = policy.default_length if length is None else length
    if not policy.minimum <= wanted <= policy.maximum:
        raise SecretsError(
            f"a secret of the policy {name} has {policy.minimum} to {policy.maximum} characters, {wanted} were asked for"
        )
    return policy, wanted


def _candidate(policy: Policy, length: int) -> str:
    characters = [secrets.choice(policy.first)]
    while len(characters) < length:
        if policy.group and len(characters) % (policy.group + 1) == policy.group and len(characters) < length - 1:
            characters.append("-")
        else:
            characters.append(secrets.choice(policy.alphabet))
    return "".join(characters)


def generate(name: str, length: int | None = None) -> str:
    """A new secret; what lacks a class is thrown away whole, so that every position stays equally random."""
    policy, wanted = policy_for(name, length)
    while True:
        candidate = _candidate(policy, wanted)
        if all(set(candidate) & set(needed) for needed in policy.classes):
            return candidate
