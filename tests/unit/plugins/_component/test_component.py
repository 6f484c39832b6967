# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._component import converge, fileset, record, service

ME = str(os.getuid())
MY_GROUP = str(os.getgid())


def wanted(path, text, **options):
    return fileset.WantedFile(str(path), text.encode(), ME, MY_GROUP, options.pop("mode", 0o640), **options)


class Unit(service.Systemd):
    """A unit that remembers what was asked of it, and becomes what the test wants."""

    def __init__(self, active="active", enabled="enabled", loaded="loaded", restart_says=None):
        super().__init__("thing.service")
        self.calls = []
        self.shown = {"LoadState": loaded, "ActiveState": active, "UnitFileState": enabled, "NeedDaemonReload": "no"}
        self.restart_says = restart_says or []

    def state(self):
        return dict(self.shown)

    def reload_units(self):
        self.calls.append("reload")

    def enable(self):
        self.calls.append("enable")

    def restart(self):
        self.calls.append("restart")
        self.shown["ActiveState"] = "active"
        return self.restart_says.pop(0) if self.restart_says else None

    def journal(self, lines=60):
        return "it said why\n"


def run(tmp_path, files, unit=None, verdicts=None, **options):
    verdicts = list(verdicts or [])
    return converge.converge(
        record.Record(str(tmp_path / "state"), "thing"),
        unit or Unit(),
        service.Health(),
        options.pop("directories", []),
        files,
        wait=lambda _unit, _health: verdicts.pop(0) if verdicts else None,
        **options,
    )


def test_first_run_writes_restarts_and_remembers_then_nothing(tmp_path):
    path = tmp_path / "etc" / "thing.conf"
    unit = Unit(enabled="disabled")
    first = run(tmp_path, [wanted(path, "a=1\n")], unit)
    assert first.changed and first.restarted and first.enabled and first.healthy
    assert path.read_text() == "a=1\n" and (path.stat().st_mode & 0o777) == 0o640
    assert unit.calls == ["reload", "enable", "restart"]
    again = Unit()
    second = run(tmp_path, [wanted(path, "a=1\n")], again)
    assert not second.changed and again.calls == [] and second.healthy


def test_a_run_killed_between_write_and_restart_is_repaired(tmp_path):
    path = tmp_path / "thing.conf"
    run(tmp_path, [wanted(path, "a=1\n")])
    path.write_text("a=2\n")  # written, then killed
    os.chmod(path, 0o640)
    unit = Unit()
    outcome = run(tmp_path, [wanted(path, "a=2\n")], unit)
    assert outcome.changed_files == [] and outcome.restarted and unit.calls == ["restart"]


def test_a_stopped_service_is_started(tmp_path):
    path = tmp_path / "thing.conf"
    run(tmp_path, [wanted(path, "a=1\n")])
    outcome = run(tmp_path, [wanted(path, "a=1\n")], Unit(active="inactive"))
    assert outcome.restarted and outcome.reasons == ["the service is inactive"]


def test_check_mode_predicts_and_writes_nothing(tmp_path):
    path = tmp_path / "etc" / "thing.conf"
    unit = Unit(loaded="not-found", active="inactive", enabled="")
    files = [fileset.WantedFile(str(path), b"x", "no-such-user", "no-such-group")]
    directories = [converge.Directory(str(tmp_path / "data"), "no-such-user")]
    outcome = run(tmp_path, files, unit, check=True, directories=directories)
    assert outcome.changed and outcome.restarted and not outcome.healthy
    assert outcome.changed_directories == [str(tmp_path / "data")]
    assert unit.calls == [] and not path.parent.exists() and not (tmp_path / "state").exists() and not (tmp_path / "data").exists()


def test_an_unhealthy_configuration_is_taken_back(tmp_path):
    path, extra = tmp_path / "thing.conf", tmp_path / "extra.conf"
    run(tmp_path, [wanted(path, "good\n")])
    unit = Unit()
    with pytest.raises(converge.ConvergeError, match="put back, and is healthy") as caught:
        run(tmp_path, [wanted(path, "bad\n"), wanted(extra, "more\n")], unit, verdicts=["it does not answer"])
    assert path.read_text() == "good\n" and not extra.exists()
    assert caught.value.details["rolled_back"] is True
    evidence = caught.value.details["evidence"]
    assert "it said why" in (pathlib.Path(evidence) / "journal.txt").read_text()
    # The record still speaks of the good one: the next run with it changes nothing.
    assert not run(tmp_path, [wanted(path, "good\n")]).changed


def test_taking_back_that_fails_too_says_so(tmp_path):
    path = tmp_path / "thing.conf"
    run(tmp_path, [wanted(path, "good\n")])
    with pytest.raises(converge.ConvergeError, match="not healthy with it either") as caught:
        run(tmp_path, [wanted(path, "bad\n")], Unit(restart_says=["refused", "refused again"]))
    assert caught.value.details["rolled_back"] is False


def test_a_first_configuration_that_fails_has_nothing_to_go_back_to(tmp_path):
    with pytest.raises(converge.ConvergeError, match="no earlier healthy configuration"):
        run(tmp_path, [wanted(tmp_path / "thing.conf", "bad\n")], verdicts=["no"])


def test_a_refused_file_changes_nothing_of_the_set(tmp_path):
    one, two = tmp_path / "one.conf", tmp_path / "two.conf"
    with pytest.raises(fileset.FileSetError, match="refused by"):
        run(tmp_path, [wanted(one, "1"), wanted(two, "2", validate="sh -c 'echo no such key >&2; exit 3' %s")])
    assert not one.exists() and not two.exists() and list(tmp_path.glob(".*")) == []


def test_a_validator_sees_the_new_content(tmp_path):
    path = tmp_path / "one.conf"
    run(tmp_path, [wanted(path, "right\n", validate="grep -q right %s")])
    assert path.read_text() == "right\n"
    with pytest.raises(fileset.FileSetError, match="could not run"):
        run(tmp_path, [wanted(path, "right too\n", validate="no-such-program-here %s")])


def test_obsolete_files_of_ours_go_and_files_without_restart_do_not_restart(tmp_path):
    keep, gone = tmp_path / "keep.conf", tmp_path / "gone.json"
    run(tmp_path, [wanted(keep, "1"), wanted(gone, "{}", restart=False)])
    unit = Unit()
    outcome = run(tmp_path, [wanted(keep, "1")], unit)
    assert outcome.changed_files == [str(gone)] and not gone.exists() and not outcome.restarted
    assert not run(tmp_path, [wanted(keep, "1")]).changed


def test_restart_on_is_part_of_the_digest(tmp_path):
    path = tmp_path / "a"
    run(tmp_path, [wanted(path, "1")], restart_on=["certificate A"])
    assert run(tmp_path, [wanted(path, "1")], restart_on=["certificate B"]).restarted
    assert not run(tmp_path, [wanted(path, "1")], restart_on=["certificate B"]).changed


def test_attributes_alone_are_mended_without_a_restart(tmp_path):
    path = tmp_path / "a"
    run(tmp_path, [wanted(path, "1")])
    os.chmod(path, 0o666)
    outcome = run(tmp_path, [wanted(path, "1")])
    assert outcome.changed_files == [str(path)] and not outcome.restarted
    assert "0666" in outcome.diff[0]["before"] and "0640" in outcome.diff[0]["after"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_no_diff_shows_a_secret(tmp_path):
    path = tmp_path / "token"
    first = run(tmp_path, [wanted(path, "s3cr3t-one", secret=True)], check=True)
    assert first.diff[0]["before"] == "" and "(secret)" in first.diff[0]["after"]
    run(tmp_path, [wanted(path, "s3cr3t-one", secret=True)])
    second = run(tmp_path, [wanted(path, "s3cr3t-two", secret=True)], check=True)
    assert "s3cr3t" not in str(second.diff) and second.changed
    # Also when it becomes obsolete.
    third = run(tmp_path, [], check=True)
    assert third.changed_files == [str(path)] and "s3cr3t" not in str(third.diff)


def test_diff_of_binary_and_text(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xff\xfe")
    text = run(tmp_path, [wanted(path, "text\n")], check=True).diff[0]
    assert text["before"].startswith("(binary, 2 bytes)") and "text\n" in text["after"]


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "a"
    elsewhere.write_text("mine")
    path.symlink_to(elsewhere)
    run(tmp_path, [wanted(path, "1")])
    assert not path.is_symlink() and path.read_text() == "1" and elsewhere.read_text() == "mine"


def test_a_directory_in_the_place_of_a_file_or_the_reverse(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(fileset.FileSetError, match="is a directory"):
        run(tmp_path, [wanted(tmp_path / "a", "1")])
    (tmp_path / "b").write_text("")
    with pytest.raises(converge.ConvergeError, match="not a directory"):
        run(tmp_path, [], directories=[converge.Directory(str(tmp_path / "b"))])


def test_directories(tmp_path):
    one = converge.Directory(str(tmp_path / "x" / "y"), ME, MY_GROUP, 0o750)
    assert run(tmp_path, [], directories=[one]).changed_directories == [one.path]
    assert os.stat(one.path).st_mode & 0o777 == 0o750
    assert run(tmp_path, [], directories=[one]).changed_directories == []
    with pytest.raises(converge.ConvergeError, match="no user"):
        run(tmp_path, [], directories=[converge.Directory(str(tmp_path / "z"), "no-such-user")])


def test_a_missing_user_is_an_error_before_anything_changes(tmp_path):
    one = tmp_path / "one"
    with pytest.raises(fileset.FileSetError, match="no user or group 'no-such-group'"):
        run(tmp_path, [wanted(one, "1"), fileset.WantedFile(str(tmp_path / "two"), b"2", ME, "no-such-group")])
    assert not one.exists()


def test_an_unwritable_place_is_an_error_that_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fileset.FileSetError, match="cannot write"):
        run(tmp_path, [wanted(tmp_path / "one", "1"), wanted(tmp_path / "file" / "below", "2")])
    assert not (tmp_path / "one").exists()


def test_a_broken_record_is_no_record(tmp_path):
    path = tmp_path / "a"
    run(tmp_path, [wanted(path, "1")])
    for text in ("{half", "[]"):
        (tmp_path / "state" / "thing" / "record.json").write_text(text)
        assert run(tmp_path, [wanted(path, "1")]).restarted
    copies = list((tmp_path / "state" / "thing").glob("*.0"))
    copies[0].unlink()
    assert record.Record(str(tmp_path / "state"), "thing").healthy_set() == []


# -- systemd and health --------------------------------------------------------------------------------------------------------


class Systemctl:
    """Answers of systemctl, and what it was called with."""

    def __init__(self, **answers):
        self.answers, self.calls = answers, []

    def __call__(self, command, **_options):
        self.calls.append(command)
        code, out, err = self.answers.get(command[1] if command[0] == "systemctl" else "journal", (0, "", ""))
        return subprocess.CompletedProcess(command, code, stdout=out, stderr=err)


def test_systemd_state_and_errors():
    calls = Systemctl(show=(0, "LoadState=loaded\nActiveState=active\nodd\n", ""), enable=(1, "", "no such unit"), restart=(1, "", ""), journal=(0, "log", ""))
    unit = service.Systemd("thing.service", calls)
    assert unit.state() == {"LoadState": "loaded", "ActiveState": "active"}
    with pytest.raises(service.ServiceError, match="no such unit"):
        unit.enable()
    assert "ended with 1" in unit.restart()
    assert unit.journal() == "log"
    unit.reload_units()
    fine = service.Systemd("thing.service", Systemctl())
    fine.enable()
    assert fine.restart() is None


def test_waiting_ends_with_health_failure_or_time():
    clock = iter(range(100))
    states = iter([{"ActiveState": "activating"}, {"ActiveState": "active"}, {"ActiveState": "active"}])
    unit = Unit()
    unit.state = lambda: next(states)
    verdicts = iter(["not yet", None])
    fine = service.wait_until_healthy(unit, service.Health(timeout=50), lambda: next(clock), lambda _s: None, lambda _h: next(verdicts))
    assert fine is None
    unit.state = lambda: {"ActiveState": "failed", "SubState": "failed"}
    assert "has failed" in service.wait_until_healthy(unit, service.Health())
    unit.state = lambda: {"ActiveState": "active"}
    late = service.wait_until_healthy(unit, service.Health(timeout=5), lambda: next(clock), lambda _s: None, lambda _h: "no answer")
    assert late == "not healthy after 5 s: no answer"


def test_asking(tmp_path):
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503 if "bad" in self.path else 200)
            self.end_headers()

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert service.ask(service.Health(url=f"http://127.0.0.1:{port}/health?full=1")) is None
        assert "answered 503" in service.ask(service.Health(url=f"http://127.0.0.1:{port}/bad"))
        assert service.ask(service.Health(url=f"http://127.0.0.1:{port}/bad", status=(503,))) is None
        assert service.ask(service.Health(port=port)) is None
        assert "GET https" in service.ask(service.Health(url=f"https://127.0.0.1:{port}/"))
    finally:
        server.shutdown()
        server.server_close()
    assert "does not accept" in service.ask(service.Health(port=port))
    assert service.ask(service.Health(command=("true",))) is None
    assert "ended with 1" in service.ask(service.Health(command=("false",)))
    assert "could not be run" in service.ask(service.Health(command=("/no/such/program",)))
    assert service.ask(service.Health()) is None


def docker(answers):
    """A run() that answers by the words after docker, and remembers them."""
    calls = []

    def run(words, **_options):
        calls.append(words)
        code, out, err = next((answer for key, answer in answers.items() if key in words), (0, "", ""))
        return subprocess.CompletedProcess(words, code, out, err)

    return run, calls


@pytest.mark.parametrize(
    ("status", "active"),
    [("running 0", "active"), ("restarting 3", "activating"), ("exited 1", "inactive"), ("dead 1", "failed"), ("paused 0", "paused")],
)
def test_a_containers_state_in_systemds_words(tmp_path, status, active):
    run, _ = docker({"inspect": (0, f"{status}\n", "")})
    state = service.Compose("thing", str(tmp_path), run).state()
    assert (state["LoadState"], state["ActiveState"], state["UnitFileState"]) == ("loaded", active, "static")
    assert state["SubState"].startswith(status.split()[0])


def test_a_container_that_is_not_there(tmp_path):
    run, _ = docker({"inspect": (1, "", "No such container")})
    project = service.Compose("thing", str(tmp_path), run)
    assert project.state()["LoadState"] == "not-found"
    (tmp_path / "compose.yaml").touch()
    assert project.state() == {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "no container", "UnitFileState": "static"}


def test_a_restart_makes_the_container_anew_and_says_what_docker_said(tmp_path):
    run, calls = docker({})
    project = service.Compose("thing", str(tmp_path), run)
    project.reload_units()
    project.enable()
    assert project.restart() is None
    assert calls == [
        ["docker", "compose", "--project-directory", str(tmp_path), "--file", str(tmp_path / "compose.yaml")]
        + ["up", "--detach", "--force-recreate", "--remove-orphans", "--no-build"]
    ]
    assert service.Compose("thing", str(tmp_path), docker({"up": (1, "", "no such image")})[0]).restart() == "no such image"
    assert service.Compose("thing", str(tmp_path), docker({"up": (17, "", "")})[0]).restart() == "docker compose up ended with 17"

    def missing(words, **_options):
        raise FileNotFoundError("docker")

    assert service.Compose("thing", str(tmp_path), missing).restart() == "docker compose: docker"


def test_the_journal_of_a_container(tmp_path):
    run, calls = docker({"journalctl": (0, "text", "")})
    assert service.Compose("thing", str(tmp_path), run).journal() == "text"
    assert calls[0][:2] == ["journalctl", "CONTAINER_NAME=edgestack-thing"]


def test_a_project_that_does_not_become_healthy_is_taken_back(tmp_path):
    run, calls = docker({"inspect": (0, "running 0", "")})
    project, remembered = service.Compose("thing", str(tmp_path), run), record.Record(str(tmp_path / "state"), "thing")
    path = tmp_path / "compose.yaml"
    converge.converge(remembered, project, service.Health(), [], [wanted(path, "old")], wait=lambda *_: None)
    problems = iter(["no answer", None])
    with pytest.raises(converge.ConvergeError) as caught:
        converge.converge(remembered, project, service.Health(), [], [wanted(path, "new")], wait=lambda *_: next(problems))
    assert caught.value.details["rolled_back"] is True and path.read_text() == "old"
    assert sum("up" in call for call in calls) == 3


def test_a_validator_in_a_container_sees_the_staged_file(tmp_path, monkeypatch):
    run, calls = docker({"docker": (1, "", "line 3: what is this")})
    monkeypatch.setattr(fileset.subprocess, "run", run)
    image = fileset.Image("thing:1", "1000:1000", str(tmp_path), at="/opt/thing.conf")
    file = wanted(tmp_path / "thing.conf", "odd", validate="thing check %s", image=image)
    with pytest.raises(fileset.FileSetError, match="line 3"):
        fileset.stage(fileset.compare([file]))
    staged = str(tmp_path / ".thing.conf.edgestack-new")
    assert f"--volume={staged}:/opt/thing.conf:ro" in calls[0] and "--network=none" in calls[0]
    assert calls[0][-4:] == ["--entrypoint=thing", "thing:1", "check", staged]
    assert os.listdir(tmp_path) == []
