# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the app knows of its site: where InfluxDB is, and which metrics the device profiles describe."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

PATH = os.environ.get("EDGESTACK_STREAMLIT_SETTINGS", "/etc/edgestack/streamlit/settings.json")


class SettingsError(Exception):
    """What is wrong with the settings, and where."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One metric of a profile. warn is the value from which on it is worth a look."""

    name: str
    label: str
    unit: str = ""
    type: str = "float"
    warn: float | None = None


@dataclasses.dataclass(frozen=True)
class Profile:
    """A kind of device. Hidden ones are for the installation's own checks."""

    name: str
    label: str
    database: str
    measurement: str
    fields: tuple[Field, ...]
    hidden: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything of settings.json."""

    title: str
    url: str
    token_file: str
    ca_file: str | None
    profiles: tuple[Profile, ...]

    def token(self) -> str:
        """Read at every use: a new token needs no restart."""
        try:
            with open(self.token_file, encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise SettingsError(f"The token of InfluxDB cannot be read: {error}") from error


def _field(data: dict[str, t.Any]) -> Field:
    return Field(data["name"], data.get("label") or data["name"], data.get("unit") or "", data.get("type") or "float", data.get("warn"))


def _profile(data: dict[str, t.Any], database: str) -> Profile:
    fields = tuple(_field(field) for field in data["fields"])
    label = data.get("label") or data["name"]
    return Profile(data["name"], label, data.get("database") or database, data["measurement"], fields, bool(data.get("hidden")))


def load(path: str | None = None) -> Settings:
    """The settings of a file. Profiles without a metric are left out."""
    path = path or os.environ.get("EDGESTACK_STREAMLIT_SETTINGS", PATH)
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        with open(os.path.join(os.path.dirname(path), "metrics.json"), encoding="utf-8") as file:
            metrics = json.load(file)
        profiles = tuple(_profile(each, data["database"]) for each in metrics)
        return Settings(
            data.get("title") or "Readings",
            data["url"].rstrip("/"),
            data["token_file"],
            data.get("ca_file") or None,
            tuple(profile for profile in profiles if profile.fields),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} or metrics.json beside it cannot be used: {error!r}") from error
