# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import tomllib

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._devices import profiles, sensors
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

KNOWN = profiles.read(_devices.collection_profiles(), kind="sensor")
GOOD = {
    "sensor": {
        "plugin": "file",
        "parameters": {"id": {"pattern": "[a-z]+"}, "count": {"pattern": "[0-9]+", "default": 3}},
        "settings": {"files": ["/sys/${id}"], "count": "${count}"},
    },
    "fields": [{"name": "t", "scale": 0.001, "offset": -1}],
}


def sensor(**changes):
    return {"name": "cellar", "profile": "ds18b20", "parameters": {"id": "28-0316a2793aff"}, **changes}


def test_sensors_and_devices_are_kept_apart():
    assert {"ds18b20", "dht11_iio", "sdm120", "serial_json", "gpio_contact", "pi_temperature"} <= set(KNOWN)
    devices = profiles.read(_devices.collection_profiles())
    assert not set(devices) & set(KNOWN) and all("telemetry" in one for one in devices.values())
    assert profiles.read(_devices.collection_profiles(), kind="all").keys() == devices.keys() | KNOWN.keys()


def change(data, path, value):
    new = copy.deepcopy(data)
    at = new
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return new


@pytest.mark.parametrize(
    "path, value, said",
    [
        (["sensor"], [], "sensor: is no dictionary"),
        (["sensor", "more"], 1, "unknown more"),
        (["sensor", "plugin"], "a b", "no name of one of Telegraf's inputs"),
        (["sensor", "parameters"], [], "sensor.parameters: is no dictionary"),
        (["sensor", "parameters", "script"], {"pattern": "x"}, "sensor.parameters.script: is no name"),
        (["sensor", "parameters", "id"], {}, "a dictionary with pattern"),
        (["sensor", "parameters", "id"], {"pattern": "("}, "sensor.parameters.id.pattern"),
        (["sensor", "parameters", "count"], {"pattern": "[0-9]+", "default": "x"}, "is not of the form"),
        (["sensor", "settings"], {}, "Telegraf's settings are needed"),
        (["sensor", "settings", "tags"], {}, "tags is set for every sensor"),
        (["sensor", "groups"], "gpio", "sensor.groups: is no list"),
        (["sensor", "settings", "files"], ["${other}"], "other is used and is no parameter"),
        (["topics"], {}, "topics: a sensor's profile has"),
        (["measurement"], "a b", "measurement"),
        (["fields"], [], "at least one field"),
        (["fields"], [{"name": "t", "scale": "x"}], "scale must be numbers"),
    ],
)
def test_a_bad_profile_is_refused(path, value, said):
    assert profiles.check("odd", GOOD) == []
    found = "\n".join(profiles.check("odd", change(GOOD, path, value)))
    assert said in found, found


def test_a_device_has_no_scale():
    assert any("unknown scale" in one for one in profiles.check("x", {"topics": {"publish": ["a/${username}"]}, "telemetry": "a/+",
                                                                     "fields": [{"name": "t", "scale": 2}]}))  # fmt: skip


def test_inputs_of_a_host():
    found = sensors.inputs([sensor(interval="5s"), {"name": "meter", "profile": "sdm120", "parameters": {"controller": "tcp://10.0.0.9:502"}}], KNOWN)
    assert found[0]["settings"] == {
        "files": ["/sys/bus/w1/devices/28-0316a2793aff/temperature"], "data_format": "value", "data_type": "integer",
        "name_override": "sensor", "alias": "cellar", "tags": {"sensor": "cellar"}, "interval": "5s",
    }  # fmt: skip
    assert found[0]["boot"] == ["dtoverlay=w1-gpio"]
    # A number stays one where it is alone, and becomes a text beside texts.
    assert found[1]["settings"]["baud_rate"] == 2400 and found[1]["settings"]["request"][0]["slave_id"] == 1
    (serial,) = sensors.inputs([{"name": "s", "profile": "serial_json", "parameters": {"device": "/dev/ttyUSB0"}}], KNOWN)
    assert serial["settings"]["command"][-1] == "9600"
    assert sensors.readings(found, KNOWN)["cellar"] == {
        "measurement": "ds18b20", "profile": "ds18b20", "fields": [{"name": "temperature", "path": "value", "type": "float", "scale": 0.001}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "wanted, said",
    [
        ("x", "is no list"),
        ([1], r"\[0\]: is no dictionary"),
        ([sensor(name="a b")], r"\[0\].name"),
        ([sensor(), sensor()], "another sensor of this name"),
        ([sensor(more=1)], "unknown more"),
        ([sensor(interval="soon")], "is no duration"),
        ([sensor(profile="dht11")], "is no profile of a sensor; there are dht11_iio, ds18b20"),
        ([sensor(parameters=[])], "parameters: is no dictionary"),
        ([sensor(parameters={"id": "28-0316a2793aff", "x": 1})], "unknown x; ds18b20 has id"),
        ([sensor(parameters={})], "parameters.id: is needed: its directory"),
        ([sensor(parameters={"id": "../../etc/passwd"})], "is not of the form"),
        ([{"name": "s", "profile": "serial_json", "parameters": {"device": "/dev/x; rm"}}], "is not of the form"),
    ],
)
def test_bad_sensors_are_refused(wanted, said):
    with pytest.raises(DevicesError, match=said):
        sensors.inputs(wanted, KNOWN)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(DevicesError) as error:
        sensors.inputs([sensor(parameters={}), sensor(name="other", profile="nothing")], KNOWN)
    assert "cellar.parameters.id" in str(error.value) and "other.profile" in str(error.value)


def test_toml_is_what_was_meant():
    settings = {"text": "a \"b\" \\ 'c' ü\n\x7f", "yes": True, "n": 1, "f": 0.5, "list": [1, 2], "empty": [], "odd key": "x", "tags": {"a": "b"},
                "request": [{"slave": 1, "fields": [{"address": 0, "name": "v"}], "tags": {"x": "y"}}, {"slave": 2}]}  # fmt: skip
    assert tomllib.loads(sensors.toml("modbus", settings)) == {"inputs": {"modbus": [settings]}}
    for bad in (float("inf"), None):
        with pytest.raises(DevicesError):
            sensors.toml("x", {"a": bad})


def test_truth_values_are_written_as_telegraf_has_them():
    known = {**KNOWN, "p": profiles.complete("p", {"sensor": {"plugin": "x", "parameters": {"on": {"pattern": "true|false"}},
                                                              "settings": {"a": "${on}", "b": "is ${on}"}}, "fields": [{"name": "t"}]})}  # fmt: skip
    (found,) = sensors.inputs([{"name": "n", "profile": "p", "parameters": {"on": True}}], known)
    assert (found["settings"]["a"], found["settings"]["b"]) == (True, "is true")


def test_every_profile_of_a_sensor_can_be_read():
    parameters = {"ds18b20": {"id": "28-0316a2793aff"}, "sdm120": {"controller": "file:///dev/ttyUSB0"}, "serial_json": {"device": "/dev/ttyUSB0"},
                  "gpio_contact": {"line": 17}}  # fmt: skip
    for name in KNOWN:
        (found,) = sensors.inputs([{"name": name, "profile": name, "parameters": parameters.get(name, {})}], KNOWN)
        assert tomllib.loads(sensors.toml(found["plugin"], found["settings"]))


@pytest.mark.parametrize(
    "profile, parameters, needs",
    [
        ("ds18b20", {"id": "28-0316a2793aff"}, ""),
        ("dht11_iio", {}, ""),
        ("pi_temperature", {}, ""),
        ("sdm120", {"controller": "tcp://192.168.1.9:502"}, ""),
        ("sdm120", {"controller": "file:///dev/ttyUSB0", "mode": "RTU"}, "the device /dev/ttyUSB0"),
        ("serial_json", {"device": "/dev/ttyUSB0"}, "a program on the host"),
        ("gpio_contact", {"line": 17}, "a program on the host"),
    ],
)
def test_what_a_container_lacks(profile, parameters, needs):
    (found,) = sensors.inputs([sensor(profile=profile, parameters=parameters)], KNOWN)
    assert sensors.outside_container(found) == needs


def test_a_container_has_no_other_files_of_its_host():
    settings = {"files": ["/sys/a", "/proc/b", "/var/lib/c"], "count": 1, "more": [{"text": "x"}]}
    assert sensors.outside_container({"plugin": "file", "settings": settings}) == "the file /var/lib/c"
    del settings["files"][2]
    assert sensors.outside_container({"plugin": "file", "settings": settings}) == ""
