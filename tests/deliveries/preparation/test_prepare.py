"""Preparing: who is left out and why, batches, and what stays after a stop, a kill, an error or an edit."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Count, F, Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Audience, Profile, Schedule
from deliveries.ledger.counters import counters
from deliveries.lifecycle import commands
from deliveries.models import Batch, Delivery, ExclusionLog, QuarantinedAddress, SendingLog
from deliveries.models.states import Reason, State
from deliveries.preparation import prepare as preparing
from deliveries.preparation import target, target_run
from deliveries.preparation.sealing import changed_since_prepared

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small(monkeypatch, settings):
    """Slices and batches so small that a few people cross their borders."""
    monkeypatch.setattr(target_run, "SLICE", 3)
    monkeypatch.setattr(preparing, "DELETED_AT_ONCE", 3)
    monkeypatch.setattr(preparing, "DELETED_BATCHES", 1, raising=False)
    settings.BATCH_SIZE = 2


@pytest.fixture
def delivery(message, routing, starter):
    return commands.create_delivery(message, starter)


def add(*addresses, **fields):
    Profile.objects.bulk_create(Profile(email=address, **fields) for address in addresses)


def prepare(delivery, by):
    commands.prepare(delivery, by)
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def log(delivery, **wanted):
    return list(delivery.events.filter(**wanted).order_by("pk").values_list("code", flat=True))


@contextmanager
def at(sql, act, *, time=1):
    """Do `act` once, just before the statement that contains `sql` runs for the given time."""
    seen = []

    def watch(execute, statement, params, many, context):
        if sql in statement:
            seen.append(statement)
            if len(seen) == time:
                act()
        return execute(statement, params, many, context)

    with connection.execute_wrapper(watch):
        yield
    assert len(seen) >= time


NEXT_SLICE = "SELECT MIN(profile_id) FROM prepared_target"


# --- what a preparation makes -------------------------------------------------------------------------------------


def test_everybody_gets_a_pending_row_in_a_full_batch(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(7)))
    prepare(delivery, starter)
    assert (delivery.state, delivery.progress) == (State.READY, 100)
    assert [(b.number, b.total, b.pending) for b in delivery.batches.order_by("number")] == [
        (1, 2, 2),
        (2, 2, 2),
        (3, 2, 2),
        (4, 1, 1),
    ]
    assert [row["n"] for row in SendingLog.objects.values("batch").annotate(n=Count("pk")).order_by("batch")] == [
        2,
        2,
        2,
        1,
    ]
    assert counters(delivery).balances


def test_each_cause_takes_its_own_and_zeros_are_listed(delivery, starter):
    add("", "no address", "held@example.com", "twice@example.com", "twice@example.com", "good@example.com")
    add("out@example.com", opt_out_email=True)
    QuarantinedAddress.objects.create(address="held@example.com")
    prepare(delivery, starter)
    causes = {c.cause: c.volume for c in delivery.exclusion_causes.all()}
    assert causes == {
        Reason.ADDRESS_EMPTY: 1,
        Reason.BAD_QUALITY: 1,
        Reason.DENYLISTED: 1,
        Reason.QUARANTINED: 1,
        Reason.DUPLICATE: 1,
    }
    assert (delivery.targeted, delivery.excluded, delivery.to_deliver) == (7, 5, 2)
    Profile.objects.exclude(email="good@example.com").delete()
    assert set(prepare(delivery, starter).exclusion_causes.values_list("volume", flat=True)) == {0}


POOL = ["", "bad", "a@x.example", "b@x.example", "a@bücher.example", "a@xn--bcher-kva.example", "a@x.example."]
STATUSES = st.sampled_from([None, *QuarantinedAddress.Status])


def oracle(people, held):
    """The cause of each profile, None for those who get the message, one by one as a person would do it."""
    taken, causes = set(), []
    for email, opt_out, opt_out_email in people:
        address = email.replace("bücher", "xn--bcher-kva")
        status = held.get(address)
        cause = (
            Reason.ADDRESS_EMPTY
            if not email
            else Reason.BAD_QUALITY
            if email in ("bad", "a@x.example.")
            else Reason.DENYLISTED
            if opt_out or opt_out_email or status == QuarantinedAddress.Status.DENYLIST
            else Reason.QUARANTINED
            if status == QuarantinedAddress.Status.QUARANTINE
            else Reason.DUPLICATE
            if address in taken
            else None
        )
        taken |= {address} if cause is None else set()
        causes.append(cause)
    return causes


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(st.tuples(st.sampled_from(POOL), st.booleans(), st.booleans()), max_size=12),
    held=st.dictionaries(st.sampled_from(POOL[2:4] + POOL[5:6]), STATUSES, max_size=3),
)
def test_each_profile_has_the_first_cause_that_holds(delivery, starter, people, held):
    Profile.objects.all().delete()
    QuarantinedAddress.objects.all().delete()
    QuarantinedAddress.objects.bulk_create(
        QuarantinedAddress(address=a, status=s) for a, s in held.items() if s is not None
    )
    made = Profile.objects.bulk_create(Profile(email=e, opt_out=o, opt_out_email=m) for e, o, m in people)
    prepare(delivery, starter)
    expected = dict(zip([p.pk for p in made], oracle(people, held), strict=True))
    left_out = dict(ExclusionLog.objects.values_list("profile", "cause"))
    assert {pk: left_out.get(pk) for pk in expected} == expected
    assert set(SendingLog.objects.values_list("profile", flat=True)) == {pk for pk, c in expected.items() if c is None}
    assert delivery.targeted == len(people) == delivery.excluded + delivery.to_deliver
    assert counters(delivery).balances


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com",
        "A.B+c@Example.Com",
        "a!#$%&'*+-/=?^_`{|}~@x-y.example",
        "a" * 64 + "@example.com",
        f"a@{'l' * 63}.example",
        "a@1.example",
        "a@xn--bcher-kva.example",
        "a@x--y.example",
        f"a@{'.'.join(['l' * 49] * 5)}.ex",
    ],
)
def test_an_address_that_servers_take_is_kept(delivery, starter, address):
    add(address)
    assert prepare(delivery, starter).to_deliver == 1


@pytest.mark.parametrize(
    "address",
    [
        "a",
        "@example.com",
        "a@",
        "a@b",
        "a b@example.com",
        "a@exa mple.com",
        "a@@example.com",
        "a@example..com",
        ".a@example.com",
        "a.@example.com",
        "a..b@example.com",
        "a@-x.example",
        "a@x-.example",
        "a@x_y.example",
        "a@example.com.",
        "a@example.com\n",
        "a\r\nb@example.com",
        "é@example.com",
        '"a b"@example.com',
        "a@[192.0.2.1]",
        "a" * 65 + "@example.com",
        f"a@{'l' * 64}.example",
        f"a@{'.'.join(['l' * 49] * 5)}.exam",
        "a@x\u200b.example",
        "a@x\u2028.example",
        "a@x\u00a0y.example",
        "a@\u2024.example",
        "a@-ü.example",
        " ",
    ],
)
def test_an_address_that_servers_refuse_is_left_out(delivery, starter, address):
    if len(address) > 254 and connection.vendor == "postgresql":
        pytest.skip("the column holds no more")
    add(address)
    prepare(delivery, starter)
    assert list(ExclusionLog.objects.values_list("cause", flat=True)) == [Reason.BAD_QUALITY]


def test_a_domain_beyond_ascii_is_written_as_servers_know_it(delivery, starter):
    add("anna@straße.example")
    prepare(delivery, starter)
    assert SendingLog.objects.get().address == "anna@xn--strae-oqa.example"


def test_the_contact_date_is_the_due_time(delivery, starter, message):
    date = timezone.now() + timedelta(days=1)
    Schedule.objects.create(message=message, mode="at_date", contact_date=date, delivery_duration=timedelta(days=1))
    add("a@example.com")
    prepare(delivery, starter)
    assert SendingLog.objects.get().due_at == date == Batch.objects.get().next_due_at


def test_an_empty_target_is_ready_with_a_warning(delivery, starter, message):
    message.audience = Audience.objects.create(label="Nobody", kind="list")
    message.save()
    assert prepare(delivery, starter).state == State.READY
    assert "target-empty" in log(delivery, severity=1)
    assert log(delivery)[-1] == "preparation_finished"


def test_the_last_line_carries_the_numbers_of_errors_and_warnings(delivery, starter, message):
    add("a@example.com")
    message.text = "No way out: https://example.com/news"
    message.save()
    assert prepare(delivery, starter).state == State.READY
    last = delivery.events.order_by("pk").last()
    assert last.details["errors"] == 0 and last.details["warnings"] == delivery.events.filter(severity=1).count() - 1
    assert log(delivery, severity=1)[0] == "optout-missing"


# --- errors ---------------------------------------------------------------------------------------------------------


def test_an_error_fails_the_preparation_and_leaves_no_rows(delivery, starter, message):
    add("a@example.com", "")
    prepare(delivery, starter)
    message.html = "<p>Hi\n{{ first_nam }}</p>"
    message.save()
    prepare(delivery, starter)
    assert (delivery.state, delivery.targeted, delivery.to_deliver) == (State.PREPARATION_FAILED, 0, 0)
    assert not SendingLog.objects.exists() and not ExclusionLog.objects.exists() and not Batch.objects.exists()
    error, last = delivery.events.filter(severity=2).order_by("pk")
    assert "HTML, line 2" in error.message and "first_name" in error.message
    assert last.code == "preparation_failed" and last.details["errors"] == 1


def test_a_fault_of_the_program_fails_the_preparation_in_words(delivery, starter):
    add("a@example.com")
    with at("CREATE UNIQUE INDEX", lambda: 1 / 0):
        prepare(delivery, starter)
    assert delivery.state == State.PREPARATION_FAILED
    assert log(delivery, severity=2) == ["fault", "preparation_failed"]


# --- stopping, dying, editing -----------------------------------------------------------------------------------------


def test_stopping_in_the_middle_leaves_nothing(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(8)), "")
    seen = []

    def stop():
        seen.append(SendingLog.objects.count())
        commands.stop_preparation(delivery, starter)

    with at(NEXT_SLICE, stop, time=3):
        prepare(delivery, starter)
    assert seen == [6]
    assert (delivery.state, delivery.targeted, delivery.to_deliver) == (State.EDITING, 0, 0)
    assert not any(m.objects.exists() for m in (SendingLog, ExclusionLog, Batch)) and counters(delivery).balances
    assert "preparation_finished" not in log(delivery)


def die():
    raise SystemExit("kill -9")


def test_after_a_kill_the_next_run_starts_anew(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(8)))
    with at(NEXT_SLICE, die, time=2), pytest.raises(SystemExit):
        prepare(delivery, starter)
    assert SendingLog.objects.count() == 3 and not preparing.silent().exists()
    preparing.run(delivery.pk)
    assert SendingLog.objects.count() == 3  # its worker may live yet
    Delivery.objects.update(preparation_at=F("preparation_at") - timedelta(minutes=2))
    assert preparing.silent().get() == delivery
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.targeted, SendingLog.objects.count()) == (State.READY, 8, 8)
    assert counters(delivery).balances


def test_a_kill_and_a_stop_leave_rows_that_clearing_deletes(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(8)))
    with at(NEXT_SLICE, die, time=2), pytest.raises(SystemExit):
        prepare(delivery, starter)
    commands.stop_preparation(delivery, starter)
    preparing.clear(delivery.pk)
    assert not SendingLog.objects.exists() and not Batch.objects.exists()


def test_a_run_that_was_taken_over_writes_no_more(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(8)))
    taken_over = lambda: Delivery.objects.update(preparation=F("preparation") + 1)  # noqa: E731
    with at(NEXT_SLICE, taken_over, time=2):
        prepare(delivery, starter)
    assert SendingLog.objects.count() == 3 and "preparation_finished" not in log(delivery)


def test_a_second_runner_of_a_running_preparation_does_nothing(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(5)))
    with at(NEXT_SLICE, lambda: preparing.run(delivery.pk), time=2):
        prepare(delivery, starter)
    assert (delivery.state, SendingLog.objects.count()) == (State.READY, 5)
    assert log(delivery).count("counted") == 1


def test_preparing_again_replaces_what_was_prepared(delivery, starter):
    add(*(f"p{n}@example.com" for n in range(5)), "")
    prepare(delivery, starter)
    Profile.objects.filter(email__in=["", "p0@example.com"]).delete()
    prepare(delivery, starter)
    assert (delivery.targeted, delivery.excluded, SendingLog.objects.count()) == (4, 0, 4)
    assert delivery.batches.aggregate(n=Sum("total"))["n"] == 4


def test_an_edit_while_preparing_shows_as_changed(delivery, starter, message):
    add("a@example.com")
    with at(NEXT_SLICE, lambda: type(message).objects.update(subject="New")):
        prepare(delivery, starter)
    assert delivery.content["subject"] == "Hello {{ first_name }}"
    assert changed_since_prepared(Delivery.objects.get(pk=delivery.pk)) == ["subject"]


def test_profiles_that_change_in_the_middle_are_counted_once(delivery, starter):
    add("a@example.com", "b@example.com", "", "c@example.com")

    def change():
        Profile.objects.filter(email="").update(email="c@example.com")
        Profile.objects.filter(email="b@example.com").delete()
        add("d@example.com")

    with at(NEXT_SLICE, change):
        prepare(delivery, starter)
    assert (delivery.state, delivery.targeted, delivery.excluded) == (State.READY, 4, 1)


def test_what_is_confirmed_is_never_cleared(delivery, starter):
    add("a@example.com")
    commands.confirm(prepare(delivery, starter), starter)
    preparing.clear(delivery.pk)
    preparing.run(delivery.pk)
    assert SendingLog.objects.count() == 1


def test_the_snapshot_holds_what_recipients_will_get(delivery, starter):
    add("a@example.com", attributes={"plan": "gold"})
    content = prepare(delivery, starter).content
    assert content["sender_address"] == "news@example.com" and content["brand"] == "Acme"
    assert {"first_name", "attributes.plan"} <= set(content["fields"])


def test_people_far_apart_cost_no_empty_steps(delivery, starter):
    add("a@example.com")
    Profile.objects.bulk_create([Profile(pk=10**9, email="b@example.com")])
    assert prepare(delivery, starter).to_deliver == 2
    assert target.as_targeted("x@" + "ü" * 70 + ".example") == ""
