# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import report


def entry(**changes):
    data = {"host": "centre", "name": "reading", "expected": "accepted", "observed": "accepted", "ok": True, "seconds": 0.25}
    return report.Entry.parse(data | changes)


@pytest.mark.parametrize("ok", [True, "True", "true", " yes "])
def test_what_says_yes_is_proved(ok):
    assert entry(ok=ok).ok


@pytest.mark.parametrize("ok", [False, "False", "", None, "proved", 1, ["x"], {}])
def test_everything_else_is_not(ok):
    assert not entry(ok=ok).ok


def test_columns_are_aligned_and_hosts_are_blocks():
    text = report.render([entry(), entry(host="gateway-1", name="a longer name", seconds=12), entry(observed="x  y\nz", seconds="")])
    lines = text.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == ["centre", "gateway-1", "proved: 3 of 3"]
    rows = [line for line in lines if line.startswith("  ok")]
    assert len({line.index("accepted") for line in rows}) == 1
    assert rows[0].endswith("0.2") and rows[2].endswith("12.0") and rows[1].endswith("x y z")


def test_what_failed_is_repeated_with_what_to_do():
    text = report.render([entry(), entry(name="wrong", ok=False, observed="o" * 100, advice="do this"), entry(name="other", ok=False)])
    assert "FAILED  wrong" in text
    assert "o" * 61 + "...  " in text
    assert "proved: 1 of 3" in text
    assert f"not proved: centre: wrong: expected accepted, observed {'o' * 100} (do this)" in text
    assert text.endswith("not proved: centre: other: expected accepted, observed accepted")


def test_an_entry_as_a_dictionary():
    assert entry(seconds=None).as_dict() == {
        "host": "centre", "name": "reading", "expected": "accepted", "observed": "accepted", "ok": True, "seconds": None, "advice": "",
    }  # fmt: skip
