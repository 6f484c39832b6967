# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Raspberry Pi's boot files: cmdline.txt, which is one line of words, and config.txt, of which a block at the end is ours.

A Pi that does not start any more is a visit to its cabinet: both files are judged before and after, written beside their targets and
renamed, and the first version is kept.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing as t

from .._component import fileset

DIRECTORIES = ("/boot/firmware", "/boot")
BACKUP = ".before-edgestack"
BEGIN, END = "# edgestack.iot: begin", "# edgestack.iot: end"
_WORD = re.compile(r"[A-Za-z0-9_.\-]+(?:=[!-~]*)?")
_LINE = re.compile(r"(?:dtparam|dtoverlay|enable_uart|gpio)=[A-Za-z0-9_.,:=\-]+")


class BootError(Exception):
    """A boot file that is not what it should be, or would not be; nothing was changed."""


def directory(candidates: t.Iterable[str] = DIRECTORIES) -> str:
    """Where the boot files are; empty on a host that boots in another way."""
    for candidate in candidates:
        if os.path.isfile(os.path.join(candidate, "cmdline.txt")):
            return candidate
    return ""


def command_line(text: str, wanted: t.Sequence[str]) -> str:
    """The command line with the wanted words. What it had stays where it was; one line stays one line.

    A word that is there is not added again; other values of it stay, as the kernel allows several (console, cgroup_enable).
    """
    bad = [word for word in wanted if not _WORD.fullmatch(word)]
    if bad:
        raise BootError(f"no words of a kernel command line: {', '.join(map(repr, bad))}")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise BootError(f"cmdline.txt has {len(lines)} lines that are not empty; the kernel reads one. Mend it by hand")
    words = lines[0].split()
    if not any(word.startswith("root=") for word in words):
        raise BootError("cmdline.txt has no root=, so it is not the line that this host starts with. Mend it by hand")
    added = [word for word in wanted if word not in words]
    return text if not added else " ".join([lines[0].strip(), *added]) + "\n"


def config(text: str, wanted: t.Sequence[str]) -> str:
    """config.txt with our block of these lines at its end, for all models; without lines, without the block."""
    bad = [line for line in wanted if not _LINE.fullmatch(line)]
    if bad:
        raise BootError(f"no lines of config.txt that are known here (dtparam, dtoverlay, enable_uart, gpio): {', '.join(map(repr, bad))}")
    lines = text.splitlines()
    begins = [number for number, line in enumerate(lines) if line.strip() == BEGIN]
    ends = [number for number, line in enumerate(lines) if line.strip() == END]
    if len(begins) > 1 or len(begins) != len(ends) or (begins and ends[0] < begins[0]):
        raise BootError(f"config.txt has a broken block between '{BEGIN}' and '{END}'. Remove these lines by hand")
    if begins:
        lines = lines[: begins[0]] + lines[ends[0] + 1 :]
    # What someone else says for all models need not be said again.
    rest = _for_all(lines)
    block = [line for line in dict.fromkeys(wanted) if line not in rest]
    if not block:
        return text if not begins else "\n".join(lines) + "\n" * bool(lines)
    return "\n".join([*lines, BEGIN, "[all]", *block, END]) + "\n"


def _for_all(lines: t.Iterable[str]) -> set[str]:
    found, section = set(), "all"
    for line in lines:
        text = line.strip()
        if re.fullmatch(r"\[.*\]", text):
            section = text[1:-1].lower()
        elif section == "all" and text and not text.startswith("#"):
            found.add(text)
    return found


@dataclasses.dataclass
class Outcome:
    """changed and diff of the boot files; reboot is why the running kernel is not what they say, empty when it is."""

    changed_files: list[str] = dataclasses.field(default_factory=list)
    diff: list[dict[str, str]] = dataclasses.field(default_factory=list)
    reboot: str = ""


def boot_id(path: str = "/proc/sys/kernel/random/boot_id") -> str:
    """Another one after each start."""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def bring(
    place: str,
    words: t.Sequence[str],
    lines: t.Sequence[str],
    check: bool = False,
    state: str = "/var/lib/edgestack/state/boot.json",
    now: t.Callable[[], str] = boot_id,
) -> Outcome:
    """Brings both files to what is wanted; remembers that they changed since the host started."""
    outcome = Outcome()
    wanted = []
    for name, change, values in (("cmdline.txt", command_line, words), ("config.txt", config, lines)):
        path = os.path.join(place, name)
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            if values:
                raise BootError(f"there is no {path}; nothing was changed") from None
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise BootError(f"cannot read {path}: {error}; nothing was changed") from error
        try:
            new = change(text, values)
        except BootError as error:
            raise BootError(f"{path}: {error}; nothing was changed") from None
        if new != text:
            wanted.append((path, text, new))
    outcome.changed_files = [path for path, _text, _new in wanted]
    outcome.diff = [{"before_header": path, "after_header": path, "before": text, "after": new} for path, text, new in wanted]
    if not check:
        for path, text, new in wanted:
            _replace(path, text, new)
        if wanted:
            os.makedirs(os.path.dirname(state), mode=0o700, exist_ok=True)
            fileset.write(state, json.dumps({"boot_id": now()}).encode(), os.getuid(), os.getgid(), 0o600)
    if wanted or _changed_since_start(state, now()):
        outcome.reboot = "the boot files have changed since this host started"
    return outcome


def _changed_since_start(state: str, current: str) -> bool:
    try:
        with open(state, encoding="utf-8") as file:
            return bool(json.load(file).get("boot_id") == current)
    except (OSError, ValueError, AttributeError):
        return False


def _replace(path: str, text: str, new: str) -> None:
    """The boot partition is FAT: neither owners nor modes, and a rename that is flushed."""
    try:
        if not os.path.exists(path + BACKUP):
            _write(path + BACKUP, text)
        _write(path + ".new", new)
        os.replace(path + ".new", path)
    except OSError as error:
        raise BootError(f"cannot write {error.filename}: {error.strerror}; {path} is as it was") from error
    os.sync()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
