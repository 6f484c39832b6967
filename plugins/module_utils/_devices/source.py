# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that people write: YAML and CSV, read on the controller."""

from __future__ import annotations

import csv
import io
import typing as t


class DevicesError(Exception):
    """What is wrong with devices, profiles or their rows, and what to do."""


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise DevicesError(f"{path} is not UTF-8 ({error})") from error
    except OSError as error:
        raise DevicesError(f"cannot read {path}: {error.strerror}") from error


def load_yaml(path: str) -> t.Any:
    """The data of a YAML file."""
    # Only the controller reads YAML; a managed host that imports this module needs no PyYAML.
    import yaml

    # Ten thousand devices take seconds without libyaml.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(_read_text(path), Loader=loader)  # noqa: S506 - safe loaders both
    except yaml.YAMLError as error:
        raise DevicesError(f"{path} is no YAML: {error}") from error


def load_devices(path: str) -> list[t.Any]:
    """The entries of a device list: YAML (a list, alone or under `devices` or `iot_devices`), or CSV with a header line."""
    if path.lower().endswith(".csv"):
        reader = csv.DictReader(io.StringIO(_read_text(path)), strict=True, restkey="(more)")
        try:
            # An empty cell is an option that is not given.
            return [{key: value for key, value in row.items() if value not in (None, "")} for row in reader]
        except csv.Error as error:
            raise DevicesError(f"{path}, line {reader.line_num}: {error}") from error
    data = load_yaml(path)
    if data is None:
        return []
    if isinstance(data, dict):
        # With neither, it is another file: taken for an empty list, it would remove every device with purge.
        data = data.get("devices", data.get("iot_devices", data))
        data = [] if data is None else data
    if not isinstance(data, list):
        raise DevicesError(f"{path} has no list of devices, neither alone nor under devices or iot_devices")
    return data
