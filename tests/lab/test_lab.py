# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: hosts that behave like servers and lead nowhere, and a bundle that they can be installed from.

Needs what `make lab` makes (an engine and the bundle); starts hosts of its own beside the demo's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import accounting  # noqa: E402
import base  # noqa: E402
import bundle  # noqa: E402
import emulation  # noqa: E402
import engine  # noqa: E402
import hosts  # noqa: E402
from common import BUNDLE, LabError  # noqa: E402

pytestmark = pytest.mark.integration

NAMES = ["centre", "gateway-1"]
APT = "-o Dir::Etc::sourcelist=/root/bundle.list -o Dir::Etc::sourceparts=-"


@pytest.fixture(scope="module")
def lab() -> Iterator[hosts.Lab]:
    engine.ensure()
    lab = hosts.Lab("test")
    lab.up(NAMES, fresh=True)
    yield lab
    lab.down()


def run_on(lab: hosts.Lab, host: str, command: str, *, status: int | None = 0, send: Path | None = None) -> str:
    with (send or Path("/dev/null")).open("rb") as stream:
        done = subprocess.run(lab.ssh_command(host, command), stdin=stream, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    if status is not None:
        assert done.returncode == status, f"{host}: {command}\n{done.stdout[-4000:]}"
    return done.stdout.strip()


def wait_for(lab: hosts.Lab, host: str, command: str, seconds: float = 30) -> str:
    end = time.monotonic() + seconds
    while True:
        try:
            return run_on(lab, host, command)
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


@pytest.mark.parametrize("host", NAMES)
def test_host_is_a_server(lab: hosts.Lab, host: str) -> None:
    assert run_on(lab, host, "systemctl is-system-running", status=None) == "running"
    assert run_on(lab, host, "hostname -f") == f"{host}.iot.internal"
    assert run_on(lab, host, "cat /proc/1/comm") == "systemd"
    assert run_on(lab, host, "dpkg --print-architecture; . /etc/os-release; echo $VERSION_CODENAME") == "amd64\nbookworm"
    # Units may use sandboxes: the collection hardens every unit that it installs.
    run_on(lab, host, "systemd-run --quiet --wait --pipe -p PrivateTmp=yes -p ProtectSystem=strict -p ProtectHome=yes"
                      " -p PrivateDevices=yes -p ProtectKernelTunables=yes -p ProtectProc=invisible -p DynamicUser=yes"
                      " -p RestrictNamespaces=yes -p SystemCallFilter=@system-service -p MemoryMax=64M /bin/true")


def test_hosts_reach_one_another_by_name(lab: hosts.Lab) -> None:
    for name in ("gateway-1", "gateway-1.iot.internal"):
        run_on(lab, "centre", f"timeout 5 bash -c '</dev/tcp/{name}/22'")


@pytest.mark.parametrize("host", NAMES)
def test_nothing_outside_is_reached(lab: hosts.Lab, host: str) -> None:
    # One that the controller gets its packages from, so it is there.
    mirror = urllib.parse.urlsplit(base.mirror()).hostname
    for address in ("1.1.1.1", mirror):
        probe = subprocess.run(lab.ssh_command(host, f"timeout 5 bash -c '</dev/tcp/{address}/80'"),
                               stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert probe.returncode not in (0, 255), f"{host} reached {address} (or ssh failed): {probe!r}"
    run_on(lab, host, f"getent hosts {mirror}", status=2)
    assert run_on(lab, host, "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null", status=None) == ""


def test_only_the_key_opens_a_host(lab: hosts.Lab) -> None:
    address = {host.name: host.address for host in lab.hosts()}["centre"]
    done = subprocess.run(
        ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentityFile=/dev/null", "-o", "IdentitiesOnly=yes",
         "-o", f"UserKnownHostsFile={lab.ssh / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes", f"root@{address}", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


def test_up_again_keeps_the_hosts_and_is_quick(lab: hosts.Lab) -> None:
    run_on(lab, "centre", "touch /root/mark")
    began = time.monotonic()
    lab.up(NAMES)
    assert time.monotonic() - began < 10
    run_on(lab, "centre", "rm /root/mark")
    record = json.loads(lab.record.read_text())
    assert sorted(record["hosts"]) == sorted(NAMES)
    for host in record["hosts"].values():
        assert host["address"].startswith(record["subnet"].rpartition(".")[0] + ".")


def test_a_host_comes_back_from_a_reboot(lab: hosts.Lab) -> None:
    before = run_on(lab, "gateway-1", "stat -c %Y /proc/1; touch /root/kept").splitlines()[0]
    run_on(lab, "gateway-1", "systemctl reboot", status=None)
    after = before
    end = time.monotonic() + 60
    while after == before and time.monotonic() < end:
        time.sleep(1)
        found = run_on(lab, "gateway-1", "stat -c %Y /proc/1", status=None)
        after = found if found.isdecimal() else before
    assert after != before
    wait_for(lab, "gateway-1", "systemctl is-system-running --wait && test -e /root/kept")


def test_unknown_names_are_refused() -> None:
    for name in ("gateway", "gateway-0", "centre-1", "scratch-99", "web"):
        with pytest.raises(LabError):
            hosts.offset(name)
    with pytest.raises(LabError):
        hosts.Lab("../x")
    numbers = [hosts.offset(name) for name in ["centre", *(f"gateway-{n}" for n in range(1, 100)),
                                               *(f"scratch-{n}" for n in range(1, 41))]]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 255


# -- small hosts, and those of another architecture ----------------------------------------------------------

SMALL, PI, CARD = "scratch-1", "scratch-2", "scratch-3"


@pytest.fixture(scope="module")
def small(lab: hosts.Lab) -> hosts.Lab:
    lab.up([f"{SMALL}:256m"], fresh=True)
    return lab


@pytest.fixture(scope="module")
def pi(lab: hosts.Lab) -> hosts.Lab:
    lab.up([f"{PI}:arm64:512m"], fresh=True)
    return lab


def test_what_is_asked_for_is_understood() -> None:
    assert hosts.Wanted.parse("gateway-1") == hosts.Wanted("gateway-1", "amd64", 0)
    assert hosts.Wanted.parse("gateway-1:512m:armhf") == hosts.Wanted("gateway-1", "armhf", 512)
    assert hosts.Wanted.parse("centre:2g") == hosts.Wanted("centre", "amd64", 2048)
    assert hosts.Wanted.parse("gateway-1:disk:1g") == hosts.Wanted("gateway-1", "amd64", 1024, disk=True)
    for text in ("gateway-1:", "gateway-1:mips", "gateway-1:0m", "gateway-1:1G", "gateway-1:arm64:armhf", "gateway-1:1g:1g", "gateway-1:disk:disk",
                 "web:arm64"):
        with pytest.raises(LabError):
            hosts.Wanted.parse(text)
    with pytest.raises(LabError, match="engine"):
        hosts.Lab("test").up(["gateway-1:arm64"], engine_inside=True)


def test_a_small_host_says_so_and_is_kept_small(small: hosts.Lab) -> None:
    container = small.container(SMALL)
    assert run_on(small, SMALL, "awk '/^(MemTotal|SwapTotal)/ {print $2}' /proc/meminfo").split() == [str(256 * 1024), "0"]
    assert run_on(small, SMALL, "free --mebi | awk '/^Mem:/ {print $2}'") == "256"
    assert accounting.killed_for_memory(container) == 0
    assert "Killed" in run_on(small, SMALL, "bash -c 'python3 -c \"print(len(bytearray(400 << 20)))\"; true'")
    assert accounting.killed_for_memory(container) == 1
    assert 128 << 20 < accounting.memory_peak(container) <= 256 << 20


def test_a_small_host_is_made_anew_when_it_shall_be_larger(small: hosts.Lab) -> None:
    small.up([f"{SMALL}:300m"])
    assert run_on(small, SMALL, "awk '/^MemTotal/ {print $2}' /proc/meminfo") == str(300 * 1024)
    assert {host.name: host.memory_mb for host in small.hosts()}[SMALL] == 300


def test_what_a_host_writes_is_counted(small: hosts.Lab) -> None:
    container = small.container(SMALL)
    run_on(small, SMALL, "systemd-run --quiet --unit writer sh -c 'head -c 8M /dev/urandom > /root/big; sync /root/big; exec sleep 300'")
    wait_for(small, SMALL, "test $(stat -c %s /root/big) = 8388608 && pgrep -x sleep")
    # Children that ended count with their parent.
    assert sum(process.written for process in accounting.processes(container) if process.name == "sleep") >= 8 << 20
    assert sum(process.resident for process in accounting.processes(container)) > 1 << 20


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs root and loop devices")
def test_what_goes_to_a_hosts_own_disk_is_counted_and_survives_a_power_cut(lab: hosts.Lab) -> None:
    lab.up([f"{CARD}:disk"], fresh=True)
    container = lab.container(CARD)
    file = lab.directory / "disks" / f"{container}.ext4"
    before = accounting.device_writes(container)
    run_on(lab, CARD, "head -c 8M /dev/urandom > /var/lib/big; head -c 32M /dev/zero > /root/elsewhere; sync")
    assert 8 << 20 <= accounting.device_writes(container) - before < 12 << 20
    for action in ("kill", "start"):
        subprocess.run(["docker", action, container], check=True, capture_output=True)
    lab.up([f"{CARD}:disk"])
    assert run_on(lab, CARD, "stat -c %s /var/lib/big; stat -f -c %T /var") == f"{8 << 20}\next2/ext3"
    lab.down([CARD])
    assert not file.exists() and file.name not in subprocess.run(["losetup", "--list"], check=True, capture_output=True, text=True).stdout
    with pytest.raises(accounting.UnknownError):
        accounting.device_writes(container)


def test_an_arm64_host_is_a_pi(pi: hosts.Lab) -> None:
    assert run_on(pi, PI, "dpkg --print-architecture; uname -m; getconf LONG_BIT") == "arm64\naarch64\n64"
    assert run_on(pi, PI, "systemctl is-system-running", status=None) == "running"
    assert run_on(pi, PI, "free --mebi | awk '/^Mem:/ {print $2}'") == "512"
    assert {host.name: host.architecture for host in pi.hosts()}[PI] == "arm64"
    # What the collection's units ask for.
    run_on(pi, PI, "systemd-run --quiet --wait --pipe -p PrivateTmp=yes -p ProtectSystem=strict -p ProtectHome=yes"
                   " -p PrivateDevices=yes -p ProtectKernelTunables=yes -p ProtectProc=invisible -p RestrictNamespaces=yes"
                   " -p SystemCallFilter=@system-service -p MemoryDenyWriteExecute=yes -p MemoryMax=64M /bin/true")


def test_only_an_entry_that_serves_containers_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "BINFMT", tmp_path)
    magic = emulation.magic("arm64").hex()
    assert emulation.handler("arm64") == ""
    (tmp_path / "status").write_text("enabled\n")
    entry = tmp_path / "qemu-aarch64"
    for flags, state, found in (("OC", "enabled", ""), ("POCF", "disabled", ""), ("POCF", "enabled", "qemu-aarch64")):
        entry.write_text(f"{state}\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\nmagic {magic}\nmask ff\n")
        assert emulation.handler("arm64") == found
    assert emulation.handler("armhf") == ""
    (tmp_path / "status").write_text("disabled\n")
    assert emulation.handler("arm64") == ""


def test_only_what_the_lab_registered_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "BINFMT", tmp_path)
    monkeypatch.setattr(emulation, "RECORD", tmp_path / "record.json")
    for name in ("qemu-arm", "edgestack-lab-arm64"):
        (tmp_path / name).write_text("enabled\n")
    emulation.remove()
    assert (tmp_path / "edgestack-lab-arm64").read_text() == "enabled\n"
    emulation.RECORD.write_text(json.dumps({"mounted": False, "names": ["edgestack-lab-arm64"]}))
    emulation.remove()
    assert (tmp_path / "edgestack-lab-arm64").read_text() == "-1"
    assert (tmp_path / "qemu-arm").read_text() == "enabled\n"
    assert not emulation.RECORD.exists()


# -- the bundle ----------------------------------------------------------------------------------------------

def test_bundle_is_what_its_manifest_says(tmp_path: Path) -> None:
    assert bundle.verify() == []
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    packages = {package["name"]: package for one in manifest["files"] for package in one["packages"]}
    for name in ("telegraf", "influxdb2", "emqx", "grafana", "mariadb-server", "python3-pymysql", "streamlit", "pandas"):
        assert name in packages
    standins = sorted(name for name, package in packages.items() if package["origin"] == "stand-in")
    assert manifest["stand_ins"] == standins
    # A byte that changed is found, in a copy.
    smallest = min(manifest["files"], key=lambda one: one["size"])
    copy = tmp_path / smallest["path"]
    shutil.copyfile(BUNDLE / smallest["path"], copy)
    with copy.open("r+b") as stream:
        stream.seek(smallest["size"] // 2)
        byte = stream.read(1)
        stream.seek(smallest["size"] // 2)
        stream.write(bytes([byte[0] ^ 1]))
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [smallest]}))
    assert bundle.verify(tmp_path) == [f"{smallest['path']}: not what the manifest says"]


@pytest.fixture(scope="module")
def centre(lab: hosts.Lab) -> hosts.Lab:
    """The lab with the bundle unpacked on centre, and apt told of it alone."""
    for kind in ("apt-bookworm-amd64", "wheels-py3.11-amd64"):
        run_on(lab, "centre", f"mkdir -p /opt/{kind} && tar --extract --directory /opt/{kind}", send=BUNDLE / f"{kind}.tar")
    run_on(lab, "centre", "echo 'deb [trusted=yes] file:/opt/apt-bookworm-amd64 ./' > /root/bundle.list")
    run_on(lab, "centre", f"apt-get {APT} update")
    return lab


def install(lab: hosts.Lab, *packages: str) -> None:
    run_on(lab, "centre", f"DEBIAN_FRONTEND=noninteractive apt-get {APT} install --yes --no-install-recommends "
                          + " ".join(packages))


def test_mariadb_from_the_bundle(centre: hosts.Lab) -> None:
    install(centre, "mariadb-server", "python3-pymysql", "python3-cryptography")
    wait_for(centre, "centre", "mariadb --execute 'SELECT VERSION()' | grep -F MariaDB")
    run_on(centre, "centre", "python3 -c 'import pymysql, cryptography'")


def test_influxdb_from_the_bundle(centre: hosts.Lab) -> None:
    install(centre, "influxdb2", "influxdb2-cli")
    assert run_on(centre, "centre", "systemctl is-enabled influxdb; systemctl is-active influxdb", status=None) \
        == "enabled\ninactive"
    run_on(centre, "centre", "systemctl start influxdb")
    health = json.loads(run_on(centre, "centre", "curl --silent --fail http://127.0.0.1:8086/health"))
    assert (health["status"], health["version"]) == ("pass", "v2.9.1")
    assert run_on(centre, "centre", "stat -c %U /var/lib/influxdb/influxd.bolt") == "influxdb"
    run_on(centre, "centre", "influx setup --force --org o --bucket b --username u --password lab-only-secret"
                             " --token lab-only-token --retention 1h >/dev/null")


def test_telegraf_from_the_bundle_writes_to_influxdb(centre: hosts.Lab) -> None:
    install(centre, "telegraf=1.37.2-1")
    assert run_on(centre, "centre", "systemctl is-enabled telegraf; systemctl is-active telegraf", status=None) \
        == "enabled\ninactive"
    configuration = (
        '[agent]\n interval = "1s"\n flush_interval = "1s"\n[[inputs.mem]]\n[[outputs.influxdb_v2]]\n'
        ' urls = ["http://127.0.0.1:8086"]\n token = "lab-only-token"\n organization = "o"\n bucket = "b"\n'
    )
    run_on(centre, "centre", f"cat > /etc/telegraf/telegraf.conf <<'E'\n{configuration}E\nsystemctl start telegraf")
    assert run_on(centre, "centre", "telegraf --version").startswith("Telegraf 1.37.2")
    query = ("influx query --org o --token lab-only-token --raw "
             "'from(bucket: \"b\") |> range(start: -1m) |> filter(fn: (r) => r._measurement == \"mem\") |> limit(n: 1)'")
    wait_for(centre, "centre", f"{query} | grep -F used_percent")
    pid = run_on(centre, "centre", "systemctl show --property MainPID --value telegraf")
    run_on(centre, "centre", "systemctl reload telegraf && sleep 1 && systemctl is-active telegraf")
    assert run_on(centre, "centre", "systemctl show --property MainPID --value telegraf") == pid


def test_emqx_and_grafana_packages_install_as_the_vendors_do(centre: hosts.Lab) -> None:
    install(centre, "emqx=5.8.9", "grafana")
    assert run_on(centre, "centre", "stat -c '%U %a' /etc/emqx/emqx.conf /etc/grafana/grafana.ini").splitlines() \
        == ["emqx 644", "root 640"]
    assert run_on(centre, "centre", "systemctl is-enabled emqx; systemctl is-active emqx grafana-server", status=None) \
        == "enabled\ninactive\ninactive"
    run_on(centre, "centre", "mkdir -m 0750 -p /etc/emqx/secrets && apt-get --version >/dev/null && readlink -e /usr/bin/emqx")
    run_on(centre, "centre", "systemctl start grafana-server emqx")
    wait_for(centre, "centre", "curl --silent --fail http://127.0.0.1:3000/api/health")
    wait_for(centre, "centre", "curl --silent --fail http://127.0.0.1:18083/api/v5/status")


def test_streamlit_from_the_wheels(centre: hosts.Lab) -> None:
    install(centre, "python3-venv")
    run_on(centre, "centre", "python3 -m venv /opt/app && /opt/app/bin/pip install --quiet --no-index --require-hashes"
                             " --find-links /opt/wheels-py3.11-amd64 -r /opt/wheels-py3.11-amd64/requirements.txt")
    run_on(centre, "centre", "cd /opt/app && cat > app.py <<'E'\nimport pandas\nimport streamlit\n"
                             "streamlit.line_chart(pandas.DataFrame({'a': [1, 2]}))\nstreamlit.metric('mean', 1.5)\nE\n"
                             "cat > check.py <<'E'\nfrom streamlit.testing.v1 import AppTest\n"
                             "app = AppTest.from_file('app.py').run(timeout=60)\nassert not app.exception, app.exception\n"
                             "assert app.metric[0].value == '1.5', app.metric\nE\nbin/python check.py")
