"""The domains that proofs may go to: kept by administrators, seen by whoever prepares, told to the audit."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from campaigns.core.domains import domain_of
from campaigns.models import AuditEntry, ProofDomain, TestProfile
from campaigns.models.units import GroupUnit, OrganizationalUnit

pytestmark = pytest.mark.django_db
ADD = "/admin/campaigns/proofdomain/add/"


@pytest.fixture
def chief(make_user):
    return make_user("chief", "Administrators")


@pytest.fixture
def north():
    return OrganizationalUnit.objects.create(label="North", name="north", parent_id=1)


def client_of(user):
    api = APIClient()
    api.force_authenticate(user)
    return api


def test_an_administrator_lists_a_domain_and_takes_it_off_and_the_audit_tells_both(chief, client):
    client.force_login(chief)
    assert client.post(ADD, {"domain": " BÜCHER.example ", "unit": 1}).status_code == 302
    found = ProofDomain.objects.get()
    assert found.domain == "xn--bcher-kva.example"
    client.post(f"/admin/campaigns/proofdomain/{found.pk}/delete/", {"post": "yes"})
    acts = AuditEntry.objects.filter(act__startswith="proof_domain.").order_by("pk")
    assert [(entry.act, entry.actor) for entry in acts] == [
        ("proof_domain.added", "chief"),
        ("proof_domain.deleted", "chief"),
    ]


@pytest.mark.parametrize("domain", ["", "ann@example.com", "*.example.com", "exa mple.com", "a" * 64 + ".com", ".com"])
def test_what_is_no_domain_is_refused_where_it_is_typed(chief, client, domain):
    client.force_login(chief)
    page = client.post(ADD, {"domain": domain, "unit": 1})
    assert page.status_code == 200 and not ProofDomain.objects.exists()
    answer = client_of(chief).post("/api/proof-domains/", {"domain": domain}, format="json")
    assert answer.status_code == 400 and answer.json()["errors"][0]["attr"] == "domain"


def test_a_domain_is_listed_once_in_a_unit_however_it_is_written(chief, client):
    ProofDomain.objects.create(domain="example.com")
    client.force_login(chief)
    assert "listed for this unit already" in client.post(ADD, {"domain": "Example.COM", "unit": 1}).content.decode()
    answer = client_of(chief).post("/api/proof-domains/", {"domain": "EXAMPLE.com"}, format="json")
    assert answer.status_code == 400 and ProofDomain.objects.count() == 1


def test_whoever_prepares_reads_the_list_and_changes_nothing(preparer, client):
    row = ProofDomain.objects.create(domain="example.com")
    client.force_login(preparer)
    assert "example.com" in client.get("/admin/campaigns/proofdomain/").content.decode()
    assert client.post(ADD, {"domain": "evil.example"}).status_code == 403
    api = client_of(preparer)
    assert [one["domain"] for one in api.get("/api/proof-domains/").json()["results"]] == ["example.com"]
    assert api.post("/api/proof-domains/", {"domain": "evil.example"}, format="json").status_code == 403
    assert api.delete(f"/api/proof-domains/{row.pk}/").status_code == 403
    assert list(ProofDomain.objects.values_list("domain", flat=True)) == ["example.com"]


def test_an_administrator_of_a_unit_keeps_the_list_at_and_below_it(chief, north):
    above = ProofDomain.objects.create(domain="above.example")
    GroupUnit.objects.filter(group__in=chief.groups.all()).update(unit=north)
    api = client_of(User.objects.get(pk=chief.pk))
    assert api.delete(f"/api/proof-domains/{above.pk}/").status_code == 403
    made = api.post("/api/proof-domains/", {"domain": "north.example"}, format="json")
    assert made.status_code == 201 and made.json()["unit"] == north.pk
    assert api.post("/api/proof-domains/", {"domain": "x.example", "unit": 1}, format="json").status_code == 403
    assert api.delete(f"/api/proof-domains/{made.json()['id']}/").status_code == 204


def test_saving_a_test_profile_outside_the_list_warns(preparer, client):
    client.force_login(preparer)
    data = {"label": "Out", "email": "a@outside.example", "proofs": "on", "gender": 0, "email_format": 0}
    page = client.post("/admin/campaigns/testprofile/add/", data | {"attributes": "{}"}, follow=True).content.decode()
    assert TestProfile.objects.get().email == "a@outside.example" and "takes the role" in page


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("a@Example.com", "example.com"),
        ('"a@x.example"@y.example', "y.example"),
        ("a@ⓔxample.com", "example.com"),
        ("a@exämple.com", "xn--exmple-cua.com"),
        ("a@[192.0.2.1]", ""),
        ("a@", ""),
        ("example.com", ""),
        ("a@" + "x" * 70_000, ""),
    ],
    ids=lambda value: value[:30],
)
def test_the_domain_is_the_one_that_the_mail_would_go_to(address, domain):
    assert domain_of(address) == domain
