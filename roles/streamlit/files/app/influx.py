# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""InfluxQL over /query, which InfluxDB 1, 2 and 3 have in common. Standard library only; knows no Streamlit."""

from __future__ import annotations

import dataclasses
import http.client
import json
import ssl
import typing as t
import urllib.error
import urllib.parse
import urllib.request

Series = dict[str, t.Any]
# Enough to see every turn of a line, few enough for a browser on a telephone.
POINTS = 360
STATISTICS = ("mean", "median", "min", "max", "stddev", "count")


class InfluxError(Exception):
    """InfluxDB could not be asked, or did not answer; the text is for people."""


class Unreachable(InfluxError):
    """Nothing answered, or not as the server that the CA knows."""


class Refused(InfluxError):
    """The token is wrong or may not read this."""


class NoDatabase(InfluxError):
    """The database (bucket) does not exist."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another server."""

    def redirect_request(self, *_args: t.Any, **_kwargs: t.Any) -> None:
        return None


def identifier(name: str) -> str:
    """A measurement, field or tag as InfluxQL quotes it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def literal(text: str) -> str:
    """A string as InfluxQL quotes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


@dataclasses.dataclass(frozen=True)
class Readings:
    """A line to draw, and the statistics of all values behind it, not only of the drawn ones."""

    times: list[int]  # milliseconds since 1970
    values: list[float]
    statistics: dict[str, float | None]


class Influx:
    """One server and one token."""

    def __init__(self, url: str, token: str, ca_file: str | None = None, timeout: float = 15) -> None:
        if not url.startswith(("http://", "https://")):
            raise InfluxError(f"{url} is no address of an InfluxDB")
        self.url = url
        self._token = token
        self._timeout = timeout
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirect()]
        if url.startswith("https:"):
            try:
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
            except (OSError, ssl.SSLError) as error:
                raise Unreachable(f"The CA's certificate {ca_file} cannot be used: {error}") from error
        self._opener = urllib.request.build_opener(*handlers)

    def query(self, database: str, *statements: str) -> list[list[Series]]:
        """The series of each statement."""
        address = f"{self.url}/query?{urllib.parse.urlencode({'db': database, 'epoch': 'ms'})}"
        body = urllib.parse.urlencode({"q": "; ".join(statements)}).encode()
        headers = {"Authorization": f"Token {self._token}"}
        request = urllib.request.Request(address, data=body, headers=headers, method="POST")  # noqa: S310 - the scheme was looked at
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise self._failure(error.code, _message(error.read(10000)), database) from None
        except urllib.error.URLError as error:
            raise Unreachable(f"InfluxDB at {self.url} does not answer: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"InfluxDB at {self.url} does not answer: {error or type(error).__name__}") from error
        try:
            results = json.loads(content)["results"]
        except (ValueError, KeyError, TypeError) as error:
            raise InfluxError(f"InfluxDB at {self.url} answered something that is not its JSON") from error
        for result in results:
            if "error" in result:
                raise self._failure(200, result["error"], database)
        return [result.get("series") or [] for result in results]

    @staticmethod
    def _failure(status: int, message: str, database: str) -> InfluxError:
        text = message.lower()
        if status in (401, 403) or "unauthorized" in text or "insufficient permissions" in text:
            return Refused(f"InfluxDB refuses the app's token for {database!r} ({message}).")
        # The last is InfluxDB 2's word for a database that no bucket stands for.
        missing = ("database not found", "bucket not found", "retention policy not set for")
        if status == 404 or any(words in text for words in missing):
            return NoDatabase(f"InfluxDB has no database {database!r} ({message}).")
        return InfluxError(f"InfluxDB answered {status}: {message}")

    def devices(self, database: str, measurement: str) -> list[str]:
        """The devices that ever wrote this measurement and whose readings are still there."""
        (series,) = self.query(database, f'SHOW TAG VALUES FROM {identifier(measurement)} WITH KEY = "device"')
        return sorted({str(row[-1]) for one in series for row in one["values"]})

    def readings(self, database: str, measurement: str, field: str, device: str, seconds: int, *, boolean: bool = False) -> Readings:
        """One field of one device over the last seconds."""
        name = identifier(field)
        where = f'FROM {identifier(measurement)} WHERE "device" = {literal(device)} AND time >= now() - {seconds}s AND time <= now()'
        step = max(1, -(-seconds // POINTS))
        # InfluxDB has no mean of booleans: they are drawn as they came, as 0 and 1.
        if boolean:
            (drawn,) = self.query(database, f"SELECT {name} {where} LIMIT 100000")
            points = _points(drawn)
            return Readings(*points, _boolean_statistics(points[1]))
        wanted = ", ".join(f"{function}({name})" for function in STATISTICS)
        drawn, total = self.query(
            database, f"SELECT mean({name}) {where} GROUP BY time({step}s) fill(none)", f"SELECT {wanted} {where}"
        )
        numbers: dict[str, float | None] = dict.fromkeys(STATISTICS)
        for one in total:
            numbers = dict(zip(STATISTICS, one["values"][0][1:], strict=True))
        return Readings(*_points(drawn), numbers)


def _points(series: list[Series]) -> tuple[list[int], list[float]]:
    rows = [row for one in series for row in one["values"] if row[1] is not None]
    return [int(row[0]) for row in rows], [float(row[1]) for row in rows]


def _boolean_statistics(values: list[float]) -> dict[str, float | None]:
    result: dict[str, float | None] = dict.fromkeys(STATISTICS)
    if values:
        result.update(mean=sum(values) / len(values), min=min(values), max=max(values), count=len(values))
    return result


def _message(content: bytes) -> str:
    text = content.decode(errors="replace").strip()
    try:
        data = json.loads(text)
        return str(data.get("error") or data.get("message") or text)
    except (ValueError, AttributeError):
        return text[:200] or "no explanation"
