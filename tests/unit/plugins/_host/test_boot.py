# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._host import boot

# As Raspberry Pi OS 12 has it.
LINE = "console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet\n"
WORDS = ["cgroup_enable=memory", "cgroup_memory=1"]
CONFIG = "dtparam=audio=on\n[cm4]\notg_mode=1\n\n[all]\n"


def test_words_are_added_to_the_one_line():
    new = boot.command_line(LINE, WORDS)
    assert new == LINE.rstrip() + " cgroup_enable=memory cgroup_memory=1\n"
    assert boot.command_line(new, WORDS) == new


def test_what_is_there_stays():
    assert boot.command_line(LINE.replace("quiet", "cgroup_memory=1 quiet"), WORDS).split().count("cgroup_memory=1") == 1
    # The firmware puts cgroup_disable=memory before all of this; several cgroup_enable stand beside one another.
    assert "cgroup_enable=cpuset" in boot.command_line(LINE.rstrip() + " cgroup_enable=cpuset", WORDS)
    # A line without an end, or with empty ones after it, is one line too.
    assert boot.command_line(LINE.rstrip() + "\n\n", ["quiet"]) == LINE.rstrip() + "\n\n"
    assert boot.command_line(LINE.rstrip(), WORDS).count("\n") == 1


@pytest.mark.parametrize(
    "text, words, said",
    [("", WORDS, "0 lines"), (LINE + "more\n", WORDS, "2 lines"), ("quiet\n", WORDS, "no root="), (LINE, ["a b"], "no words"), (LINE, ["a\nb"], "no words")],
)
def test_a_bad_line_is_refused(text, words, said):
    with pytest.raises(boot.BootError, match=said):
        boot.command_line(text, words)


def test_the_block_of_config_txt():
    new = boot.config(CONFIG, ["dtoverlay=w1-gpio", "dtparam=i2c_arm=on"])
    assert new == CONFIG + f"{boot.BEGIN}\n[all]\ndtoverlay=w1-gpio\ndtparam=i2c_arm=on\n{boot.END}\n"
    assert boot.config(new, ["dtoverlay=w1-gpio", "dtparam=i2c_arm=on"]) == new
    assert boot.config(new, ["dtparam=i2c_arm=on"]) == CONFIG + f"{boot.BEGIN}\n[all]\ndtparam=i2c_arm=on\n{boot.END}\n"
    assert boot.config(new, []) == CONFIG and boot.config(CONFIG, []) == CONFIG
    # What someone has written after it stays there.
    assert boot.config(new + "gpu_mem=16\n", []) == CONFIG + "gpu_mem=16\n"


def test_what_is_said_for_all_models_is_not_said_again():
    assert boot.config(CONFIG, ["dtparam=audio=on"]) == CONFIG
    # For one model it is.
    assert "dtparam=spi=on" in boot.config("[pi5]\ndtparam=spi=on\n", ["dtparam=spi=on"]).partition(boot.BEGIN)[2]
    assert boot.config("", ["gpio=17=ip,pu"]).startswith(boot.BEGIN)


@pytest.mark.parametrize("text", [boot.BEGIN, boot.END, f"{boot.END}\n{boot.BEGIN}\n", f"{boot.BEGIN}\n{boot.BEGIN}\n{boot.END}\n{boot.END}"])
def test_a_broken_block_is_refused(text):
    with pytest.raises(boot.BootError, match="broken block"):
        boot.config(text, [])


@pytest.mark.parametrize("line", ["kernel=evil.img", "dtparam=a b", "[pi4]", "dtoverlay=x\nkernel=y", ""])
def test_other_lines_of_config_txt_are_refused(line):
    with pytest.raises(boot.BootError, match="no lines of config.txt"):
        boot.config(CONFIG, [line])


@pytest.fixture
def card(tmp_path):
    place = tmp_path / "firmware"
    place.mkdir()
    (place / "cmdline.txt").write_text(LINE)
    (place / "config.txt").write_text(CONFIG)
    return place


def test_both_files_are_brought(card, tmp_path):
    state = str(tmp_path / "state" / "boot.json")

    def bring(check=False, start="first"):
        return boot.bring(str(card), WORDS, ["dtoverlay=w1-gpio"], check, state, lambda: start)

    predicted = bring(check=True)
    assert predicted.reboot and (card / "cmdline.txt").read_text() == LINE and len(os.listdir(card)) == 2
    done = bring()
    assert done == predicted and [os.path.basename(path) for path in done.changed_files] == ["cmdline.txt", "config.txt"]
    assert (card / ("cmdline.txt" + boot.BACKUP)).read_text() == LINE
    again = bring()
    assert again.changed_files == [] and again.reboot
    assert bring(start="second").reboot == ""
    # A second change leaves the first version beside it.
    boot.bring(str(card), [*WORDS, "quiet2"], [], False, state, lambda: "second")
    assert (card / ("cmdline.txt" + boot.BACKUP)).read_text() == LINE and (card / "config.txt").read_text() == CONFIG


def test_a_refused_file_changes_neither(card, tmp_path):
    (card / "config.txt").write_text(boot.BEGIN)
    with pytest.raises(boot.BootError, match=r"config.txt: .*nothing was changed"):
        boot.bring(str(card), WORDS, [], False, str(tmp_path / "state.json"), lambda: "x")
    assert (card / "cmdline.txt").read_text() == LINE


def test_missing_and_unreadable_files(card, tmp_path):
    (card / "config.txt").unlink()
    state = str(tmp_path / "boot.json")
    assert len(boot.bring(str(card), WORDS, [], False, state, lambda: "x").changed_files) == 1
    with pytest.raises(boot.BootError, match="there is no"):
        boot.bring(str(card), WORDS, ["dtparam=spi=on"], False, state, lambda: "x")
    (card / "cmdline.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(boot.BootError, match="cannot read"):
        boot.bring(str(card), WORDS, [], False, state, lambda: "x")


def test_a_full_card_leaves_the_file(card, tmp_path, monkeypatch):
    monkeypatch.setattr(boot.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device", "cmdline.txt")))
    with pytest.raises(boot.BootError, match="is as it was"):
        boot.bring(str(card), WORDS, [], False, str(tmp_path / "boot.json"), lambda: "x")
    assert (card / "cmdline.txt").read_text() == LINE


def test_where_the_files_are(card, tmp_path):
    assert boot.directory([str(tmp_path / "nowhere"), str(card)]) == str(card)
    assert boot.directory([str(tmp_path / "nowhere")]) == ""
    assert len(boot.boot_id()) == 36
