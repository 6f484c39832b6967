# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what was proved."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing that was tried."""

    host: str
    name: str
    expected: str
    observed: str
    ok: bool
    seconds: float | None = None
    advice: str = ""

    @classmethod
    def parse(cls, data: t.Mapping[str, t.Any]) -> Entry:
        """An entry from a task's arguments, where numbers and truth values may have become text."""
        # Only what says yes is a yes.
        ok = data.get("ok")
        proved = ok is True or (isinstance(ok, str) and ok.strip().lower() in ("true", "yes"))
        try:
            seconds: float | None = float(data["seconds"])
        except (KeyError, TypeError, ValueError):
            seconds = None
        texts = {key: " ".join(str(data.get(key) or "").split()) for key in ("host", "name", "expected", "observed", "advice")}
        return cls(ok=proved, seconds=seconds, **texts)

    def as_dict(self) -> dict[str, t.Any]:
        """For the JSON file."""
        return dataclasses.asdict(self)


HEADINGS = ("", "what", "expected", "observed", "seconds")
# A column is cut rather than that one long message makes the whole table unreadable; advice and JSON have all of it.
WIDEST = 64


def render(entries: t.Sequence[Entry]) -> str:
    """Aligned text, one block for each host, what failed repeated below with what to do."""
    rows = {entry: _row(entry) for entry in entries}
    widths = [max([len(heading), *(len(row[at]) for row in rows.values())]) for at, heading in enumerate(HEADINGS)]

    def line(cells: t.Sequence[str]) -> str:
        *texts, last = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "  ".join([*texts, last.strip().rjust(widths[-1])]).rstrip()

    out = [line(HEADINGS)]
    for host in dict.fromkeys(entry.host for entry in entries):
        out += ["", host]
        out += [line(row) for entry, row in rows.items() if entry.host == host]
    failed = [entry for entry in entries if not entry.ok]
    out += ["", f"proved: {len(entries) - len(failed)} of {len(entries)}"]
    out += [f"  not proved: {describe(entry)}" for entry in failed]
    return "\n".join(out)


def _row(entry: Entry) -> tuple[str, ...]:
    seconds = "" if entry.seconds is None else f"{entry.seconds:.1f}"
    mark = "ok" if entry.ok else "FAILED"
    return (f"  {mark}", _cut(entry.name), _cut(entry.expected), _cut(entry.observed), seconds)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def describe(entry: Entry) -> str:
    """A failure in one line, with what to do."""
    text = f"{entry.host}: {entry.name}: expected {entry.expected}, observed {entry.observed}"
    return f"{text} ({entry.advice})" if entry.advice else text
