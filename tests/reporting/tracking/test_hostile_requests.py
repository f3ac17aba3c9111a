"""What strangers send to the tracking doors, and what a message made of it shows, costs little to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.reports import click_map
from reporting.tracking import bot_detection, collect
from reporting.tracking.bot_detection import CLICK, OPEN, Touch, judge
from reporting.tracking.buffer import MAX_AGENT, Event, decode, encode
from tests.hostile import slow_ones, spent

PARSERS: dict[str, Callable[[str], object]] = {
    "click map": lambda text: click_map.with_badges(text, {}),
    "click map in a tag": lambda text: click_map.with_badges(f"<a {text}", {}),
    "program": lambda text: bot_detection._SCANNER.search(text[:MAX_AGENT]),
    "line of the buffer": lambda text: decode(encode(Event(1, 1, 1, 1, False, "", text))[:-1]),
    "letter's path": lambda text: collect.is_welcome(f"/t/o/{text}.gif", "GET"),
    "address": collect.network_of,
}


def test_fifty_kilobytes_of_any_shape_cost_the_click_map_nothing() -> None:
    assert slow_ones({"click map": PARSERS["click map"], "in a tag": PARSERS["click map in a tag"]}, 50_000, 0.3) == {}


@pytest.mark.slow
def test_a_megabyte_of_any_shape_takes_less_than_a_second() -> None:
    assert slow_ones(PARSERS, 1_000_000, 1.0) == {}


def test_48_kilobytes_of_links_begun_in_a_comment_cost_the_click_map_nothing() -> None:
    assert spent(partial(click_map.with_badges, f"<!-- {'<a ' * 16_000} -->", {})) < 0.3
    assert spent(partial(click_map.with_badges, '<a href="#hot-1" ' * 60_000, {})) < 0.5


@given(st.lists(st.sampled_from(["<a ", "<a", ">", 'href="#hot-1"', ' href="#hot-22"', "x", "<", "<A>", "</a>", "\n"])))
def test_badges_stand_where_links_were_found_before(pieces: list[str]) -> None:
    html = "".join(pieces)
    links = re.compile(r'(<a\b[^>]*?href="#hot-(\d+)"[^>]*>)', re.IGNORECASE)
    expected = links.sub(lambda m: click_map._badge(m.group(2), {}) + m.group(1), html)
    assert click_map.with_badges(html, {}) == expected


def test_thirty_thousand_touches_of_one_letter_are_judged_in_linear_time() -> None:
    clicks = [Touch(n / 1000, CLICK, n % 4, False, "n", "Firefox") for n in range(30_000)]
    opens = [Touch(n / 1000, OPEN, None, False, "n", "Firefox") for n in range(30_000)]
    assert spent(partial(judge, clicks, -100.0, 4)) < 1.0 and spent(partial(judge, opens, -1.0, 4)) < 1.0
    assert set(judge(clicks[:1000], -100.0, 4)) == {"burst"}
