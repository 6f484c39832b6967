# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that the lab runs, built once and reused: base image, programs, packages, wheels, bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import base
import bundle
import engine
import images
import packages
import vendors
from common import LabError, say, step

STANDINS: dict[str, Callable[[str], Path]] = {"emqx": packages.emqx, "grafana": packages.grafana}


def everything(*, release: str = "bookworm", architecture: str = "amd64", ask_vendors: bool = True, again: bool = False,
               gateways: list[str] | None = None, with_images: bool = False) -> None:
    """Two lanes: what waits for the network, and what needs the processors."""
    with step("lab build"):
        with ThreadPoolExecutor(2) as pool:
            network = pool.submit(_network, release, architecture, gateways or [])
            compiled = pool.submit(_debs, release, architecture, ask_vendors=ask_vendors, again=again)
            # A failure of the one is told at once, not when the other is done: its step says FAILED.
            debs, problems = compiled.result()
            base_root, wheels = network.result()
        parts = [({"kind": "apt", "codename": release, "architecture": architecture},
                  *bundle.apt(release, architecture, debs, base_root)),
                 ({"kind": "wheels", "python": bundle.PYTHON[release], "architecture": architecture}, *wheels)]
        for other in gateways or []:
            parts.append(_gateway(release, other))
        if with_images:
            engine.ensure()
            parts += images.parts()
        manifest = bundle.write(parts)
    standins = json.loads(manifest.read_text())["stand_ins"]
    if standins:
        say(f"STAND-IN, not the real thing: {', '.join(standins)} (their vendors do not answer here)")
    say(f"bundle: {manifest}")
    if problems:
        raise LabError("the bundle is incomplete:\n    " + "\n    ".join(problems))


def _gateway(release: str, architecture: str) -> tuple[dict[str, str], Path, list[bundle.Package]]:
    """What is in no vendor's hands here of a gateway of another architecture: no InfluxDB, which is built for amd64 alone."""
    debs = [bundle.Deb(_only(packages.telegraf(architecture)), "registry"), bundle.Deb(_only(packages.emqx(architecture)), "stand-in")]
    return {"kind": "apt", "codename": release, "architecture": architecture}, *bundle.apt(release, architecture, debs, _base(release, architecture))


def _base(release: str, architecture: str) -> Path:
    root = base.root(release, architecture)
    if engine.answers():
        base.image(release, architecture)
    return root


def _only(place: Path) -> Path:
    found = sorted(place.glob("*.deb"))
    if len(found) != 1:
        raise LabError(f"{place}: one package expected, not {len(found)}")
    return found[0]


def _network(release: str, architecture: str, gateways: list[str]) -> tuple[Path, tuple[Path, list[bundle.Package]]]:
    # Those of other architectures are emulated, one processor long: beside the compiler's lane.
    for other in gateways:
        _base(release, other)
    return _base(release, architecture), bundle.wheels(release, architecture)


def _debs(release: str, architecture: str, *, ask_vendors: bool, again: bool) -> tuple[list[bundle.Deb], list[str]]:
    given = vendors.ask(release, architecture, again=again) if ask_vendors else {}
    debs = [bundle.Deb(path, "vendor") for found in given.values() for path in found]
    problems = []
    if "influxdata" not in given:
        debs.append(bundle.Deb(_only(packages.telegraf(architecture)), "registry"))
        if architecture == "amd64":
            debs += [bundle.Deb(path, "registry") for path in sorted(packages.influxdb().glob("*.deb"))]
        else:
            problems.append(f"InfluxDB for {architecture}: neither from the vendor nor built here (amd64 only)")
    for name, make in STANDINS.items():
        if name not in given:
            try:
                debs.append(bundle.Deb(_only(make(architecture)), "stand-in"))
            except LabError as error:
                problems.append(str(error))
    return debs, problems
