# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local bucket has and a remote one lacks, by series and hour, and how it gets there.

The queue of a replication can fill up, its oldest can expire, the other side can lose its disk, and a batch that is refused in part holds
up everything behind it. The readings are in the local bucket all the same. Here both sides are counted, and hours in which the remote
one has fewer are written to it again: a point that is there already is the same point. Where their sums differ all the same, the
times themselves are compared: a point that is lost and another that is too many do not make up for one another.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
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


# A series and the beginning of an hour.
Key = tuple[Series, int]


@dataclasses.dataclass
class Content:
    """What an hour of a series holds: the number of values of each field, and their sum where they are numbers."""

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    sums: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def values(self) -> int:
        return sum(self.counts.values())


Contents = dict[Key, Content]


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


def contents(client: Client, bucket: str, span: Span) -> Contents:
    """What a bucket has in a span, by two queries for each day.

    The sum of an hour's numbers costs InfluxDB as little as their count, as long as it is asked for alone; InfluxQL has nothing as cheap
    for their times.
    """
    found: Contents = {}
    for day in span.days():
        for function in ("count", "sum"):
            query = f"SELECT {function}(*) FROM /.*/ WHERE time >= {day.start}s AND time < {day.end}s GROUP BY time(1h), * FILL(none)"  # noqa: S608
            for series, rows in _series(client, query, bucket, "s"):
                for row in rows:
                    # A field can be called time or name; the columns here are count_NAME.
                    values = {key.removeprefix(f"{function}_"): value for key, value in row.items() if key != "time" and value is not None}
                    content = found.setdefault((series, int(row["time"])), Content())
                    if function == "count":
                        content.counts = {name: int(value) for name, value in values.items() if value}
                    else:
                        content.sums = values
    return {key: content for key, content in found.items() if content.counts}


def fewer(local: Contents, remote: Contents) -> dict[Key, int]:
    """The hours of a series in which the remote side has fewer values of a field than the local one; how many points that is, at least."""
    nothing = Content()
    found = {}
    for key, mine in local.items():
        theirs = remote.get(key, nothing).counts
        lacking = max(number - theirs.get(name, 0) for name, number in mine.counts.items())
        if lacking > 0:
            found[key] = lacking
    return found


@dataclasses.dataclass
class Side:
    """A bucket whose points are read; the types of its fields are asked for when the first are."""

    client: Client
    bucket: str

    @functools.cached_property
    def types(self) -> dict[str, dict[str, str]]:
        return field_types(self.client, self.bucket)

    def lines(self, series: Series, hour: int, values: int) -> t.Iterator[str]:
        """An hour of a series that has so many points, as line protocol, in answers that are not too large."""
        step = max(1, HOUR // max(1, -(-values // ROWS)))
        for start in range(hour, hour + HOUR, step):
            yield from lines(self.client, self.bucket, series, Span(start, min(start + step, hour + HOUR)), self.types.get(series.measurement, {}))


def lacking(local: Side, mine: Contents, remote: Side, theirs: Contents) -> dict[Key, int]:
    """The hours of a series of which the remote side lacks something, and how many points, at least."""
    found = fewer(mine, theirs)
    for key in sorted(key for key in mine if key not in found and mine[key] != theirs[key]):
        times = [{line.rpartition(" ")[2] for line in side.lines(*key, points(of[key].counts))} for side, of in ((local, mine), (remote, theirs))]
        if times[0] - times[1]:
            found[key] = len(times[0] - times[1])
    return found


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


def copy(local: Side, remote: Client, org_id: str, remote_bucket: str, wanted: t.Iterable[Key], mine: Contents) -> Copied:
    """Copies whole hours of series."""
    done = Copied()
    for series, hour in sorted(wanted):
        found = local.lines(series, hour, points(mine[series, hour].counts))
        while batch := list(itertools.islice(found, BATCH)):
            refused, why = write(remote, org_id, remote_bucket, batch)
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
    if settle >= min(since, kept or since):
        raise Refused(f"there is nothing to compare: the last {settle} s are left out, and the remote bucket keeps {duration.text(kept)}")
    here, far = Side(local, bucket), Side(remote, remote_bucket)
    # A bucket that keeps an hour has none to compare in the first minutes of the next.
    whole = span.end > span.start
    mine, before = (contents(local, bucket, span), contents(remote, remote_bucket, span)) if whole else ({}, {})
    wanted = lacking(here, mine, far, before)
    after, left = before, wanted
    copied = Copied()
    if wanted and not check:
        copied = copy(here, remote, str(there["orgID"]), remote_bucket, wanted, mine)
        after = contents(remote, remote_bucket, span)
        left = lacking(here, mine, Side(remote, remote_bucket), after)
    differences = []
    for series in sorted({series for series, _hour in wanted}):
        keys = [key for key in wanted if key[0] == series]
        current = sum(before.get(key, Content()).values for key in keys)
        goal = sum(_predicted(mine[key], before.get(key, Content()), wanted[key]) if check else after.get(key, Content()).values for key in keys)
        differences.append(Difference("series", str(series), {"values": goal}, {"values": current}))
    missing, remaining = sum(wanted.values()), sum(left.values())
    values = {
        "compared_hours": len(mine),
        "missing_points": missing,
        "copied_points": missing - remaining,
        "left_points": remaining,
        "refused": [{"series": series, "reason": reason} for series, reason in sorted(copied.reasons.items())],
        "missing": [
            {
                "measurement": series.measurement,
                "device": series.device,
                "hour": time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(hour)),
                "local": points(mine[series, hour].counts),
                "remote": points(before.get((series, hour), Content()).counts),
                "lacking": wanted[series, hour],
            }
            for series, hour in sorted(wanted)[:SHOWN]
        ],
    }
    return Outcome(Differences(differences), values)


def _predicted(mine: Content, theirs: Content, lacking_points: int) -> int:
    """The values that an hour will have: the local one's, or, where the remote one has as many, but others, those that it lacks as well."""
    return mine.values if mine.values > theirs.values else theirs.values + lacking_points * len(mine.counts)


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
