# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on a host, with a docker that answers as the real one does (26.1, its words copied from its output)."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.edgestack.iot.plugins.module_utils._component import image

DIGEST = "emqx/emqx@sha256:" + "0" * 64


def docker(*answers):
    """Answers in turn: exit code, stdout, stderr."""
    left, calls = list(answers), []

    def run(words, **_options):
        calls.append(words)
        code, out, err = left.pop(0)
        return subprocess.CompletedProcess(words, code, out, err)

    return run, calls


MISSING = (1, "", "Error response from daemon: No such image: emqx/emqx:5.8.9")


def test_present():
    assert image.present("emqx/emqx:5.8.9", docker((0, "sha256:1", ""))[0])
    assert not image.present("emqx/emqx:5.8.9", docker(MISSING)[0])
    stopped = (1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    with pytest.raises(image.ImageError, match="systemctl status docker"):
        image.present("emqx/emqx:5.8.9", docker(stopped)[0])


def test_load_checks_what_the_archive_holds():
    run, calls = docker((0, "Loaded image: emqx/emqx:5.8.9", ""), (0, "sha256:1", ""))
    image.load("emqx/emqx:5.8.9", "/x.tar", run)
    assert calls[0] == ["docker", "load", "--quiet", "--input", "/x.tar"]
    with pytest.raises(image.ImageError, match=r"/x.tar holds emqx/emqx:5.8.8, not emqx/emqx:5.8.9. Do: make the bundle anew"):
        image.load("emqx/emqx:5.8.9", "/x.tar", docker((0, "Loaded image: emqx/emqx:5.8.8", ""), MISSING)[0])


@pytest.mark.parametrize(
    ("said", "do"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "free space"),
        ("Error response from daemon: manifest for emqx/emqx@sha256:00 not found: manifest unknown", "correct the image's name, tag or digest"),
        ("invalid reference format", "a digest is sha256: and 64"),
        ("Error response from daemon: toomanyrequests: You have reached your pull rate limit", "docker login, or set iot_image_registry"),
        ("Error response from daemon: Head https://r/v2/: unauthorized: authentication required", "docker login"),
        ("no matching manifest for linux/arm/v7 in the manifest list entries", "this host's architecture"),
        ("Get https://r/v2/: tls: failed to verify certificate: x509: certificate signed by unknown authority", "registry's certificate"),
        ("Get https://r/v2/: dial tcp 10.0.0.1:443: connect: connection refused", "look at the host's network"),
        ("dial tcp: lookup registry.example on 127.0.0.11:53: no such host", "look at the host's network"),
        ("something new", "look at what docker said"),
    ],
)
def test_what_docker_refused_is_said_with_what_to_do(said, do):
    with pytest.raises(image.ImageError) as caught:
        image.pull(DIGEST, docker((1, "", said))[0])
    text = str(caught.value)
    assert text.startswith(f"docker pull {DIGEST} failed: {said}") and do in text and "Nothing that runs was touched" in text


def test_a_docker_that_is_not_there_or_gives_no_answer():
    def missing(words, **_options):
        raise FileNotFoundError("docker")

    def late(words, **options):
        raise subprocess.TimeoutExpired(words, options["timeout"])

    for run in (missing, late):
        with pytest.raises(image.ImageError, match="could not be run or gave no answer"):
            image.pull("telegraf:1", run)


def test_pull_succeeds_quietly():
    run, calls = docker((0, "", ""))
    image.pull(DIGEST, run)
    assert calls == [["docker", "pull", "--quiet", DIGEST]]
