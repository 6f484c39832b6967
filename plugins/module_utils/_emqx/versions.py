# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What which EMQX can do, asked by name. One table, so that no module compares versions itself."""

from __future__ import annotations

import dataclasses

from .client import EmqxError, Server, version_key


@dataclasses.dataclass(frozen=True)
class Capability:
    """Present from one version on (included) to another (excluded); enterprise_only: since is for that edition alone
    until unified, from which on there is one edition."""

    what: str
    since: str = "5.1.0"
    until: str | None = None
    enterprise_only: bool = False


# From 5.9.0 on there is one edition, reported as Enterprise.
CAPABILITIES: dict[str, Capability] = {
    "has_connectors": Capability("connectors, actions and sources", since="5.4.0"),
    "has_bridges": Capability("bridges", until="6.0.0"),
    "secret_files": Capability("a secret given as file:///path", since="5.4.0"),
    "secrets_masked": Capability("answers with masked secrets", since="5.8.0"),
    "secret_files_shown": Capability("answers that show the path of a file:// secret", since="5.8.4"),
    "authn_order": Capability("setting the order of the authentication chain in one request", since="5.6.0"),
    "authz_order": Capability("setting the order of the authorization sources in one request", since="5.6.0"),
    "authz_cache_excludes": Capability("topics excluded from the authorization cache", since="5.5.0"),
    "ban_patterns": Capability("a ban by pattern or network (clientid_re, username_re, peerhost_net)", since="5.6.0"),
    "ban_infinity": Capability("a ban without an end (until: infinity)", since="5.8.1"),
    "clients_query_many": Capability("a query for several clients at once", since="5.6.0"),
    "cert_pem": Capability("the placeholder ${cert_pem}", since="5.7.0"),
    "durable_sessions": Capability("durable sessions", since="5.7.0"),
    "cinfo": Capability("authentication by client information (cinfo)", since="5.9.0"),
    "roles": Capability("roles of users and API keys", since="5.3.0", enterprise_only=True),
    "invite_body": Capability("an invitation with a time limit", since="5.5.0"),
    "data_backup": Capability("backups through the API", since="5.4.0"),
    "plugin_config": Capability("the configuration of a plugin", since="5.7.0"),
    "evacuation": Capability("the evacuation of a node", since="5.1.0", enterprise_only=True),
    "has_license": Capability("a licence", since="5.1.0", enterprise_only=True),
}


class UnsupportedError(EmqxError):
    """An option that this server's version or edition lacks."""


def has(server: Server, name: str) -> bool:
    """Whether this server can do it. A name that is not in the table is a mistake of the caller's: KeyError."""
    capability = CAPABILITIES[name]
    version = version_key(server.version)
    if version < version_key(capability.since):
        return False
    if capability.until is not None and version >= version_key(capability.until):
        return False
    return not capability.enterprise_only or server.enterprise or version >= (5, 9, 0)


def need(server: Server, name: str, option: str) -> None:
    """Fails with what is needed and what this is."""
    if has(server, name):
        return
    capability = CAPABILITIES[name]
    version = version_key(server.version)
    this = f"this is {server.version}"
    if version < version_key(capability.since):
        needs = f"needs EMQX {_short(capability.since)}"
    elif capability.until is not None and version >= version_key(capability.until):
        needs = f"is gone since EMQX {_short(capability.until)}"
    else:
        needs = "needs the Enterprise edition or EMQX 5.9"
        this += f" ({server.edition or 'open source'}), which would ignore it without a word"
    raise UnsupportedError(f"{option}: {capability.what} {needs}, {this}")


def _short(version: str) -> str:
    return version.removesuffix(".0")
