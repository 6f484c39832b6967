# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendors' own packages, where their repositories answer: signed index, checksums, one try."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import re
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import versions
from common import STATE, LabError, artefact, digest_of, is_made, need, output, say, sha256, write_if_changed

RECORD = STATE / "vendors.json"
SECONDS = 5  # for the key, which tells whether the vendor answers at all
MINUTES = 10  # for a package


@dataclass(frozen=True)
class Repository:
    uri: str
    suite: str  # {codename} stands for the distribution's release
    key: str
    fingerprint: str  # of the primary key; empty where the vendor publishes none to pin
    packages: tuple[str, ...]


REPOSITORIES = {
    "emqx": Repository("https://packagecloud.io/emqx/emqx/debian", "{codename}",
                       "https://packagecloud.io/emqx/emqx/gpgkey", "", ("emqx",)),
    "grafana": Repository("https://apt.grafana.com", "stable", "https://apt.grafana.com/gpg-full.key",
                          "B53AE77BADB630A683046005963FA27710458545", ("grafana",)),
    "influxdata": Repository("https://repos.influxdata.com/debian", "stable",
                             "https://repos.influxdata.com/influxdata-archive.key",
                             "24C975CBA61A024EE1B631787C3D57159FC2F927", ("telegraf", "influxdb2", "influxdb2-cli")),
}


def _get(url: str, seconds: float) -> bytes:
    if not url.startswith("https://"):
        raise LabError(f"{url}: only https")
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310
            data: bytes = answer.read()
            return data
    except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
        raise LabError(f"{url}: {error}") from error


def _signed(inrelease: bytes, key: bytes, fingerprint: str, what: str) -> str:
    """The text of a signed index, when its signature is by the key, and the key is the pinned one."""
    need({"gpg": "gnupg"}, "checking the vendors' signatures")
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory, "home")
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--batch", "--no-tty", "--homedir", str(home), "--no-autostart"]
        key_file, signed, text = (Path(directory, name) for name in ("key", "InRelease", "Release"))
        key_file.write_bytes(key)
        signed.write_bytes(inrelease)
        output([*gpg, "--import", key_file])
        listing = output([*gpg, "--with-colons", "--list-keys"])
        primaries = re.findall(r"^pub:.*\n(?:^(?!fpr:).*\n)*^fpr:(?:[^:]*:){8}([0-9A-F]+):", listing, re.MULTILINE)
        if fingerprint and primaries != [fingerprint]:
            raise LabError(f"{what}: the key is {', '.join(primaries)}, not {fingerprint}")
        output([*gpg, "--trust-model", "always", "--output", text, "--decrypt", signed])
        return text.read_text()


def _checked(data: bytes, digest: str, what: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != digest:
        raise LabError(f"{what}: the checksum is not the one in the signed index")
    return data


def stanza(index: str, package: str, wanted: str) -> dict[str, str]:
    """The package's entry: exactly this version, or the newest that begins so when it ends with a dot."""
    found = []
    for text in index.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", text, re.MULTILINE))
        version = fields.get("Version", "")
        right = version.startswith(wanted) if wanted.endswith(".") else version == wanted
        if fields.get("Package") == package and right:
            found.append(fields)
    if not found:
        raise LabError(f"{package} {wanted} is not in the vendor's index")
    return max(found, key=lambda fields: [int(number) for number in re.findall(r"\d+", fields["Version"])])


def _fetch(name: str, codename: str, architecture: str) -> list[Path]:
    repository = REPOSITORIES[name]
    suite = repository.suite.format(codename=codename)
    wanted = {package: versions.VENDOR[package] for package in repository.packages}
    artefact_name, digest = f"vendor-{name}-{architecture}", digest_of(name, suite, wanted, architecture)
    # Asked before anything is announced: where the vendor does not answer, this is all that happens.
    key = b"" if is_made(artefact_name, digest) else _get(repository.key, SECONDS)

    def make(place: Path) -> None:
        base = f"{repository.uri}/dists/{suite}"
        release = _signed(_get(f"{base}/InRelease", 30), key, repository.fingerprint, name)
        path = f"main/binary-{architecture}/Packages.gz"
        sums = re.search(rf"^SHA256:\n(?: .*\n)*? ([0-9a-f]{{64}})\s+\d+\s+{re.escape(path)}$", release, re.MULTILINE)
        if sums is None:
            raise LabError(f"{name}: {path} is not in the signed index")
        index = gzip.decompress(_checked(_get(f"{base}/{path}", 60), sums[1], path)).decode()
        for package, version in wanted.items():
            fields = stanza(index, package, version)
            deb = place / f"{package}_{fields['Version']}_{architecture}.deb"
            say(f"{package} {fields['Version']} from its vendor ({int(fields['Size']) >> 20} MiB)")
            deb.write_bytes(_get(f"{repository.uri}/{fields['Filename']}", MINUTES * 60))
            if sha256(deb) != fields["SHA256"]:
                raise LabError(f"{deb.name}: the checksum is not the one in the signed index")

    place = artefact(artefact_name, digest, make)
    return sorted(place.glob("*.deb"))


def ask(codename: str, architecture: str, *, again: bool = False) -> dict[str, list[Path]]:
    """What the vendors gave, by repository. A refusal is remembered, so that only the first build asks."""
    wanted = {name: [versions.VENDOR[package] for package in one.packages] for name, one in REPOSITORIES.items()}
    known: dict[str, object] = {}
    if RECORD.is_file() and not again:
        known = json.loads(RECORD.read_text())

    def one(name: str) -> tuple[str, list[Path], str]:
        remembered = known.get(f"{name}-{codename}-{architecture}")
        if isinstance(remembered, dict) and remembered["wanted"] == wanted[name]:
            return name, [], str(remembered["refusal"])
        try:
            return name, _fetch(name, codename, architecture), ""
        except LabError as error:
            return name, [], str(error).splitlines()[0]

    given: dict[str, list[Path]] = {}
    with ThreadPoolExecutor(len(REPOSITORIES)) as pool:
        for name, debs, refusal in pool.map(one, REPOSITORIES):
            if debs:
                given[name] = debs
            else:
                say(f"{name}: not from the vendor ({refusal})")
                known[f"{name}-{codename}-{architecture}"] = {"wanted": wanted[name], "refusal": refusal}
    write_if_changed(RECORD, json.dumps(known, indent=2, sort_keys=True) + "\n")
    return given
