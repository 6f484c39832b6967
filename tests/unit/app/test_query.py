# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The app's modules that know no Streamlit."""

from __future__ import annotations

import json
import socket

import pytest

TOKEN = "token-of-the-test"
NOW = 1_700_000_000_000


def test_readings_are_a_line_and_the_statistics_of_all_values(influxdb):
    from influx import Influx

    readings = Influx(influxdb.url, TOKEN).readings("iotdata", "raspberrypi", "cpu_temp", "pi-1", 3600)
    assert readings.times == [NOW, NOW + 20_000] and readings.values == [20.0, 22.0]
    assert readings.statistics == {"mean": 21.0, "median": 21.0, "min": 20.0, "max": 22.0, "stddev": 1.4142, "count": 2}
    database, drawn = influxdb.statements[0]
    assert database == "iotdata" and "GROUP BY time(10s) fill(none)" in drawn and "time >= now() - 3600s" in drawn
    assert influxdb.statements[1][1].startswith('SELECT mean("cpu_temp"), median("cpu_temp")')


def test_booleans_are_drawn_as_they_came(influxdb):
    from influx import Influx

    influxdb.points = [[NOW, True], [NOW + 1000, False]]
    readings = Influx(influxdb.url, TOKEN).readings("iotdata", "sonoff_pow", "on", "plug", 900, boolean=True)
    assert readings.values == [1.0, 0.0] and readings.statistics["mean"] == 0.5 and readings.statistics["median"] is None
    influxdb.points = []
    assert Influx(influxdb.url, TOKEN).readings("iotdata", "sonoff_pow", "on", "plug", 900, boolean=True).values == []


def test_names_cannot_leave_their_quotes(influxdb):
    from influx import Influx, identifier, literal

    assert identifier('a"b\\') == '"a\\"b\\\\"' and literal("o'pi\n") == "'o\\'pi\\n'"
    Influx(influxdb.url, TOKEN).readings("iotdata", "m", "f", "x' OR 1=1", 900)
    assert "\"device\" = 'x\\' OR 1=1' AND" in influxdb.statements[0][1]


def test_devices_are_sorted(influxdb):
    from influx import Influx

    assert Influx(influxdb.url, TOKEN).devices("iotdata", "raspberrypi") == ["o'pi", "pi-1"]
    assert Influx(influxdb.url, TOKEN).devices("iotdata", "sonoff_pow") == []


def test_what_goes_wrong_has_a_name(influxdb):
    import influx

    with pytest.raises(influx.Refused, match="refuses the app's token"):
        influx.Influx(influxdb.url, "another").devices("iotdata", "m")
    with pytest.raises(influx.NoDatabase, match="no database 'missing'"):
        influx.Influx(influxdb.url, TOKEN).devices("missing", "m")
    for failure, kind in (((404, {"code": "not found", "message": "bucket not found"}), influx.NoDatabase),
                          ((403, {"message": "insufficient permissions"}), influx.Refused),
                          ((200, b"<html>"), influx.InfluxError), ((200, b"[]"), influx.InfluxError),
                          ((200, {"results": [{"error": "insufficient permissions for read"}]}), influx.Refused),
                          ((500, b""), influx.InfluxError), ((302, b""), influx.InfluxError)):
        influxdb.failure = failure
        with pytest.raises(kind) as caught:
            influx.Influx(influxdb.url, TOKEN).devices("iotdata", "m")
        assert type(caught.value) is kind and TOKEN not in str(caught.value)


def test_nobody_there():
    import influx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(influx.Unreachable, match="does not answer"):
        influx.Influx(f"http://127.0.0.1:{port}", TOKEN).devices("iotdata", "m")
    with pytest.raises(influx.InfluxError, match="no address"):
        influx.Influx("file:///etc/passwd", TOKEN)
    with pytest.raises(influx.Unreachable, match="cannot be used"):
        influx.Influx("https://127.0.0.1:1", TOKEN, "/nonexistent/ca.pem")


def test_a_proxy_of_the_environment_is_not_used(influxdb, monkeypatch):
    from influx import Influx

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert Influx(influxdb.url, TOKEN).devices("iotdata", "raspberrypi")


@pytest.mark.parametrize(("value", "unit", "text"), [
    (21.0, "celsius", "21 °C"), (21.456, "percent", "21.46 %"), (0.01234567, "", "0.01235"), (0.0, "", "0"), (-3.14159, "watt", "-3.14 W"),
    (None, "celsius", "-"), (float("nan"), "", "-"), (1.5, "furlong", "1.5 furlong"), (2.999, "", "3"), (1234567.0, "", "1234567")])
def test_numbers_are_written_for_people(value, unit, text):
    import stats

    assert stats.written(value, unit) == text


def test_titles_and_tables():
    import stats

    assert stats.titled("CPU usage", "percent") == "CPU usage (%)" and stats.titled("State", "") == "State"
    table = stats.table({"mean": 1.0, "median": 2.0, "min": 0.5, "max": 3.0, "stddev": None}, "volt")
    assert table == {"Mean": "1 V", "Median": "2 V", "Minimum": "0.5 V", "Maximum": "3 V", "Standard deviation": "-"}


def test_settings(site):
    import settings

    loaded = settings.load()
    assert loaded.title == "Site" and loaded.ca_file is None and loaded.token() == TOKEN
    assert [(each.name, each.database, each.hidden) for each in loaded.profiles] == [
        ("edgestack_verify", "iot_verify", True), ("raspberrypi", "iotdata", False), ("sonoff_pow", "iotdata", False)]
    (site / "token").unlink()
    with pytest.raises(settings.SettingsError, match="token"):
        loaded.token()
    for broken in ("{", json.dumps({"title": "no address"}), "[]"):
        (site / "settings.json").write_text(broken)
        with pytest.raises(settings.SettingsError, match="cannot be used"):
            settings.load()
