# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From how long somebody may be away, and how much comes meanwhile, to the limits of every queue on the way.

Two queues keep readings: the broker's, in memory, while Telegraf or the database behind it is away; and InfluxDB's of Edge Data
Replication, on disk, while the uplink of a gateway is away. What does not fit into a host is a finding of preflight.
"""

from __future__ import annotations

import dataclasses
import math

from .checks import Finding

# A message that waits in EMQX: payload (some hundred bytes), topic and headers on the session's heap, and that heap's growth while it
# is collected. An estimate on the safe side.
MESSAGE_BYTES = 2048
# Part of a host's memory that waiting messages may take.
MEMORY_SHARE = 0.25
# The queue is made as long as memory allows, up to this: a burst is not foreseen by an average.
GENEROUS_QUEUE = 1_000_000
# Above the average, for devices that send what they kept when they come back.
HEADROOM = 1.25

# A reading in the replication's queue: compressed line protocol, in the small batches of a quiet site.
REPLICATED_BYTES = 200
DISK_SHARE = 0.5
MIN_REPLICATION_QUEUE = 67_108_860
# InfluxDB drops what waits for longer than the maximum age, which is 60 days at most; a week costs nothing that the size does not limit.
WEEK, DAY = 604_800, 86_400
MAX_AGE = 5_184_000

# A message of a durable session: RocksDB's log, its tables, and their copies while they are put together.
DURABLE_BYTES = 1024

# Sent to Telegraf and not acknowledged yet. Telegraf's batches have to be smaller, or a full one would never come together.
INFLIGHT = 2000
BATCH = 1000
OWN_METRICS_PER_SECOND = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """The limits. Sizes in messages, bytes, MiB and seconds as the names say."""

    queue: int
    mailbox: int
    heap_mb: int
    session_expiry_seconds: int
    durable_seconds: int
    inflight: int
    batch: int
    undelivered: int
    buffer: int
    replication_queue_bytes: int
    replication_age_seconds: int

    def as_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)


def waiting_messages(outage: int, rate: float) -> int:
    """Messages that come while a consumer is away."""
    return math.ceil(outage * rate * HEADROOM)


def affordable_messages(memory_mb: int) -> int:
    """Messages for which a host has memory."""
    return int(memory_mb * 1_048_576 * MEMORY_SHARE / MESSAGE_BYTES)


def replication_bytes(outage: int, rate: float) -> int:
    """What the queue of a replication takes while the uplink is away."""
    return max(MIN_REPLICATION_QUEUE, math.ceil(outage * rate * HEADROOM * REPLICATED_BYTES))


def plan(outage: int, rate: float, memory_mb: int) -> Plan:
    """The limits for an outage of so many seconds at so many readings a second on a host with so much memory."""
    queue = max(waiting_messages(outage, rate), min(GENEROUS_QUEUE, affordable_messages(memory_mb)), 10 * INFLIGHT)
    small = memory_mb < 1536
    # More than the broker sends ahead, so that the broker is what limits.
    undelivered = 5000 if small else 20000
    # Readings that Telegraf has, and its own metrics, which nobody else keeps while the database is away.
    own = min(outage * OWN_METRICS_PER_SECOND, 20_000 if small else 80_000)
    return Plan(
        queue=queue,
        mailbox=max(100_000, math.ceil(rate * 60)),
        heap_mb=max(128, math.ceil(queue * MESSAGE_BYTES / 1_048_576)),
        session_expiry_seconds=max(WEEK, outage + DAY),
        durable_seconds=durable_seconds(outage),
        inflight=INFLIGHT,
        batch=BATCH,
        undelivered=undelivered,
        buffer=undelivered + max(own, 10_000),
        replication_queue_bytes=replication_bytes(outage, rate),
        replication_age_seconds=min(MAX_AGE, max(WEEK, outage + DAY)),
    )


def broker(outage: int, rate: float, memory_mb: int) -> list[Finding]:
    """Whether the broker of a host can keep what comes while its consumer is away."""
    wanted, affordable = waiting_messages(outage, rate), affordable_messages(memory_mb)
    if wanted <= affordable:
        return []
    return [
        Finding(
            f"{_span(outage)} without a consumer at {rate:g} readings/s are {wanted} messages,"
            f" {math.ceil(wanted * MESSAGE_BYTES / 1_048_576)} MiB in EMQX; of {memory_mb} MiB a quarter may be taken",
            f"Do: set iot_outage to at most {_span(int(affordable / rate / HEADROOM))} at this rate, or iot_readings_per_second to at most"
            f" {_rate(affordable / outage / HEADROOM)} for this outage, or use a host with more memory",
        )
    ]


def durable_seconds(outage: int) -> int:
    """How long EMQX keeps the messages of durable sessions: the outage, and time to catch up."""
    return outage + max(3600, outage // 4)


def durable(outage: int, rate: float, disk_mb: int) -> list[Finding]:
    """Whether the disk of a broker can keep what durable sessions need."""
    size = math.ceil(durable_seconds(outage) * rate * HEADROOM * DURABLE_BYTES / 1_048_576)
    if size <= disk_mb * DISK_SHARE:
        return []
    fits = disk_mb * DISK_SHARE * 1_048_576 / DURABLE_BYTES / HEADROOM
    return [
        Finding(
            f"durable sessions for {_span(outage)} at {rate:g} messages/s are {size} MiB on disk; of {disk_mb} MiB half may be taken",
            f"Do: set emqx_durable_sessions to false, or iot_readings_per_second to at most {_rate(fits / durable_seconds(outage))}"
            " for this outage, or use a larger disk",
        )
    ]


def uplink(outage: int, rate: float, disk_mb: int, retention: int) -> list[Finding]:
    """Whether a gateway can keep what comes while its uplink is away, and the centre still wants it then (retention 0 is for ever)."""
    out = []
    size = math.ceil(replication_bytes(outage, rate) / 1_048_576)
    if size > disk_mb * DISK_SHARE:
        fits = disk_mb * DISK_SHARE * 1_048_576 / REPLICATED_BYTES / HEADROOM
        out.append(
            Finding(
                f"{_span(outage)} without an uplink at {rate:g} readings/s are {size} MiB on disk; of {disk_mb} MiB half may be taken",
                f"Do: set iot_outage to at most {_span(int(fits / rate))} at this rate, or iot_readings_per_second to at most"
                f" {_rate(fits / outage)} for this outage, or use a larger disk",
            )
        )
    if outage > MAX_AGE - DAY:
        out.append(Finding(f"InfluxDB keeps at most 60 days for an uplink, not {_span(outage)}", f"Do: set iot_outage to at most {_span(MAX_AGE - DAY)}"))
    if retention and retention <= outage:
        out.append(
            Finding(
                f"the centre keeps readings for {_span(retention)} (iot_retention), and an outage may last {_span(outage)}:"
                " it would refuse what it gets afterwards",
                "Do: set iot_retention above iot_outage",
            )
        )
    return out


def _rate(value: float) -> str:
    """Rounded down, so that what is said fits."""
    return f"{math.floor(value * 100) / 100:g}"


def _span(seconds: int) -> str:
    """A span for people and for the variable, rounded down."""
    for unit, size in (("d", DAY), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
