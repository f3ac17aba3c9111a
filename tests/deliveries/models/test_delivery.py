"""What the database itself refuses, whatever the code does: the last line of both ledgers and of "nobody twice"."""

import pytest
from django.db import IntegrityError
from django.utils import timezone

from deliveries.models import Batch, Delivery, ExclusionCause, FeedbackEvent, QuarantinedAddress, SendingLog
from deliveries.models.states import Reason
from reporting.models import TrackedUrl
from tests.deliveries.sending.sending_rows import sending_delivery

pytestmark = pytest.mark.django_db
NOW = timezone.now()

TWICE = {
    "one address in a delivery": (SendingLog, lambda d: {"delivery": d, "address": "ann@example.com", "date": NOW}),
    "one execution in a slot": (
        Delivery,
        lambda d: {"message": d.message, "campaign": d.campaign, "label": "x", "parent": d, "slot": NOW},
    ),
    "one number of a batch": (Batch, lambda d: {"delivery": d, "number": 77}),
    "one volume of a cause": (ExclusionCause, lambda d: {"delivery": d, "cause": Reason.DUPLICATE}),
    "one report by its key": (FeedbackEvent, lambda _d: {"source": 1, "kind": 1, "key": "k", "at": NOW}),
    "one standing of an address": (QuarantinedAddress, lambda _d: {"address": "ann@example.com"}),
    "one link in a place": (TrackedUrl, lambda d: {"delivery": d, "place": 0, "kind": "tracked", "part": "HTML"}),
}


@pytest.mark.parametrize("model, fields", TWICE.values(), ids=TWICE)
def test_there_is_only(message, routing, model, fields):
    delivery = sending_delivery(message, routing, recipients=0)
    model.objects.create(**fields(delivery))
    with pytest.raises(IntegrityError):
        model.objects.create(**fields(delivery))


@pytest.mark.parametrize("counter", ["total", "pending", "in_doubt", "sent", "failed", "cancelled"])
def test_a_batch_always_balances(message, routing, counter):
    batch = sending_delivery(message, routing, recipients=2).batches.get()
    with pytest.raises(IntegrityError):
        Batch.objects.filter(pk=batch.pk).update(**{counter: getattr(batch, counter) + 1})
