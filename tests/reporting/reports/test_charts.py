"""Charts are well-formed SVG with their numbers in words."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.reports.charts import HEIGHT, LETTER, WIDTH, bars, ceiling, columns, short


@given(st.lists(st.tuples(st.text(max_size=40), st.floats(0, 1e12)), min_size=1, max_size=9))
def test_any_rows_make_well_formed_svg_that_stays_inside(rows: list[tuple[str, float]]) -> None:
    printable = [("".join(c for c in name if c.isprintable()), number) for name, number in rows]
    root = ElementTree.fromstring(bars("A <title> & more", printable))
    widths = [float(rect.get("width", 0)) for rect in root.iter("rect")]
    assert all(0 <= width <= 640 for width in widths)


def test_columns_say_their_sums_to_a_screen_reader() -> None:
    svg = columns("Throughput", [("sent", [3, 4]), ("failed", [0, 1])], ["10:00", "11:00"])
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Throughput. 10:00 to 11:00; sent: 7, failed: 1"


@pytest.mark.parametrize(("number", "top"), [(0, 1), (1, 1), (3, 5), (6, 10), (101, 200), (50_000, 50_000)])
def test_an_axis_ends_at_a_round_number(number: float, top: float) -> None:
    assert ceiling(number) == top


@pytest.mark.parametrize(("number", "text"), [(7, "7"), (9999, "9999"), (12_300, "12.3 k"), (2_500_000, "2.5 M")])
def test_numbers_on_axes_are_short(number: float, text: str) -> None:
    assert short(number) == text


def test_nothing_makes_no_chart() -> None:
    assert columns("x", [], []) == bars("x", []) == ""


def test_a_chart_has_a_title_and_a_description() -> None:
    root = ElementTree.fromstring(bars("Bounces", [("Mailbox full", 3)]))
    assert [(child.tag, child.text) for child in root][:2] == [("title", "Bounces"), ("desc", "Mailbox full: 3")]


@given(st.lists(st.text(alphabet="0123456789:-", min_size=1, max_size=19), min_size=1, max_size=80))
def test_labels_under_columns_never_overlap(labels: list[str]) -> None:
    root = ElementTree.fromstring(columns("x", [("n", [1] * len(labels))], labels))
    places = [float(t.get("x", 0)) for t in root.iter("text") if t.get("y") == str(HEIGHT - 6)]
    widest = max(map(len, labels)) * LETTER
    assert all(right - left >= widest for left, right in pairwise(places))
    assert all(0 <= place <= WIDTH for place in places)
