#!/usr/bin/env python3
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the demo's Grafana for the newest reading of each device and of each host, and says what to open.

The dashboards' own way: Grafana's API, its data source, InfluxDB. Ends with an error when a reading is missing.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import pathlib
import socket
import ssl
import sys
import time
import typing as t

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
PORT = 3000
# What is asked for: the table's first column, and the InfluxQL of its newest value.
READINGS = {
    "this-machine: CPU use (%)": """SELECT last("cpu_usage") FROM "raspberrypi" WHERE "device" = 'this-machine'""",
    "this-machine: memory in use (%)": """SELECT last("memory_usage") FROM "raspberrypi" WHERE "device" = 'this-machine'""",
    "plug-1: power (W)": """SELECT last("power") FROM "sonoff_pow" WHERE "device" = 'plug-1'""",
    "dht-1: temperature (°C)": """SELECT last("temperature") FROM "dht11" WHERE "device" = 'dht-1'""",
    "centre: memory in use (%)": """SELECT last("used_percent") FROM "mem" WHERE "host" = 'centre'""",
    "gateway-1: memory in use (%)": """SELECT last("used_percent") FROM "mem" WHERE "host" = 'gateway-1'""",
}
FRESH_SECONDS = 120.0


class DemoError(Exception):
    """What stands in the way, and what to do."""


class Grafana:
    """The demo's Grafana by its address, with the name that its certificate has."""

    def __init__(self, address: str, name: str, ca_file: pathlib.Path, password: str) -> None:
        self.address, self.name = address, name
        self.context = ssl.create_default_context(cafile=str(ca_file))
        self.authorization = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()

    def query(self, statement: str) -> list[list[t.Any]]:
        """Times (milliseconds) and values of the last hour."""
        body = {
            "from": "now-1h",
            "to": "now",
            "queries": [{"refId": "A", "datasource": {"type": "influxdb", "uid": "iot-influxdb"}, "rawQuery": True, "query": statement,
                         "resultFormat": "time_series", "intervalMs": 1000, "maxDataPoints": 100}],
        }  # fmt: skip
        connection = http.client.HTTPSConnection(self.name, PORT, timeout=30)
        try:
            connection.sock = self.context.wrap_socket(socket.create_connection((self.address, PORT), 30), server_hostname=self.name)
            headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
            connection.request("POST", "/api/ds/query", json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"Grafana at {self.address}:{PORT} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise DemoError(f"Grafana answers {answer.status}: {text[:200]}")
        frames = json.loads(text)["results"]["A"].get("frames") or []
        return frames[0]["data"]["values"] if frames else []


def newest(grafana: Grafana, seconds: float, now: t.Callable[[], float] = time.time) -> dict[str, tuple[float, float] | None]:
    """Name -> value and age in seconds, waiting until all are fresh or the time is over."""
    end = time.monotonic() + seconds
    while True:
        found: dict[str, tuple[float, float] | None] = {}
        for name, statement in READINGS.items():
            # The time of last() is that of the reading only without GROUP BY.
            values = grafana.query(f"{statement} AND time > now() - {FRESH_SECONDS:.0f}s")
            found[name] = (float(values[1][0]), now() - values[0][0] / 1000) if values and values[0] else None
        if all(found.values()) or time.monotonic() > end:
            return found
        time.sleep(2)


def standins(manifest: pathlib.Path) -> list[str]:
    """Packages of the bundle that are not the vendor's."""
    files = json.loads(manifest.read_text())["files"]
    return sorted({package["name"] for file in files for package in file.get("packages", []) if package["origin"] == "stand-in"})


def where(address: str, build: pathlib.Path) -> str:
    """What to open, and where the passwords are."""
    ssh = f"ssh -F {build / 'lab' / 'ssh' / 'config'}"
    secrets = build / "demo" / "secrets"
    return f"""
Grafana         https://{address}:{PORT}/d/edgestack-overview   user admin, password in {secrets / "grafana_admin_password"}
                (its certificate is of the demo's own CA, {build / "demo" / "pki" / "ca.pem"})
Streamlit app   {ssh} -N -L 8501:127.0.0.1:8501 centre      then http://127.0.0.1:8501
EMQX dashboard  {ssh} -N -L 18083:127.0.0.1:18083 centre    then http://127.0.0.1:18083
                user admin, password in {secrets / "emqx_dashboard_password"}
InfluxDB        https://{address}:8086   user admin, password in {secrets / "influxdb_admin_password"}
MQTT            {address}:8883, as a device in {build / "demo" / "devices"} (publish.sh in each says how)
A host's shell  {ssh} centre
The devices     tests/demo/demo.py status | stop | start      All of it away: make clean
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, default=90, help="seconds until every device must have a reading (default: 90)")
    options = parser.parse_args()
    try:
        centre = json.loads((BUILD / "lab" / "hosts.json").read_text())["hosts"]["centre"]
        password = (BUILD / "demo" / "secrets" / "grafana_admin_password").read_text().strip()
    except (OSError, ValueError, KeyError) as error:
        print(f"demo: the demo does not run here ({error}): make demo", file=sys.stderr)
        return 1
    print("Waiting for a reading of every device on the dashboard ...", flush=True)
    try:
        found = newest(Grafana(centre["address"], centre["fqdn"], BUILD / "demo" / "pki" / "ca.pem", password), options.wait)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print("\nNewest readings, as Grafana's data source answers:")
    for name, reading in found.items():
        print(f"  {'ok    ' if reading else 'FAILED'}  {name:34} {f'{reading[0]:8.1f}   {reading[1]:4.0f} s ago' if reading else 'no reading'}")
    print(where(centre["address"], BUILD), end="")
    names = standins(BUILD / "bundle" / "manifest.json")
    if names:
        print(f"STAND-IN, not the real thing: {', '.join(names)} (the vendors do not answer here; everything else is the real program)")
    missing = [name for name, reading in found.items() if not reading]
    if missing:
        print(f"demo: no reading: {', '.join(missing)}; look at build/demo/run/*.log", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
