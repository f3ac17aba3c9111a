"""What reports do to addresses (deliverability.md, Quarantine)."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from deliveries.feedback import apply_events, quarantine
from deliveries.feedback.quarantine import Mark, standing
from deliveries.models import FeedbackEvent, QuarantinedAddress
from deliveries.models.states import FailureType, Reason
from tests.deliveries.reported import NOON, event, relay
from tests.deliveries.sending.sending_rows import sending_delivery

Kind, Status = FeedbackEvent.Kind, QuarantinedAddress.Status
SOFT, HARD, IGNORED = FailureType.SOFT, FailureType.HARD, FailureType.IGNORED


def soft(day, reason=Reason.UNREACHABLE):
    return Mark(NOON + timedelta(days=day), Kind.BOUNCE, SOFT, reason)


def hard(day):
    return Mark(NOON + timedelta(days=day), Kind.BOUNCE, HARD)


def delivered(day):
    return Mark(NOON + timedelta(days=day), Kind.DELIVERED, 0)


def complaint(day):
    return Mark(NOON + timedelta(days=day), Kind.COMPLAINT, 0)


@pytest.mark.parametrize(
    "history, status, errors",
    [
        ([], Status.VALID, 0),
        ([hard(0)], Status.QUARANTINE, 1),
        ([Mark(NOON, Kind.BOUNCE, IGNORED)], Status.VALID, 0),
        ([soft(0)], Status.ERRONEOUS, 1),
        ([soft(0), soft(0.2), soft(0.9)], Status.ERRONEOUS, 1),
        ([soft(0), soft(1)], Status.ERRONEOUS, 2),
        ([soft(0), soft(0.5), soft(1.4)], Status.ERRONEOUS, 2),
        ([soft(n) for n in range(4)], Status.ERRONEOUS, 4),
        ([soft(n) for n in range(5)], Status.QUARANTINE, 5),
        ([soft(0), soft(1), soft(11.5)], Status.ERRONEOUS, 1),
        ([soft(0, Reason.MAILBOX_FULL), soft(20, Reason.MAILBOX_FULL)], Status.ERRONEOUS, 2),
        ([soft(0, Reason.MAILBOX_FULL), soft(31, Reason.MAILBOX_FULL)], Status.ERRONEOUS, 1),
        ([soft(0), delivered(1)], Status.VALID, 0),
        ([soft(0), soft(1), delivered(2), soft(3)], Status.ERRONEOUS, 1),
        ([hard(0), delivered(1)], Status.QUARANTINE, 1),
        ([*[soft(n) for n in range(5)], delivered(9)], Status.QUARANTINE, 5),
        ([complaint(0), delivered(1)], Status.DENYLIST, 1),
        ([hard(0), complaint(1)], Status.DENYLIST, 2),
        ([complaint(0), hard(1)], Status.DENYLIST, 1),
    ],
)
def test_standings(history, status, errors):
    now = standing(history)
    assert (now.status, now.errors) == (status, errors)


@given(st.lists(st.floats(0, 60), max_size=12))
def test_a_burst_within_a_day_counts_once(days):
    history = [soft(day) for day in sorted(days)]
    assert standing(history).errors <= len({int(day * 24) // 24 for day in days}) + 1


@pytest.fixture
def log(message, routing):
    [log] = relay(sending_delivery(message, routing, 1))
    return log


def entry():
    return QuarantinedAddress.objects.get()


BEGAN = timezone.now()


def days_ago(log, what, *days):
    now = BEGAN
    apply_events.apply([event(log, what, at=now - timedelta(days=day)) for day in days])


@pytest.mark.django_db
def test_five_errors_a_day_apart_quarantine_whatever_the_order_in_which_they_arrive(log):
    for day in (2, 4, 0, 3):
        days_ago(log, "soft", day)
    assert (entry().status, entry().errors) == (Status.ERRONEOUS, 4)
    days_ago(log, "soft", 1)
    assert (entry().status, entry().errors, entry().last_delivery_id) == (Status.QUARANTINE, 5, log.delivery_id)


@pytest.mark.django_db
def test_a_success_frees_an_erroneous_address(log):
    days_ago(log, "soft", 1)
    days_ago(log, "delivered", 0)
    assert entry().status == Status.VALID


@pytest.mark.django_db
def test_a_block_of_our_own_server_leaves_the_address_alone(log):
    days_ago(log, "ignored", 0, 1, 2, 3, 4, 5)
    assert not QuarantinedAddress.objects.exists()


@pytest.mark.django_db
def test_what_a_person_set_is_never_lowered_and_may_be_raised(log):
    QuarantinedAddress.objects.create(address=log.address, status=Status.QUARANTINE, by_hand=True)
    days_ago(log, "soft", 0)
    assert entry().status == Status.QUARANTINE
    days_ago(log, "complaint", 0)
    assert entry().status == Status.DENYLIST


@pytest.mark.django_db
def test_repaired_addresses_start_anew(log):
    days_ago(log, "hard", 1)
    assert quarantine.repair(QuarantinedAddress.objects.filter(error_text__icontains="said hard")) == 1
    assert (entry().status, entry().errors) == (Status.VALID, 0)
    days_ago(log, "soft", 0)
    assert (entry().status, entry().errors) == (Status.ERRONEOUS, 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "reason, days, status",
    [
        (Reason.UNREACHABLE, 9, Status.ERRONEOUS),
        (Reason.UNREACHABLE, 11, Status.VALID),
        (Reason.MAILBOX_FULL, 11, Status.ERRONEOUS),
        (Reason.MAILBOX_FULL, 31, Status.VALID),
    ],
)
def test_the_daily_clean_up_forgets_old_errors(reason, days, status):
    at = timezone.now() - timedelta(days=days)
    QuarantinedAddress.objects.create(
        address="a@example.net", status=Status.ERRONEOUS, reason=reason, errors=2, significant_at=at
    )
    quarantine.clean_up()
    assert entry().status == status


@pytest.mark.django_db
def test_the_clean_up_deletes_valid_entries_after_two_days_and_never_lifts_a_quarantine():
    old = timezone.now() - timedelta(days=90)
    for name, status in (("valid", Status.VALID), ("red", Status.QUARANTINE), ("deny", Status.DENYLIST)):
        QuarantinedAddress.objects.create(address=f"{name}@example.net", status=status, significant_at=old)
    QuarantinedAddress.objects.update(modified_at=old)
    QuarantinedAddress.objects.create(address="fresh@example.net", status=Status.VALID)
    assert quarantine.clean_up() == (0, 1)
    assert {*QuarantinedAddress.objects.values_list("address", flat=True)} == {
        "red@example.net",
        "deny@example.net",
        "fresh@example.net",
    }
