"""How a message is tracked, as its delivery freezes it: for the compiler, for whoever follows links, for the seal."""

from __future__ import annotations

from typing import Any

from campaigns.content.links import Tracking
from campaigns.models import Message
from campaigns.models.tracking import NeverTracked, TrackingOptions


def _options(message: Message) -> TrackingOptions:
    return getattr(message, "tracking", None) or TrackingOptions(message=message)


def sealed(message: Message) -> list[object]:
    """What decides how links behave; a message without options says the same as one with the usual ones, and so does
    one whose URLs are all tracked."""
    options, never = _options(message), sorted(remembered(message))
    return [options.active, options.pixel_at_top, options.days, options.fallback_url, *([never] if never else [])]


def frozen(message: Message) -> dict[str, Any]:
    """For Delivery.content: active, pixel_at_top, never (URLs of this content), days (None: the usual), fallback."""
    options = _options(message)
    return {
        "active": options.active,
        "pixel_at_top": options.pixel_at_top,
        "never": sorted(remembered(message)),
        "days": options.days,
        "fallback": options.fallback_url,
    }


def remembered(message: Message) -> set[str]:
    """The URLs that are never tracked and stand in this message."""
    known = NeverTracked.objects.values_list("url", flat=True)
    written = f"{message.html}\n{message.text}".replace("&amp;", "&")
    return {url for url in known if url in written}


def of_message(message: Message) -> Tracking:
    """For compiling the message as it stands."""
    return Tracking.of(frozen(message))


def remember(urls: set[str]) -> None:
    """Keep URLs that were marked as never to be tracked."""
    new = urls.difference(NeverTracked.objects.filter(url__in=urls).values_list("url", flat=True))
    if new:  # another may keep them at the same time
        NeverTracked.objects.bulk_create((NeverTracked(url=url) for url in sorted(new)), ignore_conflicts=True)
