# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._host import facts


def answer(text):
    def run(command, **_options):
        return subprocess.CompletedProcess(command, 0, stdout=text, stderr="")

    return run


def test_packages_counts_only_what_is_installed():
    text = "ii \ttelegraf\t1.37.2-1\nrc \tmosquitto\t2.0\nun \tnothing\t\nbroken line\n"
    assert facts.packages(answer(text)) == {"telegraf": "1.37.2-1"}


def test_architecture():
    assert facts.architecture(answer("arm64\n")) == "arm64"


def test_os_release(tmp_path):
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nVERSION_ID="12"\n\nnonsense\n')
    assert facts.os_release(str(path)) == {"ID": "debian", "VERSION_ID": "12"}


def test_memory_is_the_smaller_of_machine_and_cgroup(tmp_path):
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemFree: 1 kB\nMemTotal:        2097152 kB\n")
    assert facts.memory_mb(str(meminfo), str(limit)) == 2048
    limit.write_text("max\n")
    assert facts.memory_mb(str(meminfo), str(limit)) == 2048
    limit.write_text(f"{512 * 1048576}\n")
    assert facts.memory_mb(str(meminfo), str(limit)) == 512
    meminfo.write_text("")
    assert facts.memory_mb(str(meminfo), str(limit)) == 0


def test_units_of_our_own(tmp_path):
    for name in ("edgestack-uplink.timer", "edgestack-crl.service", "emqx.service"):
        (tmp_path / name).touch()
    assert facts.units(str(tmp_path)) == ["edgestack-crl.service", "edgestack-uplink.timer"]
    assert facts.units(str(tmp_path / "none")) == []


def test_free_disk(tmp_path):
    assert facts.free_disk_mb(str(tmp_path)) > 0


def test_listeners(monkeypatch):
    text = (
        'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n'
        'LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*\n'
        'LISTEN 0 128 [::1]:8086 [::]:* users:(("influxd",pid=9,fd=7)) uid:4294967 ino:1\n'
        "odd\n"
    )
    monkeypatch.setattr(facts.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert facts.listeners(answer(text)) == [
        {"address": "0.0.0.0", "port": 22, "process": "sshd", "user": "root", "uid": 0},
        {"address": "127.0.0.53", "port": 53, "process": "", "user": "root", "uid": 0},
        {"address": "::1", "port": 8086, "process": "influxd", "user": "4294967", "uid": 4294967},
    ]
    monkeypatch.setattr(facts.shutil, "which", lambda name: None)
    assert facts.listeners(answer(text)) == []


def test_users_and_what_was_filled_to_the_end(tmp_path):
    assert "root" in facts.users()
    for name in ("streamlit/venv-1", "streamlit/venv-2", "bundle/abc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "streamlit/venv-2/.complete").touch()
    (tmp_path / "bundle/abc/.complete").touch()
    assert facts.whole(str(tmp_path)) == [str(tmp_path / "bundle/abc"), str(tmp_path / "streamlit/venv-2")]
    assert facts.whole(str(tmp_path / "none")) == []


def test_an_engine_is_asked_for_its_version_compose_and_images(monkeypatch):
    answers = {"version": "26.1.5", "compose": "v2.26.1", "image": "emqx/emqx:5.8.9 emqx/emqx@sha256:1\nown:1 own@<none>\n"}
    monkeypatch.setattr(facts.shutil, "which", lambda name: f"/usr/bin/{name}")
    found = facts.engine(lambda words, **_: subprocess.CompletedProcess(words, 0, answers[words[1]], ""))
    assert found == {
        "client": True,
        "version": "26.1.5",
        "compose": "2.26.1",
        "images": ["emqx/emqx:5.8.9", "emqx/emqx@sha256:1", "own:1"],
    }


def test_an_engine_that_is_away_is_no_error(monkeypatch):
    def hangs(words, **_):
        raise subprocess.TimeoutExpired(words, 30)

    away = {"client": True, "version": "", "compose": "", "images": []}
    monkeypatch.setattr(facts.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert facts.engine(lambda words, **_: subprocess.CompletedProcess(words, 1, "", "is the daemon running?")) == away
    assert facts.engine(hangs) == away
    monkeypatch.setattr(facts.shutil, "which", lambda name: None)
    assert facts.engine(hangs) == {**away, "client": False}


def test_whether_memory_can_be_limited(tmp_path):
    two, one = tmp_path / "cgroup.controllers", tmp_path / "cgroups"
    assert facts.memory_cgroup(str(two), str(one)) is False
    one.write_text("#subsys_name hierarchy num_cgroups enabled\ncpu 1 2 1\nmemory 0 1 0\n")
    assert facts.memory_cgroup(str(two), str(one)) is False
    one.write_text("memory 3 9 1\n")
    assert facts.memory_cgroup(str(two), str(one)) is True
    two.write_text("cpuset cpu io pids\n")
    assert facts.memory_cgroup(str(two), str(one)) is False


def test_components_with_a_project_are_containers(tmp_path):
    (tmp_path / "emqx").mkdir()
    (tmp_path / "emqx" / "compose.yaml").write_text(
        'ports:\n  - {target: 8883, published: "8883", host_ip: "0.0.0.0"}\n  - {target: 18083, published: "18083"}\n'
    )
    (tmp_path / "streamlit").mkdir()
    assert facts.projects(str(tmp_path)) == {"emqx": [8883, 18083]}


@pytest.mark.parametrize(("name", "server"), [("aria_log_control", "mariadb"), ("mysql.ibd", "mysql"), ("ibdata1", "")])
def test_the_server_that_made_the_databases(tmp_path, name, server):
    assert facts.database(str(tmp_path / "nothing")) == ""
    (tmp_path / name).touch()
    assert facts.database(str(tmp_path)) == server
