# Managed by edgestack.iot
# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads for Telegraf what it has no input of its own for.

serial DEVICE BAUD        prints each line that comes over a serial line, without an end; the device may come and go
gpio CHIP LINE up|down|none [low]   prints the level of a GPIO line once, 1 or 0; low: active when the level is low
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import termios
import time

# A line without an end is no line.
LONGEST = 65536
# <linux/gpio.h>: the second version of its interface, since Linux 5.10.
GET_LINE, GET_VALUES = 0xC250B407, 0xC010B40E
ACTIVE_LOW, INPUT, BIAS = 1 << 1, 1 << 2, {"up": 1 << 8, "down": 1 << 9, "none": 1 << 10}


def serial_port(device: str, baud: int) -> int:
    """The opened device: 8 data bits, no parity, one stop bit, nothing translated."""
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise OSError(f"{baud} is no speed of a serial line")
    handle = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        attributes = termios.tcgetattr(handle)
        attributes[0] = termios.IGNPAR
        attributes[1] = 0
        attributes[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
        attributes[3] = 0
        attributes[4] = attributes[5] = speed
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(handle, termios.TCSANOW, attributes)
    except termios.error as error:
        os.close(handle)
        raise OSError(f"{device} is no serial line: {error}") from error
    return handle


def lines(handle: int, out) -> None:
    """Until the device goes away. The first line may be the rest of one, and is left out unless it is alone for a while."""
    buffer, skip = b"", True
    while True:
        ready, _writable, _failed = select.select([handle], [], [], 1.0)
        if not ready:
            # Nothing came for a second: what comes next is the beginning of a line.
            skip = skip and bool(buffer)
            continue
        data = os.read(handle, 4096)
        if not data:
            return
        buffer += data
        *whole, buffer = buffer.split(b"\n")
        for line in whole[1:] if skip and whole else whole:
            text = line.strip(b"\r\0 \t")
            if text:
                out.write(text + b"\n")
                out.flush()
        skip = skip and not whole
        if len(buffer) > LONGEST:
            buffer, skip = b"", True


def serial(device: str, baud: int) -> int:
    said = ""
    while True:
        try:
            handle = serial_port(device, baud)
            try:
                said = ""
                lines(handle, sys.stdout.buffer)
            finally:
                os.close(handle)
        except BrokenPipeError:
            return 0
        except OSError as error:
            # Once for each reason, not each second.
            if str(error) != said:
                said = str(error)
                print(f"{device}: {said}", file=sys.stderr, flush=True)
        if os.getppid() == 1:
            return 0
        time.sleep(1)


def gpio(chip: str, line: int, bias: str, low: bool) -> int:
    """struct gpio_v2_line_request: 64 offsets, consumer, config (flags, number of attributes, padding, 10 attributes), lines, size, padding, fd."""
    flags = INPUT | BIAS[bias] | (ACTIVE_LOW if low else 0)
    request = bytearray(struct.pack("=64I32sQI5I", line, *[0] * 63, b"edgestack", flags, 0, *[0] * 5) + bytes(240) + struct.pack("=II5Ii", 1, 0, *[0] * 5, -1))
    handle = os.open(chip, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, GET_LINE, request)
    finally:
        os.close(handle)
    (taken,) = struct.unpack_from("=i", request, len(request) - 4)
    try:
        values = bytearray(struct.pack("=QQ", 0, 1))
        fcntl.ioctl(taken, GET_VALUES, values)
    finally:
        os.close(taken)
    print(struct.unpack_from("=Q", values)[0] & 1)
    return 0


def main(words: list[str]) -> int:
    try:
        if len(words) == 3 and words[0] == "serial" and words[2].isdigit():
            return serial(words[1], int(words[2]))
        if len(words) in (4, 5) and words[0] == "gpio" and words[2].isdigit() and words[3] in BIAS and words[4:] in ([], ["low"], ["high"]):
            return gpio(words[1], int(words[2]), words[3], words[4:] == ["low"])
    except OSError as error:
        print(f"{' '.join(words)}: {error}", file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
