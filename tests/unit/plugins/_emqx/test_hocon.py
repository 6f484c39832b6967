# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._emqx import hocon

PRINTED = '''
authorization {
  cache {
    enable = true
    excludes = []
    ttl = "1m"
  }
  no_match = deny
  sources = [
    {
      path = "data/authz/acl.conf"
      type = file
    }
  ]
}
'''


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (PRINTED, {"authorization": {"cache": {"enable": True, "excludes": [], "ttl": "1m"}, "no_match": "deny",
                                     "sources": [{"path": "data/authz/acl.conf", "type": "file"}]}}),
        ("", {}),
        ("{}", {}),
        ("a.b = 1\na { c : two words # why\n d = -1.5, e = null } // end", {"a": {"b": 1, "c": "two words", "d": -1.5, "e": None}}),
        ("a { b = 1 }\na = 2", {"a": 2}),
        ("a = 1\na.b = 2", {"a": {"b": 2}}),
        ('"a.b" { "c" = "x\\ny" }', {"a.b": {"c": "x\ny"}}),
        ("bind = 0.0.0.0:1883\nsize = 2MB", {"bind": "0.0.0.0:1883", "size": "2MB"}),
        ('x = """{allow, all}.\n"""', {"x": "{allow, all}.\n"}),
        ('x = """~\n    a\n      b\n  ~"""', {"x": "a\n  b\n"}),
        ('{"a": [1, [2], {"b": "c"}], "d": {"e": false}}', {"a": [1, [2], {"b": "c"}], "d": {"e": False}}),
    ],
)  # fmt: skip
def test_what_emqx_prints_and_people_write(text, value):
    assert hocon.parse(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mqtt { = }", "line 1: a name is missing"),
        ("a = 1\nb {", "line 2: a } is missing"),
        ("a = [1", "a ] is missing"),
        ("a", "= is missing after a"),
        ("a =", "a value is missing"),
        ("a = ${b}", "substitution"),
        ('a = x"y"', "joined"),
        ('a = "x" y', "joined"),
        ('a = """x', "is missing"),
        ('a = "\\q"', "escape"),
        ("include x", "include"),
        ("{} x = 1", "something follows"),
        ("}", "a name is missing"),
    ],
)
def test_what_is_not_read(text, words):
    with pytest.raises(hocon.HoconError, match=words):
        hocon.parse(text)
