"""Where rooms meet: consent with imports and letters, tokens with rates, versions with lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory
from rest_framework.test import APIClient

from campaigns.consent import changes
from campaigns.consent.changes import Origin, ReceivedMessage, Way
from campaigns.core import versions
from campaigns.models import Audience, Profile
from deliveries.ledger.message_tokens import old_tokens, tokens
from deliveries.lifecycle.proofs import pages
from tests.campaigns.targeting.test_import_profiles import imported

pytestmark = pytest.mark.django_db

A = "ann@example.com"
BY_STAFF = Origin(Way.FORM, source="paper form")


@pytest.fixture
def ann() -> Profile:
    return Profile.objects.create(email=A)


def letter(number: int, ann: Profile) -> ReceivedMessage:
    return ReceivedMessage(number, 7, A, ann.pk)


def out(one: Profile) -> bool:
    return Profile.objects.get(pk=one.pk).opt_out_email


def test_empty_cells_that_clear_opt_nobody_in_again_even_with_a_source(ann: Profile) -> None:
    changes.opt_out([ann.pk], ["opt_out", "opt_out_email"], BY_STAFF)
    held = imported(f"email;opt_out;opt_out_email\n{A};;\n", empty_clears=True, consent_source="paper form")
    assert (held.opted_in, out(ann)) == (0, True)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_bulk_calls_null_opts_nobody_in_again_even_with_a_source(
    ann: Profile, admin_user: Any, value: str | None
) -> None:
    changes.opt_out([ann.pk], ["opt_out_email"], BY_STAFF)
    client = APIClient()
    client.force_authenticate(admin_user)
    asked = {"profiles": [{"email": A, "opt_out_email": value}], "empty_clears": True, "consent_source": "paper form"}
    assert client.post("/api/profiles/bulk/", asked, format="json").json()["opted_in"] == 0
    assert out(ann)


def test_undo_restores_whom_staff_had_opted_in_since_an_earlier_letter(ann: Profile) -> None:
    other = Profile.objects.create(email=A)
    for number in (1, 2):  # twice: the second time the profile is opted in at the address already
        changes.opt_out_mailbox(letter(number, ann), Way.LINK)
        changes.opt_in(ann.pk, ["opt_out_email"], BY_STAFF)
    changes.opt_out_mailbox(letter(3, ann), Way.LINK)
    changes.undo(letter(3, ann))
    assert (out(ann), out(other)) == (False, True)


def test_undo_leaves_what_an_earlier_letter_said_again_since(ann: Profile) -> None:
    changes.opt_out_mailbox(letter(1, ann), Way.LINK)
    changes.opt_in(ann.pk, ["opt_out_email"], BY_STAFF)
    changes.opt_out_mailbox(letter(1, ann), Way.LINK)
    changes.opt_out_mailbox(letter(2, ann), Way.LINK)
    changes.undo(letter(2, ann))
    assert out(ann)
    changes.undo(letter(1, ann))
    assert not out(ann)


def test_a_token_has_no_second_spelling_beyond_case() -> None:
    mirror = next(token for number in range(999) if "k" in (token := tokens.sign(number).mirror))
    assert tokens.unsign(mirror.upper(), "mirror") is not None
    assert tokens.unsign(mirror.replace("k", "\u212a"), "mirror") is None  # a Kelvin sign
    signed = (old_tokens.sign(number, settings.SECRET_KEY).mirror for number in range(999))
    assert old_tokens.unsign(next(token for token in signed if "s" in token).replace("s", "\u017f")) is None


def test_the_version_of_a_list_does_not_read_its_members(ann: Profile) -> None:
    audience = Audience.objects.create(label="A list", kind="list")
    before = versions.entity_tag(audience)
    audience.members.add(ann)
    assert versions.entity_tag(audience) == before


def test_made_up_methods_share_the_rate_of_a_proof() -> None:
    methods = ("GET", "HEAD", "AAA", "AAB")
    assert len({pages._asked(RequestFactory().generic(name, "/"), "token") for name in methods}) == 1


def test_no_fault_of_nginx_writes_down_the_secret_in_an_address() -> None:
    """A full disk is "crit" to nginx, too many open files "alert", and both quote the request line."""
    asked = (Path(settings.BASE_DIR) / "config/deploy/nginx.conf").read_text()
    assert "error.log emerg;" in asked.split("location ~ ^/(t|proof|feedback)/", 1)[1].split("}", 1)[0]
