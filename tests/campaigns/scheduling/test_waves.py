"""The sizes of waves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.scheduling import waves


@pytest.mark.parametrize(
    "text, total, expected",
    [
        ("", 10, [10]),
        ("30% 30% 30%", 10, [3, 3, 3, 1]),
        ("30%, 30%, 30%", 100, [30, 30, 30, 10]),
        ("1000 5000", 10_000, [1000, 5000, 4000]),
        ("50% 50%", 10, [5, 5]),
        ("1% 9", 10, [9, 1]),
        ("1000", 10, [10]),
        ("10%", 0, []),
    ],
)
def test_the_last_wave_takes_the_rest(text, total, expected):
    assert waves.sizes(text, total) == expected


@given(
    st.lists(st.integers(1, 20).map(lambda n: f"{n}%") | st.integers(1, 50).map(str), max_size=5), st.integers(0, 90)
)
def test_everybody_is_in_exactly_one_wave(parts, total):
    found = waves.sizes(" ".join(parts), total)
    assert sum(found) == total and all(size > 0 for size in found)


@pytest.mark.parametrize("text", ["0%", "60% 50%", "ten", "-5", "1.5%", "%", "1 " * 51, "\u0661\u0660%"])
def test_what_is_no_size_is_refused_in_words(text):
    with pytest.raises(waves.BadWaves):
        waves.check(text)
