# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that the lab built."""

from __future__ import annotations

import os
import pathlib
import platform

ROOT = pathlib.Path(__file__).parents[2]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class StackError(Exception):
    """Something that the reader can act on."""


def program(name: str, directory: str) -> str:
    """A program that the lab built, or one that an environment variable names."""
    variable = name.upper().replace("-", "_") + "_PROGRAM"
    given = os.environ.get(variable)
    path = given or str(ROOT / "build" / "lab" / "artefacts" / f"{directory}-{ARCHITECTURE}" / name)
    if not os.access(path, os.X_OK):
        raise StackError(f"there is no {name} at {path}: `make lab` builds it, or name one with {variable}")
    return path
