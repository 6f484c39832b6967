# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page, run by Streamlit's own AppTest, and the check that verify.yml runs on the host."""

from __future__ import annotations

import json
import pathlib
import sys

import pytest

APP = pathlib.Path(__file__).parents[3] / "roles" / "streamlit" / "files" / "app"
testing = pytest.importorskip("streamlit.testing.v1", reason="needs Streamlit: pip install -r roles/streamlit/files/requirements.txt")


@pytest.fixture
def page(site):
    return testing.AppTest.from_file(str(APP / "app.py"), default_timeout=30)


def values(elements):
    return [each.value for each in elements]


def test_the_first_metric_is_shown(page):
    page.run()
    assert not page.exception and not page.error
    assert values(page.title) == ["Site"]
    assert [(box.label, box.value) for box in page.selectbox] == [
        ("Kind of device", "raspberrypi"), ("Metric", "cpu_temp"), ("Device", "o'pi"), ("Range", "1h")]
    assert page.selectbox[1].options == ["CPU temperature (°C)", "CPU usage (%)"]
    assert {each.label: each.value for each in page.metric} == {
        "Mean": "21 °C", "Median": "21 °C", "Minimum": "20 °C", "Maximum": "22 °C", "Standard deviation": "1.41 °C"}
    assert values(page.caption) == ["2 readings, the last drawn point is of 2023-11-14 22:13:40 UTC."]
    assert not page.warning


def test_choices_change_the_query(page, influxdb):
    page.run()
    influxdb.statements.clear()
    page.selectbox(key="field raspberrypi").set_value("cpu_usage")
    page.selectbox(key="range").set_value("1d")
    page.selectbox(key="device raspberrypi").set_value("pi-1").run()
    assert not page.exception
    assert any('mean("cpu_usage")' in text and "'pi-1'" in text and "86400s" in text and "time(240s)" in text
               for _, text in influxdb.statements)
    assert page.metric[0].value == "21 %"


def test_a_limit_that_was_reached_is_named(page, influxdb):
    influxdb.total = [0, 70.0, 70.0, 20.0, 85.0, 3.0, 9]
    page.run()
    assert values(page.warning) == ["CPU temperature reached its limit of 80 °C in this range."]


def test_another_kind_without_devices(page):
    page.run()
    page.selectbox(key="profile").set_value("sonoff_pow").run()
    assert values(page.info) == ["No device of this kind (Power plug) has sent anything yet."] and not page.metric


def test_no_data_in_the_range(page, influxdb):
    influxdb.points = []
    page.run()
    assert len(page.info) == 1 and "sent no CPU temperature" in page.info[0].value
    assert not page.metric and not page.error and not page.exception


@pytest.mark.parametrize(("failure", "text"), [
    ((401, {"message": "unauthorized access"}), "token was replaced"), ((404, {"message": "bucket not found"}), "creates the database"),
    ((500, {"message": "engine: shard is disabled"}), "logs say more")])
def test_faults_are_explained(page, influxdb, failure, text):
    influxdb.failure = failure
    page.run()
    assert len(page.error) == 1 and text in page.error[0].value and "token-of-the-test" not in page.error[0].value
    assert not page.exception


def test_broken_settings_are_explained(page, site):
    (site / "settings.json").unlink()
    page.run()
    assert len(page.error) == 1 and "cannot be used" in page.error[0].value and not page.exception


def test_hidden_profiles_are_for_checks(page):
    page.run()
    assert "Check" not in page.selectbox[0].options
    page.query_params["hidden"] = "1"
    page.run()
    assert "Check" in page.selectbox[0].options


def check(monkeypatch, capsys, *words):
    import check as program

    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    status = program.main()
    return status, json.loads(capsys.readouterr().out)


def test_the_check_prints_what_the_page_shows(site, influxdb, monkeypatch, capsys):
    influxdb.devices["edgestack_verify"] = ["other", "verify-1"]
    status, result = check(monkeypatch, capsys, "--profile", "edgestack_verify", "--field", "value", "--device", "verify-1", "--range", "15m")
    assert status == 0 and result["ok"] and result["problems"] == []
    assert result["choices"] == {"profile": "edgestack_verify", "field edgestack_verify": "value", "range": "15m",
                                 "device edgestack_verify": "verify-1"}
    assert result["statistics"]["Mean"] == "21"
    assert ("iot_verify", "verify-1") in {(database, "verify-1") for database, text in influxdb.statements if "'verify-1'" in text}


def test_the_check_fails_for_what_is_not_there(site, influxdb, monkeypatch, capsys):
    status, result = check(monkeypatch, capsys, "--profile", "raspberrypi", "--device", "nobody")
    assert status == 1 and "'nobody' is not offered" in result["problems"][0]
    status, result = check(monkeypatch, capsys, "--profile", "of_nobody", "--field", "cpu_temp")
    assert status == 1 and "'of_nobody' is not offered as profile" in result["problems"][0]
    influxdb.points = []
    status, result = check(monkeypatch, capsys, "--profile", "raspberrypi")
    assert status == 1 and result["messages"] and result["statistics"] == {}
    influxdb.failure = (401, {"message": "unauthorized"})
    status, result = check(monkeypatch, capsys)
    assert status == 1 and "refuses" in result["problems"][0]
