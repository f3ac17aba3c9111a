"""Tokens name one sending log for one purpose; nobody else can make one, and none can be made of another."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.ledger.message_tokens.tokens import LENGTH, Purpose, Tokens, sign, signer, unsign

DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
PURPOSES = get_args(Purpose)
OLDER, NEWER = "the-older-key-" * 4, "the-newer-key-" * 4


@given(st.integers(0, 2**48 - 1), st.sampled_from(PURPOSES))
def test_a_token_gives_back_its_row_whatever_its_case(log_id, purpose):
    token = getattr(sign(log_id), purpose)
    assert len(token) == LENGTH and set(token) <= set(DIGITS + "0189")
    assert unsign(token, purpose) == unsign(token.upper(), purpose) == log_id


@pytest.mark.parametrize("other", PURPOSES)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_is_good_for_its_own_purpose_alone(purpose, other):
    assert (unsign(getattr(sign(7), purpose), other) == 7) == (purpose == other)


@given(st.integers(0, 2**48 - 1))
def test_no_two_tokens_of_a_row_have_a_digest_in_common(log_id):
    assert Tokens._fields == PURPOSES
    assert len({token[12:] for token in sign(log_id)}) == len(PURPOSES)


@given(st.integers(0, 2**48 - 1), st.integers(0, LENGTH - 1), st.sampled_from(DIGITS + "0189+_- x"))
def test_a_token_with_another_character_is_none(log_id, place, digit):
    token = sign(log_id).link
    forged = token[:place] + digit + token[place + 1 :]
    assert (unsign(forged, "link") == log_id) if forged == token else (unsign(forged, "link") is None)


def test_a_row_cannot_borrow_anothers_signature():
    assert unsign(sign(8).link[:12] + sign(7).link[12:], "link") is None


def test_a_return_path_and_a_message_id_fit_where_they_go():
    """RFC 5321 section 4.5.3.1.1: 64 octets of local part; RFC 5322 section 3.6.4: an id-left is a dot-atom."""
    assert len(f"b-{sign(2**48 - 1).return_path}") <= 64
    assert f"{sign(2**48 - 1).message_id}.DM{2**31}".replace(".", "").isalnum()


def test_a_token_of_another_installation_is_none(settings):
    token = sign(7).link
    settings.SECRET_KEY = "another-key-" * 5
    assert unsign(token, "link") is None


def test_a_key_that_was_changed_proves_but_does_not_sign(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLDER, []
    before = sign(7)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEWER, [OLDER]
    assert [unsign(token, purpose) for token, purpose in zip(before, PURPOSES, strict=True)] == [7] * len(PURPOSES)
    assert sign(7) == signer(NEWER)(7) != before
    settings.SECRET_KEY_FALLBACKS = []
    assert unsign(before.link, "link") is None


@pytest.mark.parametrize(
    "text", ["", "a", "a" * 24, "a" * 27, "=" * 27, "ä" * 27, "\0" * 27, "1" * 27, "+0000000000a" * 2 + "aaa"]
)
def test_what_is_no_token_is_none(text):
    assert not any(unsign(text, purpose) for purpose in PURPOSES)
