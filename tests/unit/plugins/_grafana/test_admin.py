# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import http.server
import subprocess
import threading

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._grafana import admin

PASSWORD = "Wanted-pass-1"
SERVER = admin.Server("http://127.0.0.1:1")


class Grafana:
    """Statuses that Grafana answers one after the other, and what was done to it."""

    def __init__(self, *statuses, locked=False):
        self.statuses, self.is_locked = list(statuses), locked
        self.asked, self.set = 0, []

    def ensure(self, check=False):
        return admin.ensure(SERVER, PASSWORD, check, ask=self.ask, is_locked=lambda _server, since: self.is_locked,
                            set_password=lambda _server, password: self.set.append(password))

    def ask(self, _server, password):
        assert password == PASSWORD
        self.asked += 1
        return self.statuses.pop(0)


def test_the_right_password_costs_one_sign_in():
    grafana = Grafana(200)
    assert grafana.ensure() is False
    assert (grafana.asked, grafana.set) == (1, [])


def test_a_wrong_one_is_set_and_tried():
    grafana = Grafana(401, 200)
    assert grafana.ensure() is True
    assert (grafana.asked, grafana.set) == (2, [PASSWORD])


def test_check_mode_asks_once_and_sets_nothing():
    grafana = Grafana(401)
    assert grafana.ensure(check=True) is True
    assert (grafana.asked, grafana.set) == (1, [])


@pytest.mark.parametrize("check", [False, True])
def test_a_locked_user_is_left_alone(check):
    grafana = Grafana(401, locked=True)
    with pytest.raises(admin.AdminError, match="locked 'admin' after five wrong passwords"):
        grafana.ensure(check)
    assert (grafana.asked, grafana.set) == (1, [])


def test_still_refused_after_it_was_set():
    with pytest.raises(admin.AdminError, match=r"was set, but Grafana answers 401.*wait five minutes"):
        Grafana(401, 401).ensure()


def test_another_answer_is_not_taken_for_a_wrong_password():
    grafana = Grafana(503)
    with pytest.raises(admin.AdminError, match="answered 503"):
        grafana.ensure()
    assert grafana.set == []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        self.send_response(200 if (self.path, self.headers["Authorization"]) == ("/base/api/org", wanted) else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_sign_in(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        server = admin.Server(f"http://127.0.0.1:{running.server_port}/base")
        assert admin.sign_in(server, PASSWORD) == 200
        assert admin.sign_in(server, "another") == 401
        # A server that speaks no TLS
        with pytest.raises(admin.AdminError) as caught:
            admin.sign_in(admin.Server(f"https://127.0.0.1:{running.server_port}"), PASSWORD)
        running.shutdown()
    assert PASSWORD not in str(caught.value)
    with pytest.raises(admin.AdminError, match=r"Is grafana-server\.service running"):
        admin.sign_in(server, PASSWORD)
    with pytest.raises(admin.AdminError):
        admin.sign_in(admin.Server("https://127.0.0.1:1", ca_file=str(tmp_path / "none")), PASSWORD)


def runs(*outputs, status=0):
    """A subprocess.run that gives these outputs in turn; the last one stays."""
    calls = []
    left = list(outputs)

    def run(words, **options):
        calls.append((words, options))
        return subprocess.CompletedProcess(words, status, left.pop(0) if len(left) > 1 else left[0], "")

    return run, calls


def test_the_journal_tells_a_locked_user():
    line = 'level=warn msg="Failed to authenticate request" error="[login-attempt.blocked] too many consecutive incorrect login attempts'
    run, calls = runs("", line)
    pauses = []
    assert admin.locked(SERVER, 1700000000.7, run, pauses.append) is True
    assert len(pauses) == 1 and "--since=@1700000000" in calls[0][0] and "--unit=grafana-server.service" in calls[0][0]


def test_the_journal_tells_a_wrong_password_or_nothing():
    pauses = []
    run, calls = runs('msg="Failed to authenticate request" error="[password-auth.failed] invalid password"')
    assert admin.locked(SERVER, 0, run, pauses.append) is False and pauses == [] and len(calls) == 1
    run, calls = runs("")
    assert admin.locked(SERVER, 0, run, pauses.append) is False and len(pauses) == 4 and len(calls) == 5


def test_the_password_goes_through_a_pipe():
    run, calls = runs("Admin password changed successfully")
    admin.reset(SERVER, PASSWORD, run)
    words, options = calls[0]
    assert words[:4] == ["runuser", "-u", "grafana", "--"] and words[-3:] == ["admin", "reset-admin-password", "--password-from-stdin"]
    assert PASSWORD not in " ".join(words) and options["input"] == f"{PASSWORD}\n" and "env" not in options


def test_what_the_client_says_is_told_without_the_password():
    run, _ = runs(f"cannot set {PASSWORD}", status=1)
    with pytest.raises(admin.AdminError, match=r"ended with 1 and said: cannot set \*+$"):
        admin.reset(SERVER, PASSWORD, run)


def test_in_a_container_client_and_journal_are_its_own():
    server = admin.Server("https://h:3000", container="edgestack-grafana", program="/usr/share/grafana/bin/grafana")
    run, calls = runs("ok")
    admin.reset(server, PASSWORD, run)
    assert calls[0][0][:5] == ["docker", "exec", "--interactive", "edgestack-grafana", "/usr/share/grafana/bin/grafana"]
    assert PASSWORD not in " ".join(calls[0][0])
    run, calls = runs('msg="Failed to authenticate request"')
    assert admin.locked(server, 0, run, lambda _: None) is False and "CONTAINER_NAME=edgestack-grafana" in calls[0][0]
