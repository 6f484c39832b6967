# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the EMQX modules' documentation, as tests use them."""

from __future__ import annotations

import datetime
import importlib
import pathlib
import re

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MODULES = sorted(path.stem for path in (pathlib.Path(__file__).parents[1] / "plugins" / "modules").glob("emqx_*.py"))
PREFIX = "edgestack.iot."


def load(name):
    return importlib.import_module(f"ansible_collections.edgestack.iot.plugins.modules.{name}")


def filled(value):
    """With something for each variable, the same for one name."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return re.sub(r"\{\{ *(\w+) *\}\}", r"Filled-\1-1", value) if isinstance(value, str) else value


def examples(name):
    """Pairs of a task's name and its arguments."""
    for task in yaml.safe_load(load(name).EXAMPLES):
        (key,) = [key for key in task if key.startswith(PREFIX)]
        assert key == PREFIX + name and task["name"], f"an example of {name} is about {key}"
        yield task["name"], filled(task[key])


def files_in(directory):
    """What the examples name below /etc/edgestack/emqx."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, content in (("tls/ca.pem", certificate), ("tls/server.pem", certificate), ("tls/server.key", private), ("secrets/mysql_password", b"x")):
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_bytes(content)
