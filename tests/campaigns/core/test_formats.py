"""Numbers, durations and moments as people read them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.core import formats

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@pytest.mark.parametrize(
    "number, big, exact",
    [
        (0, "0", "0"),
        (7, "7", "7"),
        (999, "999", "999"),
        (1000, "1.00 k", "1,000"),
        (9892, "9.89 k", "9,892"),
        (12_345, "12.3 k", "12,345"),
        (999_999, "999 k", "999,999"),
        (1_234_567, "1.23 M", "1,234,567"),
    ],
)
def test_numbers_are_short_above_and_exact_beneath(number, big, exact):
    assert (formats.compact(number), formats.exact(number)) == (big, exact)


@given(st.integers(0, 10**12 - 1))
def test_a_short_number_has_three_figures_and_never_says_too_much(number):
    value, _space, unit = formats.compact(number).partition(" ")
    assert float(value) * UNITS[unit] <= number + 1e-6 * number
    assert len(value.replace(".", "")) <= 3


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0 s"),
        (12.4, "12 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (90_000, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_durations_name_their_two_greatest_units(seconds, words):
    assert formats.duration(seconds) == words


@pytest.mark.parametrize("per_second, words", [(0, "0.0/s"), (3.14, "3.1/s"), (1234.5, "1,234/s")])
def test_rates_are_whole_from_ten_on(per_second, words):
    assert formats.rate(per_second) == words


@pytest.mark.parametrize(
    "zone, words",
    [
        ("Europe/Paris", "2026-03-28 09:00 Europe/Paris (GMT+01:00)"),
        ("America/St_Johns", "2026-03-28 05:30 America/St_Johns (GMT-02:30)"),
        ("", "2026-03-28 08:00 UTC (GMT+00:00)"),
    ],
)
def test_moments_carry_their_zone(zone, words):
    assert formats.moment(datetime(2026, 3, 28, 8, tzinfo=UTC), zone) == words


def test_no_moment_is_a_dash():
    assert formats.moment(None) == formats.NOTHING
