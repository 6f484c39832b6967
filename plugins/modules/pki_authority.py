#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki_authority
short_description: The private certificate authority on the controller
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - Makes an authority, or adopts one that exists. The key is encrypted with a passphrase (PKCS#8, 0600), and the directory has a
    C(.gitignore).
  - An authority that is there is never changed; where it is not as asked for, that is a warning. Another one follows it when
    O(generation) is raised.
  - While one follows another, both are trusted, new certificates come from the new one, and servers send its certificate signed by the
    old one beside their own. So devices with old certificates, and devices that trust the old authority alone, go on until O(retire).
  - Whatever fails, nothing is changed then.
  - Runs in the controller's process only. All hosts of a play may run it at once.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
options:
  path:
    description:
      - The authority's directory on the controller, relative to the playbook.
      - The files in it are C(ca.pem), C(ca.key), C(bundle.pem) (what is to be trusted), C(index.jsonl) (what was issued and revoked),
        with O(intermediate) C(root.pem) and C(root.key), and C(old/N) with earlier generations.
    type: path
    required: true
  state:
    description: The authority is there.
    type: str
    default: present
    choices: [present]
  passphrase:
    description: Encrypts the authority's key.
    type: str
    required: true
  common_name:
    description: The subject's common name.
    type: str
    required: true
  organization:
    description: The subject's organization.
    type: str
  key_type:
    description: Type and size of the key.
    type: str
    default: ecdsa_p256
    choices: [ecdsa_p256, ecdsa_p384, rsa_2048, rsa_3072, rsa_4096]
  valid_days:
    description: How long the authority is valid. Nothing that it issues is valid for longer.
    type: int
    default: 7300
  adopt_certificate:
    description:
      - Certificate of an existing authority, on the controller, to be copied.
      - When it is not its own root, the file has those up to the root behind it.
      - With a raised O(generation), this authority follows the one that is there.
    type: path
  adopt_key:
    description: Its key, in PEM format.
    type: path
  adopt_passphrase:
    description: Opens O(adopt_key) when it is encrypted. The copy is encrypted with O(passphrase).
    type: str
  intermediate:
    description:
      - Makes a root and an intermediate authority below it, which issues. C(root.key) is asked for by a rollover alone and can be kept
        elsewhere until then.
    type: bool
    default: false
  path_length:
    description:
      - How many authorities may stand below the root. Without it, any number.
      - With 0, the next generation can't be signed by this one, so what trusts this one alone can't follow by itself.
    type: int
  permitted_names:
    description:
      - Names that the authority may certify, C(DNS:example.com) (and all below it) or C(IP:10.0.0.0/8). Others are refused when a
        certificate is asked for, and by every client.
      - A kind of name of which nothing is listed is not limited. Common names (ids of devices) are not, either.
    type: list
    elements: str
    default: []
  excluded_names:
    description: Names that it may not certify, in the same form.
    type: list
    elements: str
    default: []
  generation:
    description:
      - Which authority issues. One more than the generation that is there makes another authority follow it (a rollover).
      - From the second on, C(G2) and so on is added to O(common_name).
    type: int
    default: 1
  retire:
    description: Generations up to this one are trusted no longer. Raise it when every device has a certificate of a later one.
    type: int
    default: 0
notes:
  - The extensions are critical basic constraints, critical key usage (certificates, lists, signatures), key identifiers and, where asked
    for, critical name constraints.
  - A rollover that was killed at any point is finished by the next run.
"""

EXAMPLES = r"""
- name: Make the authority
  edgestack.iot.pki_authority:
    path: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    common_name: Example IoT CA
    organization: Example

- name: Go on with the authority of an older installation
  edgestack.iot.pki_authority:
    path: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    common_name: Example IoT CA
    adopt_certificate: seguridad/certs/ca.pem
    adopt_key: seguridad/certs/ca.key

- name: Let another authority follow, and trust both for a while
  edgestack.iot.pki_authority:
    path: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    common_name: Example IoT CA
    generation: 2

- name: Later, trust the new one alone
  edgestack.iot.pki_authority:
    path: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    common_name: Example IoT CA
    generation: 2
    retire: 1
"""

RETURN = r"""
path:
  description: The authority's directory.
  returned: success
  type: str
reasons:
  description: Why something was (or would be) changed.
  returned: success
  type: list
  elements: str
certificate:
  description:
    - The authority's certificate. In check mode, when there is none yet, what only the signature brings is empty.
    - The keys are those of RV(edgestack.iot.pki_certificate#module:certificate).
  returned: success
  type: dict
generation:
  description: The generation that issues.
  returned: success
  type: int
trusted:
  description: Subjects of the roots that are trusted, the latest first.
  returned: success
  type: list
  elements: str
"""
