# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images for the bundle, in the vendors' layout: same names, users, paths and programs, on a small Debian.

They are built from the lab's packages, so that a container runs exactly the program that the package method runs. On this machine's
engine they have names of the lab's own: only in the bundle's files are they called as the vendors' are.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import base
import bundle
import packages
import versions
from common import LabError, artefact, digest_of, need, run
from engine import docker

FORMAT = 3
RELEASE = "trixie"
# The vendors' images have curl, or their health checks something like it.
SMALL = ("ca-certificates", "curl")


@dataclass(frozen=True)
class Image:
    """An image of the bundle: the vendor's name for it, what it is built of, and what stands in its Dockerfile after FROM."""

    name: str
    origin: str  # registry | stand-in
    dockerfile: str
    # Debian packages in it; the same set is the same first layer.
    include: tuple[str, ...] = SMALL
    # Users that have to be there, with these numbers, before the packages make them.
    users: tuple[tuple[str, int], ...] = ()
    deb: Callable[[], list[Path]] = list
    release: str = RELEASE

    @property
    def file(self) -> str:
        return self.name.replace("/", "_").replace(":", "_")


def _one(make: Callable[[], Path]) -> Callable[[], list[Path]]:
    return lambda: sorted(make().glob("*.deb"))


IMAGES = (
    Image(f"telegraf:{versions.TELEGRAF}", "registry", """
RUN groupadd --system --gid 999 telegraf && useradd --system --uid 999 --gid telegraf --home-dir /etc/telegraf telegraf
COPY root/usr/bin/telegraf /usr/bin/telegraf
COPY root/etc/telegraf/telegraf.conf.sample /etc/telegraf/telegraf.conf
ENTRYPOINT ["telegraf"]
""", deb=_one(packages.telegraf)),
    Image(f"influxdb:{versions.INFLUXDB}", "registry", """
RUN groupadd --gid 1000 influxdb && useradd --uid 1000 --gid influxdb --home-dir /home/influxdb --create-home influxdb \\
    && install -d -o influxdb -g influxdb -m 0700 /var/lib/influxdb2 /etc/influxdb2
COPY root/usr/bin/influxd root/usr/bin/influx /usr/local/bin/
ENV INFLUXD_CONFIG_PATH=/etc/influxdb2
VOLUME ["/var/lib/influxdb2", "/etc/influxdb2"]
USER influxdb
CMD ["influxd"]
""", deb=_one(packages.influxdb)),
    Image(f"emqx/emqx:{versions.EMQX}", "stand-in", """
RUN groupadd --gid 1000 emqx && useradd --uid 1000 --gid emqx --home-dir /opt/emqx emqx
COPY root/usr/lib/emqx/bin /opt/emqx/bin
COPY root/etc/emqx /opt/emqx/etc
RUN install -d -o emqx -g emqx /opt/emqx/data /opt/emqx/log && chown -R emqx:emqx /opt/emqx && ln -s /opt/emqx/bin/* /usr/local/bin/
VOLUME ["/opt/emqx/log", "/opt/emqx/data"]
WORKDIR /opt/emqx
USER emqx
CMD ["/opt/emqx/bin/emqx", "foreground"]
""", deb=_one(packages.emqx)),
    Image(f"grafana/grafana:{versions.GRAFANA}", "stand-in", """
RUN useradd --system --uid 472 --gid root --home-dir /usr/share/grafana grafana
COPY root/usr/share/grafana /usr/share/grafana
RUN install -d -o grafana -g root -m 0777 /var/lib/grafana /var/lib/grafana/plugins /var/log/grafana \\
    && install -d -m 0755 /etc/grafana/provisioning && cp /usr/share/grafana/conf/sample.ini /etc/grafana/grafana.ini
ENV PATH=/usr/share/grafana/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    GF_PATHS_CONFIG=/etc/grafana/grafana.ini GF_PATHS_DATA=/var/lib/grafana GF_PATHS_HOME=/usr/share/grafana \\
    GF_PATHS_LOGS=/var/log/grafana GF_PATHS_PLUGINS=/var/lib/grafana/plugins GF_PATHS_PROVISIONING=/etc/grafana/provisioning
WORKDIR /usr/share/grafana
USER 472
ENTRYPOINT ["/usr/share/grafana/bin/grafana", "server", "--homepath=/usr/share/grafana"]
""", deb=_one(packages.grafana)),
    Image(f"mariadb:{versions.MARIADB}", "registry", """
RUN install -d -o mysql -g mysql /var/lib/mysql && install -d -o mysql -g mysql -m 0777 /run/mysqld
VOLUME ["/var/lib/mysql"]
CMD ["mariadbd"]
""", ("mariadb-server-core", "mariadb-client", "mariadb-common"), (("mysql", 999),)),
    # MySQL is in no release of Debian, only in what becomes one.
    Image(f"mysql:{versions.MYSQL}", "registry", """
RUN install -d -o mysql -g mysql /var/lib/mysql /var/lib/mysql-files && install -d -o mysql -g mysql -m 0777 /run/mysqld
VOLUME ["/var/lib/mysql"]
CMD ["mysqld"]
""", ("mysql-server-core", "mysql-client-core"), (("mysql", 999),), release="sid"),
    Image(f"python:{versions.PYTHON}", "registry", """
CMD ["python3"]
""", ("ca-certificates", "python3", "python3-venv")),
)


def _layer(image: Image) -> str:
    """The image with Debian's part, on this machine's engine; made when it is not there."""
    users = "".join(f"echo {name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin >> $1/etc/passwd; echo {name}:x:{number}: >> $1/etc/group;"
                    for name, number in image.users)
    digest = digest_of("layer", FORMAT, image.release, image.include, image.users, base.mirror())
    name = f"{base.REPOSITORY}/layer:{digest[:12]}"

    def make(place: Path) -> None:
        need({"mmdebstrap": "mmdebstrap"}, "the lab's images")
        command: list[str | Path] = [
            "mmdebstrap", "--variant=minbase", "--architectures=amd64", f"--include={','.join(image.include)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "doc", "locale", "info")),
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            *([f"--essential-hook={users}"] if users else []),
            '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*',
            image.release, place / "layer.tar", base.mirror(),
        ]
        if image.release == "sid":
            # A mirror of it may be some weeks behind; its signature counts all the same.
            command[1:1] = ["--aptopt=Acquire::Check-Valid-Until false"]
        else:
            command += [f"deb {base.mirror()} {image.release}-updates main", f"deb {base.mirror()}-security {image.release}-security main"]
        run(command, log=f"layer-{digest[:12]}", timeout=1800)

    tar = artefact(f"layer-{digest[:12]}", digest, make) / "layer.tar"
    if not docker("image", "inspect", "--format", "{{.Id}}", name, check=False):
        docker("import", "--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", tar, name, timeout=300)
    return name


def _digest(image: Image, debs: list[Path]) -> str:
    return digest_of("image", FORMAT, asdict(image) | {"deb": [deb.parent.joinpath(".digest").read_text() for deb in debs]}, base.mirror())


def archive(image: Image) -> tuple[Path, list[bundle.Package]]:
    """The tar that `docker load` takes."""
    debs = image.deb()

    def make(place: Path) -> None:
        layer = _layer(image)
        context, local = place / "context", f"{base.REPOSITORY}/{image.file.lower()}:made"
        (context / "root").mkdir(parents=True)
        for deb in debs:
            run(["dpkg-deb", "--extract", deb, context / "root"], log="images")
        (context / "Dockerfile").write_text(f"FROM {layer}\n{image.dockerfile}")
        # The classic builder is in every engine; the lab's has no other.
        run(["docker", "build", "--quiet", "--network=none", "--tag", local, context], log="images", timeout=600, env={"DOCKER_BUILDKIT": "0"})
        run(["docker", "save", "--output", place / "saved.tar", local], log="images", timeout=600)
        identity = docker("image", "inspect", "--format", "{{.Id}} {{.Size}}", local).split()
        docker("image", "rm", local)
        digest = _rename(place / "saved.tar", place / f"{image.file}.tar", image.name)
        name, _, version = image.name.partition(":")
        found = bundle.Package(name.rpartition("/")[2], version, "amd64", "manifest.json", digest, int(identity[1]), image.origin)
        (place / "packages.json").write_text(json.dumps([asdict(found)]))
        shutil.rmtree(context)
        (place / "saved.tar").unlink()

    place = artefact(f"image-{image.file}", _digest(image, debs), make)
    return place / f"{image.file}.tar", [bundle.Package(**one) for one in json.loads((place / "packages.json").read_text())]


def _rename(source: Path, target: Path, name: str) -> str:
    """Give the only image of a saved tar another name; returns the digest of the tar's manifest, which names every layer."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as new:
        content = None
        for member in old:
            if member.name == "repositories":
                continue
            stream = old.extractfile(member) if member.isfile() else None
            if member.name == "manifest.json" and stream:
                images = json.loads(stream.read())
                if len(images) != 1:
                    raise LabError(f"{source}: one image expected, not {len(images)}")
                content = json.dumps([{**images[0], "RepoTags": [name]}]).encode()
                member.size, stream = len(content), io.BytesIO(content)
            new.addfile(member, stream)
    if content is None:
        raise LabError(f"{source}: no manifest")
    return hashlib.sha256(content).hexdigest()


def parts() -> list[tuple[dict[str, str], Path, list[bundle.Package]]]:
    return [({"kind": "images", "image": image.name, "architecture": "amd64"}, *archive(image)) for image in IMAGES]
