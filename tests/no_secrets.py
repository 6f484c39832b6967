# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks for a site's secrets in logs: no_secrets.py DIRECTORY LOG ...

DIRECTORY holds what the site keeps on the controller: secrets/, devices/ (passwords and keys) and pki/ (keys). Ends with 1 when one is found,
and with 2 when there is nothing to look for or to look in, which proves nothing.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

SHORTEST = 12


def needles(directory: pathlib.Path) -> dict[str, str]:
    """Text that must be nowhere -> where it comes from."""
    found = {}
    files = [*(directory / "secrets").glob("*"), *(directory / "devices").glob("*/password"), *(directory / "devices").glob("*/*.key"),
             *(directory / "pki").rglob("*.key")]  # fmt: skip
    for path in files:
        if not path.is_file() or path.name.startswith("."):
            continue
        # A key's lines one by one: a log may break it anywhere.
        lines = [line.strip() for line in path.read_text().splitlines() if not line.startswith("-----")]
        for line in lines:
            if len(line) >= SHORTEST:
                found[line] = str(path.relative_to(directory))
                # As a log writes what is inside JSON.
                found[json.dumps(line)[1:-1]] = str(path.relative_to(directory))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("logs", type=pathlib.Path, nargs="+")
    options = parser.parse_args()
    wanted = needles(options.directory)
    if not wanted:
        print(f"no_secrets: {options.directory} holds no secret", file=sys.stderr)
        return 2
    bad = []
    for log in options.logs:
        text = log.read_text(errors="replace")
        if not text:
            print(f"no_secrets: {log} is empty", file=sys.stderr)
            return 2
        bad += [f"{log}: holds {source}" for needle, source in wanted.items() if needle in text]
    print("\n".join(bad) or f"none of {len(set(wanted.values()))} secrets is in {', '.join(map(str, options.logs))}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
