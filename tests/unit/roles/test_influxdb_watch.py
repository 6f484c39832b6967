# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When InfluxDB is restarted after a full disk, and when it is not."""

from __future__ import annotations

import argparse
import http.server
import importlib.util
import json
import os
import pathlib
import sys
import threading
import time

import pytest

PATH = pathlib.Path(__file__).parents[3] / "roles" / "influxdb" / "files" / "watch.py"
LOTS, NONE = 2**40, 0

# As InfluxDB 2.9.1 has them, shortened.
METRICS = """
# HELP http_api_requests_total Number of http requests received
# TYPE http_api_requests_total counter
http_api_requests_total{handler="platform",method="GET",path="/health",response_code="200",status="2XX",user_agent="Go 1.1"} 9
http_api_requests_total{handler="platform",method="POST",path="/api/v2/query",response_code="500",status="5XX",user_agent="Go"} 7
http_api_requests_total{handler="platform",method="POST",path="/api/v2/write",response_code="204",status="2XX",user_agent="Telegraf"} 2
http_api_requests_total{handler="platform",method="POST",path="/api/v2/write",response_code="422",status="4XX",user_agent="Telegraf"} 5
http_api_requests_total{handler="platform",method="POST",path="/api/v2/write",response_code="500",status="5XX",user_agent="Telegraf"} 60
http_api_requests_total{handler="platform",method="POST",path="/api/v2/write",response_code="503",status="5XX",user_agent="{a} b"} 1
influxdb_uptime_seconds{id="11b18cc4edf5a000"} 40.5
storage_cache_writes_err{bucket="9c",engine="tsm1",id="1",path="/var/lib/influxdb/engine/data/9c/autogen/1"} 3
storage_wal_writes_err{bucket="9c",engine="tsm1",id="1",path="/var/lib/influxdb/engine/data/9c/autogen/1"} 59
storage_wal_writes_err{bucket="5d",engine="tsm1",id="2",path="/var/lib/influxdb/engine/data/5d/autogen/2"} 10
storage_writer_err_points_bucket{path="/var/lib/influxdb/engine",le="+Inf"} 122
storage_writer_err_points_sum{path="/var/lib/influxdb/engine"} 11871
storage_writer_err_points_count{path="/var/lib/influxdb/engine"} 122
"""


@pytest.fixture
def watch():
    spec = importlib.util.spec_from_file_location("influxdb_watch", PATH)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for their module.
    sys.modules["influxdb_watch"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["influxdb_watch"]


@pytest.fixture
def looks(watch):
    """One look after the other, a minute apart, at one InfluxDB whose counters go on; whether each would restart it."""

    class Looks:
        def __init__(self):
            self.state, self.clock, self.started, self.values = watch.State(), 1000.0, 1.0, {}

        def __call__(self, free=LOTS, minutes=1, **more):
            self.clock += 60 * minutes
            self.values = {name: self.values.get(name, 0) + more.get(name, 0) for name in {*self.values, *more}}
            due = watch.judge(self.state, watch.Counters(self.started, **self.values), free, self.clock)
            if due:
                self.state.restarts += 1
                self.state.restarted = self.clock
            return due

        def new_process(self):
            self.started += 30
            self.values = {}

    one = Looks()
    assert one() is False
    return one


def test_the_counters_are_read(watch):
    found = watch.Counters.parse(METRICS, 1000)
    assert found == watch.Counters(started=959.5, refused=61, failed=122, log_errors=69, memory_full=3)
    with pytest.raises(watch.NoAnswer, match="no list"):
        watch.Counters.parse("<html>", 0)


def test_a_disk_that_was_full_ends_in_one_restart(looks):
    assert looks(free=NONE, refused=6, failed=12, log_errors=6) is False
    assert looks(free=NONE, refused=6, failed=12, log_errors=6) is False
    # There is room again. Nobody need be refused once more.
    assert looks() is True
    looks.new_process()
    assert looks() is False and looks(refused=1) is False and looks(failed=3) is False


def test_a_log_that_was_broken_between_two_looks_is_seen(looks):
    assert looks(refused=1, failed=1, log_errors=1) is True


def test_what_was_refused_while_there_was_little_room_counts_without_an_error_of_the_log(looks):
    """A shard that could not be opened, an index that could not be written."""
    assert looks(free=NONE, refused=2, failed=2) is False
    assert looks() is True


def test_what_is_refused_all_the_time_with_room_is_seen_in_the_end(watch, looks):
    assert [looks(refused=1, failed=1) for _ in range(watch.STEADY)] == [False] * (watch.STEADY - 1) + [True]


@pytest.mark.parametrize(
    "more",
    [
        {"refused": 1},
        {"failed": 1},
        {"refused": 1, "failed": 1, "memory_full": 1},
    ],
    ids=["a batch cut off", "a field of another type", "memory full"],
)
def test_what_a_restart_does_not_mend_is_left_alone(looks, more):
    assert not any(looks(**more) for _ in range(20))


def test_an_interruption_begins_the_count_anew(watch, looks):
    for _ in range(3):
        assert not any(looks(refused=1, failed=1) for _ in range(watch.STEADY - 1))
        assert looks() is False


def test_a_disk_that_is_only_full_is_no_reason(looks):
    assert looks(free=NONE) is False and looks() is False


def test_not_while_the_disk_is_full(watch, looks):
    assert not any(looks(free=watch.ROOM - 1, refused=9, failed=9, log_errors=9) for _ in range(100))
    assert looks(free=watch.ROOM) is True


def test_restarts_that_do_not_help_become_rare(watch, looks):
    restarts = 0
    for _minute in range(24 * 60):
        if looks(refused=1, failed=1, log_errors=1):
            restarts += 1
            looks.new_process()
    # 2, 4, 8 ... minutes between them, then four hours.
    assert 8 <= restarts <= 14
    assert looks.state.pause == watch.LONGEST_PAUSE


def test_a_later_full_disk_does_not_wait_for_an_earlier_one(looks):
    assert looks(refused=1, failed=1, log_errors=1) is True
    looks.new_process()
    assert not any(looks() for _ in range(10))
    assert looks.state.restarts == 0
    assert looks(refused=1, failed=1, log_errors=1) is True


def test_an_influxdb_that_somebody_else_restarted_is_a_new_one(looks):
    assert looks(free=NONE, refused=6, failed=12, log_errors=6) is False
    looks.new_process()
    assert looks() is False and looks() is False


def test_errors_of_before_the_first_look_are_not_counted(watch):
    state = watch.State()
    assert watch.judge(state, watch.Counters(1, 100, 100, 100), LOTS, 5000) is False
    assert watch.judge(state, watch.Counters(1, 100, 100, 100), LOTS, 5060) is False


@pytest.fixture
def database(watch, tmp_path):
    """A stand-in that serves what `text` has, and `look` at it as the unit does."""

    began = time.monotonic() - 40

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if database.text and self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(database.text.replace("} 40.5", f"}} {time.monotonic() - began}").encode())

        def log_message(self, *_):
            pass

    class Database:
        text = METRICS

        def look(self, *command):
            url = f"http://127.0.0.1:{server.server_port}"
            ran = command or ("touch", str(tmp_path / "restarted"))
            return watch.main(["--url", url, "--data", str(tmp_path), "--state", str(tmp_path / "state.json"), "--", *ran])

        def count(self, more):
            for name in ("storage_wal_writes_err", "storage_writer_err_points_count", 'status="5XX"'):
                lines = [line for line in self.text.splitlines() if name in line]
                for line in lines:
                    head, value = line.rsplit(" ", 1)
                    self.text = self.text.replace(line, f"{head} {int(value) + more}")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    database = Database()
    database.restarted = tmp_path / "restarted"
    database.state = tmp_path / "state.json"
    yield database
    server.shutdown()
    server.server_close()


def test_a_look_remembers_says_what_it_sees_once_and_restarts(watch, database, monkeypatch, capsys):
    room = argparse.Namespace(f_bavail=0, f_frsize=4096)
    monkeypatch.setattr(watch.os, "statvfs", lambda _path: room)
    assert database.look() == 0 and capsys.readouterr().out == ""
    for _ in range(2):
        database.count(5)
        assert database.look() == 0
    said = capsys.readouterr().out
    assert said.startswith("<3>InfluxDB refuses writes, because its disk is full; it is restarted when 40 MiB are free") and said.count("\n") == 1
    assert not database.restarted.exists()
    room.f_bavail = 25600
    assert database.look() == 0 and database.restarted.exists()
    assert capsys.readouterr().out.splitlines()[0].startswith("<4>100 MiB are free in ")
    # The same process goes on refusing: not again at once.
    database.restarted.unlink()
    database.count(5)
    assert database.look() == 0 and not database.restarted.exists()
    assert "refuses writes after restart 1, too; the next one has to wait 120 s" in capsys.readouterr().out
    state = json.loads(database.state.read_text())
    assert state["hurt"] is True and state["restarts"] == 1


def test_a_restart_that_fails_is_said(database, capsys):
    assert database.look() == 0
    database.count(5)
    assert database.look("sh", "-c", "echo no such unit >&2; exit 5") == 1
    assert "ended with 5: no such unit" in capsys.readouterr().out


def test_counters_that_are_not_served_are_said_once_and_nothing_is_restarted(database, capsys):
    database.text = ""
    assert database.look() == 0 and database.look() == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "answered 404" in said
    database.text = "something else"
    assert database.look() == 0 and "no list of InfluxDB's counters" in capsys.readouterr().out
    assert not database.restarted.exists()


def test_an_influxdb_that_is_down_is_not_its_business(watch, tmp_path, capsys):
    words = ["--url", "https://127.0.0.1:9", "--data", str(tmp_path), "--state", str(tmp_path / "state"), "--", "touch", str(tmp_path / "restarted")]
    assert watch.main(words) == 0 and not (tmp_path / "restarted").exists()
    assert capsys.readouterr().out.startswith("<4>it cannot be seen whether InfluxDB refuses writes: GET https://127.0.0.1:9/metrics: ")


def test_a_directory_that_is_not_there_is_said(watch, database, monkeypatch, capsys):
    monkeypatch.setattr(watch.os, "statvfs", lambda path: os.stat(f"{path}/nowhere"))
    assert database.look() == 0 and database.look() == 0
    assert capsys.readouterr().out.count("No such file") == 1


def test_a_state_that_was_cut_off_is_none(watch, tmp_path):
    path = tmp_path / "state"
    for text in ("", "[]", '{"counters": {"nothing": 1}}'):
        path.write_text(text)
        assert watch.State.read(str(path)) == watch.State()
