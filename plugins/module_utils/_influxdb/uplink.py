# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's look at its uplink: how the queues stand, as readings; a blocked queue is renewed; what the centre lacks is copied.

It runs on the gateway, once a minute by a timer of systemd, with the standard library alone:

    python3 -m edgestack_uplink /etc/edgestack/uplink/settings.json

What it writes goes into the replicated bucket, and so it also wakes a queue that waits: after ten failures InfluxDB tries again only at
the next write, or after a quarter of an hour. Each write to a queue that waits is one more failure, which InfluxDB notes in its own database
and in the journal: on an SD card that costs as much as two more writes. So it is seldom, beside those of Telegraf.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import typing as t

from .._http import Fault
from . import duration, reconcile, replication
from .client import Client, Refused, read_token

_TEXT = 500
# What waits no longer than this is on its way, in seconds.
_MOMENT = 30
# The journal's marks of an error and of news.
_ERROR, _NOTICE = "<3>", "<5>"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The configuration file. replications are their names with local and remote bucket; the first bucket gets the figures."""

    host: str
    url: str
    token_file: str
    ca_file: str
    organization: str
    remote_url: str
    remote_token_file: str
    replications: list[dict[str, str]]
    state_file: str
    reconcile: bool = True
    every: str = "1h"
    since: str = "7d"
    settle: str = "5m"
    # The figures are stored this often while nothing waits, and while something does; each write costs an SD card some 60 KB, with the queue's
    # part.
    quiet: str = "1h"
    waiting: str = "10m"

    @classmethod
    def read(cls, path: str) -> Settings:
        try:
            with open(path, encoding="utf-8") as file:
                return cls(**json.load(file))
        except (OSError, ValueError, TypeError) as error:
            raise Refused(f"cannot use {path}: {error}") from None


@dataclasses.dataclass
class State:
    """What one run leaves for the next: when was compared last, when the figures were stored last, since when each queue has not been
    empty, and of which that has been said."""

    reconciled: float = 0.0
    stored: float = 0.0
    waiting: dict[str, float] = dataclasses.field(default_factory=dict)
    late: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, path: str) -> State:
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
            waiting = {str(name): float(since) for name, since in data["waiting"].items()}
            return cls(float(data["reconciled"]), float(data["stored"]), waiting, [str(name) for name in data["late"]])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # None yet, or one that a power cut left broken: it is compared once more.
            return cls()

    def write(self, path: str) -> None:
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file)
        os.replace(path + ".new", path)


def connect(url: str, token_file: str, ca_file: str) -> Client:
    return Client.connect(url, read_token(None, token_file), ca_file=ca_file or None, timeout=60, retries=1)


def look(local: Client, settings: Settings, state: State, now: float) -> tuple[list[str], list[str]]:
    """Writes how the queues stand, when that is due or one begins or ceases to wait; the names of those that are blocked, and what is news."""
    org_id = local.organization_id(settings.organization)
    found = {one["name"]: one for one in local.replications(org_id)}
    missing = sorted({one["name"] for one in settings.replications} - set(found))
    if missing:
        raise Refused(f"there is no replication {', '.join(missing)}; run the playbook for this host")
    lines: list[str] = []
    blocked: list[str] = []
    news: list[str] = []
    late: list[str] = []
    for one in settings.replications:
        name = one["name"]
        queue = replication.queue_of(found[name])
        stuck = replication.blocked(found[name])
        if stuck:
            blocked.append(name)
        # A clock that was set back begins anew.
        since = min(state.waiting.pop(name, now), now)
        waited = 0
        if queue["remaining_bytes"]:
            state.waiting[name] = since
            waited = int(now - since)
        if waited >= _MOMENT:
            late.append(name)
        if (name in late) != (name in state.late):
            news.append(
                f"the queue {name} has waited for {settings.remote_url} for {waited} s: {queue['latest_error'] or 'no answer yet'}"
                if name in late
                else f"the queue {name} is copied to {settings.remote_url} again"
            )
        lines.append(
            _line(
                "uplink",
                settings.host,
                name,
                now,
                queue_bytes=queue["queue_bytes"],
                remaining_bytes=queue["remaining_bytes"],
                waiting_seconds=waited,
                latest_status=queue["latest_status"],
                blocked=stuck,
                error=queue["latest_error"] if queue["remaining_bytes"] else "",
            )
        )
    due = duration.seconds(settings.waiting, "waiting") if state.waiting else duration.seconds(settings.quiet, "quiet")
    # A clock that was set back makes it due as well.
    if news or blocked or not 0 <= now - state.stored < due:
        _store(local, org_id, settings, lines)
        state.stored, state.late = now, late
    return blocked, news


def heal(local: Client, remote: Client, settings: Settings, now: float) -> list[dict[str, t.Any]]:
    """Renews blocked queues and copies what the centre lacks; what was found for each bucket."""
    org_id = local.organization_id(settings.organization)
    results = []
    lines: list[str] = []
    try:
        for one in settings.replications:
            renewed = replication.renew(local, settings.organization, one["name"], check=False).values["renewed"]
            outcome = reconcile.reconcile(
                local,
                one["bucket"],
                remote,
                one["remote_bucket"],
                since=duration.seconds(settings.since, "since"),
                settle=duration.seconds(settings.settle, "settle"),
                check=False,
            )
            figures = {key: int(outcome.values[key]) for key in ("missing_points", "copied_points", "left_points")}
            refused = outcome.values["refused"]
            reason = refused[0]["reason"] if refused else ""
            lines.append(
                _line("uplink_reconcile", settings.host, one["name"], now, **figures, refused_series=len(refused), renewed=renewed, error=reason)
            )
            results.append({"replication": one["name"], "renewed": renewed, **figures, "refused": refused})
    finally:
        # In one write, also of what was done before something failed.
        if lines:
            _store(local, org_id, settings, lines)
    return results


def run(settings: Settings, now: float) -> dict[str, t.Any]:
    """One look; what is to be logged."""
    state = State.read(settings.state_file)
    before = dataclasses.asdict(state)
    local = connect(settings.url, settings.token_file, settings.ca_file)
    remote = connect(settings.remote_url, settings.remote_token_file, settings.ca_file)
    try:
        blocked, news = look(local, settings, state, now)
        report: dict[str, t.Any] = {"blocked": blocked, "waiting": sorted(state.waiting), "news": news}
        # A clock that was set back makes it due as well.
        due = not 0 <= now - state.reconciled < duration.seconds(settings.every, "every")
        if settings.reconcile and (blocked or due):
            try:
                report["reconciled"] = heal(local, remote, settings, now)
                state.reconciled = now
            except Fault as fault:
                if not fault.url.startswith(remote.transport.base_url) or fault.kind not in ("connection", "timeout", "broken"):
                    raise
                # The uplink is away: that is what the queues are for.
                report["away"] = str(fault)
        if dataclasses.asdict(state) != before:
            state.write(settings.state_file)
        return report
    finally:
        local.close()
        remote.close()


def _line(measurement: str, host: str, name: str, now: float, **fields: t.Any) -> str:
    values = [f"{key}={_value(found)}" for key, found in fields.items()]
    return f"{measurement},host={reconcile.escape(host)},queue={reconcile.escape(name)} {','.join(values)} {int(now * 1000)}"


def _value(found: t.Any) -> str:
    if isinstance(found, bool):
        return reconcile.value(found, "boolean")
    if isinstance(found, int):
        return reconcile.value(found, "integer")
    return reconcile.value(str(found)[:_TEXT], "string")


def _store(local: Client, org_id: str, settings: Settings, lines: list[str]) -> None:
    query = {"orgID": org_id, "bucket": settings.replications[0]["bucket"], "precision": "ms"}
    local.transport.request("POST", "/api/v2/write", query=query, body="\n".join(lines), retry=True)


def main(arguments: t.Sequence[str]) -> tuple[int, list[str]]:
    """The program: its exit code and the lines for the journal, to be printed by whoever starts it; the last one is the report."""
    if len(arguments) != 2:
        return 2, [f"{_ERROR}usage: {arguments[0]} SETTINGS.json"]
    try:
        report = run(Settings.read(arguments[1]), time.time())
    except (Fault, Refused, OSError) as error:
        return 1, [f"{_ERROR}the uplink could not be looked at: {error}"]
    return 0, [*(_NOTICE + one for one in report["news"]), json.dumps(report, sort_keys=True)]
