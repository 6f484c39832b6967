# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook several times and kills each run at another point, as a power cut of the controller would.

usage: killed_runs.py --at TASK [--at TASK ...] -- ansible-playbook ...
A run is killed (-9, with all its processes) half a second after the named task began on the hosts; modules that run there go on by themselves.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

GRACE = 0.5
LIMIT = 600.0


def killed(command: list[str], task: str) -> bool:
    """Whether the run reached the task, and was killed there."""
    print(f"-- to be killed in {task!r}", flush=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True)
    assert process.stdout is not None
    reached, end, tail = False, time.monotonic() + LIMIT, []
    for line in process.stdout:
        tail = [*tail[-30:], line]
        # Titles are "TASK [role : name] ***".
        if line.startswith("TASK [") and (f"[{task}]" in line or f": {task}]" in line):
            reached = True
            break
        if time.monotonic() > end:
            break
    if reached:
        time.sleep(GRACE)
        reached = process.poll() is None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    if not reached:
        print("".join(tail), flush=True)
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at", action="append", required=True, help="name of a task")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    for task in options.at:
        if not killed(options.command, task):
            print(f"killed_runs: the run was over before {task!r}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
