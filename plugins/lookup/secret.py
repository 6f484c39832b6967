# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
author: edgestack.iot contributors (@edgestack-iot)
version_added: "0.1.0"
short_description: Reads a secret from the store on the controller
description:
  - Reads secrets that the action R(edgestack.iot.secrets, ansible_collections.edgestack.iot.secrets_module) made, or that you put
    there, plain or encrypted with Ansible Vault. It never makes one.
  - In check mode a secret that is not made yet is a placeholder, which is the same at every run.
options:
  _terms:
    description: Names of secrets.
    type: list
    elements: str
    required: true
  dir:
    description: The store's directory on the controller. Without it, the variable C(iot_secrets_dir) says it.
    type: path
seealso:
  - plugin: edgestack.iot.secrets
    plugin_type: module
"""

EXAMPLES = r"""
- name: Use a secret, where it can be replaced by a variable of yours
  ansible.builtin.set_fact:
    emqx_dashboard_password: "{{ lookup('edgestack.iot.secret', 'emqx_dashboard_password') }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The secrets, without a line end.
  type: list
  elements: str
"""

import os
import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.edgestack.iot.plugins.module_utils._secrets import policy, store
from ansible_collections.edgestack.iot.plugins.plugin_utils import _controller

# Decrypting costs tens of milliseconds and a template may ask for the same secret often. A worker lives for one task.
_CACHE: dict[tuple[str, int, int, int], str] = {}


class LookupModule(LookupBase):
    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        known = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        directory = self.get_option("dir")
        if not directory:
            if "iot_secrets_dir" not in known:
                raise AnsibleLookupError("say where the secrets are: set the variable iot_secrets_dir, or give the lookup dir=...")
            directory = self._templar.template(known["iot_secrets_dir"])
        directory = _controller.directory_of(self._loader, directory)
        secrets = store.Store(directory, _controller.cipher_of(self._loader))
        check_mode = bool(self._templar.template(known.get("ansible_check_mode", False)))
        return [self._read(secrets, str(term), check_mode) for term in terms]

    def _read(self, secrets: store.Store, name: str, check_mode: bool) -> str:
        try:
            path = os.path.join(secrets.directory, store.check_name(name))
            try:
                status = os.stat(path)
            except FileNotFoundError:
                key = None
            else:
                key = (path, status.st_ino, status.st_mtime_ns, status.st_size)
                if key in _CACHE:
                    return _CACHE[key]
            value = secrets.read(name)
        except (policy.SecretsError, OSError) as error:
            raise AnsibleLookupError(str(error)) from None
        if value is None:
            if check_mode:
                return store.placeholder(name)
            raise AnsibleLookupError(
                f"The secret {name} is not in {secrets.directory}. The task edgestack.iot.secrets makes it, at the beginning of"
                f" the playbook edgestack.iot.site: run that first, or write the secret into a file {name} there, or set the"
                " variable that uses this lookup."
            )
        if key is not None:
            _CACHE[key] = value
        return value
