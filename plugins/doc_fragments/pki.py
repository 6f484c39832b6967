# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Where the authority is, for everything that signs with it.
    AUTHORITY = r"""
options:
  authority_dir:
    description: The authority's directory on the controller, relative to the playbook.
    type: path
    required: true
  passphrase:
    description:
      - Opens the authority's key. It is used in the controller's process only and never sent to a host.
      - Needed when something is to be signed.
    type: str
"""

    # What a leaf certificate can be.
    LEAF = r"""
options:
  organization:
    description: The subject's organization. Without it, the subject is the common name alone.
    type: str
  key_type:
    description: Type and size of the key. Another one than the existing key's means a new key and certificate.
    type: str
    default: ecdsa_p256
    choices: [ecdsa_p256, ecdsa_p384, rsa_2048, rsa_3072, rsa_4096]
  renew_before:
    description:
      - A new certificate is issued when the existing one has at most this many days left. Must be less than O(valid_days).
      - A certificate that ends with its authority is not issued anew, because the new one would end as early.
    type: int
    default: 30
  crl_urls:
    description: Addresses of the authority's revocation list, for the extension CRL distribution points.
    type: list
    elements: str
    default: []
"""
