# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._mqtt import codes, readings


def test_a_clock_never_gives_a_time_twice_and_keeps_to_its_slot():
    clock = readings.Clock(slot=2, slots=5, now=lambda: 1000.0)
    times = [clock.next() for _ in range(3)]
    assert times == [999997, 1000002, 1000007]
    assert all(time % 5 == 2 for time in times)
    other = readings.Clock(slot=3, slots=5, now=lambda: 1000.0)
    assert not set(times) & {other.next() for _ in range(3)}


@pytest.mark.parametrize(("slot", "slots"), [(1, 1), (-1, 2), (0, 0)])
def test_a_slot_that_does_not_exist(slot, slots):
    with pytest.raises(ValueError, match="slot"):
        readings.Clock(slot, slots)


@pytest.fixture
def sent():
    journal = readings.Journal(readings.Clock())
    journal.make("reading", "edgestack/verify/a", wanted=True)
    journal.make("trespass", "edgestack/verify/b", wanted=False)
    return [reading.as_dict() for reading in journal.readings]


def row(reading, **changes):
    return {key: reading[key] for key in ("time", "nonce", "value", "device")} | changes


def test_compare(sent):
    good, bad = sent
    assert [one.ok for one in readings.compare(sent, [row(good)])] == [True, True]
    assert [one.ok for one in readings.compare(sent, [])] == [False, True]
    stored = readings.compare(sent, [row(good), row(bad)])
    assert [one.ok for one in stored] == [True, False]
    assert stored[1].observed == "stored as a reading of b"


@pytest.mark.parametrize("changes", [{"value": -1.0}, {"time": 5}, {"device": "b"}])
def test_a_reading_that_came_back_different(sent, changes):
    (only,) = readings.compare(sent[:1], [row(sent[0], **changes)])
    assert not only.ok
    assert only.name == "stored: reading"
    assert ("of device b" in only.observed) == ("device" in changes)


def test_alerts():
    assert codes.alert_name("TLSV13_ALERT_CERTIFICATE_REQUIRED") == "certificate required"
    assert codes.is_certificate_alert("TLSV1_ALERT_UNKNOWN_CA")
    # Received, but not about the client.
    assert not codes.is_certificate_alert("TLSV1_ALERT_PROTOCOL_VERSION")
    # Ours, not the server's.
    assert codes.alert_name("CERTIFICATE_VERIFY_FAILED") is None
    assert not codes.is_certificate_alert("WRONG_VERSION_NUMBER")


def test_unknown_codes_are_shown():
    assert codes.reason(0xFE) == "0xFE unknown reason"
    assert codes.connack(0xFE, "3.1.1") == "CONNACK 254 unknown reason"


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (1795519532772, 1795519532772),
        ("2026-11-24T11:25:32.772Z", 1795519532772),
        ("1970-01-01T00:00:01Z", 1000),
        # Finer than what was sent: another reading.
        ("1970-01-01T00:00:01.000000001Z", None),
        ("yesterday", None),
        (None, None),
        (True, None),
    ],
)
def test_milliseconds(when, expected):
    assert readings.milliseconds(when) == expected
