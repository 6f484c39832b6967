# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection's options, the same for every module of the family, and a client made from them."""

from __future__ import annotations

import typing as t

from .._http import Fault
from .client import Client, Credentials, EmqxError, Tls


def connection_spec() -> dict[str, dict[str, t.Any]]:
    return {
        "url": {"type": "str", "default": "http://127.0.0.1:18083"},
        "api_key": {"type": "str", "no_log": False},
        "api_secret": {"type": "str", "no_log": True},
        "api_secret_file": {"type": "path", "no_log": False},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "ca_file": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "int", "default": 30},
        "wait_timeout": {"type": "int", "default": 60},
    }


# For AnsibleModule. One way to be known, and all of it.
MUTUALLY_EXCLUSIVE = [("api_secret", "api_secret_file"), ("api_key", "username")]
REQUIRED_TOGETHER = [("username", "password")]
REQUIRED_ONE_OF = [("api_key", "username")]


def connect(params: t.Mapping[str, t.Any]) -> Client:
    """A client for these options, waited for. The caller closes it."""
    secret = params.get("api_secret")
    file = params.get("api_secret_file")
    if file:
        try:
            with open(file, encoding="utf-8") as handle:
                secret = handle.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise EmqxError(f"cannot read api_secret_file {file} ({error})", "The file must be on the host that runs the module") from error
    if params.get("api_key") and not secret:
        raise EmqxError(
            f"api_key without a secret{f' (the file {file} is empty)' if file else ''}",
            "Give api_secret_file or api_secret",
        )
    client = Client(
        params["url"],
        Credentials(params.get("api_key"), secret, params.get("username"), params.get("password")),
        tls=Tls(params.get("ca_file"), params.get("client_cert"), params.get("client_key"), params.get("validate_certs", True)),
        timeout=params.get("timeout") or 30,
    )
    try:
        client.wait(params.get("wait_timeout") or 0)
    except Fault:
        client.close()
        raise
    return client
