# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: choose a kind of device, a metric, a device and a range; see the line and its statistics."""

from __future__ import annotations

import os
import sys

import pandas as pd
import streamlit as st

# Streamlit puts the script's directory on the path when it runs it, its AppTest does not.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import settings as site
import stats
from influx import Influx, InfluxError, NoDatabase, Readings, Refused, Unreachable

REFRESH = "10s"


def explain(error: InfluxError) -> str:
    """What went wrong, and what the reader can do about it."""
    advice = {
        Unreachable: "Is InfluxDB running, and does its certificate have this name?",
        Refused: "The app's token was replaced or withdrawn; a run of the playbook gives it a new one.",
        NoDatabase: "A run of the playbook creates the database.",
    }.get(type(error), "The services' logs say more.")
    return f"{error} {advice}"


def draw(field: site.Field, readings: Readings) -> None:
    """The statistics and the line."""
    cells = st.columns(len(stats.SHOWN))
    for cell, (label, text) in zip(cells, stats.table(readings.statistics, field.unit).items(), strict=True):
        cell.metric(label, text)
    title = stats.titled(field.label, field.unit)
    times = pd.to_datetime(readings.times, unit="ms", utc=True)
    st.line_chart(pd.DataFrame({title: readings.values}, index=times), y_label=title, x_label="")
    count = readings.statistics.get("count") or 0
    last = times[-1].strftime("%Y-%m-%d %H:%M:%S")
    st.caption(f"{count:.0f} reading{'' if count == 1 else 's'}, the last drawn point is of {last} UTC.")
    if field.warn is not None and (readings.statistics.get("max") or 0) >= field.warn:
        st.warning(f"{field.label} reached its limit of {stats.written(field.warn, field.unit)} in this range.")


@st.fragment(run_every=REFRESH)
def show(database: Influx, profile: site.Profile, field: site.Field, device: str, seconds: int) -> None:
    """Asks for the readings, again every few seconds, without the rest of the page."""
    try:
        readings = database.readings(
            profile.database, profile.measurement, field.name, device, seconds, boolean=field.type in ("boolean", "bool")
        )
    except InfluxError as error:
        st.error(explain(error))
        return
    if readings.values:
        draw(field, readings)
    else:
        st.info(f"{device} sent no {field.label} in this range. Choose a longer one, or see whether the device is on.")


def page() -> None:
    """The whole page."""
    st.set_page_config(page_title="Readings", layout="wide")
    try:
        settings = site.load()
        st.title(settings.title)
        database = Influx(settings.url, settings.token(), settings.ca_file)
    except (site.SettingsError, InfluxError) as error:
        st.error(str(error))
        return
    everything = st.query_params.get("hidden") == "1"
    profiles = {profile.name: profile for profile in settings.profiles if everything or not profile.hidden}
    if not profiles:
        st.info("No device profile has a metric yet.")
        return
    left, middle, right, far = st.columns([3, 3, 3, 2])
    profile = profiles[left.selectbox("Kind of device", list(profiles), format_func=lambda name: profiles[name].label, key="profile")]
    fields = {field.name: field for field in profile.fields}
    # Keys of their own per profile: another profile's choice means nothing here.
    field = fields[
        middle.selectbox(
            "Metric", list(fields), format_func=lambda name: stats.titled(fields[name].label, fields[name].unit), key=f"field {profile.name}"
        )
    ]
    span = far.selectbox("Range", list(stats.RANGES), index=1, key="range")
    try:
        devices = database.devices(profile.database, profile.measurement)
    except InfluxError as error:
        st.error(explain(error))
        return
    if not devices:
        st.info(f"No device of this kind ({profile.label}) has sent anything yet.")
        return
    device = right.selectbox("Device", devices, key=f"device {profile.name}")
    show(database, profile, field, device, stats.RANGES[span])


page()
