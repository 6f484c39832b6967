# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads HOCON as EMQX prints it and as people write it for EMQX: objects, lists, texts, numbers.

What needs more than the text itself (include, ${substitutions}, concatenated values) is refused.
"""

from __future__ import annotations

import json
import re
import typing as t

from .client import EmqxError

_SKIP = re.compile(r"(?:[\s,]|(?:#|//)[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s"{}\[\]:=,#+]+')
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_BARE = re.compile(r"(?:(?!//)[^\n,{}\[\]#\"])+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS: dict[str, t.Any] = {"true": True, "false": False, "null": None}


class HoconError(EmqxError):
    """A text that is not the HOCON that is read here."""


def parse(text: str) -> dict[str, t.Any]:
    """The text as a dictionary."""
    return _Reader(text).root()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def root(self) -> dict[str, t.Any]:
        self._skip()
        braces = self._take("{")
        result = self._fields("}" if braces else "")
        self._skip()
        if self._at < len(self._text):
            raise self._error("something follows the end")
        return result

    def _fields(self, end: str) -> dict[str, t.Any]:
        result: dict[str, t.Any] = {}
        while True:
            self._skip()
            if end and self._take(end):
                return result
            if self._at >= len(self._text):
                if end:
                    raise self._error(f"a {end} is missing")
                return result
            path = self._path()
            self._spaces()
            if self._peek() == "{":
                value = self._value()
            elif self._take("=") or self._take(":"):
                self._spaces()
                value = self._value()
            else:
                raise self._error(f"= is missing after {'.'.join(path)}")
            _put(result, path, value)

    def _path(self) -> list[str]:
        found = _KEY.match(self._text, self._at)
        if not found:
            raise self._error("a name is missing")
        if found.group() == "include":
            raise self._error("include is not read here")
        self._at = found.end()
        word = found.group()
        return [json.loads(word)] if word.startswith('"') else word.split(".")

    def _value(self) -> t.Any:
        if self._take("{"):
            return self._fields("}")
        if self._take("["):
            items: list[t.Any] = []
            while True:
                self._skip()
                if self._take("]"):
                    return items
                if self._at >= len(self._text):
                    raise self._error("a ] is missing")
                items.append(self._value())
        if self._text.startswith('"""', self._at):
            return self._long_text()
        found = _QUOTED.match(self._text, self._at)
        if found:
            self._at = found.end()
            self._line_ends()
            try:
                return json.loads(found.group(), strict=False)
            except ValueError:
                raise self._error("a text with an escape that JSON does not have") from None
        found = _BARE.match(self._text, self._at)
        word = found.group().strip() if found else ""
        if found is None or not word or word.startswith("=") or "$" in word:
            raise self._error("a value is missing, or is a substitution, which is not read here")
        self._at = found.end()
        self._line_ends()
        if word in _WORDS:
            return _WORDS[word]
        return json.loads(word) if _NUMBER.fullmatch(word) else word

    def _long_text(self) -> str:
        end = self._text.find('"""', self._at + 3)
        if end < 0:
            raise self._error('a """ is missing')
        raw = self._text[self._at + 3 : end]
        self._at = end + 3
        if not raw.startswith("~\n"):
            return raw
        # EMQX's own form: a tilde, lines indented alike, and a tilde that ends it.
        lines = raw[2:].removesuffix("~").split("\n")
        indent = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
        text = "\n".join(line[indent:] for line in lines)
        return text.rstrip(" ") if text.endswith(" ") else text

    def _line_ends(self) -> None:
        """A value ends with its line: what stands directly behind it would be joined to it."""
        self._spaces()
        if self._peek() not in ("", "\n", ",", "}", "]", "#") and not self._text.startswith("//", self._at):
            raise self._error("values that are joined are not read here")

    def _skip(self) -> None:
        found = _SKIP.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _spaces(self) -> None:
        while self._peek() in (" ", "\t", "\r"):
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, char: str) -> bool:
        if self._peek() == char:
            self._at += 1
            return True
        return False

    def _error(self, problem: str) -> HoconError:
        line = self._text.count("\n", 0, self._at) + 1
        return HoconError(f"HOCON, line {line}: {problem}", "Write names = values, { } for parts and [ ] for lists; put texts in quotes")


def _put(tree: dict[str, t.Any], path: list[str], value: t.Any) -> None:
    """Objects of one name are merged, anything else is replaced, as HOCON says."""
    for name in path[:-1]:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            inner = tree[name] = {}
        tree = inner
    old = tree.get(path[-1])
    if isinstance(old, dict) and isinstance(value, dict):
        for name, inner in value.items():
            _put(old, [name], inner)
    else:
        tree[path[-1]] = value
