# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's devices, each as the program that it is, against a broker."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from demo import client, demo, device, make_day, replay
from unit.plugins._mqtt.conftest import ONE, described, pki, start  # noqa: F401 - fixtures

from ansible_collections.edgestack.iot.plugins.module_utils._devices import profiles
from ansible_collections.edgestack.iot.plugins.module_utils._devices.bundle import Broker, description
from ansible_collections.edgestack.iot.plugins.module_utils._devices.registry import Device

DEMO = pathlib.Path(demo.__file__).resolve().parent
PROFILES = profiles.read(str(DEMO.parents[1] / "roles/devices/files/profiles"))


@pytest.fixture
def bundle(tmp_path, pki):  # noqa: F811
    """Makes a device's directory."""

    def make(port, profile="edgestack_verify", auth="certificate", password_tls=False, **changes):
        directory = tmp_path / ONE
        directory.mkdir()
        for suffix in ("pem", "key"):
            (directory / f"device.{suffix}").write_bytes((pki / f"{ONE}.{suffix}").read_bytes())
        (directory / "ca.pem").write_bytes((pki / "ca.pem").read_bytes())
        (directory / "password").write_text(f"secret of {ONE}")
        where = Broker("broker.iot.internal", port, password_port=port, password_tls=password_tls)
        # What the role writes, not what this test thinks that it does.
        told = description(Device(ONE, profile, auth=auth), PROFILES[profile], where) | changes
        (directory / "device.json").write_text(json.dumps(told))
        return directory

    return make


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def launch(program, *arguments):
    return subprocess.Popen([sys.executable, str(DEMO / program), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_device_measures_this_machine_and_comes_back(start, bundle):  # noqa: F811
    broker = start()
    process = launch("device.py", bundle(broker.port), "--address", "127.0.0.1", "--interval", "0.1")
    try:
        assert until(lambda: len(broker.seen) >= 2)
        broker.kick_all()
        before = len(broker.seen)
        assert until(lambda: len(broker.seen) > before + 1)
        process.send_signal(signal.SIGTERM)
        out, _error = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0, out
    assert "connection lost" in out and "readings published" in out
    _client, topic, payload, qos = broker.seen[-1]
    reading = json.loads(payload)
    assert (topic, qos, reading["id"]) == (f"edgestack/verify/{ONE}", 1, ONE)
    assert 0 <= reading["cpu_usage"] <= 100 and 0 < reading["memory_usage"] < 100
    assert ("cpu_temp" in reading) == (device.cpu_temperature() is not None)


@pytest.mark.parametrize(("kind", "qos", "key"), [("plug", 0, "ENERGY"), ("dht11", 1, "humidity")])
def test_a_replayed_device_ends_after_its_duration(start, bundle, kind, qos, key):  # noqa: F811
    broker = start()
    process = launch("replay.py", bundle(broker.port), "--address", "127.0.0.1", "--kind", kind, "--speed", "3000", "--duration", "1")
    out, _error = process.communicate(timeout=15)
    assert process.returncode == 0, out
    assert len(broker.seen) >= 5
    assert all(key in json.loads(seen[2]) and seen[3] == qos for seen in broker.seen)


def test_a_password_device_without_tls(start, bundle):  # noqa: F811
    broker = start(tls=False)
    directory = bundle(broker.port, "sonoff_pow", "password")
    process = launch("replay.py", directory, "--address", "127.0.0.1", "--kind", "plug", "--duration", "1")
    out, _error = process.communicate(timeout=15)
    assert process.returncode == 0, out
    assert [(seen[1], seen[3]) for seen in broker.seen] == [(f"tele/{ONE}/SENSOR", 0)]
    assert "1 readings published" in out


def test_the_servers_name_is_checked(start, bundle):  # noqa: F811
    broker = start()
    directory = bundle(broker.port, server="another.name")
    process = launch("device.py", directory, "--address", "127.0.0.1", "--interval", "0.1", "--duration", "2")
    process.communicate(timeout=15)
    assert broker.connects == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"server": "h", "port": "x"}'])
def test_an_unusable_bundle_is_named(tmp_path, text):
    (tmp_path / "device.json").write_text(text)
    with pytest.raises(client.BundleError, match=str(tmp_path)):
        client.Bundle.load(tmp_path)
    process = launch("device.py", tmp_path)
    assert str(tmp_path) in process.communicate(timeout=15)[0]
    assert process.returncode == 1


def test_a_device_that_the_broker_has_no_listener_for(bundle):
    with pytest.raises(client.BundleError, match="emqx_password_listener"):
        client.Bundle.load(bundle(0, "sonoff_pow", "password"))


@pytest.mark.parametrize(("profile", "kind"), [("sonoff_pow", "plug"), ("dht11", "dht11")])
def test_what_is_replayed_has_all_that_the_profile_reads(profile, kind):
    _pause, measure = next(iter(replay.readings(kind, 1.0)))
    for field in PROFILES[profile]["fields"]:
        value = measure()
        for name in field["path"].split("."):
            value = value[name]
        assert isinstance(value, (int, float)) and value <= field.get("max", value)


def test_what_is_measured_is_in_the_profile():
    assert set(device.Meter("x").measure()) - {"id"} <= {field["path"] for field in PROFILES["raspberrypi"]["fields"]}


# -- what is measured -----------------------------------------------------------------------------------------
@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   250 kB\n")
    return tmp_path


def test_cpu_and_memory(root):
    meter = device.Meter("x", root)
    # No time has passed: there is no use to tell.
    assert "cpu_usage" not in meter.measure()
    (root / "proc/stat").write_text("cpu  130 0 60 850 60 0 0 0 0 0\n")
    assert meter.measure() == {"id": "x", "cpu_usage": 40.0, "memory_usage": 75.0}


def test_temperature_is_the_processors_or_none(root):
    assert device.cpu_temperature(root) is None
    for index, (kind, value) in enumerate((("battery", "31000"), ("cpu-thermal", "broken"), ("x86_pkg_temp", "48250"))):
        zone = root / f"sys/class/thermal/thermal_zone{index}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value}\n")
    assert device.cpu_temperature(root) == 48.2
    assert device.Meter("x", root).measure()["cpu_temp"] == 48.2


# -- the day --------------------------------------------------------------------------------------------------
def test_the_shipped_day_is_what_the_generator_makes(tmp_path):
    make_day.main(tmp_path)
    for name in ("plug.csv", "dht11.csv"):
        assert (tmp_path / name).read_text() == (make_day.DATA / name).read_text()


def test_the_plug_counts_on_over_midnight():
    clock = datetime.datetime(2026, 3, 1, 23, 51)
    out = []
    for pause, measure in replay.readings("plug", 60.0, lambda: clock):
        out.append((pause, measure()))
        if len(out) == 4:
            break
    assert [pause for pause, _reading in out] == [0.0, 5.0, 5.0, 5.0]
    energy = [reading["ENERGY"] for _pause, reading in out]
    assert energy[1]["Today"] > energy[2]["Today"]
    assert energy[1]["Total"] < energy[2]["Total"] < energy[3]["Total"]
    assert energy[2]["Yesterday"] == energy[1]["Today"]
    assert out[0][1]["Time"] == "2026-03-01T23:51:00"
    for one in energy:
        assert one["ApparentPower"] >= one["Power"]
        assert abs(one["ApparentPower"] ** 2 - one["Power"] ** 2 - one["ReactivePower"] ** 2) < 3 * one["ApparentPower"] + 3


# -- start, stop, status --------------------------------------------------------------------------------------
def test_start_stop_status(start, bundle, tmp_path, capsys):  # noqa: F811
    broker = start()
    directory = bundle(broker.port)
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps({"hosts": {"centre": {"address": "127.0.0.1", "fqdn": "broker.iot.internal"}}}))
    one = demo.Demo(tmp_path, tmp_path / "run", hosts, (demo.Job(directory.name, "device.py", ("--interval", "0.1")),))
    assert not one.status()
    one.start()
    try:
        number = one.pid(one.jobs[0])
        assert number and one.status()
        one.start()
        assert one.pid(one.jobs[0]) == number
        assert until(lambda: broker.seen)
        assert "secret" not in pathlib.Path(f"/proc/{number}/cmdline").read_text() + pathlib.Path(f"/proc/{number}/environ").read_text()
    finally:
        assert one.stop() == []
    assert not pathlib.Path(f"/proc/{number}").exists()
    assert one.stop() == []
    assert "does not run" in capsys.readouterr().out


def test_a_process_that_is_not_ours_is_left_alone(tmp_path):
    job = demo.Job("x", "device.py")
    one = demo.Demo(tmp_path, tmp_path, None, (job,))
    (tmp_path / "x.pid").write_text(f"{os.getpid()}\n")
    assert one.pid(job) is None
    assert one.stop() == []


def test_what_stands_in_the_way_is_said(bundle, tmp_path):
    one = demo.Demo(tmp_path, tmp_path / "run", None, (demo.Job("nobody", "device.py"),))
    with pytest.raises(demo.DemoError, match=r"run site\.yml first"):
        one.start()
    directory = bundle(1)
    (directory / "ca.pem").write_text("broken")
    one = demo.Demo(tmp_path, tmp_path / "run", None, (demo.Job(directory.name, "device.py"),))
    with pytest.raises(demo.DemoError, match="ended at once"):
        one.start()
