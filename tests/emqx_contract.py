# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Request bodies, checked with the OpenAPI documents of real EMQX servers."""

from __future__ import annotations

import json
import pathlib
import re

import jsonschema

CONTRACTS = pathlib.Path(__file__).parent / "contracts" / "emqx"
# Fields that the servers take (recorded) although their documents do not show them.
UNSEEN = {("POST", "/rules"): {"id"}}


class Contract:
    """Checks bodies with an OpenAPI document. Objects with known fields take no others, as EMQX does."""

    def __init__(self, version):
        with open(CONTRACTS / f"openapi-{version}.json", encoding="utf-8") as file:
            self.document = self._strict(json.load(file))
        self.paths = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + r"\Z"), operations) for path, operations in self.document["paths"].items()]

    def _strict(self, node):
        if isinstance(node, list):
            return [self._strict(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: self._strict(value) for key, value in node.items()}
        if "index_specs" in node:
            # A list of lists, which the documents show as a list of numbers.
            node["index_specs"] = {"type": "array"}
        if node.get("type") == "object" and isinstance(node.get("properties"), dict):
            node["additionalProperties"] = False
        if "enum" in node and isinstance(node["enum"], list):
            # The documents say "string" of enumerations that hold true and false.
            node.pop("type", None)
        if isinstance(node.get("oneOf"), list):
            node["anyOf"] = node.pop("oneOf")
        return node

    def check(self, method, path, body):
        fixed = [pair for pair in self.paths if pair[0].match(path)]
        assert fixed, f"{path} is in no document"
        # "/authorization/sources/order" also looks like "/authorization/sources/{type}".
        pattern, operations = max(fixed, key=lambda pair: -pair[0].pattern.count("[^/]+"))
        assert method.lower() in operations, f"{method} {path} is in no document"
        wanted = operations[method.lower()].get("requestBody")
        if wanted is None:
            assert body is None, f"{method} {path} takes no body"
            return
        name = re.sub(r"\\Z", "", pattern.pattern)
        schema = {**wanted["content"]["application/json"]["schema"], "components": self.document["components"]}
        if (method, name) in UNSEEN:
            body = {key: value for key, value in body.items() if key not in UNSEEN[method, name]}
        jsonschema.Draft7Validator(schema).validate(body)

    def check_request(self, method, path, kind, raw):
        """The same for a request as it was sent: other kinds of content must be those that the document names."""
        kind = (kind or "").partition(";")[0]
        if kind in ("", "application/json"):
            self.check(method, path, json.loads(raw) if raw else None)
            return
        known = [operations for pattern, operations in self.paths if pattern.match(path)]
        assert any(kind in operations.get(method.lower(), {}).get("requestBody", {}).get("content", {}) for operations in known), f"{method} {path}: {kind}"
