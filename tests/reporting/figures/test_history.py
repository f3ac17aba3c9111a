"""A profile's touchpoints and time-line."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deliveries.models import Proof, ProofRecipient, SendingLog
from reporting.figures.history import history
from reporting.models import TrackingLog
from tests.reporting.conftest import first_log, later

pytestmark = pytest.mark.django_db


def act(log: SendingLog, kind: int, seconds: float, machine: bool = False) -> None:
    TrackingLog.objects.create(
        delivery_id=log.delivery_id, sending_log=log, type=kind, at=later(log, seconds), machine=machine
    )


def test_the_time_line_is_newest_first_and_counts_no_machines(sent: Any, preparer: Any, client: Client) -> None:
    log = first_log(sent())
    act(log, 2, 2, machine=True)
    act(log, 2, 100)
    act(log, 1, 110)
    client.force_login(preparer)
    found = client.get(reverse("profile-history", args=[log.profile_id])).context["history"]
    assert [e.kind for e in found.entries] == ["clicked", "opened", "opened", "sent"]
    assert (found.touchpoints, found.outbound, found.inbound) == (3, 1, 2)
    assert found.first == log.relayed_at
    assert found.months[-1][1:] == (1, 2)


def test_a_bounce_shows_as_sent_and_as_bounced(sent: Any) -> None:
    from campaigns.models import Campaign

    log = first_log(sent())
    SendingLog.objects.filter(pk=log.pk).update(status=2, reason=1, date=later(log, 60))
    found = history(log.profile, Campaign.objects.all())
    assert [(e.kind, e.detail) for e in found.entries] == [("bounced", "User unknown"), ("sent", "")]


def test_deliveries_that_one_may_not_read_are_left_out(sent: Any) -> None:
    from campaigns.models import Campaign

    assert history(first_log(sent()).profile, Campaign.objects.none()).entries == []


def test_a_thousand_events_cost_three_queries(sent: Any, django_assert_num_queries: Any) -> None:
    from campaigns.models import Campaign

    log = first_log(sent())
    TrackingLog.objects.bulk_create(
        TrackingLog(delivery_id=log.delivery_id, sending_log=log, type=2, at=later(log, n)) for n in range(1000)
    )
    profile = log.profile
    with django_assert_num_queries(3):
        found = history(profile, Campaign.objects.all())
    assert len(found.entries) == 1000
    assert found.cut


def test_a_proof_in_a_history_leads_to_the_proofs_of_its_delivery(sent: Any, preparer: Any, client: Client) -> None:
    log = first_log(sent())
    proof = Proof.objects.create(delivery=log.delivery, number=1)
    ProofRecipient.objects.create(proof=proof, address="a@example.com", profile=log.profile, sending_log_id=999)
    client.force_login(preparer)
    page = client.get(reverse("profile-history", args=[log.profile_id])).content.decode()
    assert reverse("admin:deliveries_delivery_proofs", args=[log.delivery_id]) in page and "/999/" not in page
