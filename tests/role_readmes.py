# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes each role's README.md from its meta/argument_specs.yml. `make docs` writes them; a test compares."""

from __future__ import annotations

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).parents[1]


def _text(text: str | list[str]) -> str:
    """Ansible's markup (C(), O(), M()) as Markdown."""
    joined = " ".join(text) if isinstance(text, list) else text
    return re.sub(r"\b[CVMO]\(([^)]*)\)", r"`\1`", " ".join(joined.split()))


def computed(role: str) -> dict:
    """Defaults that are templates of something else than text: they stand in defaults/main.yml alone, as documentation tools check a default's type."""
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    options = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"].get("options", {})
    known = (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    return {
        name: value
        for name, value in known.items()
        if isinstance(value, str) and "{{" in value and options.get(name, {}).get("type") not in ("str", "path", "raw", None)
    }


def _default(option: dict) -> str:
    if option.get("required"):
        return "**required**"
    value = option.get("default")
    return f"`{value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)}`"


def _rows(options: dict, prefix: str = "") -> list[str]:
    rows = []
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if option.get("elements") else "")
        about = _text(option["description"])
        if option.get("choices"):
            about += " One of " + ", ".join(f"`{choice}`" if choice != "" else "empty" for choice in option["choices"]) + "."
        # A bar inside a cell would end it.
        cells = [f"`{prefix}{name}`", kind, _default(option), about]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        rows += _rows(option.get("options", {}), f"{prefix}{name}.")
    return rows


def readme(role: str) -> str:
    """The whole README of a role."""
    entries = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    main = entries["main"]
    for name, value in computed(role).items():
        main["options"][name]["default"] = value
    description = main["description"]
    lines = [f"# {role}", "", main["short_description"] + ".", ""]
    lines += [_text(paragraph) + "\n" for paragraph in (description if isinstance(description, list) else [description])]
    if main.get("options"):
        lines += ["| option | type | default | what it is |", "|---|---|---|---|", *_rows(main["options"]), ""]
    lines += [f"Made from `meta/argument_specs.yml` by `make docs`; `ansible-doc -t role edgestack.iot.{role}` shows the same.", ""]
    return "\n".join(lines)


def main() -> None:
    for path in sorted((ROOT / "roles").iterdir()):
        (path / "README.md").write_text(readme(path.name))


if __name__ == "__main__":
    sys.exit(main())
