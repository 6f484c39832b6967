# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session is subscribed to: a client with a persistent session that does not subscribe again keeps its old topics for ever."""

from __future__ import annotations

import typing as t

from ..client import Client, EmqxError, path_of
from ..difference import Json
from .common import Outcome


def subscriptions(client: Client, clientid: str, wanted: t.Mapping[str, int], *, exclusive: bool, check: bool) -> Outcome:
    """Gives a session these topics with their QoS; exclusive: and no others. Also one whose client is away. No session, no change."""
    for topic, qos in wanted.items():
        if not topic or qos not in (0, 1, 2):
            raise EmqxError(f"{topic!r} with QoS {qos} cannot be subscribed to", "Give a topic and a QoS of 0, 1 or 2")
    before = _current(client, clientid)
    outcome = Outcome(result={"session": before is not None, "subscribed": [], "unsubscribed": []})
    if before is None:
        return outcome
    subscribed = sorted(topic for topic, qos in wanted.items() if before.get(topic) != qos)
    unsubscribed = sorted(set(before) - set(wanted)) if exclusive else []
    outcome.result.update({"subscribed": subscribed, "unsubscribed": unsubscribed})
    if not subscribed and not unsubscribed:
        return outcome
    outcome.changed = True
    after = {topic: qos for topic, qos in {**before, **wanted}.items() if topic not in unsubscribed}
    outcome.diff.append({"before_header": clientid, "after_header": clientid, "before": before, "after": after})
    if check:
        return outcome
    # What is new comes first: a message that both topics take arrives at least once.
    if subscribed:
        client.post(path_of("clients", clientid, "subscribe", "bulk"), [{"topic": topic, "qos": wanted[topic]} for topic in subscribed])
    if unsubscribed:
        client.post(path_of("clients", clientid, "unsubscribe", "bulk"), [{"topic": topic} for topic in unsubscribed])
    now = _current(client, clientid)
    if now != after:
        raise EmqxError(
            f"the session of {clientid} is subscribed to {now}, not to {after}",
            "Its client perhaps connected anew meanwhile; run this again, and look whether it may subscribe (mqtt_acl)",
        )
    return outcome


def _current(client: Client, clientid: str) -> dict[str, int] | None:
    rows: Json = client.find(path_of("clients", clientid, "subscriptions"))
    if rows is None:
        return None
    if not isinstance(rows, list):
        raise client.unexpected(path_of("clients", clientid, "subscriptions"), "a list of subscriptions")
    return {str(row["topic"]): int(row["qos"]) for row in rows}
