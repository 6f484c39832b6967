# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the page as a visitor would see it, without a browser, and prints what it shows as JSON.

    check.py [--profile NAME] [--field NAME] [--device ID] [--range 15m]

Ends with 0 when the page shows the statistics of the metric that was asked for.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import typing as t


def choose(page: t.Any, key: str, value: str | None, problems: list[str]) -> None:
    """Selects a value as a visitor does; one that is not on offer is a problem."""
    if value is None:
        return
    box = next((box for box in page.selectbox if box.key == key), None)
    if box is None:
        problems.append(f"the page has no choice of {key}")
        return
    # AppTest takes any value, a visitor chooses among those on offer.
    try:
        offered = str(box.format_func(value)) in box.options
    except KeyError:
        offered = False
    if not offered:
        problems.append(f"{value!r} is not offered as {key}; there is {list(box.options)!r}")
        return
    box.set_value(value).run()


def shown(arguments: argparse.Namespace) -> dict[str, t.Any]:
    """What the page shows after the choices."""
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.py"), default_timeout=arguments.timeout)
    page.query_params["hidden"] = "1"
    page.run()
    problems: list[str] = []
    choose(page, "profile", arguments.profile, problems)
    profile = next((box.value for box in page.selectbox if box.key == "profile"), "")
    choose(page, f"field {profile}", arguments.field, problems)
    choose(page, f"device {profile}", arguments.device, problems)
    choose(page, "range", arguments.range, problems)
    result = {
        "title": [each.value for each in page.title],
        "choices": {box.key: box.value for box in page.selectbox},
        "statistics": {each.label: each.value for each in page.metric},
        "captions": [each.value for each in page.caption],
        "messages": [each.value for kind in (page.info, page.warning, page.error) for each in kind],
        "problems": problems + [f"{each.message}" for each in page.exception] + [each.value for each in page.error],
    }
    result["ok"] = bool(result["statistics"]) and not result["problems"]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="What the page shows, as JSON")
    for name in ("profile", "field", "device", "range"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--timeout", type=float, default=60)
    logging.disable(logging.CRITICAL)  # Streamlit's remarks on running without a server
    result = shown(parser.parse_args())
    json.dump(result, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
