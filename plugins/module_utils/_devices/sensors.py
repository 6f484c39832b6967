# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sensors that are attached to a host: a profile says which of Telegraf's inputs reads such a sensor, and what its fields are.

The profile's settings are Telegraf's own, with ${name} where a sensor differs from the next of its kind.
"""

from __future__ import annotations

import json
import math
import re
import typing as t

from .source import DevicesError

KEYS = {"plugin", "parameters", "settings", "groups", "devices", "boot"}
_PARAMETER_KEYS = {"pattern", "default", "description"}
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PLACE = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
_SENSOR_KEYS = {"name", "profile", "parameters", "interval"}
_INTERVAL = re.compile(r"[1-9][0-9]*(?:ms|s|m|h)")
# What the collection fills in.
BUILT_IN = {"script": "/usr/local/lib/edgestack/sensor.py"}
# What is set here for every sensor.
_RESERVED = ("name_override", "tags", "interval", "alias")


def problems(sensor: t.Any) -> list[str]:
    """All that is wrong with the section sensor of a profile."""
    if not isinstance(sensor, dict):
        return ["sensor: is no dictionary"]
    found = []
    unknown = sorted(set(sensor) - KEYS)
    if unknown:
        found.append(f"sensor: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(KEYS))}")
    if not isinstance(sensor.get("plugin"), str) or not _WORD.fullmatch(sensor["plugin"]):
        found.append(f"sensor.plugin: {sensor.get('plugin')!r} is no name of one of Telegraf's inputs")
    parameters = sensor.get("parameters", {})
    if not isinstance(parameters, dict):
        return [*found, "sensor.parameters: is no dictionary"]
    for name, about in parameters.items():
        where = f"sensor.parameters.{name}"
        if not isinstance(name, str) or not _WORD.fullmatch(name) or name in BUILT_IN:
            found.append(f"{where}: is no name (a-z, 0-9, _, not {', '.join(BUILT_IN)})")
        if not isinstance(about, dict) or set(about) - _PARAMETER_KEYS or not isinstance(about.get("pattern"), str):
            found.append(f"{where}: a dictionary with pattern, and perhaps default and description, is needed")
            continue
        try:
            pattern = re.compile(about["pattern"])
        except re.error as error:
            found.append(f"{where}.pattern: {error}")
            continue
        if "default" in about and not pattern.fullmatch(_plain(about["default"])):
            found.append(f"{where}.default: {about['default']!r} is not of the form {about['pattern']}")
    settings = sensor.get("settings")
    if not isinstance(settings, dict) or not settings:
        found.append("sensor.settings: Telegraf's settings are needed, as a dictionary")
    else:
        reserved = sorted(set(settings) & set(_RESERVED))
        if reserved:
            found.append(f"sensor.settings: {', '.join(reserved)} is set for every sensor")
    for key in ("groups", "devices", "boot"):
        if not isinstance(sensor.get(key, []), list) or any(not isinstance(one, str) for one in sensor.get(key, [])):
            found.append(f"sensor.{key}: is no list of texts")
    used = set(_PLACE.findall(json.dumps([sensor.get("settings"), sensor.get("devices")], default=str)))
    missing = sorted(used - set(parameters) - set(BUILT_IN))
    if missing:
        found.append(f"sensor: {', '.join(missing)} is used and is no parameter")
    return found


def complete(sensor: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A checked section with its defaults."""
    return {
        "plugin": sensor["plugin"],
        "parameters": dict(sensor.get("parameters", {})),
        "settings": sensor["settings"],
        **{key: list(sensor.get(key, [])) for key in ("groups", "devices", "boot")},
    }


def _plain(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(value: t.Any, known: t.Mapping[str, t.Any]) -> t.Any:
    """The value with the sensor's parameters in it; one that is a parameter alone keeps the parameter's type."""
    if isinstance(value, dict):
        return {name: _filled(one, known) for name, one in value.items()}
    if isinstance(value, list):
        filled = [_filled(one, known) for one in value]
        # A list of Telegraf's has one type: beside texts, a number is one too.
        return [_plain(one) if isinstance(one, (int, float)) else one for one in filled] if any(isinstance(one, str) for one in filled) else filled
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value)
    if whole:
        return known[whole.group(1)]
    return _PLACE.sub(lambda match: _plain(known[match.group(1)]), value)


def inputs(sensors: t.Any, profiles: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """What each sensor of a host is to Telegraf; all that is wrong with them at once.

    Each entry has name, profile, plugin, settings (filled), groups, devices and boot lines.
    """
    if not isinstance(sensors, list):
        raise DevicesError("telegraf_sensors is no list")
    found: list[str] = []
    out: list[dict[str, t.Any]] = []
    for number, one in enumerate(sensors):
        where = f"telegraf_sensors[{number}]"
        if not isinstance(one, dict):
            found.append(f"{where}: is no dictionary")
            continue
        name = one.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            found.append(f"{where}.name: {name!r} is none (letters, digits, . _ -)")
            continue
        where = f"telegraf_sensors: {name}"
        unknown = sorted(set(one) - _SENSOR_KEYS)
        if unknown:
            found.append(f"{where}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(_SENSOR_KEYS))}")
        if name in [other["name"] for other in out]:
            found.append(f"{where}: there is another sensor of this name")
        interval = one.get("interval") or ""
        if interval and not _INTERVAL.fullmatch(str(interval)):
            found.append(f"{where}.interval: {interval!r} is no duration such as 30s")
        profile = profiles.get(str(one.get("profile")))
        if profile is None or not profile.get("sensor"):
            kinds = ", ".join(sorted(key for key, value in profiles.items() if value.get("sensor"))) or "none"
            found.append(f"{where}.profile: {one.get('profile')!r} is no profile of a sensor; there are {kinds}")
            continue
        given = {} if one.get("parameters") is None else one["parameters"]
        if not isinstance(given, dict):
            found.append(f"{where}.parameters: is no dictionary")
            continue
        wanted = profile["sensor"]["parameters"]
        strange = sorted(set(map(str, given)) - set(wanted))
        if strange:
            found.append(f"{where}.parameters: unknown {', '.join(strange)}; {one['profile']} has {', '.join(wanted) or 'none'}")
        known: dict[str, t.Any] = {**BUILT_IN, **{key: about["default"] for key, about in wanted.items() if "default" in about}, **given}
        for key, about in wanted.items():
            if key not in known:
                found.append(f"{where}.parameters.{key}: is needed{': ' + about['description'] if about.get('description') else ''}")
                known[key] = ""
            elif not re.fullmatch(about["pattern"], _plain(known[key])):
                found.append(f"{where}.parameters.{key}: {known[key]!r} is not of the form {about['pattern']}")
        sensor = profile["sensor"]
        settings = {**_filled(sensor["settings"], known), "name_override": "sensor", "alias": name, "tags": {"sensor": name}}
        if interval:
            settings["interval"] = str(interval)
        out.append(
            {
                "name": name,
                "profile": str(one["profile"]),
                "plugin": sensor["plugin"],
                "settings": settings,
                "groups": sensor["groups"],
                "devices": _filled(sensor["devices"], known),
                "boot": sensor["boot"],
            }
        )
    if found:
        raise DevicesError("sensors that cannot be read:\n" + "\n".join(found))
    return out


# Inputs that run a program of the host: Telegraf's image has no Python, and nothing of the collection.
_PROGRAMS = ("exec", "execd")
# The kernel's own files, which a container sees as its host does.
_KERNEL = ("/sys/", "/proc/")


def outside_container(sensor: t.Mapping[str, t.Any]) -> str:
    """What of the host a sensor, as inputs() returns it, needs that a container does not have; empty when it can be read from one.

    A container gets no device: it would not start, with all that Telegraf does for the others, while one is unplugged.
    """
    if sensor["plugin"] in _PROGRAMS:
        return "a program on the host"
    for text in _texts(sensor["settings"]):
        path = text.removeprefix("file://")
        if path.startswith("/dev/"):
            return f"the device {path}"
        if path.startswith("/") and not path.startswith(_KERNEL):
            return f"the file {path}"
    return ""


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one
        elif isinstance(one, (dict, list)):
            yield from _texts(one)


def readings(wanted: t.Sequence[t.Mapping[str, t.Any]], profiles: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """What the script makes readings with: measurement and fields by the sensor's name."""
    return {
        one["name"]: {
            "measurement": profiles[one["profile"]]["measurement"],
            "profile": one["profile"],
            "fields": [
                {key: field[key] for key in ("name", "path", "type", "scale", "offset") if key in field} for field in profiles[one["profile"]]["fields"]
            ],
        }
        for one in wanted
    }


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: t.Any) -> str:
    """A TOML value; a JSON text is a basic string of TOML too, as long as it has no characters that only JSON may escape in pairs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DevicesError(f"{value} is no setting")
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(str(name))} = {_value(one)}" for name, one in value.items()) + "}"
    raise DevicesError(f"{value!r} is no setting")


def toml(plugin: str, settings: t.Mapping[str, t.Any]) -> str:
    """One input of Telegraf: plain settings first, then tables, as TOML asks for it."""
    return "\n".join([f"[[inputs.{plugin}]]", *_table(f"inputs.{plugin}", settings)]) + "\n"


def _table(path: str, settings: t.Mapping[str, t.Any]) -> list[str]:
    lines, tables = [], []
    for name, value in settings.items():
        if isinstance(value, dict):
            tables += [f"[{path}.{_key(name)}]", *_table(f"{path}.{_key(name)}", value)]
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value) and name not in _INLINE:
            for one in value:
                tables += [f"[[{path}.{_key(name)}]]", *_table(f"{path}.{_key(name)}", one)]
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    return lines + tables


# Arrays of tables that are short and many.
_INLINE = ("fields",)
