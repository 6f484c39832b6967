# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A device profile: what one kind of device publishes, where, and with which fields.

From it come permissions (topics), Telegraf's parser (payload), the dashboard's panels and the app's metrics (fields). A sensor that is
attached to a host publishes nothing: its profile has Telegraf's input (sensor) in place of topics and payload.
"""

from __future__ import annotations

import os
import re
import typing as t

from . import sensors
from .source import DevicesError, load_yaml

USERNAME = "${username}"
FIELD_TYPES = ("float", "int", "string", "bool")
TIME_FORMATS = ("unix", "unix_ms", "unix_us", "unix_ns", "rfc3339")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
# What a reader of JSON (GJSON) follows: names and indexes with points between.
_PATH = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_FIELD_KEYS = {"name", "path", "type", "unit", "label", "min", "max", "warn", "critical"}
# How a sensor's raw value becomes the reading.
_SCALE_KEYS = {"scale", "offset"}
_PAYLOAD_KEYS = {"format", "time", "time_path", "time_format"}
_KEYS = {"description", "topics", "telemetry", "qos", "payload", "measurement", "fields", "bundle"}
_SENSOR_KEYS = {"description", "sensor", "measurement", "fields"}
# What a device's bundle can have for its firmware, beside what is for every device.
BUNDLES = ("arduino", "esphome", "python", "tasmota")

Profile = dict[str, t.Any]


def covers(filter_: str, topic: str) -> bool:
    """Whether an MQTT topic filter covers a topic (or a narrower filter)."""
    wanted, given = filter_.split("/"), topic.split("/")
    for at, word in enumerate(wanted):
        if word == "#":
            return True
        if at >= len(given) or (word != "+" and word != given[at]) or (word == "+" and given[at] == "#"):
            return False
    return len(wanted) == len(given)


def _topic_problems(where: str, topic: t.Any, publish: bool) -> list[str]:
    if not isinstance(topic, str) or not topic:
        return [f"{where}: a topic is a text"]
    problems = []
    if len(topic.encode()) > 255:
        problems.append(f"{where}: {topic!r} is longer than 255 bytes")
    if re.search(r"[^\x20-\x7e]", topic) or any(char in topic for char in "'\"\\"):
        problems.append(f"{where}: {topic!r} has quotes, control or non-ASCII characters")
    if topic.startswith("$"):
        problems.append(f"{where}: {topic!r} begins with $, which belongs to the broker")
    words = topic.split("/")
    own = words.index(USERNAME) if USERNAME in words else None
    rest = "/".join(word for word in words if word != USERNAME)
    if "$" in rest or "{" in rest:
        problems.append(f"{where}: {topic!r} may hold {USERNAME} as a whole level, and no other placeholder")
    if publish and own is None:
        # Else each device of this kind could write in another's name.
        problems.append(f"{where}: {topic!r} needs {USERNAME} as a whole level")
    for at, word in enumerate(words):
        if "#" in word and (word != "#" or at != len(words) - 1):
            problems.append(f"{where}: {topic!r} has # elsewhere than as its last level")
        if "+" in word and word != "+":
            problems.append(f"{where}: {topic!r} has + beside other characters")
        if word in ("+", "#") and (own is None or at < own):
            problems.append(f"{where}: {topic!r} has a wildcard before {USERNAME}, so that it reaches other devices")
    return problems


def _field_problems(fields: t.Any, sensor: bool = False) -> list[str]:
    if not isinstance(fields, list) or not fields:
        return ["fields: at least one field is needed"]
    problems = []
    names = []
    for number, field in enumerate(fields):
        where = f"fields[{number}]"
        if not isinstance(field, dict):
            problems.append(f"{where}: is no dictionary")
            continue
        name = field.get("name")
        if not isinstance(name, str) or not _FIELD.fullmatch(name):
            problems.append(f"{where}.name: {name!r} is none (letters, digits, _)")
        names.append(name)
        keys = _FIELD_KEYS | _SCALE_KEYS if sensor else _FIELD_KEYS
        unknown = sorted(set(field) - keys)
        if unknown:
            problems.append(f"{where}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(keys))}")
        path = field.get("path", name)
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            problems.append(f"{where}.path: {path!r} is none (names with points between)")
        if field.get("type", "float") not in FIELD_TYPES:
            problems.append(f"{where}.type: {field.get('type')!r} is none of {', '.join(FIELD_TYPES)}")
        limits = {key: field[key] for key in ("min", "max", "warn", "critical", "scale", "offset") if key in field}
        wrong = [key for key, value in limits.items() if isinstance(value, bool) or not isinstance(value, (int, float))]
        if wrong:
            problems.append(f"{where}: {', '.join(wrong)} must be numbers")
        elif "min" in limits and "max" in limits and limits["min"] >= limits["max"]:
            problems.append(f"{where}: min {limits['min']} is not below max {limits['max']}")
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        problems.append(f"fields: {', '.join(twice)} is there more than once")
    return problems


def _payload_problems(payload: t.Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["payload: is no dictionary"]
    problems = []
    unknown = sorted(set(payload) - _PAYLOAD_KEYS)
    if unknown:
        problems.append(f"payload: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(_PAYLOAD_KEYS))}")
    if payload.get("format", "json") != "json":
        problems.append(f"payload.format: {payload.get('format')!r}; only json is known")
    if payload.get("time", "arrival") not in ("arrival", "payload"):
        problems.append(f"payload.time: {payload.get('time')!r} is neither arrival nor payload")
    if payload.get("time") == "payload":
        path = payload.get("time_path", "time")
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            problems.append(f"payload.time_path: {path!r} is none")
        if payload.get("time_format", "unix_ms") not in TIME_FORMATS:
            problems.append(f"payload.time_format: {payload.get('time_format')!r} is none of {', '.join(TIME_FORMATS)}")
    return problems


def check(name: str, data: t.Any) -> list[str]:
    """All that is wrong with a profile."""
    if not _NAME.fullmatch(name):
        return [f"the name {name!r} is none (a-z, 0-9, _; its file is called NAME.yml)"]
    if not isinstance(data, dict):
        return ["is no dictionary"]
    if "sensor" in data:
        return _sensor_problems(name, data)
    problems = []
    unknown = sorted(set(data) - _KEYS)
    if unknown:
        problems.append(f"unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(_KEYS))}")
    topics = data.get("topics")
    publish: list[t.Any] = []
    if not isinstance(topics, dict) or set(topics) - {"publish", "subscribe"}:
        problems.append("topics: a dictionary with publish and subscribe is needed")
    else:
        for kind in ("publish", "subscribe"):
            entries = topics.get(kind) or []
            if not isinstance(entries, list):
                problems.append(f"topics.{kind}: is no list")
                continue
            for number, topic in enumerate(entries):
                problems += _topic_problems(f"topics.{kind}[{number}]", topic, kind == "publish")
            if kind == "publish":
                publish = entries
    telemetry = data.get("telemetry")
    if not isinstance(telemetry, str) or telemetry.split("/").count("+") != 1 or "#" in telemetry or telemetry.count("+") != 1:
        problems.append(f"telemetry: {telemetry!r} needs exactly one level +, which is the device's id, and no #")
    elif not any(isinstance(topic, str) and covers(topic, telemetry.replace("+", USERNAME)) for topic in publish):
        problems.append(f"telemetry: {telemetry!r} is on no topic that the device may publish on")
    if data.get("qos", 1) not in (0, 1, 2) or isinstance(data.get("qos"), bool):
        problems.append(f"qos: {data.get('qos')!r} is none of 0, 1, 2")
    wanted = data.get("bundle", [])
    if not isinstance(wanted, list) or any(part not in BUNDLES for part in wanted):
        problems.append(f"bundle: {wanted!r} is no list of {', '.join(BUNDLES)}")
    problems += _measurement_problems(name, data)
    return problems + _payload_problems(data.get("payload", {})) + _field_problems(data.get("fields"))


def _measurement_problems(name: str, data: t.Mapping[str, t.Any]) -> list[str]:
    measurement = data.get("measurement", name)
    if isinstance(measurement, str) and _FIELD.fullmatch(measurement):
        return []
    return [f"measurement: {measurement!r} is none (letters, digits, _)"]


def _sensor_problems(name: str, data: t.Mapping[str, t.Any]) -> list[str]:
    problems = []
    unknown = sorted(set(data) - _SENSOR_KEYS)
    if unknown:
        problems.append(f"{', '.join(map(str, unknown))}: a sensor's profile has {', '.join(sorted(_SENSOR_KEYS))} alone")
    problems += _measurement_problems(name, data)
    return problems + sensors.problems(data["sensor"]) + _field_problems(data.get("fields"), sensor=True)


def complete(name: str, data: t.Mapping[str, t.Any]) -> Profile:
    """A checked profile with all defaults in it."""
    payload = dict(data.get("payload") or {})
    common: Profile = {
        "name": name,
        "description": str(data.get("description", "")),
        "measurement": data.get("measurement", name),
        "fields": [
            {**field, "path": field.get("path", field["name"]), "type": field.get("type", "float"),
             "label": field.get("label", field["name"]), "unit": field.get("unit", "")}
            for field in data["fields"]
        ],
    }  # fmt: skip
    if "sensor" in data:
        return {**common, "sensor": sensors.complete(data["sensor"])}
    profile: Profile = {
        **common,
        "topics": {kind: list(data["topics"].get(kind) or []) for kind in ("publish", "subscribe")},
        "telemetry": data["telemetry"],
        "qos": data.get("qos", 1),
        "payload": {"format": payload.get("format", "json"), "time": payload.get("time", "arrival")},
        "bundle": list(data.get("bundle", ["python"])),
    }
    if profile["payload"]["time"] == "payload":
        profile["payload"]["time_path"] = payload.get("time_path", "time")
        profile["payload"]["time_format"] = payload.get("time_format", "unix_ms")
    return profile


KINDS = ("device", "sensor", "all")


def read(*directories: str, kind: str = "device") -> dict[str, Profile]:
    """The profiles of these directories (one that does not exist has none); a later directory replaces names of an earlier one.

    kind: of devices that publish, of sensors that are attached to a host, or both. All are checked in any case.
    """
    found: dict[str, str] = {}
    for directory in directories:
        try:
            names = sorted(os.listdir(directory))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DevicesError(f"cannot read the profiles in {directory}: {error.strerror}") from error
        for file in names:
            name, extension = os.path.splitext(file)
            if extension in (".yml", ".yaml") and not file.startswith("."):
                found[name] = os.path.join(directory, file)
    profiles: dict[str, Profile] = {}
    problems: list[str] = []
    for name, path in sorted(found.items()):
        data = load_yaml(path)
        wrong = check(name, data)
        if wrong:
            problems += [f"{path}: {problem}" for problem in wrong]
        else:
            profiles[name] = complete(name, data)
    if problems:
        raise DevicesError("device profiles that cannot be used:\n" + "\n".join(problems))
    return {name: one for name, one in profiles.items() if kind == "all" or ("sensor" in one) == (kind == "sensor")}


def topics_of(profile: Profile, device: str) -> dict[str, list[str]]:
    """The topics of one device."""
    return {kind: [topic.replace(USERNAME, device) for topic in topics] for kind, topics in profile["topics"].items()}
