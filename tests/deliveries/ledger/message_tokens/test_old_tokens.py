"""Letters prepared before each purpose had its token: they go on to work, and no other row takes such a token."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from campaigns.core import secret_keys
from deliveries.feedback import matching
from deliveries.ledger.message_tokens import old_tokens, recognising, tokens
from deliveries.models import Delivery
from tests.deliveries.sending.sending_rows import sending_delivery

DIGITS = old_tokens._DIGITS
KEY = "only-for-tests-" + "0123456789" * 5
PAGES = ("t/o/{}.gif", "t/c/{}/0", "t/m/{}", "t/u/{}")


@given(st.integers(0, 2**48 - 1))
def test_the_old_form_gives_back_its_row_whatever_its_case(log_id: int) -> None:
    token = old_tokens.sign(log_id, secret_keys.all_keys()[0]).link
    assert len(token) == 24 and set(token) <= set(DIGITS)
    assert old_tokens.unsign(token) == old_tokens.unsign(token.upper()) == log_id


@given(st.integers(0, 2**48 - 1), st.integers(0, 23), st.sampled_from(DIGITS))
def test_with_another_character_it_is_none(log_id: int, place: int, digit: str) -> None:
    token = old_tokens.sign(log_id, secret_keys.all_keys()[0]).link
    forged = token[:place] + digit + token[place + 1 :]
    assert (old_tokens.unsign(forged) == log_id) if forged == token else (old_tokens.unsign(forged) is None)


def test_it_is_what_letters_that_were_sent_carry(settings: Any) -> None:
    """As the program wrote it that knew no other form."""
    settings.SECRET_KEY = "a-key-of-then-" * 4
    assert old_tokens.unsign(WRITTEN_THEN) == 12345


WRITTEN_THEN = "aaaaaabqhgfrtbeaatdvo6ms"


@pytest.fixture
def rows(message: Any, routing: Any, monkeypatch: Any) -> dict[str, int]:
    """A row of a letter from before the upgrade, and one from after it."""
    before = sending_delivery(message, routing, 1, token_key="")
    after = sending_delivery(message, routing, 1)
    return {"before": before.sending_logs.get().pk, "after": after.sending_logs.get().pk}


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_the_pages_of_old_letters_open_and_those_of_new_ones_do_not(rows: Any, client: Client, page: str) -> None:
    known, unknown = (old_tokens.sign(rows[when], secret_keys.all_keys()[0]).link for when in ("before", "after"))
    assert client.get(f"/{page.format(known)}").status_code in (200, 302)
    assert client.get(f"/{page.format(unknown)}").status_code == 404


@pytest.mark.django_db
def test_a_report_of_an_old_letter_is_matched_and_none_of_a_new_one_by_the_old_form(rows: Any) -> None:
    known, unknown = (old_tokens.sign(rows[when], secret_keys.all_keys()[0]).link for when in ("before", "after"))
    assert matching.log_in([f"<{known}.DM1@example.com>"]) == rows["before"]
    assert matching.log_in([f"<{unknown}.DM1@example.com>"]) is None


@pytest.mark.django_db
def test_a_row_that_is_gone_is_nobodys(rows: Any) -> None:
    assert recognising.log_named(old_tokens.sign(999_999, secret_keys.all_keys()[0]).link, "link") is None


@pytest.mark.django_db
def test_what_was_written_before_the_column_was_there_notes_no_key(message: Any) -> None:
    """The database's default is the old form's, a program's of today the present key: also while both are running."""
    delivery = sending_delivery(message, None, 1)
    assert delivery.token_key == secret_keys.present_name()
    assert Delivery._meta.get_field("token_key").db_default == ""
    assert tokens.sign(1).link != old_tokens.sign(1, secret_keys.all_keys()[0]).link


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_migration_leaves_deliveries_that_are_there_with_the_old_form(message: Any, routing: Any) -> None:
    from django.core.management import call_command
    from django.db import connection

    delivery = sending_delivery(message, routing, 1)
    call_command("migrate", "deliveries", "0001", verbosity=0)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM deliveries_delivery")
            assert "token_key" not in [column[0] for column in cursor.description or ()]
    finally:
        call_command("migrate", verbosity=0)
    delivery.refresh_from_db()
    assert delivery.token_key == ""
