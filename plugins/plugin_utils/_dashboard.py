# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Grafana dashboard made from device profiles: one row per profile, one time series per field, a line per device."""

from __future__ import annotations

import typing as t

# Other names of units -> Grafana's identifiers, which profiles may use as well. Any other text is shown behind the number as it is.
UNITS = {
    "": "short",
    "none": "none",
    "percent": "percent",
    "celsius": "celsius",
    "fahrenheit": "fahrenheit",
    "kelvin": "kelvin",
    "watt": "watt",
    "kilowatt": "kwatt",
    "kilowatt_hour": "kwatth",
    "watt_hour": "watth",
    "volt_ampere": "voltamp",
    "volt_ampere_reactive": "voltampreact",
    "volt": "volt",
    "millivolt": "mvolt",
    "ampere": "amp",
    "milliampere": "mamp",
    "humidity": "humidity",
    "hectopascal": "pressurehpa",
    "bar": "pressurebar",
    "lux": "lux",
    "hertz": "hertz",
    "second": "s",
    "seconds": "s",
    "milliseconds": "ms",
    "byte": "bytes",
    "bytes": "bytes",
    "decibel": "dB",
    "dbm": "dBm",
    "ppm": "ppm",
    "meter": "lengthm",
    "millimeter": "lengthmm",
    "kilogram": "masskg",
    "boolean": "bool_on_off",
}

GRAFANA_UNITS = frozenset(UNITS.values())
# Only what is a share of something has its whole range on the axis: a plug's 20 W would be a flat line below its 3680 W.
BOUNDED = frozenset({"percent", "humidity"})

# Telegraf's readings of the hosts themselves: title, unit, InfluxQL up to the time filter, what follows GROUP BY time, line's name.
HOST_PANELS = (
    ("CPU usage", "percent", 'SELECT 100 - mean("usage_idle") FROM "cpu" WHERE "cpu" = \'cpu-total\' AND', '"host"', "$tag_host"),
    ("Memory in use", "percent", 'SELECT mean("used_percent") FROM "mem" WHERE', '"host"', "$tag_host"),
    ("Disk in use", "percent", 'SELECT mean("used_percent") FROM "disk" WHERE', '"host", "path"', "$tag_host $tag_path"),
    ("Load", "short", 'SELECT mean("load1") FROM "system" WHERE', '"host"', "$tag_host"),
)

WIDTH, HEIGHT, COLUMNS = 8, 8, 3


def identifier(name: str) -> str:
    """A name as InfluxQL quotes it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def grafana_unit(unit: str) -> str:
    """A profile's unit as Grafana calls it."""
    if unit in GRAFANA_UNITS:
        return unit
    return UNITS.get(unit, f"suffix: {unit}")


def statement(measurement: str, field: t.Mapping[str, t.Any]) -> str:
    """The query of one field, a line per device. Booleans have no mean."""
    function = "last" if field.get("type") in ("boolean", "bool") else "mean"
    return (
        f"SELECT {function}({identifier(field['name'])}) FROM {identifier(measurement)} "  # noqa: S608 - both names are quoted
        'WHERE "device" =~ /^$device$/ AND $timeFilter GROUP BY time($__interval), "device" fill(null)'
    )


def _panel(number: int, title: str, unit: str, query: str, alias: str, source: dict[str, str], field: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    defaults: dict[str, t.Any] = {
        "unit": unit,
        # Devices report every few seconds or minutes: the line goes on over short gaps, a longer silence is a gap.
        "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "auto", "spanNulls": 300000},
        "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}]},
    }
    for key in ("min", "max"):
        if unit in BOUNDED and field.get(key) is not None:
            defaults[key] = field[key]
    for key, colour in (("warn", "orange"), ("critical", "red")):
        if field.get(key) is not None:
            defaults["thresholds"]["steps"].append({"color": colour, "value": field[key]})
            defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "min", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [{"refId": "A", "datasource": source, "query": query, "rawQuery": True, "resultFormat": "time_series", "alias": alias}],
    }


class _Grid:
    """Places rows and panels, and numbers them."""

    def __init__(self) -> None:
        self.panels: list[dict[str, t.Any]] = []
        self.line = 0
        self.column = 0

    def row(self, title: str) -> None:
        self._break()
        place = {"h": 1, "w": 24, "x": 0, "y": self.line}
        self.panels.append({"id": self.next, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        self.line += 1

    def add(self, panel: dict[str, t.Any]) -> None:
        if self.column == COLUMNS:
            self._break()
        panel["gridPos"] = {"h": HEIGHT, "w": WIDTH, "x": self.column * WIDTH, "y": self.line}
        self.panels.append(panel)
        self.column += 1

    def _break(self) -> None:
        if self.column:
            self.line += HEIGHT
            self.column = 0

    @property
    def next(self) -> int:
        return len(self.panels) + 1


def dashboard(
    profiles: t.Mapping[str, t.Mapping[str, t.Any]],
    *,
    datasource: str,
    uid: str,
    title: str,
    skip: t.Collection[str] = (),
    refresh: str = "10s",
) -> dict[str, t.Any]:
    """The whole dashboard, ready for a file provider."""
    source = {"type": "influxdb", "uid": datasource}
    grid = _Grid()
    measurements = []
    for name, profile in sorted(profiles.items()):
        fields = [field for field in profile.get("fields") or [] if field.get("type", "float") != "string"]
        if name in skip or not fields:
            continue
        measurement = profile.get("measurement") or name
        measurements.append(identifier(measurement))
        grid.row(profile.get("description") or name)
        for field in fields:
            shown = grafana_unit(str(field.get("unit") or ("boolean" if field.get("type") in ("boolean", "bool") else "")))
            label = field.get("label") or field["name"]
            grid.add(_panel(grid.next, label, shown, statement(measurement, field), "$tag_device", source, field))
    grid.row("Hosts")
    for label, unit, start, tags, alias in HOST_PANELS:
        query = f"{start} $timeFilter GROUP BY time($__interval), {tags} fill(null)"
        limits = {"min": 0, "max": 100} if unit == "percent" else {"min": 0}
        grid.add(_panel(grid.next, label, unit, query, alias, source, limits))
    devices = f"SHOW TAG VALUES{' FROM ' + ', '.join(sorted(set(measurements))) if measurements else ''} WITH KEY = \"device\""
    return {
        "uid": uid,
        "title": title,
        "tags": ["edgestack"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "refresh": refresh,
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {
                    "name": "device",
                    "label": "Device",
                    "type": "query",
                    "datasource": source,
                    "query": devices,
                    "definition": devices,
                    "refresh": 2,
                    "sort": 1,
                    "multi": True,
                    "includeAll": True,
                    # Not the list of all names: with thousands of devices the query would grow beyond what a server takes.
                    "allValue": ".*",
                    "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
                }
            ]
        },
        "panels": grid.panels,
    }
