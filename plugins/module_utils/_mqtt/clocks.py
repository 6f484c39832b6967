# Copyright: (c) 2026, edgestack.iot contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong clock looks like a bad certificate. What tells them apart: each side judges by its own clock."""

from __future__ import annotations

import datetime

# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of openssl/x509_vfy.h.
NOT_YET_VALID = 9
HAS_EXPIRED = 10


def of_the_server(verify_code: int, now: datetime.datetime) -> str:
    """What to add when this side refuses the server's certificate for its time; empty for another reason.

    The collection's certificates begin a day before they are made, so that one which is not valid yet means a clock that is wrong.
    """
    says = f"this computer's clock says {now:%Y-%m-%d %H:%M} UTC"
    if verify_code == NOT_YET_VALID:
        return f" ({says}: a clock is wrong, not the certificate)"
    if verify_code == HAS_EXPIRED:
        return f" ({says}: if that is right, run site.yml, which makes a new one)"
    return ""


def of_the_client(cert_file: str, now: datetime.datetime) -> str:
    """What to add when the other side says that the client's certificate has expired, which it also says of one that is not valid yet."""
    from cryptography import x509

    try:
        with open(cert_file, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
    except (OSError, ValueError):
        return ""
    # Before cryptography 42 there are only those without a time zone.
    begin, end = (
        getattr(certificate, f"{name}_utc", None) or getattr(certificate, name).replace(tzinfo=datetime.UTC)
        for name in ("not_valid_before", "not_valid_after")
    )
    if begin <= now <= end:
        return f", but it is valid until {end:%Y-%m-%d} by this computer's clock ({now:%Y-%m-%d %H:%M} UTC): the clock of the broker's host is wrong"
    return f": it is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; run devices.yml, which makes a new one"
