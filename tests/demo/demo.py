#!/usr/bin/env python3
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, stops and shows the demo's devices: `demo.py start|stop|status`.

They run in the background, with a process id and a log for each under build/demo/run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build"
STOP_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Job:
    """A device's program and its arguments."""

    device: str
    program: str
    options: tuple[str, ...] = ()


JOBS = (
    Job("this-machine", "device.py"),
    Job("plug-1", "replay.py", ("--kind", "plug")),
    Job("dht-1", "replay.py", ("--kind", "dht11")),
)


class DemoError(Exception):
    """What stands in the way, and what to do."""


class Demo:
    """The devices of one run of the demo."""

    def __init__(self, devices: pathlib.Path, run: pathlib.Path, hosts: pathlib.Path | None, jobs: tuple[Job, ...] = JOBS) -> None:
        self.devices, self.run, self.hosts, self.jobs = devices, run, hosts, jobs

    def _address(self, server: str) -> str | None:
        """The lab's address for a name that only the lab's hosts can resolve."""
        if self.hosts is None or not self.hosts.exists():
            return None
        known = json.loads(self.hosts.read_text())["hosts"]
        return next((str(host["address"]) for name, host in known.items() if server in (name, host["fqdn"])), None)

    def pid(self, job: Job) -> int | None:
        """The process, when it runs and is still this device's: ids are used again."""
        try:
            number = int((self.run / f"{job.device}.pid").read_text())
            words = pathlib.Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return number if str(HERE / job.program).encode() in words and str(self.devices / job.device).encode() in words else None

    def start(self) -> None:
        """Start what does not run; fails when one ends at once."""
        self.run.mkdir(parents=True, exist_ok=True)
        started = []
        for job in self.jobs:
            if self.pid(job) is not None:
                continue
            bundle = self.devices / job.device
            if not (bundle / "device.json").exists():
                raise DemoError(f"{bundle} is no device's directory: run site.yml first, it registers the demo's devices")
            command = [sys.executable, str(HERE / job.program), str(bundle), *job.options]
            address = self._address(json.loads((bundle / "device.json").read_text())["server"])
            command += ["--address", address] if address else []
            with (self.run / f"{job.device}.log").open("ab") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            (self.run / f"{job.device}.pid").write_text(f"{process.pid}\n")
            started.append((job, process))
        time.sleep(1 if started else 0)
        ended = [job.device for job, process in started if process.poll() is not None]
        if ended:
            logs = "\n".join(f"{name}: {self._log(name)}" for name in ended)
            raise DemoError(f"these devices ended at once:\n{logs}")

    def _log(self, device: str) -> str:
        lines = (self.run / f"{device}.log").read_text(errors="replace").splitlines() if (self.run / f"{device}.log").exists() else []
        return lines[-1] if lines else "(nothing in its log)"

    def stop(self) -> list[str]:
        """Ask all to end, and make those end that do not; answers the ones that had to be made."""
        running = [(job, number) for job in self.jobs if (number := self.pid(job)) is not None]
        for _job, number in running:
            os.kill(number, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end and any(self._alive(number) for _job, number in running):
            time.sleep(0.05)
        stubborn = [(job, number) for job, number in running if self._alive(number)]
        for _job, number in stubborn:
            os.kill(number, signal.SIGKILL)
        for job in self.jobs:
            (self.run / f"{job.device}.pid").unlink(missing_ok=True)
        return [job.device for job, _number in stubborn]

    @staticmethod
    def _alive(number: int) -> bool:
        try:
            # A child of ours that ended stays as a zombie until it is waited for.
            os.waitpid(number, os.WNOHANG)
        except ChildProcessError:
            pass
        return pathlib.Path(f"/proc/{number}").exists()

    def status(self) -> bool:
        """Print what runs; whether all do."""
        numbers = {job: self.pid(job) for job in self.jobs}
        for job, number in numbers.items():
            print(f"{job.device:14} {f'runs ({number})' if number else 'does not run':16} {self._log(job.device)}")
        return all(numbers.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["start", "stop", "status"])
    parser.add_argument("--devices", type=pathlib.Path, default=BUILD / "demo" / "devices", help="the devices' directories")
    parser.add_argument("--run", type=pathlib.Path, default=BUILD / "demo" / "run", help="where process ids and logs are kept")
    parser.add_argument("--hosts", type=pathlib.Path, default=BUILD / "lab" / "hosts.json", help="the lab's list of hosts")
    options = parser.parse_args()
    demo = Demo(options.devices.resolve(), options.run, options.hosts)
    try:
        if options.command == "start":
            demo.start()
            demo.status()
        elif options.command == "stop":
            for name in demo.stop():
                print(f"{name} did not end by itself and was killed", file=sys.stderr)
        elif not demo.status():
            return 3
    except DemoError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
