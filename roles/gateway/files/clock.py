# Managed by edgestack.iot
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of a host that has none while it is switched off.

restore   sets the clock to the newest time that is on the disk, never back
wait N    waits until the network's time has come, N seconds at most; else Telegraf's readings get the tag clock=unsynced
watch     waits for it without an end, then Telegraf's readings lose the tag
"""

from __future__ import annotations

import ctypes
import glob
import os
import struct
import subprocess
import sys
import time

# Files that are written all the time anyway, so that nothing has to be written for this: the journal, InfluxDB's logs, what
# systemd-timesyncd keeps; and what the installation wrote.
SOURCES = (
    "/var/lib/influxdb/engine/wal/*/*/*/*.wal",
    "/var/lib/edgestack/data/influxdb/engine/wal/*/*/*/*.wal",
    "/var/lib/mysql/ib_logfile0",
    "/var/log/journal/*/*.journal",
    "/var/lib/systemd/timesync/clock",
    "/etc/fake-hwclock.data",
    "/var/lib/dpkg/status",
    __file__,
)
# A time that no such host will see is a broken file system, not a time.
LATEST = 4_102_444_800  # 2100-01-01
FLAG = "/run/systemd/timesync/synchronized"
# Telegraf's directory for it, as a package and as a container; and what makes it look again: with a persistent session and readings that
# are acknowledged only when they are stored, nothing is lost by this.
PLACES = {
    "/etc/telegraf/telegraf.d": ["systemctl", "try-restart", "telegraf.service"],
    "/etc/edgestack/containers/telegraf/telegraf.d": ["docker", "restart", "edgestack-telegraf"],
}
TAG = "edgestack-clock.conf"
TAG_TEXT = """# Managed by edgestack.iot: the host started without the network's time. Goes away by itself when it comes.
[global_tags]
  clock = "unsynced"
"""
# As systemd has it: the kernel gives a clock that nobody sets this error, in microseconds.
MAX_ERROR = 16_000_000


def synchronized(flag: str = FLAG) -> bool:
    """Whether a time service (systemd-timesyncd, chrony, ntpd) has set the clock since the host started."""
    if os.path.exists(flag):
        return True
    timex = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return False
    _modes, _offset, _frequency, max_error = struct.unpack_from("@Illl", timex)
    return max_error < MAX_ERROR


def newest(patterns: tuple[str, ...] = SOURCES) -> float:
    """The newest plausible time of change of these files; 0 without any."""
    times = [0.0]
    for pattern in patterns:
        for path in glob.glob(pattern):
            try:
                times.append(os.stat(path).st_mtime)
            except OSError:
                continue
    return max(one for one in times if one < LATEST)


def restore() -> int:
    known, now = newest(), time.time()
    if known <= now:
        return 0
    time.clock_settime(time.CLOCK_REALTIME, known)
    print(f"the clock was {known - now:.0f} s behind what is on the disk, and was set to it")
    return 0


def mark(unsynced: bool) -> list[str]:
    """Gives Telegraf's configuration the tag, or takes it away; the places where that changed something."""
    changed = []
    for place in PLACES:
        path = os.path.join(place, TAG)
        if unsynced == os.path.exists(path) or not os.path.isdir(place):
            continue
        changed.append(place)
        if unsynced:
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(TAG_TEXT)
            os.replace(path + ".new", path)
        else:
            os.unlink(path)
    return changed


def wait(seconds: float) -> int:
    end = time.monotonic() + seconds
    while not synchronized():
        if time.monotonic() >= end:
            mark(True)
            print(f"no time came from the network within {seconds:g} s: the saved clock is used, readings are marked clock=unsynced")
            subprocess.run(["systemctl", "start", "--no-block", "edgestack-clock-watch.service"], check=False)
            return 0
        time.sleep(0.5)
    mark(False)
    return 0


def watch() -> int:
    while not synchronized():
        time.sleep(5)
    changed = mark(False)
    if changed:
        print("the network's time has come: readings are not marked any more")
    for place in changed:
        subprocess.run(PLACES[place], check=False)
    return 0


def main(words: list[str]) -> int:
    if words == ["restore"]:
        return restore()
    if words == ["watch"]:
        return watch()
    if len(words) == 2 and words[0] == "wait" and words[1].isdigit():
        return wait(int(words[1]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
