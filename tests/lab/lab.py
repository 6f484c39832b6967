# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's commands. The launcher `lab` beside this file finds a Python for it."""

from __future__ import annotations

import argparse
import shutil
import sys

import base
import emulation
import engine
import hosts
from common import BUNDLE, LAB, STATE, LabError, fail, locked, need, say


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("no host named")
    return names


def command_engine(_options: argparse.Namespace) -> None:
    say(f"Docker Engine {engine.ensure()} answers")


def command_emulate(options: argparse.Namespace) -> None:
    for architecture in options.architectures:
        emulation.ensure(architecture)
        say(f"programs for {architecture} run here")


def command_tools(_options: argparse.Namespace) -> None:
    need({"mariadb-install-db": "mariadb-server-core"}, "testing against a real database")


def command_build(options: argparse.Namespace) -> None:
    import builder  # noqa: PLC0415

    builder.everything(release=options.release, architecture=options.architecture, again=options.ask_vendors,
                     ask_vendors=not options.no_vendors, gateways=options.gateways, with_images=options.images)


def command_image(options: argparse.Namespace) -> None:
    print(base.image(options.release, options.architecture))


def command_up(options: argparse.Namespace) -> None:
    hosts.Lab(options.lab).up(options.hosts, fresh=options.fresh, release=options.release, engine_inside=options.engine_inside)


def command_down(options: argparse.Namespace) -> None:
    if engine.answers():
        hosts.Lab(options.lab).down(options.hosts)
    else:
        say("no Docker engine answers, so no host of the lab runs")


def command_status(options: argparse.Namespace) -> None:
    if not engine.answers():
        print("no Docker engine answers")
        return
    print(f"Docker Engine {engine.docker('version', '--format', '{{.Server.Version}}')}")
    for lab in hosts.every_lab():
        print("\n".join(lab.status()))
    manifest = BUNDLE / "manifest.json"
    print(f"bundle: {manifest if manifest.is_file() else 'not built'}")


def command_clean(_options: argparse.Namespace) -> None:
    if engine.RECORD.is_file() and not engine.answers():
        engine.ensure()  # the lab's own engine is gone (a restart), but what it held is still on the disk
    if engine.answers():
        for lab in hosts.every_lab():
            lab.down()
        base.remove_images()
    engine.stop_ours()
    emulation.remove()
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree(BUNDLE, ignore_errors=True)
    for path in LAB.rglob("__pycache__"):
        shutil.rmtree(path, ignore_errors=True)
    say("clean")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    add("engine", "make sure that a Docker engine answers")
    command = add("emulate", "register QEMU for other architectures with the kernel, as `up` and `build` do when they are root")
    command.add_argument("architectures", nargs="+", choices=["arm64", "armhf"])
    add("tools", "install what the tests run on this machine itself: MariaDB's programs, no service")
    command = add("build", "build what the lab runs: programs, packages, wheels, the bundle, the base image")
    command.add_argument("--release", default="bookworm", choices=["bookworm", "trixie"])
    command.add_argument("--architecture", default="amd64", choices=["amd64", "arm64"])
    command.add_argument("--no-vendors", action="store_true", help="do not ask the vendors' repositories")
    command.add_argument("--ask-vendors", action="store_true", help="ask them again; a refusal is remembered")
    command.add_argument("--gateways", type=_names, default=[], help="what a gateway of another architecture runs as well: arm64")
    command.add_argument("--images", action="store_true", help="the bundle's images as well")
    command = add("image", "make sure that the base image is there, and print its name on the last line")
    command.add_argument("--release", default="bookworm", choices=["bookworm", "trixie"])
    command.add_argument("--architecture", default="amd64", choices=["amd64", "arm64", "armhf"])
    command = add("up", "start the hosts")
    command.add_argument("--hosts", type=_names, default=list(hosts.DEFAULT), help="centre,gateway-1; architecture, memory, disk: gateway-1:arm64:1g:disk")
    command.add_argument("--lab", default="demo", help="another set of hosts beside the demo's")
    command.add_argument("--fresh", action="store_true", help="new hosts instead of those that are there")
    command.add_argument("--release", default="bookworm", choices=["bookworm", "trixie"])
    command.add_argument("--engine-inside", action="store_true", help="hosts that can run a Docker engine of their own")
    command = add("down", "remove the hosts and their network; what was built stays")
    command.add_argument("--hosts", type=_names, default=None)
    command.add_argument("--lab", default="demo")
    add("status", "what runs")
    add("clean", "everything away: hosts, network, images, build/lab, build/bundle, a dockerd that the lab started, QEMU's registrations")
    options = parser.parse_args(arguments)
    action = globals()[f"command_{options.command}"]
    try:
        if options.command == "status":
            action(options)
        else:
            with locked():
                action(options)
    except LabError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
