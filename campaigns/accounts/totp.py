"""Time-based one-time codes (RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds, as every app has them. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from urllib.parse import quote, urlencode

STEP = 30  # seconds
DIGITS = 6
DRIFT = 1  # steps that a clock may be off, both ways


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of a step (RFC 4226 §5.3)."""
    mac = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    start = mac[-1] & 15
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def step_of(secret: bytes, code: str, now: float, after: int) -> int | None:
    """The step whose code this is, if it lies around `now` (seconds since 1970) and after step `after`; else None."""
    found = None
    for step in range(int(now) // STEP - DRIFT, int(now) // STEP + DRIFT + 1):
        same = hmac.compare_digest(code_at(secret, max(0, step)).encode(), code.encode("utf-8", "replace"))
        if same and step > after and found is None:
            found = step
    return found


def in_base32(secret: bytes) -> str:
    """The secret as apps take it from a keyboard."""
    return base64.b32encode(secret).decode().rstrip("=")


def address(secret: bytes, issuer: str, name: str) -> str:
    """The otpauth: address that apps open or read from a picture."""
    query = urlencode({"secret": in_base32(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(f'{issuer}:{name}')}?{query}"
