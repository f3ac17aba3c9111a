"""Tokens name one sending log; nobody else can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.tokens import sign, unsign

DIGITS = "abcdefghijklmnopqrstuvwxyz234567"


@given(st.integers(0, 2**48 - 1))
def test_a_token_gives_back_its_row_whatever_its_case(log_id):
    token = sign(log_id)
    assert len(token) == 24 and set(token) <= set(DIGITS)
    assert unsign(token) == unsign(token.upper()) == log_id


@given(st.integers(0, 2**48 - 1), st.integers(0, 23), st.sampled_from(DIGITS))
def test_a_token_with_another_character_is_none(log_id, place, digit):
    token = sign(log_id)
    forged = token[:place] + digit + token[place + 1 :]
    assert (unsign(forged) == log_id) if forged == token else (unsign(forged) is None)


def test_a_row_cannot_borrow_anothers_signature():
    assert unsign(sign(8)[:10] + sign(7)[10:]) is None


def test_a_token_of_another_installation_is_none(settings):
    token = sign(7)
    settings.SECRET_KEY = "another-key-" * 5
    assert unsign(token) is None


@pytest.mark.parametrize("text", ["", "a", "a" * 24, "a" * 32, "=" * 24, "ä" * 24, "\0" * 24, "1" * 24])
def test_what_is_no_token_is_none(text):
    assert unsign(text) is None
