# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages: published through the API, and those that are retained."""

from __future__ import annotations

import base64
import binascii
import time
import typing as t

from ..client import Client, EmqxError, path_of
from ..difference import Difference, prune
from .common import Batch, Json, Outcome, by_name

# EMQX's reason code for a message that nobody was there for.
_NOBODY = 16
_CHUNK = 500
# How long a message may take until it is retained.
_PAUSES = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0, 2.0)


def publish(client: Client, messages: t.Sequence[dict[str, Json]], *, require_subscribers: bool = False, check: bool = False) -> Outcome:
    """Publishes, which is a change each time."""
    bodies = [prune(dict(message)) for message in messages]
    for number, body in enumerate(bodies):
        _topic_name(body["topic"], f"messages[{number}]")
        _payload(body, f"messages[{number}]")
    outcome = Outcome(changed=bool(bodies), result={"results": []})
    header = "messages"
    outcome.diff = [{"before_header": header, "after_header": header, "before": {}, "after": {"published": len(bodies)}}] if bodies else []
    if check:
        # Rights and reach are told as in a run.
        client.server()
        return outcome
    for start in range(0, len(bodies), _CHUNK):
        part = bodies[start : start + _CHUNK]
        answers = client.post("/publish/bulk", part) if len(part) > 1 else [client.post("/publish", part[0])]
        if not isinstance(answers, list) or len(answers) != len(part) or not all(isinstance(one, dict) for one in answers):
            raise client.unexpected("/publish", "one answer for each message")
        for body, answer in zip(part, answers, strict=True):
            outcome.result["results"].append({"topic": body["topic"], "id": answer.get("id"), "delivered": "id" in answer})
            if "id" not in answer and answer.get("reason_code") != _NOBODY:
                raise EmqxError(f"EMQX did not publish to {body['topic']}: {answer.get('message') or answer}", "Its reason stands there")
    nobody = [one["topic"] for one in outcome.result["results"] if not one["delivered"]]
    if nobody and require_subscribers:
        raise EmqxError(f"published, and nobody was subscribed to {', '.join(nobody)}", "Check the subscribers' topics and permissions")
    return outcome


def _topic_name(topic: str, where: str) -> None:
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise EmqxError(f"{where}: {topic!r} is no topic name", "A message goes to one topic: no + and no #")


def _payload(body: dict[str, Json], where: str) -> bytes:
    if body.get("payload_encoding") != "base64":
        return str(body.get("payload", "")).encode()
    try:
        return base64.b64decode(str(body.get("payload", "")), validate=True)
    except binascii.Error:
        raise EmqxError(f"{where}: the payload is not base64", "Encode it with the filter b64encode") from None


# --- retained messages ---


def retained(
    client: Client,
    messages: t.Sequence[dict[str, Json]] = (),
    *,
    settings: dict[str, Json] | None = None,
    check: bool = False,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Outcome:
    """Retained messages (each with `state`; absent takes topic filters too), and the retainer's settings."""
    rows = [prune(dict(message)) for message in messages]
    wanted = by_name(rows, lambda row: row["topic"], "messages")
    payloads: dict[str, bytes] = {}
    for number, row in enumerate(rows):
        if row.get("state") != "absent":
            _topic_name(row["topic"], f"messages[{number}]")
            payloads[row["topic"]] = _payload(row, f"messages[{number}]")
            if not payloads[row["topic"]]:
                raise EmqxError(f"messages[{number}]: an empty payload removes a retained message", "Write state: absent")
    current = client.get("/mqtt/retainer")
    if not isinstance(current, dict):
        raise client.unexpected("/mqtt/retainer", "the retainer's settings")
    # This PUT takes the whole object.
    difference = Difference(settings or {}, current)
    after = difference.after() or {}
    if payloads and after.get("enable") is False:
        raise EmqxError("the retainer is off, so EMQX would publish the messages and keep none", "Set settings.enable, too")
    batch = Batch("retained messages")
    if difference.changed:
        batch.step(client.put, "/mqtt/retainer", difference.body())
    for topic, row in wanted.items():
        if row.get("state") == "absent":
            for name in _matching(client, topic):
                batch.remove(name, "retained")
                batch.step(client.delete, path_of("mqtt", "retainer", "message", name))
            continue
        have = client.find(path_of("mqtt", "retainer", "message", topic))
        shown = {"payload": _text(payloads[topic]), "qos": row.get("qos", 0)}
        if have is None:
            batch.add(topic, shown)
        else:
            old = {"payload": _text(base64.b64decode(str(have.get("payload") or ""))), "qos": have.get("qos")}
            if old["payload"] == shown["payload"] and ("qos" not in row or old["qos"] == row["qos"]):
                continue
            batch.change(topic, old, shown)
        body = {key: value for key, value in row.items() if key != "state"}
        batch.step(_retain, client, {**body, "retain": True}, payloads[topic], sleep)
    outcome = batch.run(check)
    outcome.add(difference, "retainer")
    outcome.result["settings"] = after
    return outcome


def _retain(client: Client, body: dict[str, Json], payload: bytes, sleep: t.Callable[[float], None]) -> None:
    client.post("/publish", body)
    # Newer versions keep it a moment after they answered.
    for pause in _PAUSES:
        sleep(pause)
        kept = client.find(path_of("mqtt", "retainer", "message", body["topic"]))
        if kept is not None and base64.b64decode(str(kept.get("payload") or "")) == payload:
            return
    raise EmqxError(
        f"EMQX published to {body['topic']} and did not retain the message",
        "Compare its size with max_payload_size, the number of messages with backend.max_retained_messages, and how many came at once with"
        " max_publish_rate",
    )


def _matching(client: Client, topic: str) -> list[str]:
    if "+" not in topic and "#" not in topic:
        return [topic] if client.find(path_of("mqtt", "retainer", "message", topic)) is not None else []
    # Older versions cannot select, so that is done here.
    names = [str(row.get("topic")) for row in client.pages("/mqtt/retainer/messages")]
    return [name for name in names if _selects(topic.split("/"), name.split("/"))]


def _selects(levels: list[str], topic: list[str]) -> bool:
    """Whether a topic filter selects a topic, as MQTT says: wildcards do not reach topics of the server ($SYS)."""
    if topic[0].startswith("$") and levels[0] in ("+", "#"):
        return False
    for number, level in enumerate(levels):
        if level == "#":
            return True
        if number >= len(topic) or level not in ("+", topic[number]):
            return False
    return len(levels) == len(topic)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(payload).decode()
