# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.edgestack.iot.plugins.module_utils._pki import arguments, inspect, request, revocation
from ansible_collections.edgestack.iot.plugins.module_utils._pki.authority import Authority, Revocation
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

ARGUMENT_SPEC: dict[str, t.Any] = {
    **arguments.AUTHORITY_SPEC,
    "valid_days": {"type": "int", "default": 30},
    "revoked": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "mutually_exclusive": [("device", "serial", "certificate")],
        "required_one_of": [("device", "serial", "certificate")],
        "options": {
            "device": {"type": "str"},
            "serial": {"type": "str"},
            "certificate": {"type": "path"},
            "reason": {"type": "str", "default": "unspecified", "choices": list(revocation.REASONS)},
        },
    },
}


class ActionModule(ActionBase):
    """Runs in the controller's process only."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(None, task_vars)
        _dummy, params = self.validate_argument_spec(argument_spec=copy.deepcopy(ARGUMENT_SPEC))
        if request.CRYPTOGRAPHY_IMPORT_ERROR is not None:
            raise AnsibleActionFail("Python's cryptography is needed on the controller")
        try:
            result.update(self._run(params, bool(self._task.check_mode)))
        except PkiError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename} can't be used: {error.strerror}") from None
        return result

    def _run(self, params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
        authority = Authority(_controller.directory_of(self._loader, params["authority_dir"]))
        now = inspect.utc_now()
        if check and not authority.exists():
            return {"changed": True, "path": authority.crl_path, "serials": [], "days_left": None, "next_update": ""}
        authority.certificate()
        records = authority.revoke([self._revocation(one) for one in params["revoked"]], now, check)
        before = revocation.read(authority.crl_path)
        serials, issuers = revocation.expected(authority, now)
        serials = sorted({*serials, *(str(record["serial"]) for record in records)})
        changed = bool(records) or before.serials != serials or before.issuers != issuers
        left = before.days_left(now)
        # One of today is as good as another. That a list is only younger is no change: otherwise every day would have one.
        current = not changed and left is not None and left >= params["valid_days"] - 1
        after = before if check or current else revocation.renew(authority, str(params["passphrase"] or ""), now, params["valid_days"])
        return {
            "changed": changed,
            "path": authority.crl_path,
            "serials": serials,
            "days_left": after.days_left(now),
            "next_update": "" if after.next_update is None else inspect.timestamp(after.next_update),
            "diff": {
                "before_header": authority.crl_path,
                "after_header": authority.crl_path,
                "before": {"issuers": before.issuers, "revoked": before.serials},
                "after": {"issuers": issuers, "revoked": serials},
            },
        }

    def _revocation(self, entry: dict[str, t.Any]) -> Revocation:
        if entry["device"]:
            return Revocation(entry["reason"], common_name=entry["device"])
        if entry["serial"]:
            # As openssl writes it, or as the index has it.
            digits = entry["serial"].replace(":", "").lower().removeprefix("0x").lstrip("0")
            return Revocation(entry["reason"], serial=digits)
        path = _controller.directory_of(self._loader, entry["certificate"])
        with open(path, "rb") as stream:
            certificate = inspect.load_certificate(stream.read(), path)
        return Revocation(entry["reason"], serial=inspect.serial_number(certificate))
