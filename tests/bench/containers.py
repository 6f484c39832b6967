# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers cost beside packages: images, seconds from a start until the component answers, memory, and the runs of site.yml.

    make bench BENCH=containers

Two hosts of the lab with Debian 13, the whole stack on each, one by each method. About ten minutes on 2 cores. EMQX and Grafana are the lab's
stand-ins where their vendors do not answer: their rows are no figures of the real ones.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import json
import pathlib
import statistics
import sys

import common

sys.path.append(str(common.ROOT / "tests" / "lab"))

import accounting

COMMAND = common.ROOT / "tests" / "lab" / "lab"
LABS = {"container": "benchcontainer", "package": "benchpackage"}
STARTS = 3
UNITS = {"mysql": "mariadb", "emqx": "emqx", "influxdb": "influxdb", "telegraf": "telegraf", "grafana": "grafana-server", "streamlit": "edgestack-streamlit"}
# What a process is called, and what it is a part of.
PARTS = {"mariadbd": "mysql", "emqx-standin": "emqx", "beam.smp": "emqx", "influxd": "influxdb", "telegraf": "telegraf",
         "grafana": "grafana", "streamlit": "streamlit", "dockerd": "engine", "containerd": "engine", "docker-proxy": "engine"}
# Stops and starts a component some times, and prints the seconds from each start until it answers whom it is there for: its name and the
# command before "start" and "stop" are the arguments.
STARTER = """
import base64, glob, json, socket, ssl, subprocess, sys, time, urllib.request
component, times, *command = sys.argv[1:]
anyone = ssl._create_unverified_context()
def get(url, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=anyone if url[:5] == "https" else None, timeout=2).read()
def mysql():
    with socket.create_connection(("127.0.0.1", 3306), timeout=2) as connection:
        return connection.recv(1)
def telegraf():
    "The broker says whether its session is taken."
    secret = open(glob.glob("/etc/edgestack/**/emqx/secrets/api_secret", recursive=True)[0]).read().strip()
    head = "Basic " + base64.b64encode(("edgestack:" + secret).encode()).decode()
    return json.loads(get("http://127.0.0.1:18083/api/v5/clients/telegraf-centre", Authorization=head))["connected"]
answers = {
    "mysql": mysql, "telegraf": telegraf,
    "emqx": lambda: get("http://127.0.0.1:18083/status"), "influxdb": lambda: get("https://127.0.0.1:8086/health"),
    "grafana": lambda: get("https://127.0.0.1:3000/api/health"), "streamlit": lambda: get("http://127.0.0.1:8501/_stcore/health"),
}[component]
def up():
    try:
        return bool(answers())
    except (OSError, KeyError, ValueError):
        return False
for _ in range(int(times)):
    subprocess.run([word.replace("VERB", "stop") for word in command], check=True, capture_output=True)
    while up():
        time.sleep(0.05)
    began = time.monotonic()
    subprocess.run([word.replace("VERB", "start") for word in command], check=True, capture_output=True)
    while not up():
        if time.monotonic() - began > 120:
            sys.exit(f"{component} does not answer 120 s after its start")
        time.sleep(0.02)
    print(time.monotonic() - began)
"""


def site(method: str) -> float:
    return common.site(LABS[method], f"--inventory={common.ROOT}/inventories/demo", "--limit=centre", IOT_INSTALL_METHOD=method).seconds


def starts(method: str, container: str, component: str) -> float:
    command = ["docker", "VERB", f"edgestack-{component}"] if method == "container" else ["systemctl", "VERB", UNITS[component]]
    out = common.inside(container, "python3", "-", component, str(STARTS), *command, text=STARTER)
    return statistics.median(float(line) for line in out.split())


def memory(container: str) -> dict[str, float]:
    """By part, also of what runs in containers of the host's own engine."""
    found: collections.Counter[str] = collections.Counter()
    for pid in common.tree(accounting.main_process(container)):
        with contextlib.suppress(OSError):
            process = pathlib.Path(f"/proc/{pid}/comm").read_text()
            name = next((part for start, part in PARTS.items() if process.startswith(start)), "")
            found[name] += common.proportional(pid) * 1024 / 1e6
    return dict(found)


def rows() -> collections.abc.Iterator[common.Row]:
    try:
        yield from _rows()
    finally:
        for lab in LABS.values():
            common.run(COMMAND, "down", "--lab", lab)


def _rows() -> collections.abc.Iterator[common.Row]:
    common.run(COMMAND, "engine")
    common.run(COMMAND, "build", "--release", "trixie", "--images")
    standins = set(json.loads((common.BUILD / "bundle" / "manifest.json").read_text())["stand_ins"])
    first, again, seconds, resident, images = {}, {}, {}, {}, {}
    # One after the other, so that neither slows the other down.
    for method, lab in LABS.items():
        host = f"edgestack-{lab}-centre"
        common.run(COMMAND, "up", "--fresh", "--release", "trixie", "--hosts", "centre", "--lab", lab,
                   *(["--engine-inside"] if method == "container" else []))
        first[method] = site(method)
        again[method] = site(method)
        seconds[method] = {component: starts(method, host, component) for component in UNITS}
        resident[method] = memory(host)
        if method == "container":
            for component in UNITS:
                image = common.inside(host, "docker", "inspect", "--format", "{{.Image}}", f"edgestack-{component}").strip()
                images[component] = int(common.inside(host, "docker", "image", "inspect", "--format", "{{.Size}}", image)) / 1e6
        common.run(COMMAND, "down", "--lab", lab)
    yield common.Row("containers site", "s", first["container"], first["package"], "packages", note="one host, everything, from the bundle")
    yield common.Row("containers site without changes", "s", again["container"], again["package"], "packages")
    for component in UNITS:
        note = "the lab's stand-in" if component in standins else ""
        yield common.Row(f"containers image {component}", "MB", images[component], note=note)
        yield common.Row(f"containers start {component}", "s", seconds["container"][component], seconds["package"][component], "package",
                         note=note or f"until it answers; the median of {STARTS}")
        yield common.Row(f"containers memory {component}", "MB", resident["container"].get(component, 0), resident["package"].get(component, 0),
                         "package", note=note)
    yield common.Row("containers memory engine", "MB", resident["container"].get("engine", 0), note="dockerd, containerd, and a shim for each container")
