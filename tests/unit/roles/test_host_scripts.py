# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts that the roles put on hosts, where they run by themselves."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import pty
import select
import subprocess
import sys
import time

import pytest

ROLES = pathlib.Path(__file__).parents[3] / "roles"


def load(role, name):
    spec = importlib.util.spec_from_file_location(name, ROLES / role / "files" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clock(monkeypatch):
    clock = load("gateway", "clock")
    monkeypatch.setattr(clock.time, "sleep", lambda _seconds: None)
    clock.ran = []
    monkeypatch.setattr(clock.subprocess, "run", lambda words, **_options: clock.ran.append(" ".join(words)))
    return clock


def test_the_clock_is_set_to_the_newest_time_on_the_disk_and_never_back(clock, tmp_path, monkeypatch, capsys):
    for name, when in (("old", 1_700_000_000), ("new", 1_800_000_000), ("broken", 9_000_000_000)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (when, when))
    assert clock.newest((f"{tmp_path}/*", "/nowhere/*")) == 1_800_000_000
    (tmp_path / "gone").symlink_to("nowhere")
    assert clock.newest((f"{tmp_path}/gone",)) == 0
    was = []
    monkeypatch.setattr(clock, "newest", lambda: 1_800_000_000.0)
    monkeypatch.setattr(clock.time, "clock_settime", lambda _which, when: was.append(when))
    monkeypatch.setattr(clock.time, "time", lambda: 1_900_000_000.0)
    assert clock.restore() == 0 and was == []
    monkeypatch.setattr(clock.time, "time", lambda: 0.0)
    assert clock.main(["restore"]) == 0 and was == [1_800_000_000.0]
    assert "was set to it" in capsys.readouterr().out


def test_who_has_the_time(clock, tmp_path):
    (tmp_path / "flag").write_text("")
    assert clock.synchronized(str(tmp_path / "flag")) is True
    assert isinstance(clock.synchronized(str(tmp_path / "no flag")), bool)


def test_readings_are_marked_when_no_time_comes(clock, tmp_path, monkeypatch):
    package, container = tmp_path / "package", tmp_path / "container"
    package.mkdir()
    monkeypatch.setattr(clock, "PLACES", dict(zip(map(str, (package, container)), clock.PLACES.values(), strict=True)))
    monkeypatch.setattr(clock, "synchronized", lambda: False)
    assert clock.main(["wait", "0"]) == 0
    assert '[global_tags]\n  clock = "unsynced"' in (package / clock.TAG).read_text() and not container.exists()
    assert clock.ran == ["systemctl start --no-block edgestack-clock-watch.service"]
    answers = iter([False, True])
    monkeypatch.setattr(clock, "synchronized", lambda: next(answers))
    assert clock.main(["watch"]) == 0
    assert os.listdir(package) == [] and clock.ran[1:] == ["systemctl try-restart telegraf.service"]
    # With the time there from the start nothing is done.
    clock.ran.clear()
    monkeypatch.setattr(clock, "synchronized", lambda: True)
    assert clock.main(["wait", "60"]) == clock.main(["watch"]) == 0 and clock.ran == []
    # Telegraf in a container is told in its own way.
    package.rmdir()
    container.mkdir()
    assert clock.mark(True) == [str(container)] and clock.mark(True) == []
    assert clock.main(["watch"]) == 0 and clock.ran == ["docker restart edgestack-telegraf"]


def test_the_clock_has_its_words(clock, capsys):
    assert clock.main([]) == clock.main(["wait", "x"]) == 2
    assert "wait N" in capsys.readouterr().err


def test_the_ioctl_numbers_have_the_size_of_their_structures():
    sensor = load("telegraf", "sensor")
    assert (sensor.GET_LINE >> 16 & 0x3FFF, sensor.GET_VALUES >> 16 & 0x3FFF) == (592, 16)


def test_a_gpio_line(monkeypatch, capsys):
    sensor = load("telegraf", "sensor")
    asked = []

    def ioctl(handle, number, buffer):
        asked.append((number, len(buffer)))
        if number == sensor.GET_LINE:
            assert sensor.struct.unpack_from("=I", buffer)[0] == 17 and buffer[256:265] == b"edgestack"
            assert sensor.struct.unpack_from("=Q", buffer, 288)[0] == sensor.INPUT | sensor.BIAS["up"] | sensor.ACTIVE_LOW
            assert sensor.struct.unpack_from("=I", buffer, 560)[0] == 1
            buffer[-4:] = sensor.struct.pack("=i", os.open("/dev/null", os.O_RDONLY))
        else:
            buffer[:8] = sensor.struct.pack("=Q", 1)

    monkeypatch.setattr(sensor.fcntl, "ioctl", ioctl)
    assert sensor.main(["gpio", "/dev/null", "17", "up", "low"]) == 0
    assert capsys.readouterr().out == "1\n" and asked == [(sensor.GET_LINE, 592), (sensor.GET_VALUES, 16)]
    assert sensor.main(["gpio", "/nowhere", "17", "up"]) == 1 and "/nowhere" in capsys.readouterr().err
    assert sensor.main(["gpio", "/dev/null", "17", "sideways"]) == 2


def test_a_serial_line_comes_and_goes(tmp_path):
    """The reader goes on when its device goes away and comes back under another number, as a USB adapter does."""
    link = tmp_path / "tty"
    ours, theirs = pty.openpty()
    link.symlink_to(os.ttyname(theirs))
    words = [sys.executable, str(ROLES / "telegraf" / "files" / "sensor.py"), "serial", str(link), "9600"]
    # Unbuffered: what Python had read ahead, select would not see.
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as reader:

        def line():
            assert select.select([reader.stdout], [], [], 15)[0], "nothing came"
            return reader.stdout.readline()

        try:
            os.write(ours, b"f a line\r\n21.5\r\n\r\n22\n")
            assert (line(), line()) == (b"21.5\n", b"22\n")
            again, other = pty.openpty()
            link.unlink()
            link.symlink_to(os.ttyname(other))
            os.close(theirs)
            os.close(ours)
            os.write(again, b"rest\n23\n")
            assert line() == b"23\n"
            os.close(again)
            os.close(other)
        finally:
            reader.kill()


def test_what_is_no_serial_line_is_said(monkeypatch, capsys):
    sensor = load("telegraf", "sensor")
    monkeypatch.setattr(sensor.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(sensor.os, "getppid", lambda: 1)
    assert sensor.main(["serial", "/dev/null", "9600"]) == 0 and "is no serial line" in capsys.readouterr().err
    assert sensor.main(["serial", "/dev/null", "9601"]) == 0 and "is no speed" in capsys.readouterr().err
    assert sensor.main(["serial", "/nowhere", "9600"]) == 0 and "No such file" in capsys.readouterr().err


def put(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_what_a_pi_says_of_its_power_and_card(tmp_path):
    board = load("telegraf", "board")
    assert board.lines(str(tmp_path)) == []
    put(tmp_path, {
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        "sys/block/mmcblk0/stat": "  1 2 3 4 5 6 2048 8 9 10 11\n",
        "sys/block/mmcblk0/device/life_time": "0x02 0x03\n",
        "sys/block/mmcblk0/device/pre_eol_info": "0x01\n",
        "sys/block/mmcblk1/device/life_time": "0x00 0x00\n",
        "sys/fs/ext4/mmcblk0p2/errors_count": "2\n",
        "sys/fs/ext4/odd/errors_count": "x\n",
    })  # fmt: skip
    assert board.lines(str(tmp_path)) == [
        "board under_voltage=1i,under_voltage_since_start=1i,frequency_capped=0i,frequency_capped_since_start=0i,"
        "throttled=1i,throttled_since_start=1i,soft_temperature_limit=0i,soft_temperature_limit_since_start=0i",
        "card,card=mmcblk0 written_bytes=1048576i,life_used_percent=30i,spare_state=1i",
        "file_system,device=mmcblk0p2 errors=2i",
    ]


def test_a_board_whose_firmware_says_nothing(tmp_path):
    put(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n", "sys/devices/platform/soc/soc:firmware/get_throttled": "not today\n"})
    assert load("telegraf", "board").lines(str(tmp_path)) == ["board under_voltage=1i"]


@pytest.fixture
def led(tmp_path):
    """The LED's script beside a board that is files; what systemctl and docker say is in files as well."""
    board = tmp_path / "ACT"
    board.mkdir()
    (board / "trigger").write_text("none timer [mmc0] heartbeat\n")
    (tmp_path / "run").mkdir()
    for name in ("systemctl", "docker"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/{name}.asked\ncat {tmp_path}/{name}.says\n')
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(tmp_path / "run"), "PAUSE": "0.05", "SERVICES": "emqx.service mariadb.service",
        "CONTAINERS": "edgestack-influxdb", "QUEUES": str(tmp_path / "state.json"),
    }  # fmt: skip

    class Led:
        def start(self):
            self.process = subprocess.Popen(["/bin/sh", str(ROLES / "gateway" / "files" / "led.sh"), str(board)], env=environment)

        def says(self, name, text):
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").rename(tmp_path / f"{name}.says")

        def waits(self, *queues):
            (tmp_path / "new").write_text(json.dumps({"reconciled": 1.5, "stored": 2.5, "waiting": {"iotdata": 1.0}, "late": list(queues)}))
            (tmp_path / "new").rename(tmp_path / "state.json")

        def shows(self, trigger, pause=None):
            def now():
                return [(board / name).read_text().strip() if (board / name).exists() else None for name in ("trigger", "delay_on", "delay_off")]

            end = time.monotonic() + 10
            while now() != [trigger, pause, pause]:
                assert time.monotonic() < end, now()
                time.sleep(0.02)
            for name in ("delay_on", "delay_off"):
                (board / name).unlink(missing_ok=True)

        def asked(self, name):
            return (tmp_path / f"{name}.asked").read_text().strip()

        def written(self):
            return (board / "trigger").stat().st_mtime_ns

        def stop(self):
            self.process.terminate()
            assert self.process.wait(10) == 0

    led = Led()
    yield led
    if led.process.poll() is None:
        led.process.kill()
        led.process.wait()


def test_an_led_says_how_the_gateway_is(led):
    led.says("systemctl", "active\nactive\n")
    led.says("docker", "healthy\n")
    led.start()
    led.shows("heartbeat")
    assert led.asked("systemctl") == "is-active emqx.service mariadb.service" and led.asked("docker").endswith("}} edgestack-influxdb")
    # Nothing is written while nothing changes.
    before = led.written()
    time.sleep(0.3)
    assert led.written() == before
    led.waits("iotdata")
    led.shows("timer", "1000")
    # One of the services, the engine, and one of the containers; what is worse is shown.
    for name, bad, good in (
        ("systemctl", "active\nactivating\n", "active\nactive\n"),
        ("docker", "Cannot connect to the Docker daemon\n", "healthy\n"),
        ("docker", "unhealthy\n", "running\n"),
    ):
        led.says(name, bad)
        led.shows("timer", "100")
        led.says(name, good)
        led.shows("timer", "1000")
    led.waits()
    led.shows("heartbeat")
    # What it showed before is back, also after it was killed in between.
    led.process.kill()
    led.process.wait()
    led.start()
    led.waits("iotdata")
    led.shows("timer", "1000")
    led.stop()
    led.shows("mmc0")
