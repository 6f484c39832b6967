# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The offline bundle: one tar per kind, release and architecture, and a manifest with their checksums.

build/bundle/
    manifest.json                      what there is: kind, for what, version, SHA-256, size, and each package in it
    apt-<codename>-<architecture>.tar  a flat apt repository (Packages, Packages.gz, Release and the .deb files)
    wheels-py<version>-<architecture>.tar   Python wheels, for `pip install --no-index --find-links`
    <name>_<tag>.tar                   an image, for `docker load`
"""

from __future__ import annotations

import datetime
import email.utils
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import base
from common import (
    BUNDLE,
    ROOT,
    STATE,
    LabError,
    artefact,
    digest_of,
    install,
    need,
    output,
    run,
    sha256,
    step,
    write_if_changed,
)

FORMAT = 1
REQUIREMENTS = ROOT / "roles" / "streamlit" / "files" / "requirements.txt"
# What the roles install from Debian. Their dependencies come along as far as the base image lacks them.
DEBIAN = ("mariadb-server", "python3-pymysql", "python3-cryptography", "python3-venv", "python3-pip", "curl", "openssl", "nftables")
# Docker with Compose v2, where Debian has it.
ENGINE = {"bookworm": (), "trixie": ("docker.io", "docker-cli", "docker-compose")}
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Package:
    """A package in one of the bundle's files, and who made it."""

    name: str
    version: str
    architecture: str
    file: str
    sha256: str
    size: int
    origin: str  # vendor | registry | stand-in


@dataclass(frozen=True)
class Deb:
    path: Path
    origin: str


# -- apt -----------------------------------------------------------------------------------------------------

def apt(release: str, architecture: str, debs: list[Deb], base_root: Path | None) -> tuple[Path, list[Package]]:
    """The flat repository's tar. Without a base root only the given packages are in it."""
    inputs = [[deb.path.name, sha256(deb.path), deb.origin] for deb in debs]
    base_digest = (base_root / ".digest").read_text() if base_root else ""
    name = f"apt-{release}-{architecture}"

    def make(place: Path) -> None:
        repository = place / "repository"
        repository.mkdir()
        origins = {}
        for deb in debs:
            shutil.copyfile(deb.path, repository / deb.path.name)
            origins[deb.path.name] = deb.origin
        _index(repository, release, architecture)
        if base_root:
            for path in _closure(release, architecture, repository, base_root):
                shutil.copyfile(path, repository / path.name)
        packages = _index(repository, release, architecture, origins)
        _tar(repository, place / f"{name}.tar")
        shutil.rmtree(repository)
        (place / "packages.json").write_text(json.dumps([asdict(package) for package in packages]))

    place = artefact(name, digest_of(FORMAT, inputs, base_digest, (*DEBIAN, *ENGINE[release]) if base_root else ()), make)
    return place / f"{name}.tar", [Package(**one) for one in json.loads((place / "packages.json").read_text())]


def _control(deb: Path) -> str:
    return output(["dpkg-deb", "--field", deb])


def _field(control: str, name: str) -> str:
    match = re.search(rf"^{name}: (.*)$", control, re.MULTILINE)
    if match is None:
        raise LabError(f"a package without {name}:\n{control}")
    return match[1]


def _index(repository: Path, release: str, architecture: str, origins: dict[str, str] | None = None) -> list[Package]:
    """Write Packages, Packages.gz and Release of a flat repository."""
    stanzas, packages = [], []
    for deb in sorted(repository.glob("*.deb")):
        control, digest, size = _control(deb), sha256(deb), deb.stat().st_size
        stanzas.append(f"{control}\nFilename: ./{deb.name}\nSize: {size}\nSHA256: {digest}\n")
        packages.append(Package(_field(control, "Package"), _field(control, "Version"), _field(control, "Architecture"),
                                deb.name, digest, size, (origins or {}).get(deb.name, "registry")))
    text = "\n".join(stanzas).encode()
    (repository / "Packages").write_bytes(text)
    (repository / "Packages.gz").write_bytes(gzip.compress(text, mtime=0))
    sums = "".join(
        f" {hashlib.sha256((repository / name).read_bytes()).hexdigest()} {(repository / name).stat().st_size} {name}\n"
        for name in ("Packages", "Packages.gz")
    )
    (repository / "Release").write_text(
        f"Origin: edgestack.iot offline bundle\nLabel: edgestack.iot\nSuite: {release}\nCodename: {release}\n"
        f"Date: {email.utils.formatdate(usegmt=True)}\nArchitectures: {architecture}\nSHA256:\n{sums}"
    )
    return packages


def _keyring() -> str | None:
    """Where the package of Debian's signing keys has all of them; None when it is not installed."""
    files = output(["dpkg-query", "--listfiles", "debian-archive-keyring"], check=False).split()
    return next((path for path in files if path.endswith("-keyring.gpg")), None)


def _closure(release: str, architecture: str, repository: Path, base_root: Path) -> list[Path]:
    """What the packages need beyond the base image, downloaded by apt with a state of its own."""
    keyring = _keyring()
    if keyring is None:
        install(["debian-archive-keyring"], "Debian's signing keys")
        keyring = _keyring()
    if keyring is None:
        raise LabError("Debian's signing keys are not where their package says: install debian-archive-keyring")
    need({"apt-get": "apt"}, "fetching Debian's packages")
    state = STATE / "cache" / f"apt-{release}-{architecture}"
    for directory in ("lists/partial", "archives/partial", "etc"):
        (state / directory).mkdir(parents=True, exist_ok=True)
    options, mirror = f"[arch={architecture} signed-by={keyring}]", base.mirror()
    (state / "etc" / "sources.list").write_text(
        f"deb [trusted=yes] file:{repository} ./\n"
        f"deb {options} {mirror} {release} main\n"
        f"deb {options} {mirror} {release}-updates main\n"
        f"deb {options} {mirror}-security {release}-security main\n"
    )
    settings = {
        "APT::Architecture": architecture, "APT::Architectures": architecture, "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false", "Acquire::Languages": "none", "Acquire::Retries": "3",
        "Dir::State": state, "Dir::State::lists": state / "lists", "Dir::State::status": base_root / "status",
        "Dir::State::extended_states": state / "extended_states",
        "Dir::Cache": state, "Dir::Cache::archives": state / "archives", "Dir::Etc::sourcelist": state / "etc" / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null", "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null", "Debug::NoLocking": "true",
    }
    apt_get: list[str | Path] = ["apt-get", "--yes"]
    for key, value in settings.items():
        apt_get += ["-o", f"{key}={value}"]
    names = {_field(_control(deb), "Package") for deb in repository.glob("*.deb")} | {*DEBIAN, *ENGINE[release]}
    log = f"apt-{release}-{architecture}"
    run([*apt_get, "update"], log=log, timeout=300)
    # Nothing of an earlier build is mixed in, but what is needed again is not fetched again: asked what it needs
    # with an empty cache, apt names everything.
    empty = state / "nothing"
    (empty / "partial").mkdir(parents=True, exist_ok=True)
    wanted = output([*apt_get, "-o", f"Dir::Cache::archives={empty}", "--print-uris", "install", *sorted(names)],
                    timeout=120)
    run([*apt_get, "--download-only", "install", *sorted(names)], log=log, timeout=1200)
    files = [state / "archives" / match for match in re.findall(r"^'https?://[^']+' (\S+\.deb) ", wanted, re.MULTILINE)]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise LabError(f"apt did not fetch {', '.join(missing)}; its output: build/lab/log/{log}.log")
    return files


# -- wheels --------------------------------------------------------------------------------------------------

def wheels(release: str, architecture: str) -> tuple[Path, list[Package]]:
    """The tar with the wheels of the pinned requirements, for the release's Python."""
    python = PYTHON[release]
    name = f"wheels-py{python}-{architecture}"

    def make(place: Path) -> None:
        requirements, files = place / "requirements.txt", place / "files"
        requirements.write_text(requirements_for(REQUIREMENTS.read_text(), python))
        files.mkdir()
        machine = PLATFORMS[architecture]
        platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in (17, 26, 27, 28, 31, 34)] + [f"manylinux2014_{machine}"]
        run([*_pip(), "download", "--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", python,
             "--implementation", "cp", "--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none",
             *(word for platform in platforms for word in ("--platform", platform)),
             "--dest", files, "--requirement", requirements], log=name, timeout=1200)
        shutil.copyfile(requirements, files / "requirements.txt")
        packages = []
        for wheel in sorted(files.glob("*.whl")):
            project, version = wheel.name.split("-")[:2]
            packages.append(Package(project.replace("_", "-").lower(), version, architecture, wheel.name,
                                    sha256(wheel), wheel.stat().st_size, "registry"))
        _tar(files, place / f"{name}.tar")
        shutil.rmtree(files)
        (place / "packages.json").write_text(json.dumps([asdict(package) for package in packages]))

    place = artefact(name, digest_of(FORMAT, REQUIREMENTS, python, architecture), make)
    return place / f"{name}.tar", [Package(**one) for one in json.loads((place / "packages.json").read_text())]


def requirements_for(text: str, python: str) -> str:
    """The requirements of one version of Python: pip judges such markers by its own version, not the target's."""
    target = tuple(map(int, python.split(".")))
    kept = []
    for entry in re.split(r"\n(?=\S)", text):
        marker = re.search(r"python_full_version\s*(<|>=)\s*'(\d+)\.(\d+)(?:\.\d+)?'", entry)
        if marker:
            limit = (int(marker[2]), int(marker[3]))
            if (target < limit) != (marker[1] == "<"):
                continue
            entry = re.sub(r"\s*;[^\\\n]*?(?=\s*(?:\\|$))", "", entry, count=1, flags=re.MULTILINE)
        kept.append(entry)
    return "\n".join(kept)


def _pip() -> list[str]:
    for python in (sys.executable, str(ROOT / ".venv" / "bin" / "python"), str(STATE / "venv" / "bin" / "python")):
        if Path(python).is_file() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True,
                                                     check=False).returncode == 0:
            return [python, "-m", "pip"]
    venv = STATE / "venv"
    try:
        run([sys.executable, "-m", "venv", venv], log="venv", timeout=120)
    except LabError:
        install(["python3-venv"], "downloading wheels needs pip")
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", venv], log="venv", timeout=120)
    return [str(venv / "bin" / "python"), "-m", "pip"]


# -- the whole -----------------------------------------------------------------------------------------------

def _tar(directory: Path, target: Path) -> None:
    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(directory.iterdir()):
            archive.add(path, arcname=f"./{path.name}", recursive=False, filter=plain)


def write(parts: list[tuple[dict[str, str], Path, list[Package]]]) -> Path:
    """Put the files and the manifest into build/bundle; what did not change is not written, and what was built for another release stays."""
    BUNDLE.mkdir(parents=True, exist_ok=True)
    manifest = BUNDLE / "manifest.json"
    before = json.loads(manifest.read_text()) if manifest.is_file() else {}
    files: list[dict[str, Any]] = []
    with step("the bundle's files and checksums"):
        for what, source, packages in parts:
            target, digest = BUNDLE / source.name, sha256(source)
            if not target.is_file() or sha256(target) != digest:
                temporary = target.with_name(f".{target.name}.new")
                temporary.unlink(missing_ok=True)
                try:
                    temporary.hardlink_to(source)
                except OSError:
                    shutil.copyfile(source, temporary)
                temporary.replace(target)
            files.append({"path": source.name, **what, "version": digest[:12], "sha256": digest,
                          "size": source.stat().st_size, "packages": [asdict(package) for package in packages]})
    made = {str(one["path"]) for one in files}
    files += [one for one in before.get("files", []) if one["path"] not in made and (BUNDLE / one["path"]).is_file()]
    files.sort(key=lambda one: str(one["path"]))
    standins = sorted({package["name"] for one in files for package in one["packages"] if package["origin"] == "stand-in"})
    content: dict[str, object] = {"format": FORMAT, "files": files, "stand_ins": standins}
    if {key: before.get(key) for key in content} != content:
        content["made"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_if_changed(manifest, json.dumps(content, indent=2, sort_keys=True) + "\n")
    known = {str(one["path"]) for one in files} | {manifest.name}
    for path in BUNDLE.iterdir():
        if path.name not in known:
            path.unlink()
    return manifest


def verify(directory: Path = BUNDLE) -> list[str]:
    """What is wrong with a bundle: nothing, or a line for each finding."""
    findings = []
    manifest = json.loads((directory / "manifest.json").read_text())
    for one in manifest["files"]:
        path = directory / one["path"]
        if not path.is_file():
            findings.append(f"{one['path']}: missing")
        elif path.stat().st_size != one["size"] or sha256(path) != one["sha256"]:
            findings.append(f"{one['path']}: not what the manifest says")
        else:
            with tarfile.open(path) as archive:
                inside = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
                for package in one["packages"]:
                    member = inside.get(package["file"])
                    stream = archive.extractfile(member) if member else None
                    if stream is None or hashlib.sha256(stream.read()).hexdigest() != package["sha256"]:
                        findings.append(f"{one['path']}: {package['file']} is not what the manifest says")
    return findings
