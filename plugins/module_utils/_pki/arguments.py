# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments that the action plugins and the module on the host share."""

from __future__ import annotations

import typing as t

from ansible_collections.edgestack.iot.plugins.module_utils._pki import model
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError, Wanted

LEAF_SPEC: t.Final[dict[str, t.Any]] = {
    "organization": {"type": "str"},
    "key_type": {"type": "str", "default": "ecdsa_p256", "choices": list(model.KEY_TYPES), "no_log": False},
    "renew_before": {"type": "int", "default": 30},
    "crl_urls": {"type": "list", "elements": "str", "default": []},
}

AUTHORITY_SPEC: t.Final[dict[str, t.Any]] = {
    "authority_dir": {"type": "path", "required": True},
    "passphrase": {"type": "str", "no_log": True},
}


def octal(value: t.Any, what: str) -> int:
    """'0640', '640' or what YAML made of an unquoted 0640.

    :raises PkiError: when it is no mode
    """
    try:
        mode = value if isinstance(value, int) and not isinstance(value, bool) else int(str(value), 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise PkiError(f"{what} is {value!r}: write it in octal, for example '0640'")
    return mode


def wanted_certificate(params: t.Mapping[str, t.Any]) -> Wanted:
    return Wanted.checked(
        params["common_name"],
        params["organization"],
        params["subject_alt_names"],
        params["profile"],
        params["key_type"],
        params["valid_days"],
        params["renew_before"],
        params["crl_urls"],
    )
