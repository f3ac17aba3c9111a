"""Sentences that are kept in English and read in any language."""

from __future__ import annotations

import json

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from campaigns.core.kept_text import for_json, keep
from campaigns.core.translate_kept import translate_json


def read(sentence: str, language: str) -> str:
    """The sentence after it was kept in a database, for a reader of a language."""
    with translation.override(language):
        return translate_json(json.loads(json.dumps(for_json(sentence))), str(sentence))


def test_a_sentence_is_english_text_for_programs() -> None:
    assert keep("%(n)s messages are in doubt", n=12345) == "12,345 messages are in doubt"


@pytest.mark.parametrize(
    "language, words",
    [
        ("en", "Sending started."),
        ("fr", "Envoi commencé."),
        ("ja", "送信を開始しました。"),
        ("de", "Sending started."),
    ],
)
def test_it_is_read_in_the_readers_language(language: str, words: str) -> None:
    assert read(keep("Sending started."), language) == words


def test_figures_are_grouped_as_the_reader_does() -> None:
    assert read(keep("%(n)s rows", n=12345), "fr") == "12\u00a0345 rows"


def test_a_blank_may_be_a_sentence_itself() -> None:
    sentence = keep("%(why)s Nothing has left.", why=keep("Sending started."))
    assert sentence == "Sending started. Nothing has left."
    assert read(sentence, "fr") == "Envoi commencé. Nothing has left."


def test_what_was_only_written_down_is_read_as_it_is() -> None:
    assert for_json("50 % off") is None
    assert (translate_json(None, "50 % off"), translate_json({"x": 1}, "text")) == ("50 % off", "text")


@given(st.text().filter(lambda text: text.strip()), st.integers(), st.text())
def test_any_blanks_come_back(name: str, number: int, text: str) -> None:
    sentence = keep("%(name)s: %(number)s %(text)s", name=name, number=number, text=text)
    assert read(sentence, "en") == sentence
