"""Every address of the resolver, and something that is there for each of its places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, get_resolver


@dataclass(frozen=True)
class Address:
    """One pattern of the resolver: its name in EXPECTED, and its route with places for arguments."""

    name: str
    route: str

    @property
    def arguments(self) -> list[str]:
        """The names of its places."""
        return re.findall(r"<(\w+)>", self.route)

    def path(self, values: dict[str, Any]) -> str:
        """The address with its places filled."""
        return "/" + re.sub(r"<(\w+)>", lambda found: str(values.get(found[1], 1)), self.route)


def addresses() -> list[Address]:
    """All that the product answers to, from the URL table itself."""
    return list(_walk(get_resolver(), "", ""))


def _walk(resolver: Any, space: str, before: str) -> Iterator[Address]:
    for pattern in resolver.url_patterns:
        route = before + _plain(str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield Address(f"{space}{pattern.name or pattern.lookup_str.rsplit('.', 1)[1]}", route)
        else:
            yield from _walk(pattern, f"{space}{pattern.namespace}:" if pattern.namespace else space, route)


def _plain(pattern: str) -> str:
    """Routes and regular expressions alike, with <name> for each argument."""
    pattern = re.sub(r"\(\?P<(\w+)>(?:\[[^\]]*\]|[^()\[\]])*\)", r"<\1>", pattern)  # no group within a group here
    pattern = re.sub(r"<\w+:(\w+)>", r"<\1>", pattern)
    return pattern.removeprefix("^").replace("/?$", "/").replace("$", "").replace("\\.", ".")


def values(address: Address, world: dict[str, Any]) -> dict[str, Any]:
    """An argument for each place of the address that names something that is there."""
    things = world["things"]
    found = re.search(r"(?:admin/\w+/|api/)([\w-]+?)s?(?:/|\.|<)", address.route)
    named = found[1] if found else ""
    named = {
        "deliverie": "delivery",
        "quarantine": "quarantinedaddress",
        "webhook": "webhookendpoint",
        "proof-domain": "proofdomain",
        "webhook-call": "webhookcall",
        "typologie": "typology",
        "quarantinedaddres": "quarantinedaddress",
    }.get(named, named)
    own = things.get("message" if address.name == "admin:view_on_site" else named, 1)
    return {
        "pk": own,
        "object_id": own,
        "object_pk": own,
        "id": own,
        "message_id": things["message"],
        "user_id": things["user"],
        "group_id": things["group"],
        "row": world["row"],
        "uid": world["uid"],
        "token": getattr(world["tokens"], _PURPOSES.get(address.name, "optout")),
        "index": 0,
        "place": 0,
        "act": "confirm",
        "name": "to_deliver",
        "what": "exclusion-logs",
        "format": "json",
        "key": "0" * 32,
        "provider": "mailgun",
        "secret": "not-the-secret-" * 2,
        "content_type_id": _type_of_messages(),
        "app_label": "campaigns",
        "url": "nothing/here",
        "page": "howto/index",
    }


_PURPOSES = {"tracking-open": "pixel", "tracking-click": "link", "tracking-mirror": "mirror"}


def _type_of_messages() -> int:
    from django.contrib.contenttypes.models import ContentType

    from campaigns.models import Message

    ContentType.objects.clear_cache()  # it may remember one that another test made and rolled back
    return int(ContentType.objects.get_for_model(Message).pk)
