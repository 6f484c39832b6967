# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of a component: the digest and the files that its service last became healthy with.

One directory per component below the state directory (root, 0700): record.json and copies of the files. It makes two things
possible: a run that was killed between write and restart is repaired by the next one (the digest differs), and a configuration
that does not become healthy is taken back (the copies).
"""

from __future__ import annotations

import json
import os
import shutil
import typing as t

from . import fileset


class Record:
    """The health record of one component below a state directory."""

    def __init__(self, directory: str, component: str) -> None:
        self.directory = os.path.join(directory, component)
        self._path = os.path.join(self.directory, "record.json")
        self._data = self._load()

    def _load(self) -> dict[str, t.Any]:
        try:
            with open(self._path, encoding="utf-8") as file:
                data = json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError:
            # A record that a power cut left broken is no record: the service restarts once more, nothing else happens.
            return {}
        return data if isinstance(data, dict) else {}

    @property
    def digest(self) -> str | None:
        """The digest that the service last became healthy with; None where it never did."""
        return self._data.get("digest")

    @property
    def files(self) -> list[str]:
        """Paths of the files of the last healthy set."""
        return [str(entry["path"]) for entry in self._data.get("files", [])]

    @property
    def secret_files(self) -> list[str]:
        """Those of the files whose content no diff may show."""
        return [str(entry["path"]) for entry in self._data.get("files", []) if entry.get("secret")]

    def healthy_set(self) -> list[fileset.WantedFile]:
        """The last healthy set with contents, to be put back; files whose copy is gone are left out."""
        out = []
        for number, entry in enumerate(self._data.get("files", [])):
            try:
                with open(os.path.join(self.directory, f"{self._data['digest']}.{number}"), "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                continue
            out.append(
                fileset.WantedFile(entry["path"], content, entry["owner"], entry["group"], entry["mode"], secret=bool(entry.get("secret")))
            )
        return out

    def save(self, digest: str, files: t.Sequence[fileset.WantedFile]) -> None:
        """Remembers a set that is healthy now. The record is replaced last, so that it never names copies that are not there."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        os.chmod(self.directory, 0o700)
        entries = []
        for number, file in enumerate(files):
            fileset.write(os.path.join(self.directory, f"{digest}.{number}"), file.content, os.getuid(), os.getgid(), 0o600)
            entries.append({"path": file.path, "owner": file.owner, "group": file.group, "mode": file.mode, "secret": file.secret})
        self._data = {"digest": digest, "files": entries}
        staged = self._path + ".new"
        fileset.write(staged, json.dumps(self._data, indent=1).encode(), os.getuid(), os.getgid(), 0o600)
        os.replace(staged, self._path)
        for name in os.listdir(self.directory):
            if name != "record.json" and name != "failed" and not name.startswith(digest + "."):
                os.unlink(os.path.join(self.directory, name))

    def forget(self) -> None:
        """Nothing of the component is remembered any more."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._data = {}

    def keep_evidence(self, files: t.Sequence[fileset.WantedFile], journal: str) -> str:
        """Keeps a set that did not become healthy, with the journal, for people; returns the directory."""
        folder = os.path.join(self.directory, "failed")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        for file in files:
            name = file.path.strip("/").replace("/", "__")
            fileset.write(os.path.join(folder, name), file.content, os.getuid(), os.getgid(), 0o600)
        fileset.write(os.path.join(folder, "journal.txt"), journal.encode(), os.getuid(), os.getgid(), 0o600)
        return folder
