"""Where a token leads: its sending log, and for a link its destination, which comes from the delivery's content alone.

No address travels in a link, so none can be forged and no redirect leads where the staff's content does not.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from django.conf import settings
from django.utils import timezone

from campaigns.content.compile import Compiled, compile_content
from campaigns.content.links import Tracking
from campaigns.content.problems import ContentError, RenderError
from campaigns.messages.profile_values import texts_of
from campaigns.models import Profile
from deliveries.ledger.message_tokens import recognising
from deliveries.ledger.message_tokens.tokens import Purpose
from deliveries.models import Delivery, SendingLog
from deliveries.models.storage import partition_lookup
from deliveries.preparation import traps

KEPT = 64  # deliveries whose links a process remembers


@dataclass(frozen=True, slots=True)
class Destinations:
    """What a delivery's links need to be followed, compiled once. `constant`: {number: URL} of those without Liquid."""

    compiled: Compiled | None  # None: the content is gone or broken
    constant: dict[int, str]
    brand: str
    website: str
    fallback: str  # where links lead when the time is over
    ends_at: datetime | None

    @property
    def over(self) -> bool:
        """The time in which links and pages work has passed."""
        return self.ends_at is not None and timezone.now() > self.ends_at


@dataclass(frozen=True, slots=True)
class Destination:
    """Who a token names, and where the link leads. `url` is '' when nothing is known; then a page says so."""

    log_id: int
    url: str
    counts: bool  # False: led to the fallback address, which is no click


_known: OrderedDict[int, Destinations] = OrderedDict()
_lock = Lock()


def of_delivery(delivery_id: int) -> Destinations:
    """Where the delivery's links lead, from this process's memory if there: confirmed content never changes."""
    with _lock:
        known = _known.get(delivery_id)
        if known is not None:
            _known.move_to_end(delivery_id)
            return known
    made, final = _make(delivery_id)
    if final:
        with _lock:
            _known[delivery_id] = made
            while len(_known) > KEPT:
                _known.popitem(last=False)
    return made


def forget() -> None:
    """Empty the memory."""
    with _lock:
        _known.clear()


def _make(delivery_id: int) -> tuple[Destinations, bool]:
    found = Delivery.everything.filter(pk=delivery_id)
    row = found.values_list("content", "contact_date", "confirmed_at").first()
    content, contact, confirmed = row or ({}, None, None)
    start = contact or confirmed
    asked = content.get("tracking", {})
    ends = start + timedelta(days=asked.get("days") or settings.TRACKING_DAYS) if start else None
    compiled = compile_frozen(content)
    links = compiled.links if compiled else ()
    constant = {link.index: link.url for link in links if link.index >= 0 and "{" not in link.url}
    website = content.get("website", "")
    made = Destinations(compiled, constant, content.get("brand", ""), website, asked.get("fallback") or website, ends)
    return made, confirmed is not None


def compile_frozen(content: dict[str, Any]) -> Compiled | None:
    """A delivery's frozen content, compiled; None if there is none or it cannot be."""
    try:
        written = (content["subject"], content["html"], content["text"])
        tracking = Tracking.of(content.get("tracking", {}))
        return compile_content(*written, fields=content["fields"], tracking=tracking)
    except (KeyError, ContentError):
        return None


def recipient(token: str, purpose: Purpose) -> SendingLog | None:
    """The sending log that a token names; None for a token that was not made here for this, or whose row is gone."""
    log_id = recognising.log_named(token, purpose)
    return None if log_id is None else next(iter(partition_lookup.logs([log_id])), None)


def of_link(token: str, index: int) -> Destination | None:
    """Where link `index` leads the recipient; None if the token names nobody. One indexed row is read, or two."""
    log_id = recognising.log_named(token, "link")
    if log_id is None:
        return None
    row = partition_lookup.one(log_id, "delivery_id, profile_id")
    if row is None:
        return None
    there = of_delivery(row[0])
    if there.over:
        return Destination(log_id, there.fallback, counts=False)
    url = there.constant.get(index) or _made(there, index, row[1])
    return Destination(log_id, url or there.website, counts=bool(url))


def _made(there: Destinations, index: int, profile_id: int | None) -> str:
    """The address of a link with Liquid in it; '' if there is no such link or it cannot be made for this profile."""
    if there.compiled is None:
        return ""
    try:
        return there.compiled.destination(index, fields_of(there.compiled, profile_id))
    except (LookupError, RenderError):
        return ""


def fields_for(compiled: Compiled, log: SendingLog) -> dict[str, str]:
    """What the content quotes of the recipient of a sending log, which may be a trap."""
    if not log.test_profile:
        return fields_of(compiled, log.profile_id)
    there = traps.people(log.delivery.content) if log.delivery.proof_id is None else []
    trap = next((person for person in there if person.email == log.address), None)
    return texts_of(trap, compiled.fields) if trap else {}


def fields_of(compiled: Compiled, profile_id: int | None) -> dict[str, str]:
    """What the content quotes of a profile, as it is now; empty if the profile is gone."""
    profile = Profile.objects.filter(pk=profile_id).first() if profile_id else None
    return texts_of(profile, compiled.fields) if profile else {}
