"""Short signed tokens that name one sending log: in the return path (VERP), tracked links and opt-out addresses.

A token is 24 lower-case base-32 characters: 6 bytes of row number and 9 bytes of keyed BLAKE2 (72 bits: guessing one
takes 2^72 tries at a rate-limited door). Lower case and no padding, since mail servers may fold a local part's case.
"""

from __future__ import annotations

import base64
import hmac
from functools import lru_cache
from hashlib import blake2b

from django.conf import settings

_MAC = 9
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SHIFTS = range(110, -1, -10)


def sign(log_id: int) -> str:
    """The token of a sending log. In: its id, below 2^48. Out: 24 characters of a-z and 2-7."""
    number = log_id.to_bytes(6, "big")
    bits = int.from_bytes(number + _mac(number), "big")
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])  # base64.b32encode takes ten times as long


def unsign(token: str) -> int | None:
    """The sending log's id, or None if the token was not made here. Case does not matter; compared in constant time."""
    try:
        raw = base64.b32decode(token.upper().encode("ascii"))
    except ValueError:
        return None
    if len(raw) != 6 + _MAC or not hmac.compare_digest(raw[6:], _mac(raw[:6])):
        return None
    return int.from_bytes(raw[:6], "big")


def _mac(number: bytes) -> bytes:
    keyed = _keyed(settings.SECRET_KEY).copy()
    keyed.update(number)
    return keyed.digest()


@lru_cache(maxsize=4)
def _keyed(secret: str) -> blake2b:
    key = blake2b(secret.encode(), digest_size=32, person=b"sending-log").digest()
    return blake2b(digest_size=_MAC, key=key)
