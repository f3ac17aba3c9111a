"""The tokens of letters prepared before each purpose had its own: one secret stands for all of them.

They stay what they were: letters that were sent go on to work, and a delivery that was under way at the upgrade ends as
it began, since every attempt of one recipient carries the same Message-ID. Such deliveries note no key (token_key is
empty); rows of others never take a token of this form (recognising.py). Once the last of them is over its time
(KEEP_LOGS_DAYS) this room can go.
"""

from __future__ import annotations

import base64
import hmac
from functools import lru_cache
from hashlib import blake2b

from campaigns.core import secret_keys

from .tokens import Tokens

LENGTH = 24
_MAC = 9
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SHIFTS = range(110, -1, -10)


def sign(log_id: int, key: str) -> Tokens:
    """The token of a sending log, for every purpose. In: its id, below 2^48, and the key."""
    number = log_id.to_bytes(6, "big")
    bits = int.from_bytes(number + _mac(number, key), "big")
    return Tokens(*["".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])] * len(Tokens._fields))


def unsign(token: str) -> int | None:
    """The sending log's id, or None if the token was not made here. Case does not matter; compared in constant time.
    Whether that row takes such a token is not asked here."""
    try:
        raw = base64.b32decode(token.encode("ascii").upper())
    except ValueError:
        return None
    if len(raw) != 6 + _MAC:
        return None
    for key in secret_keys.all_keys():
        if hmac.compare_digest(raw[6:], _mac(raw[:6], key)):
            return int.from_bytes(raw[:6], "big")
    return None


def _mac(number: bytes, key: str) -> bytes:
    keyed = _keyed(key).copy()
    keyed.update(number)
    return keyed.digest()


@lru_cache(maxsize=16)
def _keyed(key: str) -> blake2b:
    return blake2b(digest_size=_MAC, key=secret_keys.derived(key, b"sending-log"))
