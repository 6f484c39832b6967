# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics of the page: which there are, and how numbers and units are written. Knows neither Streamlit nor InfluxDB."""

from __future__ import annotations

import math

# What the page shows, in this order: label -> name of the statistic.
SHOWN = {"Mean": "mean", "Median": "median", "Minimum": "min", "Maximum": "max", "Standard deviation": "stddev"}

# Ranges: label -> seconds.
RANGES = {"15m": 900, "1h": 3600, "6h": 21600, "12h": 43200, "1d": 86400}

# Units as profiles name them, in words or by Grafana's identifiers -> how they are written.
SYMBOLS = {
    "percent": "%", "humidity": "%", "celsius": "°C", "fahrenheit": "°F", "kelvin": "K", "watt": "W", "kilowatt": "kW", "kwatt": "kW",
    "watt_hour": "Wh", "watth": "Wh", "kilowatt_hour": "kWh", "kwatth": "kWh", "volt_ampere": "VA", "voltamp": "VA",
    "volt_ampere_reactive": "var", "voltampreact": "var", "volt": "V", "millivolt": "mV", "mvolt": "mV", "ampere": "A", "amp": "A",
    "milliampere": "mA", "mamp": "mA", "hectopascal": "hPa", "pressurehpa": "hPa", "pressurebar": "bar", "lux": "lx", "hertz": "Hz",
    "second": "s", "seconds": "s", "milliseconds": "ms", "byte": "B", "bytes": "B", "decibel": "dB", "dbm": "dBm", "meter": "m",
    "lengthm": "m", "millimeter": "mm", "lengthmm": "mm", "kilogram": "kg", "masskg": "kg", "none": "", "short": "", "boolean": "",
    "bool_on_off": "", "": "",
}


def symbol(unit: str) -> str:
    """How a profile's unit is written; one that is not known, as it is."""
    return SYMBOLS.get(unit, unit)


def titled(label: str, unit: str) -> str:
    """A metric's name with its unit: `CPU usage (%)`."""
    sign = symbol(unit)
    return f"{label} ({sign})" if sign else label


def written(value: float | None, unit: str = "") -> str:
    """A number for people: at most two decimals, four digits for small ones, its unit; a dash where there is none."""
    if value is None or math.isnan(value):
        return "-"
    if value == int(value) and abs(value) < 1e15:
        text = str(int(value))
    elif abs(value) >= 0.1:
        text = f"{value:.2f}".rstrip("0").rstrip(".")
    else:
        text = f"{value:.4g}"
    sign = symbol(unit)
    return f"{text} {sign}" if sign else text


def table(statistics: dict[str, float | None], unit: str = "") -> dict[str, str]:
    """Label -> number with unit, for all that the page shows."""
    return {label: written(statistics.get(name), unit) for label, name in SHOWN.items()}
