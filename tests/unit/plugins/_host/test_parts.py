# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._component import fileset
from ansible_collections.edgestack.iot.plugins.module_utils._host import guard, parts

ME = str(os.getuid())
MY_GROUP = str(os.getgid())


class World:
    """A host of which only the files are real: it notes what is run, and refuses what a test says."""

    def __init__(self, tmp_path, monkeypatch):
        self.path = tmp_path
        self.ran = []
        self.refuse = set()
        monkeypatch.setattr(guard, "UNIT", str(tmp_path / "edgestack-guard.service"))
        self.host = parts.Host(str(tmp_path / "state"), str(tmp_path / "guard"), run=self.run)

    def run(self, words, **options):
        if words[0] == "/bin/sh":
            # The script that takes a change back is the real one; the commands in it note themselves as well.
            return subprocess.run(words, **options)
        self.ran.append(" ".join(words))
        refused = any(self.ran[-1].startswith(one) for one in self.refuse)
        return subprocess.CompletedProcess(words, 1 if refused else 0, "", "no, thank you" if refused else "")

    def part(self, text="one", name="thing", **options):
        file = fileset.WantedFile(str(self.path / "etc" / "thing.conf"), text.encode(), ME, MY_GROUP, 0o640, validate=options.pop("validate", None))
        return parts.Part(name, (file,) if text else (), options.pop("apply", ("use it",)), **options)

    def text(self):
        try:
            return (self.path / "etc" / "thing.conf").read_text()
        except FileNotFoundError:
            return None


@pytest.fixture
def world(tmp_path, monkeypatch):
    # Guard's default argument was read when the class was made.
    monkeypatch.setattr(guard.Guard.__init__, "__defaults__", (str(tmp_path / "guard"), str(tmp_path / "edgestack-guard.service"), subprocess.run))
    return World(tmp_path, monkeypatch)


def test_a_part_is_brought_once(world):
    predicted = world.host.bring(world.part(), check=True)
    assert predicted.changed and world.text() is None and world.ran == []
    done = world.host.bring(world.part())
    assert (done.changed_files, done.applied, done.diff) == (predicted.changed_files, True, predicted.diff)
    assert world.text() == "one" and world.ran == ["use it"]
    assert not world.host.bring(world.part()).changed and world.ran == ["use it"]


def test_commands_run_again_when_they_differ_or_were_interrupted(world):
    world.host.bring(world.part())
    assert world.host.bring(world.part(apply=("use it well",))).applied
    assert world.ran == ["use it", "use it well"]
    # Killed between the file and the record: the file is there, the record is not.
    world.host._record("thing").forget()
    assert world.host.bring(world.part(apply=("use it well",))).applied and world.ran[-1] == "use it well"


def test_drift_is_mended(world):
    world.host.bring(world.part())
    (world.path / "etc" / "thing.conf").write_text("someone else's")
    assert world.host.bring(world.part()).changed_files == [str(world.path / "etc" / "thing.conf")]
    assert world.text() == "one"


def test_a_command_that_fails_takes_the_change_back(world):
    world.host.bring(world.part())
    world.refuse.add("use two")
    with pytest.raises(parts.PartError, match="'use two' ended with 1: no, thank you. What was there before was put back; the host does not take it"):
        world.host.bring(world.part("two", apply=("use two",)))
    assert world.text() == "one"
    assert not world.host.bring(world.part()).changed
    # What the host had before is used again by the same commands.
    world.refuse = {"use it only"}
    world.ran.clear()
    with pytest.raises(parts.PartError):
        world.host.bring(world.part("two", apply=("reload", "use it only")))
    assert world.ran == ["reload", "use it only", "reload", "use it only"]


def test_a_first_set_that_fails_leaves_nothing(world):
    world.refuse.add("use it")
    with pytest.raises(parts.PartError, match="the host uses it again"):
        world.host.bring(world.part(undo=("stop it",), removed=("forget it",)))
    assert world.text() is None and world.ran == ["use it", "stop it", "forget it"]
    assert os.listdir(world.path / "etc") == []


def test_a_command_that_does_not_exist(world, monkeypatch):
    monkeypatch.setattr(world, "run", None)
    world.host._run = subprocess.run
    with pytest.raises(parts.PartError, match="could not be run"):
        world.host.bring(world.part(apply=("/nowhere/at-all",)))


def test_a_file_that_is_refused_changes_nothing(world):
    with pytest.raises(fileset.FileSetError, match="nothing was changed"):
        world.host.bring(world.part(validate="false %s", guard=60))
    assert world.text() is None and world.ran == [] and not os.path.exists(world.path / "guard" / "thing")


def test_a_part_is_taken_away(world):
    gone = world.part("", undo=("stop it",), removed=("forget it",))
    assert not world.host.bring(gone).changed
    world.host.bring(world.part())
    world.ran.clear()
    assert world.host.bring(gone, check=True).changed and world.text() == "one"
    assert world.host.bring(gone).changed and world.text() is None and world.ran == ["stop it", "forget it"]
    assert not world.host.bring(gone).changed


def test_a_guarded_change_stays_when_it_is_confirmed(world):
    part = world.part(guard=60)
    outcome = world.host.bring(part)
    assert outcome.pending and world.text() == "one"
    started = next(one for one in world.ran if one.startswith("systemd-run"))
    assert "--on-active=60s" in started and started.endswith(str(world.path / "guard" / "thing" / "revert"))
    assert world.ran.index(started) < world.ran.index("use it")
    assert "WantedBy=sysinit.target" in (world.path / "edgestack-guard.service").read_text()
    world.host.confirm(part)
    assert "systemctl stop edgestack-guard-thing.timer" in world.ran
    assert os.listdir(world.path / "guard") == []
    assert not world.host.bring(part).changed


def test_a_guarded_change_takes_itself_back(world):
    """The script is run as the timer would, without Python."""
    marks = world.path / "marks"
    first = world.part(apply=(f"touch {marks}",), guard=60)
    world.host.bring(first)
    world.host.confirm(first)
    part = world.part("two", apply=(f"touch {marks}",), guard=60)
    world.host.bring(part)
    assert world.text() == "two"
    subprocess.run(["/bin/sh", world.path / "guard" / "thing" / "revert"], check=True)
    assert world.text() == "one" and marks.exists() and os.listdir(world.path / "guard") == []
    with pytest.raises(guard.GuardError, match="too late"):
        world.host.confirm(part)
    # It is tried again.
    assert world.host.bring(part).pending


def test_a_first_guarded_change_takes_itself_back_to_nothing(world):
    before, after = world.path / "before", world.path / "after"
    world.host.bring(world.part(guard=60, undo=(f"touch {before}",), removed=(f"touch '{after} it'",)))
    subprocess.run(["/bin/sh", world.path / "guard" / "thing" / "revert"], check=True)
    assert world.text() is None and before.exists() and (world.path / "after it").exists()


def test_at_boot_the_files_alone_are_put_back(world):
    mark = world.path / "mark"
    world.host.bring(world.part(guard=60, removed=(f"touch {mark}",)))
    subprocess.run(["/bin/sh", world.path / "guard" / "thing" / "revert", "boot"], check=True)
    assert world.text() is None and not mark.exists()


def test_an_interrupted_taking_back_is_finished_by_the_next_run(world):
    part = world.part("two", guard=60)
    world.host.bring(part)
    os.rename(world.path / "guard" / "thing", world.path / "guard" / "thing.reverting")
    assert world.host.bring(part).pending
    assert world.text() == "two" and sorted(os.listdir(world.path / "guard")) == ["thing"]


def test_a_guarded_command_that_fails_is_taken_back_at_once(world):
    world.refuse.add("use it")
    with pytest.raises(parts.PartError, match="What was there before was put back"):
        world.host.bring(world.part(guard=60))
    assert world.text() is None and os.listdir(world.path / "guard") == []


@pytest.mark.parametrize("refused, said", [("systemd-run", "systemd-run: no, thank you"), ("systemctl enable", "systemctl enable: no, thank you")])
def test_without_protection_nothing_is_changed(world, refused, said):
    world.refuse.add(refused)
    with pytest.raises(guard.GuardError, match=f"cannot be protected against a lock-out .{said}.; nothing was changed"):
        world.host.bring(world.part(guard=60))
    assert world.text() is None and os.listdir(world.path / "guard") == []
    assert not list((world.path / "etc").glob(".*"))


def test_a_script_that_cannot_finish_is_said(world):
    world.host.bring(world.part(guard=60))
    (world.path / "guard" / "thing" / "revert").write_text("echo cannot >&2\nmv $(dirname $0) $(dirname $0).reverting\nexit 3\n")
    with pytest.raises(guard.GuardError, match="ended with 3: cannot"):
        world.host.bring(world.part(guard=60))


def test_a_link_is_put_back_as_a_link(world):
    (world.path / "etc").mkdir()
    (world.path / "elsewhere").write_text("mine")
    (world.path / "etc" / "thing.conf").symlink_to("../elsewhere")
    world.host.bring(world.part(guard=60))
    assert world.text() == "one"
    world.host.guard("thing").take_back()
    assert (world.path / "etc" / "thing.conf").is_symlink() and world.text() == "mine"
