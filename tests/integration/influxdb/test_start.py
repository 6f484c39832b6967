# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What start.sh does before InfluxDB starts: about a log whose last entry was cut off by a full disk or a power cut, and about readings that
would be left behind."""

from __future__ import annotations

import pathlib
import subprocess
import time

import pytest
from stack.influxd import Influxd

START = pathlib.Path(__file__).parents[3] / "roles" / "influxdb" / "files" / "start.sh"


def write(influxd: Influxd, first: int, last: int) -> None:
    """One acknowledged write each."""
    client = influxd.server.client()
    now = time.time_ns()
    for number in range(first, last):
        client.transport.request("POST", "/api/v2/write", query={"org": "edgestack", "bucket": "iotdata"}, body=f"m value={number} {now + number}")
    client.close()


def stored(influxd: Influxd) -> list[int]:
    client = influxd.server.client()
    rows = client.influxql("SELECT value FROM m", "iotdata")
    client.close()
    return sorted(int(row["value"]) for row in rows)


def logs(influxd: Influxd) -> list[pathlib.Path]:
    """The files of the logs that have readings."""
    return [path for path in sorted((influxd.directory / "engine" / "wal").glob("*/autogen/*/_*.wal")) if path.stat().st_size]


@pytest.mark.parametrize("helped", [False, True], ids=["as InfluxDB does it", "with start.sh"])
def test_what_is_written_after_a_log_was_cut_off(tmp_path, helped):
    """The first case is the fault of InfluxDB 2.9.1 that start.sh is there for; when it fails, start.sh is needed no more."""

    def start() -> None:
        if helped:
            subprocess.run(["sh", str(START), f"{tmp_path}/data/engine", f"{tmp_path}/state"], check=True)
        influxd.start()

    influxd = Influxd(tmp_path / "data")
    with influxd:
        write(influxd, 0, 10)
        influxd.kill()
        (log,) = logs(influxd)
        # Half an entry: its head says 100 bytes, 20 are there.
        with log.open("ab") as file:
            file.write(b"\x01\x00\x00\x00\x64" + b"\x07" * 15)
        start()
        assert stored(influxd) == list(range(10))
        write(influxd, 10, 20)
        influxd.kill()
        start()
        assert stored(influxd) == (list(range(20)) if helped else list(range(10)))
        # And on: what is there stays, with nothing written between two starts as well.
        influxd.kill()
        start()
        influxd.kill()
        start()
        write(influxd, 20, 25)
        influxd.kill()
        start()
        assert stored(influxd) == [*range(20 if helped else 10), *range(20, 25)]


def test_the_start_goes_on_with_the_command_and_what_it_finds_no_log_in_is_left_alone(tmp_path):
    shard = tmp_path / "wal" / "b" / "autogen" / "1"
    for name in ("1", "2", "3"):
        shard.with_name(name).mkdir(parents=True)
    (shard / "_00007.wal").write_bytes(b"x")
    (shard / "_00008.wal").write_bytes(b"x")
    (shard.with_name("2") / "_00099.wal").write_bytes(b"")
    words = ["sh", str(START), str(tmp_path), str(tmp_path / "state")]
    done = subprocess.run([*words, "echo", "a b", "c"], capture_output=True, text=True, check=True)
    assert done.stdout == "a b c\n" and done.stderr == ""
    found = sorted(f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in (tmp_path / "wal").rglob("*.wal"))
    assert found == ["1/_00007.wal 1", "1/_00008.wal 1", "1/_00009.wal 0", "2/_00099.wal 0"]
    # A database that was never started has none.
    done = subprocess.run(["sh", str(START), str(tmp_path / "nothing"), str(tmp_path / "none")], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_another_directory_is_refused_until_the_readings_are_there(tmp_path):
    """InfluxDB would begin with an empty one, and nobody would be told."""

    def start(engine: str) -> tuple[int, str]:
        words = ["sh", str(START), str(tmp_path / engine), str(tmp_path / "state"), "echo", "started"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    # Also when the power failed before InfluxDB had made anything.
    assert start("card") == start("card") == (0, "started\n")
    (tmp_path / "card" / "data").mkdir(parents=True)
    (tmp_path / "ssd").mkdir()
    code, said = start("ssd")
    assert code == 1 and f"the readings are in {tmp_path}/card, and there are none in {tmp_path}/ssd: " in said
    # It is as it was, also with the disk that is away.
    assert start("away")[0] == 1 and start("card") == (0, "started\n")
    (tmp_path / "card" / "data").rename(tmp_path / "ssd" / "data")
    assert start("ssd") == (0, "started\n")
    assert start("card")[0] == 1
    # By will.
    (tmp_path / "state").unlink()
    assert start("card") == (0, "started\n")
