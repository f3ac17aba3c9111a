"""`python -m tests.bench.fill_speed`: microseconds to fill one message of about 10 KB, with more and more links.

Beside it Django's EmailMultiAlternatives writes the same HTML, filled already. The best of some rounds each.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import tests.environment  # noqa: F401 - before the settings are read

MESSAGES, ROUNDS = 2000, 5
LINKS = (0, 10, 30)


def main() -> None:
    """Print a JSON line for each number of links."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    for links in LINKS:
        ours, octets = filler(links)
        print(json.dumps({"links": links, "octets": octets, "us": best(ours), "django_us": best(with_django(links))}))


def html(links: int) -> str:
    """A page with so many tracked links, and one to opt out."""
    filler = "<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit.</p>\n" * 130
    news = "".join(f'<p><a href="https://example.com/{n}">News {n}</a></p>' for n in range(links))
    return f'<p>Dear {{{{ first_name }}}},</p>{news}{filler}<a href="{{{{ unsubscribe_url }}}}">Stop</a>'


def filler(links: int) -> tuple[Callable[[int], Any], int]:
    """What fills the message of recipient number n, as the sender does; and how long such a message is."""
    from django.conf import settings

    from campaigns.content.compile import compile_content
    from campaigns.content.links import Tracking
    from deliveries.ledger.message_tokens.tokens import signer
    from deliveries.mail.mime import compile_mime
    from deliveries.sending.compose import Addresses, RecipientUrls

    fields = {"first_name": "Ann"}
    compiled = compile_content(
        "Hello {{ first_name }}",
        html(links),
        "Dear {{ first_name }} {{ unsubscribe_url }}",
        fields=list(fields),
        tracking=Tracking.of({}),
    )
    addresses = Addresses()
    sign = signer(settings.SECRET_KEY)
    template = compile_mime(compiled, sender="news@example.com", delivery_code="DM1", around=addresses)

    def fill(number: int) -> bytes:
        signed = sign(number)
        urls = RecipientUrls(addresses, compiled, fields, signed)
        return template.fill(
            fields,
            message_id=f"{signed.message_id}.DM1@example.com",
            to_address="ann@example.com",
            to_name="Ann Lee",
            urls=urls,
            date=0,
        )

    return fill, len(fill(1))


def with_django(links: int) -> Callable[[int], Any]:
    """The same by Django."""
    from django.core.mail import EmailMultiAlternatives

    page = html(links)

    def fill(_number: int) -> bytes:
        message = EmailMultiAlternatives("Hello Ann", "Dear Ann", "news@example.com", ["ann@example.com"])
        message.attach_alternative(page, "text/html")
        return message.message().as_bytes()

    return fill


def best(fill: Callable[[int], Any]) -> float:
    """Microseconds a message in the fastest round."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(MESSAGES):
            fill(number)
        took.append((time.perf_counter() - began) / MESSAGES)
    return round(min(took) * 1e6, 1)


if __name__ == "__main__":
    main()
