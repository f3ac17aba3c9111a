"""Short signed tokens that name one sending log, each good for one purpose alone.

A token is the row's number in 12 hexadecimal digits and a keyed digest of it in 15 characters of base 32: 75 bits, so
that guessing one takes 2^75 tries at a rate-limited door. Lower case, since mail servers may fold a local part's case,
and 27 characters, where a local part may have 64 (RFC 5321 section 4.5.3.1.1).

The digests of a row are pieces of two outputs of keyed BLAKE2b, one for what mail servers see and one for the pages.
As with the output of HKDF (RFC 5869 section 3.2) no piece tells anything of another: whoever has read a Message-ID, or
the address of an image, can make none of the other tokens of that letter. One digest for each purpose would cost twice
as much, for every message (measured).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple

from django.conf import settings

from campaigns.core import secret_keys

Purpose = Literal["message_id", "return_path", "optout", "mirror", "link", "pixel"]

_NUMBER, _MAC = 12, 15
LENGTH = _NUMBER + _MAC
_DIGITS = b"abcdefghijklmnopqrstuvwxyz234567"
_IN_BASE32 = bytes(_DIGITS[byte & 31] for byte in range(256))  # a byte gives one character


class Tokens(NamedTuple):
    """All tokens of one sending log, by purpose."""

    message_id: str
    return_path: str  # also the envelope id: mail servers alone see the two
    optout: str
    mirror: str
    link: str
    pixel: str


def sign(log_id: int) -> Tokens:
    """The tokens of a sending log, by the present key. In: its id, below 2^48."""
    return signer(settings.SECRET_KEY)(log_id)


def signer(key: str) -> Callable[[int], Tokens]:
    """`sign` with a key, for many."""
    seen_by_servers, of_pages = (keyed.copy for keyed in _keyed(key))
    make, kind = tuple.__new__, Tokens

    def signed(log_id: int) -> Tokens:
        number = b"%012x" % log_id
        seen, pages = seen_by_servers(), of_pages()
        seen.update(number)
        pages.update(number)
        n, d = number.decode(), (seen.digest() + pages.digest()).translate(_IN_BASE32).decode()
        return make(kind, (n + d[:15], n + d[15:30], n + d[30:45], n + d[45:60], n + d[60:75], n + d[75:]))

    return signed


def unsign(token: str, purpose: Purpose) -> int | None:
    """The sending log's id, or None if the token was not made here, or for something else. Case does not matter;
    compared in constant time, with each key that is listed."""
    try:
        written = token.encode("ascii").lower()  # lowered first, a Kelvin sign would be a k
    except ValueError:
        return None
    if len(written) != LENGTH:
        return None
    try:
        log_id = int(written[:_NUMBER], 16)
    except ValueError:
        return None
    place = Tokens._fields.index(purpose)
    for key in secret_keys.all_keys():
        if hmac.compare_digest(written, signer(key)(log_id)[place].encode()):
            return log_id
    return None


@lru_cache(maxsize=16)
def _keyed(key: str) -> tuple[blake2b, blake2b]:
    return (
        blake2b(digest_size=2 * _MAC, key=secret_keys.derived(key, b"letter-tokens")),
        blake2b(digest_size=4 * _MAC, key=secret_keys.derived(key, b"page-tokens")),
    )
