# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.edgestack.iot.plugins.filter.dashboard import FilterModule

FILTER = FilterModule().filters()["dashboard"]
PROFILES = {
    "plug": {"description": "Power plug", "measurement": "sonoff_pow", "fields": [
        {"name": "power", "type": "float", "unit": "watt", "label": "Power", "min": 0, "max": 3680, "warn": 3000, "critical": 3500},
        {"name": "on", "type": "boolean", "label": "On"},
        {"name": "version", "type": "string"},
        {"name": "tilt", "type": "float", "unit": "degree"},
        {"name": "humidity", "type": "float", "unit": "humidity", "min": 0, "max": 100}]},
    "probe": {"fields": [{"name": "value"}]},
    "talker": {"fields": [{"name": "text", "type": "string"}]},
}


def made(profiles=None, **options):
    return FILTER(PROFILES if profiles is None else profiles, datasource="iot", uid="one", title="One", **options)


def panels(dashboard, kind="timeseries"):
    return {panel["title"]: panel for panel in dashboard["panels"] if panel["type"] == kind}


def test_a_row_per_profile_and_a_panel_per_number():
    dashboard = made(skip=["probe"])
    assert list(panels(dashboard, "row")) == ["Power plug", "Hosts"]
    assert list(panels(dashboard))[:4] == ["Power", "On", "tilt", "humidity"]
    assert (dashboard["uid"], dashboard["title"]) == ("one", "One")
    power = panels(dashboard)["Power"]
    assert power["targets"][0]["query"] == (
        'SELECT mean("power") FROM "sonoff_pow" WHERE "device" =~ /^$device$/ AND $timeFilter '
        'GROUP BY time($__interval), "device" fill(null)')
    assert power["targets"][0]["alias"] == "$tag_device" and power["datasource"] == {"type": "influxdb", "uid": "iot"}
    assert panels(dashboard)["On"]["targets"][0]["query"].startswith('SELECT last("on")')
    json.dumps(dashboard)


def test_units_and_limits():
    found = panels(made())
    defaults = {title: panel["fieldConfig"]["defaults"] for title, panel in found.items()}
    assert defaults["Power"]["unit"] == "watt" and "max" not in defaults["Power"]
    assert [step["value"] for step in defaults["Power"]["thresholds"]["steps"]] == [None, 3000, 3500]
    assert defaults["tilt"]["unit"] == "suffix: degree" and defaults["On"]["unit"] == "bool_on_off"
    assert (defaults["humidity"]["min"], defaults["humidity"]["max"]) == (0, 100)
    assert "thresholdsStyle" not in defaults["humidity"]["custom"]


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    dashboard = made()
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert sorted(set(numbers)) == sorted(numbers)
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells


def test_the_devices_to_choose_among():
    variable = made()["templating"]["list"][0]
    assert variable["query"] == 'SHOW TAG VALUES FROM "probe", "sonoff_pow" WITH KEY = "device"'
    assert made(profiles={})["templating"]["list"][0]["query"] == 'SHOW TAG VALUES WITH KEY = "device"'
    assert variable["allValue"] == ".*"


def test_names_are_quoted():
    dashboard = made(profiles={"a": {"measurement": 'm"x', "fields": [{"name": 'f"y', "unit": "volt_ampere"}]}})
    panel = panels(dashboard)['f"y']
    assert 'mean("f\\"y") FROM "m\\"x"' in panel["targets"][0]["query"]
    assert panel["fieldConfig"]["defaults"]["unit"] == "voltamp"


@pytest.mark.parametrize("broken", [[], {"a": "text"}, {"a": {"fields": [{"label": "nameless"}]}}, {"a": {"fields": ["x"]}}])
def test_what_is_no_profile_is_refused(broken):
    with pytest.raises(AnsibleFilterError, match=r"^dashboard: "):
        made(profiles=broken)
