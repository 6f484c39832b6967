# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendors' packages: taken when index, key and checksums are right, refused otherwise. Needs gpg, no lab."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bundle  # noqa: E402
import common  # noqa: E402
import vendors  # noqa: E402
from common import LabError  # noqa: E402


class Vendor:
    """A vendor's repository in memory, signed with a key of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.gpg = ["gpg", "--batch", "--no-tty", "--homedir", str(home), "--pinentry-mode", "loopback", "--passphrase", ""]
        subprocess.run([*self.gpg, "--quick-generate-key", "vendor", "ed25519", "sign", "never"], check=True,
                       capture_output=True)
        listing = subprocess.run([*self.gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True)
        fingerprint = re.search(r"^fpr:+([0-9A-F]{40}):", listing.stdout, re.MULTILINE)
        assert fingerprint is not None
        self.fingerprint = fingerprint[1]
        self.deb = b"the package"
        index = "".join(
            f"Package: grafana\nVersion: {version}\nFilename: pool/grafana_{version}.deb\nSize: {len(self.deb)}\n"
            f"SHA256: {hashlib.sha256(self.deb).hexdigest()}\n\n" for version in ("12.3.9", "12.4.9", "12.4.10", "13.0.0"))
        packed = gzip.compress(index.encode())
        release = (f"Suite: stable\nSHA256:\n {'0' * 64} 1 main/binary-arm64/Packages.gz\n"
                   f" {hashlib.sha256(packed).hexdigest()} {len(packed)} main/binary-amd64/Packages.gz\n")
        signed = subprocess.run([*self.gpg, "--clear-sign"], input=release.encode(), check=True, capture_output=True)
        key = subprocess.run([*self.gpg, "--armor", "--export"], check=True, capture_output=True)
        base = "https://apt.grafana.com"
        self.content = {
            f"{base}/gpg-full.key": key.stdout,
            f"{base}/dists/stable/InRelease": signed.stdout,
            f"{base}/dists/stable/main/binary-amd64/Packages.gz": packed,
            f"{base}/pool/grafana_12.4.10.deb": self.deb,
        }

    def get(self, url: str, _seconds: float) -> bytes:
        if url not in self.content:
            raise LabError(f"{url}: not there")
        return self.content[url]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    return Vendor(tmp_path_factory.mktemp("vendor") / "gpg")


@pytest.fixture
def ask(made: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Path]]:
    """Ask with the vendor's content as it is, or with one address's content or the pinned key changed."""
    monkeypatch.setattr(common, "ARTEFACTS", tmp_path / "artefacts")
    monkeypatch.setattr(vendors, "RECORD", tmp_path / "vendors.json")
    monkeypatch.setattr(vendors, "_get", made.get)

    def asked(*, pinned: str = made.fingerprint, changed: str = "", content: bytes = b"") -> list[Path]:
        repository = replace(vendors.REPOSITORIES["grafana"], fingerprint=pinned)
        monkeypatch.setattr(vendors, "REPOSITORIES", {"grafana": repository})
        if changed:
            monkeypatch.setitem(made.content, f"https://apt.grafana.com/{changed}", content)
        return vendors.ask("bookworm", "amd64").get("grafana", [])

    return asked


def test_the_newest_package_of_the_line_is_taken(ask: Callable[..., list[Path]], made: Vendor) -> None:
    found = ask()
    assert [path.name for path in found] == ["grafana_12.4.10_amd64.deb"]
    assert found[0].read_bytes() == made.deb


@pytest.mark.parametrize(("changed", "content", "reason"), [
    ("gpg-full.key", b"no key", "gpg"),
    ("dists/stable/InRelease", b"Suite: stable\n", "gpg"),
    ("dists/stable/main/binary-amd64/Packages.gz", gzip.compress(b"Package: grafana\n"), "not the one in the signed index"),
    ("pool/grafana_12.4.10.deb", b"another pack", "not the one in the signed index"),
])
def test_what_is_not_right_is_refused(ask: Callable[..., list[Path]], capsys: pytest.CaptureFixture[str], changed: str,
                                      content: bytes, reason: str) -> None:
    assert ask(changed=changed, content=content) == []
    assert reason in capsys.readouterr().out


def test_another_key_is_refused_and_remembered(ask: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(pinned="0" * 40) == []
    assert "the key is" in capsys.readouterr().out

    def not_again(url: str, _seconds: float) -> bytes:
        raise AssertionError(f"asked again: {url}")

    monkeypatch.setattr(vendors, "_get", not_again)
    assert vendors.ask("bookworm", "amd64") == {}


def test_only_https() -> None:
    with pytest.raises(LabError, match="only https"):
        vendors._get("http://127.0.0.1:1/", 1)


def test_requirements_for_a_version_of_python() -> None:
    text = ("a==1 \\\n    --hash=sha256:0\nb==1 ; python_full_version < '3.12' \\\n    --hash=sha256:1\n"
            "b==2 ; python_full_version >= '3.12' \\\n    --hash=sha256:2\n")
    assert "b==1 \\" in bundle.requirements_for(text, "3.11")
    assert "b==2" not in bundle.requirements_for(text, "3.11")
    assert "sha256:2" not in bundle.requirements_for(text, "3.11")
    assert bundle.requirements_for(text, "3.13").count("b==") == 1
    assert "b==2 \\\n    --hash=sha256:2" in bundle.requirements_for(text, "3.13")
    pinned = bundle.requirements_for(bundle.REQUIREMENTS.read_text(), "3.11")
    assert len(re.findall(r"^numpy==", pinned, re.MULTILINE)) == 1
