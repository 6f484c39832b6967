# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's base image: a small Debian with systemd and sshd, as a server or a Pi has them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import emulation
from common import LabError, artefact, digest_of, need, output, run, step
from engine import docker

REPOSITORY = "edgestack-lab"
# An armhf host is there to be refused: what a look at it needs, of the release itself, is enough.
REFUSED = "armhf"
INCLUDE_REFUSED = ("systemd", "systemd-sysv", "dbus", "python3", "iproute2", "openssh-server")
INCLUDE = (*INCLUDE_REFUSED, "python3-apt", "ca-certificates", "procps", "sudo", "gnupg")
# Keys that are there are not made: under emulation that takes longer than anything else. CUSTOMIZE takes them away.
NO_HOST_KEYS = 'mkdir -p "$1/etc/ssh" && for kind in rsa ecdsa ed25519; do touch "$1/etc/ssh/ssh_host_${kind}_key"; done'
# Run inside the new root. No apt source stays: only a bundle serves the lab's hosts. Host keys are each
# host's own and come when it is created. dpkg need not sync to a disk that is thrown away. Some engines give
# a host a default route on a network that leads nowhere: without it, what goes outside fails at once.
CUSTOMIZE = """
set -e
cat > /etc/systemd/system/lab-network.service <<'END'
[Unit]
Description=No default route: the lab leads nowhere
DefaultDependencies=no
Before=network.target ssh.service
[Service]
Type=oneshot
ExecStart=-/sbin/ip route del default
[Install]
WantedBy=sysinit.target
END
systemctl enable lab-network.service
rm -f /etc/ssh/ssh_host_* /etc/apt/sources.list /etc/apt/sources.list.d/*
printf 'PermitRootLogin prohibit-password\\nPasswordAuthentication no\\nUseDNS no\\nMaxStartups 100\\n' \
    > /etc/ssh/sshd_config.d/lab.conf
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/lab
mkdir -m 0700 -p /root/.ssh
systemctl enable ssh.service
systemctl mask getty.target console-getty.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-timesyncd.service systemd-networkd-wait-online.service >/dev/null 2>&1
systemctl set-default multi-user.target
rm -f /etc/machine-id && : > /etc/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log
"""

# What QEMU's emulation of user programs cannot do, so that what it can is what a Pi does. systemd hands credentials to a unit by a
# mount that QEMU does not know (nothing is handed to these). MariaDB reserves 8 TiB of addresses, for each page of which QEMU keeps a
# record; under it that is all the memory there is.
EMULATED = """
mkdir -p /etc/mysql/mariadb.conf.d
printf '[mariadbd]\\nloose-innodb-buffer-pool-size-max = 128M\\n' > /etc/mysql/mariadb.conf.d/99-lab.cnf
for unit in systemd-sysctl systemd-sysusers systemd-tmpfiles-clean systemd-tmpfiles-setup systemd-tmpfiles-setup-dev; do
    mkdir -p /etc/systemd/system/$unit.service.d
    printf '[Service]\\nLoadCredential=\\n' > /etc/systemd/system/$unit.service.d/lab.conf
done
"""


def digest(release: str, architecture: str) -> str:
    return digest_of("base", 2, release, architecture, include(architecture), customize(architecture), mirror())


def include(architecture: str) -> tuple[str, ...]:
    return INCLUDE_REFUSED if architecture == REFUSED else INCLUDE


def customize(architecture: str) -> str:
    return CUSTOMIZE if architecture == emulation.native() else CUSTOMIZE + EMULATED


def mirror() -> str:
    """Where Debian's packages come from: what LAB_DEBIAN_MIRROR says, else where apt gets them on this machine."""
    given = os.environ.get("LAB_DEBIAN_MIRROR")
    if given:
        return given
    known = output(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages"], check=False)
    for address in known.split():
        if re.fullmatch(r"https?://\S+/debian/?", address):
            return address.rstrip("/")
    raise LabError("apt has no Debian mirror here: set LAB_DEBIAN_MIRROR to the address of one")


def root(release: str = "bookworm", architecture: str = "amd64") -> Path:
    """The directory with base.tar and the base's dpkg status."""

    def make(place: Path) -> None:
        need({"mmdebstrap": "mmdebstrap"}, "the base image")
        if architecture != emulation.native():
            need({"arch-test": "arch-test"}, f"the base image for {architecture}")
            emulation.ensure(architecture)
        tar, status = place / "base.tar", place / "status"
        command: list[str | Path] = [
            "mmdebstrap", "--variant=minbase", f"--architectures={architecture}", f"--include={','.join(include(architecture))}",
            "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright", "--dpkgopt=path-exclude=/usr/share/locale/*",
            f"--essential-hook={NO_HOST_KEYS}",
            f'--customize-hook=chroot "$1" sh -c {_quoted(customize(architecture))}',
            f"--customize-hook=download /var/lib/dpkg/status {status}",
            release, tar, mirror(),
        ]
        if release != "sid" and architecture != REFUSED:
            command.append(f"deb {mirror()} {release}-updates main")
            command.append(f"deb {mirror()}-security {release}-security main")
        run(command, log=f"base-{release}-{architecture}", timeout=1800)

    return artefact(f"base-{release}-{architecture}", digest(release, architecture), make)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def image(release: str = "bookworm", architecture: str = "amd64") -> str:
    """The image's name; imported when the engine does not have it."""
    name = f"{REPOSITORY}/base:{release}-{architecture}-{digest(release, architecture)[:12]}"
    if not docker("image", "inspect", "--format", "{{.Id}}", name, check=False):
        tar = root(release, architecture) / "base.tar"
        with step(f"importing {name}"):
            docker("import", "--platform", f"linux/{architecture}", "--change", 'CMD ["/lib/systemd/systemd"]',
                   "--change", "ENV container=docker", tar, name, timeout=300)
    return name


def remove_images() -> None:
    names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", check=False)
    for name in (name for name in names.split() if name.startswith(f"{REPOSITORY}/")):
        docker("image", "rm", "--force", name)
