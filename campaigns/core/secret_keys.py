"""The secret keys of this installation. SECRET_KEY signs; those in SECRET_KEY_FALLBACKS still prove what they signed.

So a key can be changed: the new one is put into SECRET_KEY, the old one into SECRET_KEY_FALLBACKS, and it is taken out
once nothing that it signed is wanted any more. What must be made again exactly as it was (a message's Message-ID, the
secret of an authenticator app) notes the name of its key.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from django.conf import settings

NAME_LENGTH = 12


def all_keys() -> tuple[str, ...]:
    """The present key first, then the older ones, as they are listed."""
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def present_name() -> str:
    """The name of the key that signs now; a default of model fields."""
    return name_of(settings.SECRET_KEY)


@lru_cache(maxsize=16)
def name_of(key: str) -> str:
    """What a key is called where its use is noted: 12 hexadecimal digits, from which it cannot be found."""
    return blake2b(key.encode(), digest_size=NAME_LENGTH // 2, person=b"key-name").hexdigest()


def named(name: str) -> str | None:
    """The key of that name; None if it is listed no more. '' stands for what was made before names were noted: by the
    oldest key that is listed."""
    if not name:
        return all_keys()[-1]
    return next((key for key in all_keys() if name_of(key) == name), None)


@lru_cache(maxsize=64)
def derived(key: str, purpose: bytes) -> bytes:
    """The key of one purpose, 32 bytes; it tells nothing of `key` and of other purposes. In: a purpose of at most 16
    bytes (the personalisation of BLAKE2, RFC 7693 section 2.5 and the BLAKE2 paper)."""
    return blake2b(key.encode(), digest_size=32, person=purpose).digest()
