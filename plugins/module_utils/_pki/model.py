# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a certificate is wanted to be; needs no cryptography."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t


class PkiError(Exception):
    """What a user can do something about; never has key material or a passphrase in it."""


KEY_TYPES: t.Final = ("ecdsa_p256", "ecdsa_p384", "rsa_2048", "rsa_3072", "rsa_4096")
PROFILES: t.Final = ("server", "client", "server_client")

# X.520's upper bound; OpenSSL and Go refuse longer ones.
COMMON_NAME_LENGTH: t.Final = 64

# A century; beyond that the sums of dates end somewhere.
MAXIMUM_DAYS: t.Final = 36500

_DNS_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def _dns_name(value: str) -> str:
    name = value.strip().rstrip(".")
    try:
        ascii_name = name.encode("ascii").decode() if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise PkiError(f"{value!r} can't be a DNS name in a certificate") from None
    ascii_name = ascii_name.lower()
    labels = ascii_name.split(".")
    if labels[0] == "*" and len(labels) > 1:
        labels = labels[1:]
    if len(ascii_name) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise PkiError(f"{value!r} can't be a DNS name in a certificate")
    return ascii_name


def normalize_name(entry: str) -> str:
    """``DNS:name``, ``IP:address``, ``URI:...`` or ``email:...``; without a prefix an address or a DNS name.

    :raises PkiError: when it is none of them
    """
    kind, separator, value = entry.strip().partition(":")
    lowered = kind.lower()
    if separator and lowered == "dns":
        return f"DNS:{_dns_name(value)}"
    if separator and lowered == "ip":
        try:
            return f"IP:{ipaddress.ip_address(value.strip())}"
        except ValueError:
            raise PkiError(f"{entry!r} is no IP address") from None
    if separator and lowered in ("uri", "email"):
        if not value.strip() or not value.isascii():
            raise PkiError(f"{entry!r} can't be a name in a certificate")
        return f"{'URI' if lowered == 'uri' else 'email'}:{value.strip()}"
    try:
        return f"IP:{ipaddress.ip_address(entry.strip())}"
    except ValueError:
        return f"DNS:{_dns_name(entry)}"


def normalize_names(entries: t.Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once: their order in a certificate means nothing."""
    return tuple(sorted({normalize_name(str(entry)) for entry in entries}))


def check_constraint(entry: str) -> str:
    """``DNS:name`` (and all names below it) or ``IP:network``, as an authority's name constraint.

    :raises PkiError: when it is none of them
    """
    kind, _dummy, value = entry.partition(":")
    if kind == "IP":
        try:
            return f"IP:{ipaddress.ip_network(value)}"
        except ValueError:
            raise PkiError(f"{entry!r} is no network (for example IP:10.0.0.0/8)") from None
    if kind != "DNS" or "*" in value:
        raise PkiError(f"{entry!r} can't be a name constraint: write DNS:example.com or IP:10.0.0.0/8")
    return f"DNS:{_dns_name(value)}"


def check_common_name(name: str, what: str = "common_name") -> str:
    if not name or name != name.strip():
        raise PkiError(f"{what} is empty or begins or ends with a space")
    if len(name) > COMMON_NAME_LENGTH:
        raise PkiError(f"{what} {name!r} has {len(name)} characters, a certificate takes {COMMON_NAME_LENGTH}")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise PkiError(f"{what} {name!r} has a control character in it")
    return name


def check_choice(value: str, choices: t.Sequence[str], what: str) -> str:
    if value not in choices:
        raise PkiError(f"unknown {what} {value!r}: use one of {', '.join(choices)}")
    return value


def check_valid_days(days: int) -> int:
    if not 1 <= days <= MAXIMUM_DAYS:
        raise PkiError(f"valid_days is {days}: it must be 1 to {MAXIMUM_DAYS}")
    return days


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A leaf certificate as it is wanted. Use :meth:`checked`, which normalizes."""

    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()
    profile: str = "server"
    key_type: str = "ecdsa_p256"
    valid_days: int = 825
    renew_before: int = 30
    crl_urls: tuple[str, ...] = ()

    @classmethod
    def checked(
        cls,
        common_name: str,
        organization: str | None = None,
        names: t.Iterable[str] | None = None,
        profile: str = "server",
        key_type: str = "ecdsa_p256",
        valid_days: int = 825,
        renew_before: int = 30,
        crl_urls: t.Iterable[str] | None = None,
    ) -> Wanted:
        """:raises PkiError: for what no certificate can be made of."""
        check_common_name(common_name)
        if organization:
            check_common_name(organization, "organization")
        check_choice(profile, PROFILES, "profile")
        check_choice(key_type, KEY_TYPES, "key_type")
        check_valid_days(valid_days)
        if not 0 <= renew_before < valid_days:
            # Otherwise every run would make a new one.
            raise PkiError(f"renew_before ({renew_before} days) must be less than valid_days ({valid_days})")
        normalized = normalize_names(names or ())
        if not normalized and profile != "client":
            # Clients look at the alternative names only, so a server certificate without one is of no use.
            normalized = normalize_names([common_name])
        urls = tuple(sorted(set(crl_urls or ())))
        for url in urls:
            if not url.startswith(("http://", "https://", "ldap://")) or not url.isascii():
                raise PkiError(f"{url!r} can't be a CRL distribution point: it must be an http, https or ldap URL")
        return cls(
            common_name, organization or "", normalized, profile, key_type, valid_days, renew_before, urls
        )

    @property
    def subject(self) -> str:
        """As the info view shows it."""
        return f"O={self.organization}, CN={self.common_name}" if self.organization else f"CN={self.common_name}"
