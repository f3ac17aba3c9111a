"""Opens and clicks, as fast as they come: a signed token is checked and one line goes into the buffer.

An open touches no database at all, a click reads one row. wsgi.py answers with these before Django's own stack;
pages.py serves the same addresses, and all that is not so frequent.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings

from campaigns.core.token_bucket import Buckets
from deliveries.ledger.message_tokens import recognising
from reporting.models import TrackingType

from . import destinations
from .buffer import Buffer, Event

logger = logging.getLogger("reporting.tracking.collect")

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)  # one transparent pixel

# Before anything is read or kept: whoever asks too much gets 429, and nothing that was answered otherwise is lost.
visits = Buckets(settings.TRACKING_PER_SECOND, 10 * settings.TRACKING_PER_SECOND)
GUESS = 20  # visits that a token costs which names nobody
# And of one letter, however many addresses ask for it. The most that readers of one letter do (a list's address) is
# far below; each of its addresses counts for itself, so that who floods the picture keeps nobody from opting out.
letters = Buckets(settings.LETTER_PER_SECOND, 30 * settings.LETTER_PER_SECOND)

buffer = Buffer(settings.TRACKING_DIR, settings.HOST_ID)


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, and how."""

    head: bool
    network: str
    agent: str


def visit(environ: Mapping[str, Any]) -> Visit:
    """The visit that a WSGI environment (or request.META) tells of."""
    network = network_of(address_of(environ))
    return Visit(environ.get("REQUEST_METHOD") == "HEAD", network, environ.get("HTTP_USER_AGENT", ""))


def address_of(environ: Mapping[str, Any]) -> str:
    """Where a request comes from, in the words of the server or of the proxy before it."""
    address: str = environ.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY:
        address = environ.get("HTTP_X_FORWARDED_FOR", address).rpartition(",")[2].strip()
    return address


@lru_cache(maxsize=4096)  # a gateway asks again and again; working it out costs as much as keeping the event
def network_of(address: str) -> str:
    """The /24 or /48 that an address lies in: enough to know a scanner by, not enough to know a person. '' if none."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return ""
    length = 24 if known.version == 4 else 48
    return str(ipaddress.ip_network((known, length), strict=False))


def is_welcome(path: str, method: str) -> bool:
    """Count a request below /t/ for its letter. Out: False if the letter was asked for too often.

    Programs that guard mail fetch all its links at once, hundreds perhaps: of clicks ten times as many pass.
    """
    what, _, rest = path[3:].partition("/")
    token = rest.partition("/")[0].partition(".")[0][:64].lower()
    asked = f"{'POST ' if method == 'POST' else ''}{what} {token}"
    return letters.take(asked, 0.1 if what == "c" else 1.0)


def note(log_id: int, kind: TrackingType, seen: Visit, link: int = -1) -> bool:
    """Keep an event in this process's buffer. Out: False if it could not be kept, which is logged."""
    at = time.time_ns() // 1_000_000
    try:
        buffer.append(Event(at, log_id, int(kind), link, seen.head, seen.network, seen.agent))
    except OSError as error:
        logger.error("a tracking event was lost: %s", error)
        return False
    return True


def opened(token: str, seen: Visit) -> bool | None:
    """Keep an open. Out: True if it was kept, False if it could not be, None if the token names nobody."""
    log_id = recognising.log_named(token, "pixel")
    return None if log_id is None else note(log_id, TrackingType.OPEN, seen)


def clicked(token: str, link: int, seen: Visit) -> str:
    """Keep a click. Out: the address to go on to; '' if there is none to be had.

    People who click get where they want even when the click cannot be kept.
    """
    found = destinations.of_link(token, link)
    if found is None or not found.url:
        return ""
    if found.counts:
        note(found.log_id, TrackingType.CLICK, seen, link)
    return found.url
