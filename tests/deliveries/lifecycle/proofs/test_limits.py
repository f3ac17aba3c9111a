"""How many mails of proofs are left, from when on there are more, and that two who ask at once get no more than one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from django.db import connection, connections

from campaigns.models import ProofDomain, TestProfile
from deliveries.ledger.errors import Refused
from deliveries.lifecycle import commands
from deliveries.lifecycle.proofs import limits, proofs
from deliveries.lifecycle.proofs.limits import DAY, Allowance
from deliveries.models import ProofTally
from deliveries.workers import periodic_jobs

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SENT = ((NOON, 20), (NOON + HOUR, 30), (NOON + 2 * HOUR, 40))


@pytest.mark.parametrize(
    ("most", "left", "wanted", "after"),
    [
        (100, 10, 11, NOON),  # the oldest twenty make room
        (100, 10, 30, NOON),
        (100, 10, 31, NOON + HOUR),
        (100, 10, 60, NOON + HOUR),
        (100, 10, 61, NOON + 2 * HOUR),
        (100, 10, 500, NOON + 2 * HOUR),  # never so many; from then on as many as there can be
        (90, 0, 1, NOON),
        (50, 0, 1, NOON + HOUR),  # the limit was lowered since
    ],
)
def test_it_says_how_many_are_left_and_from_when_on_there_are_more(most, left, wanted, after):
    allowance = Allowance(most, SENT, "")
    assert (allowance.left, allowance.from_when(wanted)) == (left, after + DAY)


@pytest.fixture
def delivery(message, routing, preparer):
    ProofDomain.objects.create(domain="example.org")
    TestProfile.objects.bulk_create(TestProfile(label=f"T{n}", email=f"t{n}@example.org") for n in range(6))
    return commands.create_delivery(message, preparer)


@pytest.mark.django_db
def test_the_page_says_how_many_are_possible_now(delivery, preparer, client, settings):
    settings.PROOFS_PER_DAY = 8
    proofs.send_proof(delivery, preparer, readers=TestProfile.objects.values_list("pk", flat=True))
    client.force_login(preparer)
    assert "2 mails are possible now" in client.get(f"/admin/deliveries/delivery/{delivery.pk}/proof/").content.decode()


@pytest.mark.django_db
def test_what_counts_no_more_is_forgotten_in_time(db):
    for days in (0, 1, 3):
        ProofTally.objects.create(sender=1, message=1, mails=5, sent_at=datetime.now(UTC) - days * DAY)
    assert limits.clean_up() == 1 and periodic_jobs.limits is limits


# SQLite's writers wait for each other anyway, and its tests' memory is one connection's: test_on_postgres.py runs this.
@pytest.mark.skipif(connection.vendor == "sqlite", reason="needs a database with locks on rows")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", ["PROOFS_PER_DAY", "PROOFS_PER_PERSON"])
def test_two_at_once_get_no_more_than_there_is(delivery, preparer, settings, limit):
    setattr(settings, limit, 10)
    readers, together = list(TestProfile.objects.values_list("pk", flat=True)), Barrier(3)

    def ask(_number):
        together.wait(20)
        try:
            return proofs.send_proof(delivery, preparer, readers=readers).recipients.count()
        except Refused as refusal:
            return refusal.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        got = list(pool.map(ask, range(3)))
    assert sorted(map(str, got)) == ["6", "proof_limit", "proof_limit"]
