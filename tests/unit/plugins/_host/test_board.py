# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

from ansible_collections.edgestack.iot.plugins.module_utils._host import board


def tree(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def scripted(answers):
    def run(words, **_options):
        code, text = answers.get(words[0], (127, ""))
        return subprocess.CompletedProcess(words, code, text, "")

    return run


def test_a_pi(tmp_path):
    tree(tmp_path, {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nbroken\n",
        "proc/swaps": "Filename Type Size Used Priority\n/var/swap file 102396 0 -2\n",
        "proc/sys/vm/dirty_expire_centisecs": "3000",
        "boot/firmware/cmdline.txt": "root=/dev/x\n",
        "dev/watchdog0": "",
        "sys/class/leds/PWR/trigger": "[default-on]",
        "sys/class/leds/ACT/trigger": "none [mmc0]",
        "run/udev/control": "",
        "etc/ssh/sshd_config": "# x\nInclude /etc/ssh/sshd_config.d/*.conf\n",
        "etc/systemd/system/tmp.mount": "# Managed by edgestack.iot\n",
        "etc/systemd/system/edgestack-mine.service": "# mine\n",
        "etc/group": "root:x:0:\ni2c:x:998:\nbroken\n",
    })  # fmt: skip
    found = board.look(str(tmp_path), scripted({"systemd-detect-virt": (1, "none\n"), "sshd": (0, "port 22\nport 2222\nusepam yes\n")}))
    assert found == {
        "model": "Raspberry Pi 4 Model B Rev 1.4", "container": "", "boot_directory": str(tmp_path / "boot/firmware"), "watchdog": True,
        "leds": ["ACT", "PWR"], "rtc": False, "kernel_settings": True, "root_type": "ext4", "tmp_in_memory": True, "swaps": ["/var/swap"], "udev": True,
        "ssh_ports": [22, 2222], "ssh_includes": True, "groups": ["i2c", "root"], "ours": ["/etc/systemd/system/tmp.mount"],
    }  # fmt: skip


def test_a_bare_container(tmp_path):
    def run(words, **_options):
        if words[0] == "sshd":
            raise FileNotFoundError(words[0])
        return subprocess.CompletedProcess(words, 0, "docker\n", "")

    found = board.look(str(tmp_path), run)
    assert found["container"] == "docker" and found["boot_directory"] == "" and found["ssh_ports"] == [] and found["model"] == ""
    absent = ("watchdog", "leds", "rtc", "kernel_settings", "root_type", "tmp_in_memory", "swaps", "udev", "ssh_includes", "groups", "ours")
    assert not any(found[name] for name in absent)
