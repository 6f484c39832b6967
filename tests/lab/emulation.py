# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of another architecture on this machine: QEMU's user emulation, registered with the kernel (binfmt_misc)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from common import STATE, LabError, install, is_root, need, output, say, step, write_if_changed

BINFMT = Path("/proc/sys/fs/binfmt_misc")
RECORD = STATE / "binfmt.json"
PREFIX = "edgestack-lab-"
QEMU = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "arm"}
# Class, byte order and machine of an ELF file; the mask leaves out the ABI and lets both executables and shared objects through.
_ELF = {"arm64": (2, 0xB7), "armhf": (1, 0x28)}
_MASK = bytes([255] * 7 + [0] + [255] * 8 + [254] + [255] * 3)


def native() -> str:
    return output(["dpkg", "--print-architecture"])


def magic(architecture: str) -> bytes:
    size, machine = _ELF[architecture]
    return b"\x7fELF" + bytes([size, 1, 1, *[0] * 9, 2, 0, machine, 0])


def ensure(architecture: str) -> None:
    """Make the kernel run this architecture's programs, in containers too; what is registered already is left as it is."""
    if architecture == native() or handler(architecture):
        return
    if not is_root():
        raise LabError(f"this kernel runs no {architecture} programs in containers. Once after each start of the machine, as root:\n"
                       f"    tests/lab/lab emulate {architecture}")
    qemu = _interpreter(architecture)
    mounted = _mount()
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {"mounted": False, "names": []}
    name = PREFIX + architecture
    if (BINFMT / name).exists():
        raise LabError(f"{BINFMT / name} is there, but does not serve {architecture} in containers; remove it: echo -1 > {BINFMT / name}")
    record = {"mounted": record["mounted"] or mounted, "names": sorted({*record["names"], name})}
    # Before the entry itself: what is registered must be found by `lab clean`.
    write_if_changed(RECORD, json.dumps(record) + "\n")
    with step(f"registering {qemu} for {architecture}"):
        # F: opened now, so that containers need no copy of it. P: the program sees its own argv[0]. C: setuid programs are.
        (BINFMT / "register").write_bytes(
            f":{name}:M::{_escaped(magic(architecture))}:{_escaped(_MASK)}:{qemu}:PCF".encode())
    if not handler(architecture):
        raise LabError(f"{name} is registered, but the kernel does not say so; look at {BINFMT}")


def handler(architecture: str) -> str:
    """The name of an entry that is on, serves containers and takes this architecture's programs; empty when there is none."""
    if not (BINFMT / "status").is_file() or (BINFMT / "status").read_text().strip() != "enabled":
        return ""
    wanted = magic(architecture).hex()
    for entry in sorted(BINFMT.iterdir()):
        if entry.name in {"register", "status"}:
            continue
        fields = dict(line.partition(" ")[::2] for line in entry.read_text().splitlines())
        flags = fields.get("flags:", "")
        if "enabled" in fields and fields.get("magic") == wanted and "F" in flags:
            return entry.name
    return ""


def _interpreter(architecture: str) -> str:
    # From trixie on qemu-user's own programs are static, and qemu-user-static is an empty package that depends on it.
    names = [f"qemu-{QEMU[architecture]}-static", f"qemu-{QEMU[architecture]}"]
    for again in (True, False):
        for name in names:
            found = shutil.which(name)
            if found and (name.endswith("-static") or _is_static(Path(found))):
                return str(Path(found).resolve())
        if again:
            install(["qemu-user-static"], f"running {architecture} programs")
    raise LabError(f"qemu-user-static is installed, but no static {names[1]} is on PATH")


def _is_static(program: Path) -> bool:
    need({"readelf": "binutils"}, "looking at QEMU")
    return "INTERP" not in output(["readelf", "--program-headers", "--wide", program])


def _mount() -> bool:
    """Whether the file system was mounted here and now."""
    if (BINFMT / "register").exists():
        return False
    try:
        output(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
    except LabError as error:
        raise LabError(f"the kernel's binfmt_misc cannot be mounted, so no other architecture can be emulated here: {error}") from None
    return True


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def remove() -> None:
    """Take back what `ensure` registered and mounted here; what somebody else registered stays."""
    if not RECORD.is_file():
        return
    record = json.loads(RECORD.read_text())
    for name in record["names"]:
        if (BINFMT / name).exists():
            (BINFMT / name).write_text("-1")
            say(f"{name}: no longer registered")
    others = [entry.name for entry in BINFMT.iterdir() if entry.name not in {"register", "status"}] if BINFMT.is_dir() else []
    if record["mounted"] and not others:
        output(["umount", BINFMT], check=False)
    RECORD.unlink()
