# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller's plugins share: Ansible Vault as the store's cipher, directories named in tasks."""

from __future__ import annotations

import os
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, match_encrypt_secret

from ansible_collections.edgestack.iot.plugins.module_utils._secrets import tracked
from ansible_collections.edgestack.iot.plugins.module_utils._secrets.policy import SecretsError


class VaultCipher:
    """Ansible Vault with the passwords of this run."""

    def __init__(self, secrets: t.Sequence[tuple[str, t.Any]] | None) -> None:
        self._secrets = list(secrets or [])
        self._vault = VaultLib(self._secrets)

    @property
    def can_encrypt(self) -> bool:
        return bool(self._secrets)

    def is_encrypted(self, data: bytes) -> bool:
        return bool(VaultLib.is_encrypted(data))

    def encrypt(self, data: bytes) -> bytes:
        # The same choice that `ansible-vault encrypt` makes among several vault ids.
        identity, secret = match_encrypt_secret(self._secrets, encrypt_vault_id=C.DEFAULT_VAULT_ENCRYPT_IDENTITY)
        label = None if identity == C.DEFAULT_VAULT_IDENTITY else identity
        return bytes(self._vault.encrypt(data, secret=secret, vault_id=label))

    def decrypt(self, data: bytes) -> bytes:
        if not self._secrets:
            raise SecretsError(
                "the store's secrets are encrypted with Ansible Vault and this run has no vault password:"
                " use --ask-vault-pass, --vault-password-file or --vault-id"
            )
        try:
            return bytes(self._vault.decrypt(data))
        except AnsibleError as error:
            raise SecretsError(f"a secret of the store can't be decrypted with this run's vault passwords: {error}") from error


def cipher_of(loader: t.Any) -> VaultCipher:
    """The cipher with the vault passwords that ansible-playbook was started with."""
    vault = getattr(loader, "_vault", None)
    return VaultCipher(getattr(vault, "secrets", None))


def directory_of(loader: t.Any, path: str) -> str:
    """A directory on the controller as tasks name it: ~ expanded, relative to the playbook."""
    expanded = os.path.expanduser(str(path))
    return os.path.normpath(str(loader.path_dwim(expanded)))


def refuse_tracked(path: str) -> list[str]:
    """Fails when git tracks private files; returns warnings when git can't be asked."""
    try:
        names = tracked.tracked_files(path)
    except tracked.GitUnavailable as error:
        return [str(error)]
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise SecretsError(
            f"git tracks private files in {path}: {shown}. Take them out of the repository"
            f" (git rm -r --cached {path}), and replace the secrets: they stay in its history."
        )
    return []
