# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP ports for the tests' own servers."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

# Below the kernel's ephemeral range (32768 and up): there a test's own outgoing connections would take the port that was just found free.
_FIRST, _COUNT = 20000, 12000
_next = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """A port of the loopback on which nothing listens; another one at each call."""
    for number in itertools.islice(_next, _COUNT):
        port = _FIRST + number % _COUNT
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port on the loopback")
