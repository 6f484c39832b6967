# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json

import pytest
from ansible.errors import AnsibleLookupError

from ansible_collections.edgestack.iot.plugins.lookup import bundle

WANTED = {"kind": "apt", "codename": "bookworm", "architecture": "arm64"}


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "apt.tar").write_bytes(b"packages")
    entry = {**WANTED, "path": "apt.tar", "sha256": hashlib.sha256(b"packages").hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [{"kind": "wheels", "path": "w.tar"}, entry]}))
    return tmp_path


def test_a_file_is_found_by_what_it_is_for(directory):
    assert bundle.find(str(directory), WANTED) == {"path": str(directory / "apt.tar"), "sha256": hashlib.sha256(b"packages").hexdigest()}


def test_a_damaged_file_is_refused(directory):
    (directory / "apt.tar").write_bytes(b"pack")
    with pytest.raises(AnsibleLookupError, match="is damaged"):
        bundle.find(str(directory), WANTED)


def test_what_the_bundle_lacks_is_named_with_what_it_has(directory):
    with pytest.raises(AnsibleLookupError, match=r"nothing for kind apt, codename trixie.*apt\.tar; w\.tar"):
        bundle.find(str(directory), {**WANTED, "codename": "trixie"})


def test_a_missing_file_and_a_directory_that_is_no_bundle(directory):
    (directory / "apt.tar").unlink()
    with pytest.raises(AnsibleLookupError, match="cannot be read"):
        bundle.find(str(directory), WANTED)
    for text in ("{half", "{}"):
        (directory / "manifest.json").write_text(text)
        with pytest.raises(AnsibleLookupError, match="must name the directory of an offline bundle"):
            bundle.find(str(directory), WANTED)
