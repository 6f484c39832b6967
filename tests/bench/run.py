# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmarks: tests/bench/run.py [PART ...], or BENCH=PART. A part is a file here with a function rows() that yields rows as they
are measured. Prints a table, and keeps all rows in build/bench.json; a part that is not run keeps the rows that it has there.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import common

PARTS = ("devices", "emqx", "pipeline", "gateway", "containers")


def main(words: list[str]) -> int:
    there = [part for part in PARTS if pathlib.Path(__file__).with_name(f"{part}.py").exists()]
    parts = words or os.environ.get("BENCH", "").split() or there
    unknown = [part for part in parts if part not in there]
    if unknown:
        print(f"there is no part {', '.join(unknown)}; there are {', '.join(there)}", file=sys.stderr)
        return 2
    path = common.BUILD / "bench.json"
    rows: list[common.Row] = []
    if path.exists():
        rows = [common.Row.parse(one) for one in json.loads(path.read_text())]
    status = 0
    measured: list[common.Row] = []
    for part in parts:
        rows = [row for row in rows if row.name.split()[0] != part]
        try:
            for row in importlib.import_module(part).rows():
                print(f"{row.name}: {row.ours:.2f} {row.unit}", flush=True)
                rows.append(row)
                measured.append(row)
                common.BUILD.mkdir(exist_ok=True)
                path.write_text(json.dumps([dataclasses.asdict(one) for one in rows], indent=1) + "\n")
        except common.BenchError as error:
            print(f"{part}: {error}", file=sys.stderr)
            status = 1
    print(f"\n{common.table(measured)}\n")
    return status or int(not all(row.kept for row in measured))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
