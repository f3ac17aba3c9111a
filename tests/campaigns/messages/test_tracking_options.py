"""How a message's tracking is chosen: at all, where the pixel stands, which URLs are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.admin.preview import remember_untracked
from campaigns.content.compile import compile_content
from campaigns.content.links import Tracking
from campaigns.messages import tracking_options
from campaigns.models import NeverTracked, TrackingOptions

HTML = (
    '<html><body class="b"><a href="https://example.com/a?x=1&amp;y=2" data-category="Books">a</a> '
    '<a href="https://example.com/b" data-track="never">b</a></body></html>'
)


class Urls:
    optout_url = mirror_url = "https://t.example/m"
    pixel_url = "https://t.example/pixel"

    def link(self, index: int) -> str:
        return f"https://t.example/{index}"


def html(tracking: Tracking) -> str:
    return compile_content("s", HTML, "", fields=[], tracking=tracking).render({}, Urls()).html


def test_the_pixel_stands_behind_the_content_or_before_it() -> None:
    below, above = html(Tracking()), html(Tracking(pixel_at_top=True))
    assert below.index("example.com/b") < below.index("pixel")
    assert above.index("<body") < above.index("pixel") < above.index("t.example/0")


def test_without_tracking_links_lead_where_they_say_and_there_is_no_pixel() -> None:
    plain = html(Tracking(active=False))
    assert "t.example" not in plain
    assert "https://example.com/a?x=1&amp;y=2" in plain


def test_a_link_has_its_category_and_a_url_that_is_never_tracked_no_number() -> None:
    links = compile_content("s", HTML, "", fields=[]).links
    assert [(link.category, link.kind, link.asked) for link in links[:2]] == [
        ("Books", "tracked", False),
        ("", "never", True),
    ]
    never = Tracking(never=frozenset({"https://example.com/a?x=1&y=2"}))
    assert not [link for link in compile_content("s", HTML, "", fields=[], tracking=never).links if link.index >= 0]


@pytest.mark.django_db
def test_a_url_marked_once_is_left_alone_in_later_messages(message: Any) -> None:
    message.html = HTML
    remember_untracked(message)
    assert list(NeverTracked.objects.values_list("url", flat=True)) == ["https://example.com/b"]
    message.html = HTML.replace(' data-track="never"', "")
    assert tracking_options.of_message(message).never == {"https://example.com/b"}
    assert "https://example.com/b" in html(tracking_options.of_message(message))
    message.html = ""
    assert not tracking_options.remembered(message)


@pytest.mark.django_db
def test_options_are_frozen_and_sealed(message: Any) -> None:
    usual = tracking_options.sealed(message)
    TrackingOptions.objects.create(message=message, days=3, fallback_url="https://example.com/over")
    message.refresh_from_db()
    assert tracking_options.sealed(message) != usual
    frozen = tracking_options.frozen(message)
    assert (frozen["days"], frozen["fallback"], frozen["active"]) == (3, "https://example.com/over", True)
    with pytest.raises(Exception, match="valid URL"):
        TrackingOptions(message=message, fallback_url="javascript:alert(1)").full_clean()
