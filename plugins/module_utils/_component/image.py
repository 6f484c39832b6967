# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of containers on a host: loaded from a file or pulled from a registry. What runs is not touched by either."""

from __future__ import annotations

import subprocess
import typing as t

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]

# How long docker may take for an answer, to load an image from a slow SD card, and to pull it through a slow uplink, in seconds.
ANSWER = 60
LOAD = 1800
PULL = 3600

# What docker says, and what to do about it. The first that fits counts.
_HELP: tuple[tuple[tuple[str, ...], str], ...] = (
    (("no space left on device",), "free space below Docker's data directory (docker system df, docker image prune)"),
    (
        ("manifest unknown", "not found", "does not exist"),
        "correct the image's name, tag or digest; a digest belongs to the index of all architectures, not to one of them",
    ),
    (("invalid reference format", "invalid checksum digest", "unsupported digest"), "correct the name; a digest is sha256: and 64 hexadecimal digits"),
    (("toomanyrequests", "rate limit"), "wait, sign in with docker login, or set iot_image_registry to a mirror"),
    (("unauthorized", "authentication required", "access denied", "denied:"), "sign in with docker login on this host"),
    (("no matching manifest", "does not match the specified platform"), "choose an image that exists for this host's architecture"),
    (("x509", "certificate"), "let the engine trust the registry's certificate (/etc/docker/certs.d), and look at the host's clock"),
    (
        ("connection refused", "no such host", "timeout", "network is unreachable", "no route to host", "server misbehaving", "i/o", "EOF"),
        "look at the host's network and name server, set iot_image_registry to a mirror, or use a bundle (iot_bundle)",
    ),
    (("Cannot connect to the Docker daemon",), "start the engine: systemctl status docker"),
)


class ImageError(Exception):
    """What docker refused: what was asked, what came back, what to do."""


def present(name: str, run: Run = subprocess.run) -> bool:
    """Whether the engine has this image (repository:tag or repository@digest)."""
    done = _docker(run, ANSWER, "image", "inspect", "--format", "{{.Id}}", name)
    if done.returncode == 0:
        return True
    said = done.stderr.strip()
    if "no such image" in said.lower() or "not found" in said.lower():
        return False
    raise ImageError(_failed(f"docker image inspect {name}", said))


def load(name: str, archive: str, run: Run = subprocess.run) -> None:
    """Load the image from a file of `docker save`; an archive that does not hold it is an error."""
    done = _docker(run, LOAD, "load", "--quiet", "--input", archive)
    if done.returncode != 0:
        raise ImageError(_failed(f"docker load of {name} from {archive}", done.stderr.strip()))
    if not present(name, run):
        held = done.stdout.strip().replace("Loaded image:", "").strip() or "no image with a name"
        raise ImageError(f"{archive} holds {held}, not {name}. Do: make the bundle anew, or correct the image's name")


def pull(name: str, run: Run = subprocess.run) -> None:
    """Pull the image from the registry that its name says."""
    done = _docker(run, PULL, "pull", "--quiet", name)
    if done.returncode != 0:
        raise ImageError(_failed(f"docker pull {name}", done.stderr.strip()))


def _docker(run: Run, timeout: float, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return run(["docker", *words], capture_output=True, text=True, errors="replace", check=False, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(["docker", *words], 125, "", f"docker could not be run or gave no answer ({error})")


def _failed(what: str, said: str) -> str:
    lowered = said.lower()
    do = next((do for words, do in _HELP if any(word.lower() in lowered for word in words)), "look at what docker said")
    return f"{what} failed: {said[-1000:] or 'no output'}. Nothing that runs was touched. Do: {do}"
