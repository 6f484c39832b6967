# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real programs, and the stand-ins, built out of the package registries of Go and Rust."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import stat
from pathlib import Path

import versions
from common import LAB, LabError, artefact, digest_of, install, is_debian_like, is_root, output, run

GO = LAB / "go"
STANDINS = LAB / "standins"
GOARCH = {"amd64": {"GOARCH": "amd64"}, "arm64": {"GOARCH": "arm64"}, "armhf": {"GOARCH": "arm", "GOARM": "6"}}

# One tag a plugin keeps the binary small. What the collection configures, and what a test needs to look inside.
TELEGRAF_PLUGINS = {
    "inputs": "cpu disk diskio exec execd file http internal kernel mem modbus mqtt_consumer net processes swap "
              "system tail temp",
    "outputs": "discard file health influxdb_v2 mqtt",
    "parsers": "influx json json_v2 value xpath",
    "processors": "converter date dedup defaults enum filter override parser regex rename starlark strings",
    "aggregators": "final",
    "serializers": "influx json",
    "secretstores": "docker os systemd",
}
TELEGRAF_TAGS = "custom," + ",".join(f"{kind}.{name}" for kind, names in TELEGRAF_PLUGINS.items()
                                     for name in names.split())
INFLUXD_TAGS = "sqlite_foreign_keys,sqlite_json,osusergo,netgo"
RUST = (1, 83)  # what Flux asks for


# -- toolchains ----------------------------------------------------------------------------------------------

def _version(text: str) -> tuple[int, ...]:
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number or 0) for number in match.groups()) if match else (0,)


def _go_wanted() -> str:
    """The newest Go that one of the lab's modules asks for."""
    files = [GO / "telegraf" / "go.mod", GO / "influxdb" / "go.mod", *STANDINS.glob("*/go.mod")]
    asked = [match[1] for file in files if (match := re.search(r"^go (\S+)$", file.read_text(), re.MULTILINE))]
    newest = max(asked, key=_version)
    return newest if newest.count(".") == 2 else f"{newest}.0"


@functools.cache
def go() -> str:
    """A `go` that builds the lab's modules. From 1.21 on it fetches a newer one of itself when a module asks."""
    found = shutil.which("go")
    if found is None:
        if not (is_root() and is_debian_like()):
            raise LabError("building Telegraf and InfluxDB needs Go 1.21 or newer on PATH (https://go.dev/dl/)")
        install(["golang-go"], "building the lab's programs: no go on PATH")
        found = shutil.which("go")
        if found is None:
            raise LabError("golang-go is installed, but go is not on PATH")
    if _version(output([found, "version"]).split()[2]) >= (1, 21, 0):
        return found
    return str(_toolchain(found) / "bin" / "go")


def _toolchain(old: str) -> Path:
    """A newer Go by an older one: the toolchains are modules too."""
    wanted = _go_wanted()
    module = f"golang.org/toolchain@v0.0.1-go{wanted}.linux-{output(['dpkg', '--print-architecture'])}"

    def make(place: Path) -> None:
        (place / "go.mod").write_text("module lab\n")
        answer = json.loads(output([old, "mod", "download", "-json", module], cwd=place, timeout=600,
                                   env={"GOFLAGS": "-mod=mod"}))
        if answer.get("Error"):
            raise LabError(f"{module}: {answer['Error']}")
        shutil.copytree(answer["Dir"], place / "go")
        # Modules have no executable files.
        for directory in (place / "go" / "bin", place / "go" / "pkg" / "tool"):
            for path in directory.rglob("*"):
                if path.is_file():
                    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        for path in [place / "go", *(place / "go").rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)

    return artefact("go-toolchain", digest_of(module), make) / "go"


@functools.cache
def _rust() -> dict[str, str]:
    """The environment in which `cargo` is new enough for Flux."""
    # Flux names a toolchain of its own, which rustup would want to download; a newer stable one does.
    stable = [{"RUSTUP_TOOLCHAIN": "stable"}] if shutil.which("rustup") else []
    for environment in (*stable, {}):
        if _version(output(["cargo", "--version"], check=False, env=environment)) >= RUST:
            return environment
    wanted = ".".join(map(str, RUST))
    if not (is_root() and is_debian_like()):
        raise LabError(f"building InfluxDB needs cargo and rustc {wanted} or newer on PATH")
    # Bookworm's own is too old; rustc-web is the newer one that Debian keeps there for its browsers.
    policy = output(["apt-cache", "policy", "cargo"], check=False)
    candidate = re.search(r"Candidate: (\S+)", policy)
    own = candidate is not None and _version(candidate[1]) >= RUST
    install(["cargo", "rustc"] if own else ["cargo-web", "rustc-web"], f"building InfluxDB: no cargo {wanted}")
    if _version(output(["/usr/bin/cargo", "--version"], check=False)) < RUST:
        raise LabError(f"Debian's cargo is older than {wanted}; install Rust with rustup and run this again")
    return {"PATH": f"/usr/bin:{os.environ['PATH']}"}


def _environment(architecture: str, tags: str, **more: str) -> dict[str, str]:
    flags = "-mod=readonly -buildvcs=false -trimpath" + (f" -tags={tags}" if tags else "")
    return {"GOOS": "linux", "GOFLAGS": flags, "GOTOOLCHAIN": "auto", "GOWORK": "off", "GONOSUMDB": "",
            "CGO_ENABLED": "0", **GOARCH[architecture], **more}


# -- programs ------------------------------------------------------------------------------------------------

def telegraf(architecture: str = "amd64") -> Path:
    """Directory with `telegraf` and `vendor`, the packaging files of that release."""
    module = GO / "telegraf"
    link = f"-s -w -X github.com/influxdata/telegraf/internal.Version={versions.TELEGRAF}"

    def make(place: Path) -> None:
        environment = _environment(architecture, TELEGRAF_TAGS)
        run([go(), "build", "-ldflags", link, "-o", place / "telegraf", "github.com/influxdata/telegraf/cmd/telegraf"],
            cwd=module, env=environment, log=f"telegraf-{architecture}", timeout=1800)
        source = _module_directory(module, "github.com/influxdata/telegraf", environment)
        _copy(source / "scripts", place / "vendor" / "scripts")
        _copy(source / "etc", place / "vendor" / "etc")
        _copy(source / "LICENSE", place / "vendor" / "LICENSE")

    return artefact(f"telegraf-{architecture}", digest_of(module, TELEGRAF_TAGS, link, architecture), make)


def influxdb() -> Path:
    """Directory with `influxd`, `influx` and `vendor`, the packaging files of that release (amd64)."""
    module = GO / "influxdb"
    # Static, because it must run on releases of Debian older than the one that builds it.
    link = (f"-s -w -X main.version=v{versions.INFLUXDB} -linkmode external "
            '-extldflags "-fno-PIC -static -Wl,-z,stack-size=8388608"')
    link_cli = f"-s -w -X main.version={versions.INFLUX_CLI}"

    def make(place: Path) -> None:
        if output(["uname", "-m"]) != "x86_64":
            raise LabError("influxd is built for amd64 on amd64 only")
        missing = [package for program, package in (("gcc", "gcc"), ("pkg-config", "pkg-config"))
                   if shutil.which(program) is None]
        if not Path(output(["gcc", "-print-file-name=libc.a"], check=False) or "libc.a").is_absolute():
            missing.append("libc6-dev")
        if missing:
            install(missing, "building InfluxDB")
        rust = _rust()
        tool = place / "pkg-config"
        run([go(), "build", "-o", tool, "github.com/influxdata/pkg-config"], cwd=module,
            env=_environment("amd64", ""), log="influxdb", timeout=600)
        environment = _environment("amd64", INFLUXD_TAGS, CGO_ENABLED="1", PKG_CONFIG=str(tool), **rust)
        run([go(), "build", "-ldflags", link, "-o", place / "influxd", "github.com/influxdata/influxdb/v2/cmd/influxd"],
            cwd=module, env=environment, log="influxdb", timeout=3600)
        tool.unlink()
        run([go(), "build", "-ldflags", link_cli, "-o", place / "influx",
             "github.com/influxdata/influx-cli/v2/cmd/influx"],
            cwd=module, env=_environment("amd64", ""), log="influxdb", timeout=600)
        source = _module_directory(module, "github.com/influxdata/influxdb/v2", environment)
        _copy(source / ".circleci" / "packages" / "influxdb2", place / "vendor")

    return artefact("influxdb-amd64", digest_of(module, INFLUXD_TAGS, link, link_cli), make)


def standin(name: str, version: str, architecture: str = "amd64") -> Path:
    """Directory with the stand-in's binary, `<name>-standin`."""
    module = STANDINS / name
    link = f"-s -w -X main.release={version}"

    def make(place: Path) -> None:
        if not any(re.search(r"^func main\(\)", path.read_text(), re.MULTILINE) for path in module.glob("*.go")):
            raise LabError(f"the stand-in for {name} is not there: no Go program in {module.relative_to(LAB.parents[1])}")
        run([go(), "build", "-ldflags", link, "-o", place / f"{name}-standin", "."], cwd=module,
            env=_environment(architecture, ""), log=f"standin-{name}", timeout=1200)

    return artefact(f"standin-{name}-{architecture}", digest_of(module, link, architecture), make)


def _module_directory(module: Path, path: str, environment: dict[str, str]) -> Path:
    """Where Go keeps a module's source; the vendor's packaging files are in it."""
    return Path(output([go(), "list", "-m", "-f", "{{.Dir}}", path], cwd=module, env=environment))


def _copy(source: Path, target: Path) -> None:
    """Copy out of Go's module cache, where everything is read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    for path in [target, *target.rglob("*")] if target.is_dir() else [target]:
        path.chmod(0o755 if path.is_dir() else 0o644)


