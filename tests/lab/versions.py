# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The versions that the lab's bundle holds: what the roles pin, as the vendors' packages call it."""

from __future__ import annotations

TELEGRAF = "1.37.2"
INFLUXDB = "2.9.1"
EMQX = "5.8.9"
GRAFANA = "12.4.0"
# Tags of images without a package of that version here: Debian's are of the same line.
MARIADB = "11.8"
MYSQL = "9.7"
PYTHON = "3.13-slim-trixie"
# The package registry has no release of the CLI of its own: this is the one that influxd's go.mod asks for.
INFLUX_CLI = "2.7.1+git20250130"
# What a vendor's repository is asked for, where it answers ("12.4." stands for any of these).
VENDOR = {"telegraf": f"{TELEGRAF}-1", "influxdb2": f"{INFLUXDB}-1", "influxdb2-cli": "2.8.0-1", "emqx": EMQX,
          "grafana": GRAFANA.rpartition(".")[0] + "."}
