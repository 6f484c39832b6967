#!/usr/bin/python
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki_certificate
short_description: A service's key and certificate on its host, signed by the authority on the controller
version_added: "0.1.0"
author: edgestack.iot contributors (@edgestack-iot)
description:
  - The key is made on the host and never leaves it. The host sends a request, the controller's process signs it, the host installs
    the result. When nothing has to change, that is one round trip.
  - Key and certificate are checked against one another before they replace the old ones. What a killed run left is finished by the
    next one.
  - A new key and certificate are made when one of them is missing, can't be read or does not fit the other, when the certificate
    expires or was revoked, and when the subject, names, profile, key type, revocation list's address or authority are not the wanted
    ones.
  - When only the owner, group or mode, what is trusted (C(ca.pem)) or the chain has changed, that is put right without a new certificate.
  - Behind the certificate, its file has the chain up to a root that clients may have. While one authority follows another that includes
    the new authority's certificate signed by the old one, so that clients that trust the old one alone go on.
  - The host needs Python's C(cryptography) (38 or newer). Where it is missing, the Debian package is installed.
extends_documentation_fragment:
  - edgestack.iot.attributes
  - edgestack.iot.attributes.full
  - edgestack.iot.attributes.action
  - edgestack.iot.pki.authority
  - edgestack.iot.pki.leaf
options:
  path:
    description:
      - Directory on the host. It is made when it is missing, with O(owner), O(group) and O(directory_mode); an existing one is left
        as it is.
      - The files in it are C(<name>.key), C(<name>.pem) and C(ca.pem).
    type: path
    required: true
  name:
    description: Name of the files.
    type: str
    default: server
  profile:
    description: What the certificate may be used for.
    type: str
    default: server
    choices: [server, client, server_client]
  common_name:
    description: The subject's common name, at most 64 characters.
    type: str
    required: true
  subject_alt_names:
    description:
      - C(DNS:name), C(IP:address), C(URI:uri) or C(email:address). Without a prefix, an address or a DNS name.
      - A server's certificate without any has O(common_name), because clients look at nothing else.
    type: list
    elements: str
    default: []
  valid_days:
    description: How long a new certificate is valid; it never outlives its authority. It begins a day in the past.
    type: int
    default: 825
  owner:
    description: Owner of the files, by name or number.
    type: str
  group:
    description: Group of the files, by name or number. It can read the key with the default O(mode).
    type: str
  mode:
    description: Mode of the key, in octal.
    type: raw
    default: "0640"
  directory_mode:
    description: Mode of a directory that is made, in octal.
    type: raw
    default: "0750"
  exchange:
    description: Used by the action plugin for talking to its other half on the host. Not for playbooks.
    type: dict
seealso:
  - module: edgestack.iot.pki_authority
"""

EXAMPLES = r"""
- name: The broker's certificate
  edgestack.iot.pki_certificate:
    authority_dir: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    path: /etc/edgestack/emqx/tls
    name: server
    profile: server
    common_name: "{{ inventory_hostname }}"
    subject_alt_names:
      - "{{ inventory_hostname }}"
      - DNS:localhost
      - IP:127.0.0.1
    owner: root
    group: emqx

- name: A client's certificate
  edgestack.iot.pki_certificate:
    authority_dir: "{{ inventory_dir }}/pki"
    passphrase: "{{ lookup('edgestack.iot.secret', 'pki_ca_passphrase') }}"
    path: /etc/edgestack/telegraf/tls
    name: client
    profile: client
    common_name: "telegraf-{{ inventory_hostname }}"
    group: telegraf
"""

RETURN = r"""
reasons:
  description: Why a new certificate was (or would be) issued. Empty when none was.
  returned: success
  type: list
  elements: str
  sample: ["expires in 12 days, at 2026-03-01T00:00:00Z (renew_before is 30)", "SAN changed: it has DNS:a, wanted are DNS:b",
    "issued by a retired CA (O=Example, CN=Example IoT CA)"]
changes:
  description: What else was (or would be) put right, without a new certificate.
  returned: success
  type: list
  elements: str
  sample: [ca.pem]
certificate:
  description: The certificate that is there now. In check mode, what only the signature brings is empty.
  returned: success
  type: dict
  contains:
    subject:
      description: The subject.
      type: str
      returned: success
    issuer:
      description: The authority's subject.
      type: str
      returned: success
    serial:
      description: The serial number, hexadecimal.
      type: str
      returned: success
    not_before:
      description: Begin.
      type: str
      returned: success
    not_after:
      description: End.
      type: str
      returned: success
    fingerprint:
      description: SHA-256 of the certificate, hexadecimal.
      type: str
      returned: success
    san:
      description: Alternative names.
      type: list
      elements: str
      returned: success
    profile:
      description: What it may be used for.
      type: str
      returned: success
    key_type:
      description: Type and size of the key.
      type: str
      returned: success
    crl_urls:
      description: CRL distribution points.
      type: list
      elements: str
      returned: success
paths:
  description: The files on the host, C(key), C(certificate) and C(ca).
  returned: success
  type: dict
"""

import datetime
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.edgestack.iot.plugins.module_utils._pki import arguments, inspect, install, request
from ansible_collections.edgestack.iot.plugins.module_utils._pki.model import PkiError


def look_without_cryptography(module: AnsibleModule, target: install.Target) -> None:
    """A clean host in check mode has no cryptography yet; elsewhere the action plugin installs it and asks again."""
    missing = [
        f"{what} is missing"
        for what, path in (("the key", target.key), ("the certificate", target.certificate))
        if not os.path.lexists(path)
    ]
    if module.check_mode:
        reasons = missing or ["cryptography is missing on the host, so the certificate can't be looked at"]
        module.exit_json(changed=True, reasons=reasons, changes=["ca.pem"], certificate={})
    module.fail_json(
        msg=missing_required_lib("cryptography (the Debian package python3-cryptography)"),
        exception=request.CRYPTOGRAPHY_IMPORT_ERROR,
        cryptography_missing=True,
    )


def run(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    exchange = params["exchange"]
    if not exchange or params["passphrase"]:
        raise PkiError("this is the part of the action plugin on the host; it does not run alone")
    target = install.Target(params["path"], params["name"])
    if request.CRYPTOGRAPHY_IMPORT_ERROR is not None:
        look_without_cryptography(module, target)
    wanted = arguments.wanted_certificate(params)
    ownership, unknown = install.resolve_ownership(
        params["owner"],
        params["group"],
        arguments.octal(params["mode"], "mode"),
        arguments.octal(params["directory_mode"], "directory_mode"),
    )
    if unknown and not module.check_mode:
        raise PkiError(f"{' and '.join(unknown)} does not exist on this host: its package makes it, so install that first")
    # The controller's clock: a host without a battery may be in 1970 until it has its time from the network.
    now = datetime.datetime.fromtimestamp(float(exchange["now"]), datetime.UTC)
    bundle = exchange["bundle"].encode()
    issuer = inspect.load_certificate(exchange["issuer"].encode(), "the authority") if exchange["issuer"] else None
    chain = exchange.get("chain", "").encode()
    history = inspect.History(
        tuple(inspect.load_certificate(pem.encode()) for pem in exchange.get("trusted", [])),
        tuple(inspect.load_certificate(pem.encode()) for pem in exchange.get("retired", [])),
        frozenset(exchange.get("revoked", [])),
    )
    state = target.state(wanted, issuer, bundle, ownership, now, chain, history)
    result = {
        "changed": state.changed or bool(unknown),
        "reasons": state.reasons,
        "changes": state.changes,
        "certificate": state.certificate,
    }
    if module.check_mode:
        return result
    if exchange.get("certificate"):
        if issuer is None:
            raise PkiError("a certificate came without its authority")
        result["certificate"] = target.install(
            wanted, exchange["certificate"].encode(), issuer, bundle, ownership, now
        )
    elif state.reasons:
        result["request"] = target.prepare(wanted, ownership).decode()
    elif state.changed:
        target.adjust(bundle, ownership, chain)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "authority_dir": {"type": "path", "required": True},
            "passphrase": {"type": "str", "no_log": True},
            "path": {"type": "path", "required": True},
            "name": {"type": "str", "default": "server"},
            "profile": {"type": "str", "default": "server", "choices": ["server", "client", "server_client"]},
            "common_name": {"type": "str", "required": True},
            "organization": {"type": "str"},
            "subject_alt_names": {"type": "list", "elements": "str", "default": []},
            "key_type": {
                "type": "str",
                "default": "ecdsa_p256",
                "choices": ["ecdsa_p256", "ecdsa_p384", "rsa_2048", "rsa_3072", "rsa_4096"],
                "no_log": False,
            },
            "valid_days": {"type": "int", "default": 825},
            "renew_before": {"type": "int", "default": 30},
            "crl_urls": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw", "default": "0640"},
            "directory_mode": {"type": "raw", "default": "0750"},
            "exchange": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except PkiError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['path']}: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
