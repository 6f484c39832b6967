# Managed by edgestack.iot
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The authority's revocation list on this host's loopback, where the certificates say that it is.

crl.py serve URL FILE    serves the file at the URL, and nothing else
crl.py state URL         asks for it as the broker does, and prints how it stands as JSON: served (1, 0), days_left, revoked, problem
"""

from __future__ import annotations

import datetime
import http.client
import http.server
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

END = b"-----END X509 CRL-----"


def server(url: str, file: str) -> http.server.ThreadingHTTPServer:
    """A server for this one file. It is read at every request: a new list needs no restart."""
    wanted = urllib.parse.urlsplit(url)

    class Handler(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "edgestack-crl", ""
        timeout = 10

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, body: bool) -> None:
            if self.path != wanted.path:
                self.send_error(404)
                return
            try:
                with open(file, "rb") as stream:
                    data = stream.read()
            except OSError as error:
                print(f"cannot read {file}: {error.strerror}", file=sys.stderr, flush=True)
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/x-pem-file")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_words: object) -> None:
            """The broker asks every minute."""

    return http.server.ThreadingHTTPServer((wanted.hostname or "127.0.0.1", wanted.port or 80), Handler)


def state(url: str) -> dict[str, object]:
    """How the list stands. What is not served, or is no list, locks everyone out."""
    # No proxy is between a host and its loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            data = answer.read()
    except (OSError, http.client.HTTPException, urllib.error.URLError) as error:
        return {"served": 0, "problem": f"{url}: {error}"}
    try:
        ends, revoked = read(data)
    except ValueError as error:
        return {"served": 0, "problem": f"{url}: {error}"}
    left = (min(ends) - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400
    return {"served": 1, "days_left": round(left, 3), "revoked": revoked}


def read(data: bytes) -> tuple[list[datetime.datetime], int]:
    """When each list ends, and how many certificates they revoke.

    :raises ValueError: for what is not PEM with lists in it, which EMQX would not read either
    """
    from cryptography import x509

    if not data.startswith(b"-----BEGIN"):
        raise ValueError("it does not begin as PEM does")
    ends, revoked = [], 0
    for part in data.split(END)[:-1]:
        crl = x509.load_pem_x509_crl(part.strip() + b"\n" + END + b"\n")
        # Before cryptography 42 there is only the one without a time zone.
        end = crl.next_update_utc if hasattr(crl, "next_update_utc") else crl.next_update.replace(tzinfo=datetime.UTC)
        ends.append(end)
        revoked += len(crl)
    if not ends:
        raise ValueError("there is no list in it")
    return ends, revoked


def main(words: list[str]) -> int:
    if len(words) == 3 and words[0] == "serve":
        server(words[1], words[2]).serve_forever()
    elif len(words) == 2 and words[0] == "state":
        print(json.dumps(state(words[1])))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
