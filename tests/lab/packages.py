# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages in the vendors' layout: same names, users, files, units and maintainer scripts' effects.

Telegraf's and InfluxDB's scripts and units are the vendor's own, out of the release's source. EMQX's and
Grafana's are ours and do what the vendors' do, around the stand-ins.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import programs
import versions
from common import artefact, digest_of, need, run

TEMPLATES = Path(__file__).resolve().parent / "deb"
MAINTAINER = "edgestack.iot contributors (lab) <lab@iot.internal>"
FORMAT = 1


class Tree:
    """A package in the making."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        (self.root / "DEBIAN").mkdir(parents=True, mode=0o755)

    def file(self, path: str, source: Path | str, mode: int = 0o644) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        if isinstance(source, Path):
            shutil.copyfile(source, target)
        else:
            target.write_text(source)
        target.chmod(mode)

    def directory(self, path: str, mode: int = 0o755) -> None:
        target = self.root / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)

    def script(self, name: str, source: Path) -> None:
        self.file(f"/DEBIAN/{name}", source, 0o755)

    def configuration(self, *paths: str) -> None:
        self.file("/DEBIAN/conffiles", "".join(f"{path}\n" for path in paths))

    def build(self, place: Path, fields: dict[str, str]) -> None:
        for path in self.root.rglob("*"):
            if path.is_dir() and path != self.root / "DEBIAN":
                path.chmod(path.stat().st_mode | 0o755)
        size = sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file()) // 1024
        fields = {**fields, "Installed-Size": str(size)}
        self.file("/DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in fields.items()))
        name = f"{fields['Package']}_{fields['Version']}_{fields['Architecture']}.deb"
        # gzip at its fastest: these are installed in a moment and thrown away, and every dpkg reads them.
        run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", self.root, place / name],
            log="packages", env={"SOURCE_DATE_EPOCH": "1767225600"})
        shutil.rmtree(self.root)


def _fields(package: str, version: str, architecture: str, description: str, **more: str) -> dict[str, str]:
    return {"Package": package, "Version": version, "Architecture": architecture, "Maintainer": MAINTAINER,
            "Section": "net", "Priority": "optional", **more, "Description": description}


def telegraf(architecture: str = "amd64") -> Path:
    built = programs.telegraf(architecture)

    def make(place: Path) -> None:
        need({"dpkg-deb": "dpkg"}, "the lab's packages")
        vendor = built / "vendor"
        tree = Tree(place)
        tree.file("/usr/bin/telegraf", built / "telegraf", 0o755)
        # The vendor's sample has every plugin; this build has some, so the sample is theirs only in what it does.
        tree.file("/etc/telegraf/telegraf.conf.sample", TEMPLATES / "telegraf" / "telegraf.conf.sample")
        tree.directory("/etc/telegraf/telegraf.d")
        tree.directory("/var/log/telegraf")
        tree.file("/etc/logrotate.d/telegraf", vendor / "etc" / "logrotate.d" / "telegraf")
        tree.file("/usr/lib/telegraf/scripts/telegraf.service", vendor / "scripts" / "telegraf.service")
        tree.file("/usr/lib/telegraf/scripts/init.sh", vendor / "scripts" / "init.sh")
        tree.file("/usr/share/doc/telegraf/copyright", vendor / "LICENSE")
        tree.configuration("/etc/telegraf/telegraf.conf.sample", "/etc/logrotate.d/telegraf")
        for name in ("pre-install", "post-install", "pre-remove", "post-remove"):
            kind, _, when = name.partition("-")
            tree.script(f"{kind}{'inst' if when == 'install' else 'rm'}", vendor / "scripts" / "deb" / f"{name}.sh")
        tree.build(place, _fields(
            "telegraf", f"{versions.TELEGRAF}-1", architecture,
            "Plugin-driven server agent for reporting metrics into InfluxDB.\n"
            " Built by the lab from the release's source, with the plugins that the collection uses.",
        ))

    return artefact(f"deb-telegraf-{architecture}", digest_of(FORMAT, TEMPLATES / "telegraf", _made(built)), make)


def influxdb() -> Path:
    built = programs.influxdb()

    def make(place: Path) -> None:
        need({"dpkg-deb": "dpkg"}, "the lab's packages")
        vendor = built / "vendor"
        tree = Tree(place)
        tree.file("/usr/bin/influxd", built / "influxd", 0o755)
        for source in sorted((vendor / "fs").rglob("*")):
            if source.is_file() and not source.name.startswith("."):
                path = "/" + str(source.relative_to(vendor / "fs"))
                tree.file(path, source, 0o755 if source.suffix == ".sh" else 0o644)
        tree.directory("/var/lib/influxdb")
        tree.directory("/var/log/influxdb")
        tree.configuration("/etc/logrotate.d/influxdb")
        control = vendor / "control"
        tree.script("preinst", control / "pre-install")
        tree.script("postinst", control / "post-install")
        tree.script("postrm", control / "post-uninstall")
        tree.build(place, _fields(
            "influxdb2", f"{versions.INFLUXDB}-1", "amd64",
            "Distributed time-series database.\n Built by the lab from the release's source, without the web interface.",
            Depends="curl", Recommends="influxdb2-cli", Conflicts="influxdb",
        ))
        tree = Tree(place)
        tree.file("/usr/bin/influx", built / "influx", 0o755)
        tree.build(place, _fields(
            "influxdb2-cli", f"{versions.INFLUX_CLI}-1", "amd64",
            "Command line client of InfluxDB 2.\n Built by the lab from the source that this influxd asks for.",
        ))

    return artefact("deb-influxdb-amd64", digest_of(FORMAT, _made(built)), make)


def emqx(architecture: str = "amd64") -> Path:
    built = programs.standin("emqx", versions.EMQX, architecture)

    def make(place: Path) -> None:
        need({"dpkg-deb": "dpkg"}, "the lab's packages")
        files = TEMPLATES / "emqx"
        tree = Tree(place)
        tree.file("/usr/lib/emqx/bin/emqx-standin", built / "emqx-standin", 0o755)
        # Vendor: shell scripts; /usr/bin/emqx and emqx_ctl are links to them that the postinst makes.
        tree.file("/usr/lib/emqx/bin/emqx", files / "emqx", 0o755)
        tree.file("/usr/lib/emqx/bin/emqx_ctl", files / "emqx_ctl", 0o755)
        for name in ("emqx.conf", "acl.conf", "base.hocon"):
            tree.file(f"/etc/emqx/{name}", files / name)
        tree.directory("/etc/emqx/certs")
        tree.directory("/var/lib/emqx")
        tree.directory("/var/log/emqx")
        tree.file("/lib/systemd/system/emqx.service", files / "emqx.service")
        tree.configuration("/etc/emqx/emqx.conf", "/etc/emqx/acl.conf", "/etc/emqx/base.hocon")
        tree.script("postinst", files / "postinst")
        tree.script("postrm", files / "postrm")
        tree.build(place, _fields(
            "emqx", versions.EMQX, architecture,
            "stand-in for EMQX, for tests\n"
            " This is not EMQX. It has the place of its package, files, ports and interface in a lab.",
            Depends="adduser, procps",
        ))

    return artefact(f"deb-emqx-{architecture}", digest_of(FORMAT, TEMPLATES / "emqx", _made(built)), make)


def grafana(architecture: str = "amd64") -> Path:
    built = programs.standin("grafana", versions.GRAFANA, architecture)

    def make(place: Path) -> None:
        need({"dpkg-deb": "dpkg"}, "the lab's packages")
        files = TEMPLATES / "grafana"
        tree = Tree(place)
        home = "/usr/share/grafana"
        tree.file(f"{home}/bin/grafana", built / "grafana-standin", 0o755)
        tree.file("/usr/sbin/grafana", files / "grafana", 0o755)
        tree.file("/usr/sbin/grafana-server", files / "grafana-server", 0o755)
        tree.file("/usr/sbin/grafana-cli", files / "grafana-cli", 0o755)
        for name in ("sample.ini", "defaults.ini", "ldap.toml"):
            tree.file(f"{home}/conf/{name}", files / "conf" / name)
        for name in ("access-control", "alerting", "dashboards", "datasources", "plugins"):
            tree.file(f"{home}/conf/provisioning/{name}/sample.yaml", files / "conf" / "provisioning.yaml")
        tree.file("/etc/default/grafana-server", files / "default")
        tree.file("/lib/systemd/system/grafana-server.service", files / "grafana-server.service")
        tree.configuration("/etc/default/grafana-server")
        tree.script("postinst", files / "postinst")
        tree.script("prerm", files / "prerm")
        tree.build(place, _fields(
            "grafana", versions.GRAFANA, architecture,
            "stand-in for Grafana, for tests\n"
            " This is not Grafana. It has the place of its package, files, ports and interface in a lab.",
            Depends="adduser",
        ))

    return artefact(f"deb-grafana-{architecture}", digest_of(FORMAT, TEMPLATES / "grafana", _made(built)), make)


def _made(place: Path) -> str:
    """The digest of an artefact's inputs stands for the artefact."""
    return (place / ".digest").read_text()
