# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local bucket has and a remote one lacks, by series and hour, and how it gets there.

The queue of a replication can fill up, its oldest can expire, the other side can lose its disk, and a batch that is refused in part holds
up everything behind it. The readings are in the local bucket all the same. Here both sides are counted, and hours in which the remote
one has fewer are written to it again: a point that is there already is the same point.
"""

from __future__ import annotations

import dataclasses
import re
import time
import typing as t

from . import duration
from .client import Client, Refused
from .difference import Difference, Differences
from .resources import Outcome

HOUR = 3600
# One query covers a day, one write so many points.
DAY = 86400
BATCH = 5000
# Rows of one answer; each has all fields of its measurement.
ROWS = 20000
# What the result names one by one.
SHOWN = 200

Tags = tuple[tuple[str, str], ...]


class Series(t.NamedTuple):
    """A measurement and its tags."""

    measurement: str
    tags: Tags

    def __str__(self) -> str:
        return ",".join([self.measurement, *(f"{name}={value}" for name, value in self.tags)])

    @property
    def device(self) -> str:
        """Whose readings these are: the tag device, else the host."""
        tags = dict(self.tags)
        return tags.get("device") or tags.get("host", "")


# By series and beginning of the hour, the number of values of each field.
Counts = dict[tuple[Series, int], dict[str, int]]


@dataclasses.dataclass(frozen=True)
class Span:
    """Whole hours from start to before end, seconds since 1970."""

    start: int
    end: int

    def days(self) -> t.Iterator[Span]:
        for start in range(self.start, self.end, DAY):
            yield Span(start, min(start + DAY, self.end))


@dataclasses.dataclass
class Copied:
    """What became of the points that were sent."""

    refused: int = 0
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)


def quote(name: str) -> str:
    """An InfluxQL identifier."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def literal(text: str) -> str:
    """An InfluxQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def count(client: Client, bucket: str, span: Span) -> Counts:
    """What a bucket has in a span, by one query for each day."""
    found: Counts = {}
    for day in span.days():
        query = f"SELECT count(*) FROM /.*/ WHERE time >= {day.start}s AND time < {day.end}s GROUP BY time(1h), * FILL(none)"  # noqa: S608
        for series, rows in _series(client, query, bucket, "s"):
            for row in rows:
                # A field can be called time or name; the columns here are count_NAME.
                values = {key.removeprefix("count_"): int(value) for key, value in row.items() if key != "time" and value}
                if values:
                    found[series, int(row["time"])] = values
    return found


def missing(local: Counts, remote: Counts) -> list[tuple[Series, int]]:
    """The hours of a series in which the remote side has fewer values of a field than the local one."""
    return sorted(key for key, values in local.items() if any(number > remote.get(key, {}).get(name, 0) for name, number in values.items()))


def points(values: dict[str, int]) -> int:
    """How many points so many values of each field are, at least."""
    return max(values.values(), default=0)


def field_types(client: Client, bucket: str) -> dict[str, dict[str, str]]:
    """The type of each field of each measurement; InfluxQL's answers do not tell 1 and 1.0 apart."""
    found: dict[str, dict[str, str]] = {}
    for row in client.influxql("SHOW FIELD KEYS", bucket):
        types = found.setdefault(row["name"], {})
        key = row["fieldKey"]
        # A field with two types, in different shards: what a value looks like decides.
        types[key] = "" if key in types and types[key] != row["fieldType"] else row["fieldType"]
    return found


def lines(client: Client, bucket: str, series: Series, span: Span, types: dict[str, str]) -> t.Iterator[str]:
    """The points of a series as line protocol."""
    where = [f"time >= {span.start}s", f"time < {span.end}s", *(f"{quote(name)} = {literal(value)}" for name, value in series.tags)]
    fields = ", ".join(f"{quote(name)}::field" for name in sorted(types))
    query = f"SELECT {fields} FROM {quote(series.measurement)} WHERE {' AND '.join(where)} GROUP BY *"  # noqa: S608
    head = escape(series.measurement, ", \n") + "".join(f",{escape(name)}={escape(value)}" for name, value in series.tags)
    for found, rows in _series(client, query, bucket, "ns"):
        # A condition on tags also takes series with further tags.
        if found != series:
            continue
        for row in rows:
            values = [f"{escape(name)}={value(row[name], kind)}" for name, kind in sorted(types.items()) if row.get(name) is not None]
            if values:
                yield f"{head} {','.join(values)} {row['time']}"


def escape(text: str, characters: str = ", =\n") -> str:
    """A name or a tag of line protocol."""
    for character in characters:
        text = text.replace(character, "\\n" if character == "\n" else f"\\{character}")
    return text


def value(found: t.Any, kind: str) -> str:
    """A field's value of line protocol."""
    if kind == "string" or isinstance(found, str):
        return '"' + str(found).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if kind == "boolean" or isinstance(found, bool):
        return "true" if found else "false"
    if kind in ("integer", "unsigned"):
        return f"{int(found)}{kind[0]}"
    return repr(float(found))


def write(client: Client, org_id: str, bucket: str, batch: t.Sequence[str]) -> tuple[int, str]:
    """Writes points; how many of them were refused, and why. The others of a batch are stored."""
    query = {"orgID": org_id, "bucket": bucket, "precision": "ns"}
    body = "\n".join(batch)
    answer = client.transport.request("POST", "/api/v2/write", query=query, body=body, retry=True, accept=(400, 413, 422))
    if answer.status < 400:
        return 0, ""
    _code, message = client.transport.dialect.error(answer)
    dropped = re.search(r"dropped=(\d+)", message)
    if dropped:
        return int(dropped.group(1)), message
    if len(batch) == 1:
        return 1, message
    # All of it was refused, because of one of them or because it is too much at a time.
    half = len(batch) // 2
    first, why = write(client, org_id, bucket, batch[:half])
    second, other = write(client, org_id, bucket, batch[half:])
    return first + second, why or other


def copy(local: Client, bucket: str, remote: Client, org_id: str, remote_bucket: str, wanted: t.Iterable[tuple[Series, int]], counts: Counts) -> Copied:
    """Copies whole hours of series."""
    types = field_types(local, bucket)
    done = Copied()
    for series, hour in wanted:
        parts = max(1, -(-points(counts[series, hour]) // ROWS))
        step = max(1, HOUR // parts)
        for start in range(hour, hour + HOUR, step):
            part = list(lines(local, bucket, series, Span(start, min(start + step, hour + HOUR)), types.get(series.measurement, {})))
            for first in range(0, len(part), BATCH):
                refused, why = write(remote, org_id, remote_bucket, part[first : first + BATCH])
                done.refused += refused
                if why:
                    done.reasons.setdefault(str(series), why)
    return done


def reconcile(
    local: Client,
    bucket: str,
    remote: Client,
    remote_bucket: str,
    *,
    since: int,
    settle: int,
    check: bool,
    now: float | None = None,
) -> Outcome:
    """Compares the hours of the last `since` seconds without the last `settle` ones, and copies what is missing."""
    moment = int(time.time() if now is None else now)
    _bucket(local, bucket, "local")
    there = _bucket(remote, remote_bucket, "remote")
    kept = int((there.get("retentionRules") or [{}])[0].get("everySeconds", 0))
    start = moment - min(since, kept or since)
    start -= start % HOUR
    if kept and start <= moment - kept:
        # An hour that is just leaving there would be found missing at every run.
        start += HOUR
    # The end lies in the past: what is on its way just now is not missing.
    span = Span(start, moment - settle)
    if span.end <= span.start:
        raise Refused(f"there is nothing to compare: the last {settle} s are left out, and the remote bucket keeps {duration.text(kept)}")
    counts, before = count(local, bucket, span), count(remote, remote_bucket, span)
    wanted = missing(counts, before)
    after = before
    copied = Copied()
    if wanted and not check:
        copied = copy(local, bucket, remote, str(there["orgID"]), remote_bucket, wanted, counts)
        after = count(remote, remote_bucket, span)
    differences = []
    for series in sorted({series for series, _hour in wanted}):
        hours = [hour for one, hour in wanted if one == series]
        goal = counts if check else after
        view = {"values": sum(sum(goal.get((series, hour), {}).values()) for hour in hours)}
        current = {"values": sum(sum(before.get((series, hour), {}).values()) for hour in hours)}
        differences.append(Difference("series", str(series), view, current))
    left = missing(counts, after)
    values = {
        "compared_hours": len(counts),
        "missing_points": _lacking(counts, before, wanted),
        "copied_points": _lacking(counts, before, wanted) - _lacking(counts, after, left),
        "left_points": _lacking(counts, after, left),
        "refused": [{"series": series, "reason": reason} for series, reason in sorted(copied.reasons.items())],
        "missing": [
            {
                "measurement": series.measurement,
                "device": series.device,
                "hour": time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(hour)),
                "local": points(counts[series, hour]),
                "remote": points(before.get((series, hour), {})),
            }
            for series, hour in wanted[:SHOWN]
        ],
    }
    return Outcome(Differences(differences), values)


def _lacking(local: Counts, remote: Counts, wanted: t.Iterable[tuple[Series, int]]) -> int:
    """Points that the remote side lacks, at least."""
    return sum(max(number - remote.get(key, {}).get(name, 0) for name, number in local[key].items()) for key in wanted)


def _bucket(client: Client, name: str, which: str) -> dict[str, t.Any]:
    """The bucket; a token that may not read it would find it empty."""
    found = client.listed("/api/v2/buckets", "buckets", {"name": name}, paged=False)
    if not found:
        raise Refused(f"the {which} InfluxDB at {client.transport.base_url} has no bucket {name}, or the token may not read it")
    return found[0]


def _series(client: Client, query: str, bucket: str, epoch: str) -> t.Iterator[tuple[Series, list[dict[str, t.Any]]]]:
    """The rows of an InfluxQL query that groups by all tags, by series."""
    for found in client.influxql_series(query, bucket, epoch=epoch):
        # A tag that a series does not have is an empty one.
        tags = tuple(sorted((name, text) for name, text in (found.get("tags") or {}).items() if text))
        yield Series(found["name"], tags), [dict(zip(found["columns"], row, strict=True)) for row in found.get("values") or []]
