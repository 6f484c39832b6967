# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles and the list of devices: what is accepted, and what each mistake is told."""

from __future__ import annotations

import copy
import os

import pytest
import yaml

from ansible_collections.edgestack.iot.plugins.module_utils._devices import profiles, registry, source
from ansible_collections.edgestack.iot.plugins.module_utils._devices.source import DevicesError
from ansible_collections.edgestack.iot.plugins.plugin_utils import _devices

GOOD = {
    "topics": {"publish": ["sensor/x/${username}"], "subscribe": ["command/x/${username}/#", "news"]},
    "telemetry": "sensor/x/+",
    "fields": [{"name": "value"}],
}
KNOWN = {"raspberrypi", "dht11", "edgestack_verify"}


def changed(**changes):
    profile = copy.deepcopy(GOOD)
    for key, value in changes.items():
        if value is None:
            profile.pop(key)
        else:
            profile[key] = value
    return profile


def test_the_collections_profiles():
    found = profiles.read(_devices.collection_profiles())
    assert sorted(found) == ["dht11", "edgestack_verify", "generic_json", "raspberrypi", "sonoff_pow"]
    assert found["edgestack_verify"]["payload"] == {"format": "json", "time": "payload", "time_path": "time", "time_format": "unix_ms"}
    assert {field["name"] for field in found["edgestack_verify"]["fields"]} == {"nonce", "value"}
    assert found["raspberrypi"]["topics"]["publish"] == ["sensor/raspberrypi/${username}"]
    assert found["sonoff_pow"]["qos"] == 0


def test_defaults_are_filled_in():
    profile = profiles.complete("probe", GOOD)
    assert profile == {
        "name": "probe",
        "description": "",
        "topics": GOOD["topics"],
        "telemetry": "sensor/x/+",
        "qos": 1,
        "payload": {"format": "json", "time": "arrival"},
        "measurement": "probe",
        "bundle": ["python"],
        "fields": [{"name": "value", "path": "value", "type": "float", "label": "value", "unit": ""}],
    }
    timed = profiles.complete("probe", changed(payload={"time": "payload"}))
    assert timed["payload"] == {"format": "json", "time": "payload", "time_path": "time", "time_format": "unix_ms"}
    assert profiles.topics_of(profile, "dev-1") == {"publish": ["sensor/x/dev-1"], "subscribe": ["command/x/dev-1/#", "news"]}


def test_a_good_profile():
    assert profiles.check("probe", GOOD) == []
    assert profiles.check("probe", changed(topics={"publish": ["tele/${username}/#"]}, telemetry="tele/+/SENSOR")) == []


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ([], "is no dictionary"),
        (changed(colour="blue"), "unknown colour"),
        (changed(bundle=["windows"]), "is no list of arduino"),
        (changed(bundle="python"), "is no list of arduino"),
        (changed(topics=None), "topics"),
        (changed(topics={"publish": "x"}), "is no list"),
        (changed(topics={"write": []}), "topics"),
        (changed(topics={"publish": [7]}), "a topic is a text"),
        (changed(topics={"publish": ["sensor/x"]}), "needs ${username}"),
        (changed(topics={"publish": ["sensor/x-${username}"]}), "needs ${username}"),
        (changed(topics={"publish": ["sensor/${clientid}/${username}"]}), "no other placeholder"),
        (changed(topics={"publish": ["+/x/${username}"]}), "reaches other devices"),
        (changed(topics={"publish": ["sensor/x/${username}"], "subscribe": ["command/#"]}), "reaches other devices"),
        (changed(topics={"publish": ["a/#/${username}"]}), "elsewhere than as its last level"),
        (changed(topics={"publish": ["${username}/a+"]}), "beside other characters"),
        (changed(topics={"publish": ["$SYS/${username}"]}), "belongs to the broker"),
        (changed(topics={"publish": ["a'/${username}"]}), "quotes"),
        (changed(topics={"publish": ["ä/${username}"]}), "non-ASCII"),
        (changed(topics={"publish": ["x" * 250 + "/${username}"]}), "longer than 255"),
        (changed(telemetry="sensor/x/y"), "exactly one level +"),
        (changed(telemetry="sensor/+/+"), "exactly one level +"),
        (changed(telemetry="sensor/x/+/#"), "exactly one level +"),
        (changed(telemetry=None), "exactly one level +"),
        (changed(telemetry="other/+"), "may publish on"),
        (changed(qos=3), "qos"),
        (changed(qos=True), "qos"),
        (changed(measurement="a b"), "measurement"),
        (changed(payload=[]), "payload: is no dictionary"),
        (changed(payload={"format": "xml"}), "only json"),
        (changed(payload={"time": "noon"}), "neither arrival nor payload"),
        (changed(payload={"time": "payload", "time_path": ".."}), "time_path"),
        (changed(payload={"time": "payload", "time_format": "stardate"}), "time_format"),
        (changed(payload={"colour": 1}), "unknown colour"),
        (changed(fields=[]), "at least one field"),
        (changed(fields=["x"]), "is no dictionary"),
        (changed(fields=[{"name": "a b"}]), "fields[0].name"),
        (changed(fields=[{"name": "a", "colour": 1}]), "unknown colour"),
        (changed(fields=[{"name": "a", "path": "a..b"}]), "fields[0].path"),
        (changed(fields=[{"name": "a", "type": "number"}]), "fields[0].type"),
        (changed(fields=[{"name": "a", "min": "low"}]), "must be numbers"),
        (changed(fields=[{"name": "a", "min": 2, "max": 1}]), "is not below"),
        (changed(fields=[{"name": "a"}, {"name": "a"}]), "more than once"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(profile, words):
    assert any(words in problem for problem in profiles.check("probe", profile)), profiles.check("probe", profile)


def test_a_profiles_name():
    assert profiles.check("Bad-Name", GOOD)


def test_the_sites_profiles_replace_the_collections(tmp_path):
    (tmp_path / "dht11.yml").write_text(yaml.safe_dump(GOOD))
    (tmp_path / "note.txt").write_text("no profile")
    found = profiles.read(_devices.collection_profiles(), str(tmp_path / "none"), str(tmp_path))
    assert found["dht11"]["telemetry"] == "sensor/x/+" and len(found) == 5
    (tmp_path / "bad.yml").write_text("topics: [")
    with pytest.raises(DevicesError, match="is no YAML"):
        profiles.read(str(tmp_path))
    (tmp_path / "bad.yml").write_text("topics: {}")
    with pytest.raises(DevicesError, match=r"bad\.yml: telemetry"):
        profiles.read(str(tmp_path))
    with pytest.raises(DevicesError, match="cannot read the profiles"):
        profiles.read(str(tmp_path / "bad.yml"))


@pytest.mark.parametrize(
    ("filter_", "topic", "yes"),
    [
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/+", "a/#", False),
        ("a/b", "a/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_covers(filter_, topic, yes):
    assert profiles.covers(filter_, topic) is yes


def test_devices():
    found = registry.parse(
        [
            {"id": "Pi_1.a:b@c-d", "profile": "raspberrypi"},
            {"id": "plug-1", "profile": "dht11", "auth": "password", "site": "north", "key_type": "rsa_2048"},
            {"id": "old", "profile": "gone", "state": "revoked", "auth": "certificate+password"},
            {"id": "edgestack-verify-main", "profile": "edgestack_verify"},
        ],
        KNOWN,
        "south",
    )
    assert found[0] == registry.Device("Pi_1.a:b@c-d", "raspberrypi", "south", "certificate", "present")
    assert (found[1].site, found[1].auth) == ("north", "password")
    assert (found[2].state, found[2].auth) == ("revoked", "certificate")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a+b", "has +"), ("a#", "has #"), ("a/b", "has /"), ("a'b", "has '"), ('a"b', 'has "'), ("a b", "has ' '"), ("a\nb", r"has '\n'"),
        ("a\\b", "has \\"), ("a;b", "has ;"), ("${username}", "has $"), ("a%b", "has %"), ("dév", "not ASCII"), ("", "is no text"),
        (7, "is no text"), (None, "is no text"), ("x" * 65, "65 characters"), ("..", "must begin"), (".hidden", "must begin"), ("-x", "must begin"),
        ("telegraf-centre", "reserved"), ("Edgestack-x", "reserved"), ("root", "reserved"),
    ],
)  # fmt: skip
def test_ids_that_would_widen_permissions_are_refused(name, words):
    with pytest.raises(DevicesError) as error:
        registry.parse([{"id": name, "profile": "dht11"}], KNOWN)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("dev", "is no dictionary"),
        ({"id": "a"}, "profile is missing"),
        ({"id": "a", "profile": "nope"}, "there is no profile 'nope'"),
        ({"id": "a", "profile": "dht11", "auth": "none"}, "auth 'none'"),
        ({"id": "a", "profile": "dht11", "state": "sleeping"}, "state 'sleeping'"),
        ({"id": "a", "profile": "dht11", "site": "a/b"}, "site 'a/b'"),
        ({"id": "a", "profile": "dht11", "profil": "x"}, "unknown profil"),
    ],
)
def test_mistakes_in_an_entry(entry, words):
    with pytest.raises(DevicesError) as error:
        registry.parse([entry], KNOWN)
    assert words in str(error.value)


def test_duplicates_and_many_problems():
    with pytest.raises(DevicesError, match="is there twice"):
        registry.parse([{"id": "a", "profile": "dht11"}] * 2, KNOWN)
    with pytest.raises(DevicesError, match="in case only"):
        registry.parse([{"id": "dev1", "profile": "dht11"}, {"id": "DEV1", "profile": "dht11"}], KNOWN)
    with pytest.raises(DevicesError) as error:
        registry.parse([{"id": f"a+{number}", "profile": "dht11"} for number in range(50)], KNOWN)
    assert "and 30 more" in str(error.value)


def test_files(tmp_path):
    listed = tmp_path / "devices.yml"
    listed.write_text("devices:\n  - {id: a, profile: dht11}\n")
    table = tmp_path / "devices.csv"
    table.write_text("\ufeffid,profile,site,auth,state\nb,dht11,,,\nc,dht11,north,password,revoked\n")
    assert [one.id for one in registry.read([{"id": "x", "profile": "dht11"}], str(listed), KNOWN)] == ["x", "a"]
    found = registry.read([], str(table), KNOWN)
    assert (found[0].site, found[0].auth, found[0].state) == ("main", "certificate", "present")
    assert (found[1].site, found[1].auth, found[1].state) == ("north", "password", "revoked")
    listed.write_text("")
    assert registry.read([], str(listed), KNOWN) == []
    listed.write_text("devices:")
    assert source.load_devices(str(listed)) == []
    listed.write_text("a: 1")
    with pytest.raises(DevicesError, match="no list"):
        source.load_devices(str(listed))
    listed.write_text("devices: 7")
    with pytest.raises(DevicesError, match="has no list"):
        source.load_devices(str(listed))
    table.write_text('id,profile\n"a,dht11\n')
    with pytest.raises(DevicesError, match="line"):
        source.load_devices(str(table))
    table.write_text("id,profile\na,dht11,more\n")
    with pytest.raises(DevicesError, match="unknown"):
        registry.read([], str(table), KNOWN)
    table.write_bytes(b"id\n\xff\n")
    with pytest.raises(DevicesError, match="UTF-8"):
        source.load_devices(str(table))
    with pytest.raises(DevicesError, match="cannot read"):
        source.load_devices(str(tmp_path / "none.csv"))


def test_passwords(tmp_path):
    directory = str(tmp_path / "devices")
    predicted = _devices.Passwords(directory, check=True)
    assert predicted.of("dev-1") and predicted.made == ["dev-1"] and predicted.hasher().key
    assert not os.path.exists(directory)
    first = _devices.Passwords(directory, check=False)
    with first.lock():
        password, key = first.of("dev-1"), first.hasher().key
        first.flush()
    path = os.path.join(directory, "dev-1", "password")
    assert len(password) >= 32 and first.made == ["dev-1"]
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    again = _devices.Passwords(directory, check=False)
    assert (again.of("dev-1"), again.hasher().key, again.made) == (password, key, [])
    assert again.of("dev-2") != password
    for content in (b"short\n", b"long enough but\ntwo lines of it", b"\xff" * 30):
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(DevicesError) as error:
            again.of("dev-1")
        assert "short" not in str(error.value).replace("short,", "")
