"""Attacks on points 11 to 16."""
from __future__ import annotations
import time
from typing import Any
import pytest
from rest_framework.test import APIClient
from campaigns import consent, versions
from campaigns.consent import Letter, Origin, Way
from campaigns.models import Audience, AudienceMember, Profile
from deliveries import tokens, old_tokens
from tests.campaigns.test_importing import imported
pytestmark = pytest.mark.django_db
A = "ann@example.com"
FORM = Origin(Way.FORM)

def ann() -> Profile:
    person = Profile.objects.create(email=A, first_name="Ann", attributes={"plan": "gold"})
    consent.opt_out([person.pk], ["opt_out_email", "opt_out"], FORM)
    return Profile.objects.get(pk=person.pk)

def test_import_clears_with_source() -> None:
    p = ann()
    imported(f"email;first_name;opt_out_email;opt_out\n{A};;;\n", empty_clears=True, consent_source="form")
    p.refresh_from_db()
    assert p.opt_out_email and p.opt_out

@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("how", ["bulk", "patch"])
def test_api_clears_with_source(admin_user: Any, value: Any, how: str) -> None:
    p = ann()
    c = APIClient(); c.force_authenticate(admin_user); c.default_format = "json"
    if how == "bulk":
        r = c.post("/api/profiles/bulk/", {"profiles": [{"email": A, "opt_out_email": value, "opt_out": value}], "empty_clears": True, "consent_source": "x"}, format="json")
    else:
        r = c.patch(f"/api/profiles/{p.pk}/", {"opt_out_email": value, "opt_out": value, "consent_source": "x"}, format="json")
    print(r.status_code, r.data)
    p.refresh_from_db()
    assert p.opt_out_email and p.opt_out

def test_undo_after_staff_opted_in_again() -> None:
    p = Profile.objects.create(email=A)
    one, two = Letter(1, 7, A, p.pk), Letter(2, 7, A, p.pk)
    consent.opt_out_mailbox(one, Way.LINK)
    consent.opt_in(p.pk, ["opt_out_email"], Origin(Way.FORM, source="paper"))
    p.refresh_from_db(); assert not p.opt_out_email and not consent.is_held(p)
    consent.opt_out_mailbox(two, Way.LINK)
    consent.undo(two)
    p.refresh_from_db()
    assert not p.opt_out_email, "undo did not restore what this letter switched"

def test_staff_set_then_letters_then_undo_other() -> None:
    p = Profile.objects.create(email=A)
    one, two = Letter(1, 7, A, p.pk), Letter(2, 7, A, p.pk)
    consent.opt_out_mailbox(one, Way.LINK)
    consent.opt_in(p.pk, ["opt_out_email"], Origin(Way.FORM, source="paper"))
    consent.opt_out_mailbox(one, Way.LINK)   # same letter again
    p.refresh_from_db(); assert p.opt_out_email
    consent.undo(one)
    p.refresh_from_db(); assert not p.opt_out_email

def test_page_tells_truth_after_second_profile() -> None:
    """Held address, P opted in again, then letter two's opt-out, P's flag out: everything closed."""
    p = Profile.objects.create(email=A)
    consent.opt_out_mailbox(Letter(1, 7, A, p.pk), Way.LINK)
    consent.opt_in(p.pk, ["opt_out_email"], Origin(Way.FORM, source="paper"))
    consent.opt_out_mailbox(Letter(2, 7, A, p.pk), Way.LINK)
    assert consent.mailbox_is_out(Letter(2, 7, A, p.pk))
    consent.undo(Letter(1, 7, A, p.pk))
    p.refresh_from_db(); assert p.opt_out_email

def test_token_variants() -> None:
    n = next(i for i in range(1, 500) if "k" in tokens.sign(i).mirror)
    t = tokens.sign(n).mirror
    assert tokens.unsign(t.replace("k", "\u212a"), "mirror") is None

def test_old_token_variants(settings: Any) -> None:
    n = next(i for i in range(1, 500) if "s" in old_tokens.sign(i, settings.SECRET_KEY).mirror)
    t = old_tokens.sign(n, settings.SECRET_KEY).mirror
    assert old_tokens.unsign(t.replace("s", "\u017f").replace("i", "\u0131")) is None

def test_audience_version_reads_no_members() -> None:
    a = Audience.objects.create(label="l", kind="list")
    people = Profile.objects.bulk_create([Profile(email=f"u{i}@e.com") for i in range(3000)])
    AudienceMember.objects.bulk_create([AudienceMember(audience=a, profile=p) for p in people])
    assert "members" not in versions.values(a)

def test_undo_of_the_one_that_did_not_switch() -> None:
    p = Profile.objects.create(email=A)
    one, two = Letter(1, 7, A, p.pk), Letter(2, 7, A, p.pk)
    consent.opt_out_mailbox(one, Way.LINK)
    consent.opt_in(p.pk, ["opt_out_email"], Origin(Way.FORM, source="paper"))
    consent.opt_out_mailbox(one, Way.LINK)  # again, by the first
    consent.opt_out_mailbox(two, Way.LINK)
    consent.undo(two)
    p.refresh_from_db(); assert p.opt_out_email
    consent.undo(one)
    p.refresh_from_db(); assert not p.opt_out_email

def test_undo_leaves_the_others_of_the_address() -> None:
    p, q = Profile.objects.create(email=A), Profile.objects.create(email=A)
    one, two = Letter(1, 7, A, p.pk), Letter(2, 7, A, p.pk)
    consent.opt_out_mailbox(one, Way.LINK)
    consent.opt_in(p.pk, ["opt_out_email"], Origin(Way.FORM, source="paper"))
    consent.opt_out_mailbox(two, Way.LINK)
    consent.opt_in(p.pk, ["opt_out_email"], Origin(Way.FORM, source="paper"))
    consent.opt_out_mailbox(three := Letter(3, 7, A, p.pk), Way.LINK)
    consent.undo(three)
    p.refresh_from_db(); q.refresh_from_db()
    assert (p.opt_out_email, q.opt_out_email) == (False, True)

def test_any_method_counts_for_a_proof(client: Any) -> None:
    from deliveries import proof_pages
    from django.test import RequestFactory
    asked = {proof_pages._asked(RequestFactory().generic(m, "/proof/x/"), "x") for m in ("GET", "HEAD", "AAA", "AAB")}
    assert len(asked) == 1
