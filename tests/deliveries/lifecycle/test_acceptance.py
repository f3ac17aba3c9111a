"""Acceptance: what must hold of a send, twenty checks by the addresses that people use.

Number 3, about organisational units, is in tests/campaigns/accounts/test_permissions.py.
"""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule as Task

from campaigns.models import Message, Profile, ProofDomain, Schedule, Typology, TypologyRule
from deliveries.feedback import apply_events
from deliveries.ledger import recount
from deliveries.lifecycle import auto_start, commands, progress
from deliveries.models import Delivery, QuarantinedAddress, Routing, SendingLog
from deliveries.models.states import LogStatus, State
from deliveries.preparation import prepare as preparing
from deliveries.sending import connections, work_on_batch
from reporting.jobs import periodic_jobs
from reporting.models import TrackingLog
from tests.deliveries.reported import event, relay
from tests.deliveries.sending.sending_rows import figures, sending_delivery
from tests.sink import tally
from tests.sink.server import in_a_thread

pytestmark = pytest.mark.django_db
Status = QuarantinedAddress.Status


@pytest.fixture
def delivery(message, routing, starter):
    Profile.objects.create(email="ann@example.com", first_name="Ann")
    return commands.create_delivery(message, starter)


@pytest.fixture
def browser(client, starter):
    client.force_login(starter)
    return client


def prepare(delivery, by):
    """The button, and what a worker does then."""
    delivery = Delivery.objects.get(pk=delivery.pk)
    user = Client()
    user.force_login(by)
    user.post(reverse("admin:deliveries_delivery_act", args=[delivery.pk, "prepare"]))
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def page(browser, delivery):
    return browser.get(delivery.get_absolute_url()).content.decode()


def write(browser, delivery, **fields):
    """Change the message by the API: `schedule`, or fields of its own."""
    message = f"/api/messages/{delivery.message_id}/"
    answer = browser.patch(message, json.dumps(fields, cls=DjangoJSONEncoder), content_type="application/json")
    assert answer.status_code == 200, answer.content


def act(browser, delivery, name):
    """Press a button of the dashboard. Out: the page that it leads to."""
    answer = browser.post(reverse("admin:deliveries_delivery_act", args=[delivery.pk, name]), follow=True)
    delivery.refresh_from_db()
    return answer.content.decode()


def test_1_a_prepare_only_user_has_no_confirm_button_but_a_note_and_a_post_is_403(client, delivery, preparer):
    client.force_login(preparer)
    prepare(delivery, preparer)
    assert "dm-act-confirm" not in page(client, delivery) and "You cannot confirm this send" in page(client, delivery)
    assert client.post(reverse("admin:deliveries_delivery_confirm", args=[delivery.pk])).status_code == 403
    assert delivery.events.filter(code="denied", user=preparer).exists()


def test_2_whoever_may_run_and_schedule_everything_else_can_send_nothing_even_by_a_schedule(client, delivery, preparer):
    everything = Permission.objects.filter(content_type__app_label__in=["campaigns", "deliveries", "django_q"])
    preparer.user_permissions.set(everything.exclude(codename="start_deliveries"))
    client.force_login(preparer)
    write(client, delivery, schedule={"request_confirmation": False})
    delivery = prepare(delivery, preparer)
    assert client.post(reverse("admin:deliveries_delivery_confirm", args=[delivery.pk])).status_code == 403
    auto_start.start_unasked()
    delivery.refresh_from_db()
    assert delivery.state == State.READY
    assert delivery.events.filter(code="not_started").exists()


@pytest.mark.parametrize("before, after", [("immediate", "at_date"), ("at_date", "immediate"), ("at_date", "at_date")])
def test_4_a_schedule_edited_after_ready_hides_confirm_until_prepared_again(browser, delivery, starter, before, after):
    date = timezone.now() + timedelta(days=1)
    write(browser, delivery, schedule={"mode": before, "contact_date": date})
    delivery = prepare(delivery, starter)
    assert "dm-act-confirm" in page(browser, delivery)
    write(browser, delivery, schedule={"mode": after, "contact_date": date + timedelta(hours=1)})
    assert "dm-act-confirm" not in page(browser, delivery)
    act(browser, delivery, "confirm")
    assert delivery.state == State.READY
    assert "dm-act-confirm" in page(browser, prepare(delivery, starter))


def test_5_a_double_confirm_starts_once(browser, delivery, starter):
    delivery = prepare(delivery, starter)
    act(browser, delivery, "confirm")
    assert "Already confirmed by starter" in act(browser, delivery, "confirm")
    assert delivery.events.filter(code="confirmed").count() == 1


@pytest.mark.parametrize("days, started", [(1, False), (-1, True)])
def test_6_confirmed_before_its_date_nothing_leaves_until_then_and_after_it_at_once(
    browser, delivery, starter, days, started
):
    date = timezone.now() + timedelta(days=days)
    write(browser, delivery, schedule={"mode": "at_date", "contact_date": date})
    delivery = prepare(delivery, starter)
    act(browser, delivery, "confirm")
    assert progress.start(delivery.pk) is started
    Delivery.objects.update(contact_date=timezone.now() - timedelta(seconds=1))  # the date comes
    assert started or progress.start(delivery.pk)


@pytest.mark.parametrize(
    "html, state",
    [
        ("<p>No link to opt out</p>", State.START_PENDING),
        ("<p>{{ nonsense }}</p>", State.PREPARATION_FAILED),
    ],
)
def test_7_without_a_request_for_confirmation_it_starts_despite_warnings_and_never_with_errors(
    browser, delivery, starter, html, state
):
    write(browser, delivery, html=html, text="Hello", schedule={"request_confirmation": False})
    delivery = prepare(delivery, starter)
    auto_start.start_unasked()
    delivery.refresh_from_db()
    assert delivery.state == state


def test_8_a_duplicate_has_no_schedule(browser, delivery):
    write(browser, delivery, schedule={"mode": "at_date", "contact_date": timezone.now() + timedelta(days=1)})
    browser.post(reverse("admin:campaigns_message_duplicate", args=[delivery.message_id]))
    copy = Message.objects.latest("pk")
    assert copy.pk != delivery.message_id and not hasattr(copy, "schedule")


@pytest.mark.parametrize(
    "service, counts, shown",
    [
        (False, {"sent": 4, "pending": 6}, ["40 %", "100 %", "0 %"]),
        (False, {"sent": 8, "failed": 2}, ["100 %", "80 %", "20 %"]),
        (True, {"pending": 10, "relayed": 10}, ["0 %", "0 %", "0 %"]),
        (True, {"sent": 7, "failed": 2, "pending": 1}, ["90 %", "70 %", "20 %"]),
    ],
)
def test_9_the_figures_follow_the_vectors_with_and_without_a_feedback_service(
    browser, message, routing, service, counts, shown
):
    delivery = sending_delivery(message, routing, recipients=10, feedback_service=service)
    delivery.batches.update(**({"pending": 0} | counts))
    listed = browser.get(reverse("admin:deliveries_delivery_changelist")).content.decode()
    cells = [listed.split(f'class="field-{name}">')[1].split("<")[0] for name in ("sent", "delivered", "bounces")]
    assert cells == shown


def test_10_nought_of_nought_is_0_percent(browser, message, routing):
    delivery = sending_delivery(message, routing, recipients=0)
    assert "0 %" in page(browser, delivery) and "nan" not in page(browser, delivery).lower()


def test_11_an_erroneous_address_is_targeted_and_the_fifth_significant_error_quarantines(delivery, starter, routing):
    Routing.objects.update(feedback_service=True)
    for day in range(5):
        assert prepare(delivery, starter).to_deliver == 1
        row = relay(sending_delivery(delivery.message, routing, recipients=1, feedback_service=True))[0]
        SendingLog.objects.filter(pk=row.pk).update(address="ann@example.com")
        at = timezone.now() - timedelta(days=5 - day, hours=1)
        apply_events.apply([event(row.pk, "soft", at=at, address="ann@example.com")])
        Profile.objects.exclude(email="ann@example.com").delete()
    assert QuarantinedAddress.objects.get(address="ann@example.com").status == Status.QUARANTINE
    assert prepare(delivery, starter).to_deliver == 0


@pytest.mark.parametrize("status, freed", [(Status.ERRONEOUS, True), (Status.QUARANTINE, False)])
def test_12_a_successful_send_frees_an_erroneous_address_and_no_quarantined_one(message, routing, status, freed):
    row = relay(sending_delivery(message, routing, recipients=1, feedback_service=True))[0]
    what = "soft" if status == Status.ERRONEOUS else "hard"
    apply_events.apply([event(row.pk, what, 1, address=row.address)])
    assert QuarantinedAddress.objects.get().status == status
    apply_events.apply([event(row.pk, "delivered", 2, address=row.address)])
    standing = QuarantinedAddress.objects.filter(address=row.address).exclude(status=Status.VALID)
    assert standing.exists() is not freed


@pytest.fixture
def chief(make_user):
    """A browser of an administrator."""
    made = Client()
    made.force_login(make_user("chief", "Administrators"))
    return made


def rule_by_form(chief, **fields):
    """Make a rule, and a default typology with it, in the admin's forms."""
    empty = {"entries": "", "threshold": 1, "period": 7, "unit": "days", "counted": "all", "order": 50, "active": "on"}
    chief.post(reverse("admin:campaigns_typologyrule_add"), empty | {"label": "Rule", **fields})
    rule = TypologyRule.objects.get()
    values = {"label": "Usual", "is_default": "on", "rules": [rule.pk]}
    chief.post(reverse("admin:campaigns_typology_add"), values)
    assert list(Typology.objects.get(is_default=True).rules.all()) == [rule]
    return rule


@pytest.mark.parametrize("days, left_out", [(None, None), (-2, 1), (5, 1), (9, 0)])
def test_13_a_fatigue_rule_is_ignored_without_a_contact_date_and_looks_both_ways_with_one(
    browser, chief, delivery, starter, days, left_out
):
    rule = rule_by_form(chief, kind="fatigue")
    date = timezone.now() + timedelta(days=3)
    if days is not None:
        Schedule.objects.create(message=delivery.message, mode="at_date", contact_date=date)
    other = commands.create_delivery(
        Message.objects.create(
            label="Other",
            campaign=delivery.campaign,
            brand=delivery.message.brand,
            audience=delivery.message.audience,
            subject="Hello",
            text="Hello",
            html="<p>Hello</p>",
        ),
        starter,
    )
    Schedule.objects.create(message=other.message, mode="at_date", contact_date=date + timedelta(days=days or 0))
    act(browser, prepare(other, starter), "confirm")
    prepare(delivery, starter)
    causes = browser.get(f"/api/deliveries/{delivery.pk}/exclusion-causes/").json()
    assert [cause["volume"] for cause in causes if cause["rule"] == rule.pk] == ([] if days is None else [left_out])
    assert ("Fatigue rules are not run without a contact date" in page(browser, delivery)) is (days is None)
    if left_out:
        logs = browser.get(reverse("admin:deliveries_delivery_exclusion_logs", args=[delivery.pk])).content.decode()
        assert "ann@example.com" in logs and f"({rule.code})" in logs


@pytest.mark.django_db(transaction=True)
def test_14_a_control_group_is_ignored_in_the_sending_logs_and_in_no_figure(browser, sink, delivery, starter):
    Profile.objects.bulk_create(Profile(email=f"p{n}@example.com") for n in range(9))
    group = {"extraction": "random", "percent": 30}
    patched = browser.patch(
        f"/api/messages/{delivery.message_id}/", {"control_group": group}, content_type="application/json"
    )
    assert patched.json()["control_group"]["percent"] == 30
    delivery = prepare(delivery, starter)
    act(browser, delivery, "confirm")
    Delivery.objects.update(undo_until=None)
    assert progress.start(delivery.pk)
    for batch in delivery.batches.all():
        work_on_batch._work_on(batch.pk, float("inf"))
    held = browser.get(f"/api/deliveries/{delivery.pk}/sending-logs/?status=3").json()["results"]
    assert len(held) == 3 and {row["reason_label"] for row in held} == {"Control group"}
    assert tally(sink).accepted == 7 and figures(delivery)["sent"] == figures(delivery)["total"] == 7
    browser.post(reverse("delivery-compute-stats", args=[delivery.pk]))
    delivery.refresh_from_db()
    assert (delivery.targeted, delivery.excluded, delivery.to_deliver) == (10, 3, 7)
    assert not recount.drifts(delivery.pk)
    causes = browser.get(reverse("admin:deliveries_delivery_exclusion_causes", args=[delivery.pk])).content.decode()
    assert re.search(r"\?status=3\">3</a></td>\s*<td>Control group", causes)


def test_15_five_days_are_clamped_to_three_and_a_half(browser, delivery, starter):
    write(browser, delivery, schedule={"delivery_duration": "5 00:00:00"})
    delivery = prepare(delivery, starter)
    act(browser, delivery, "confirm")
    assert delivery.validity_end - delivery.contact_date == timedelta(days=3.5)


@pytest.fixture
def sink(settings, tmp_path, routing):
    settings.JOURNAL_DIR = tmp_path / "journals"
    with in_a_thread(tmp_path / "sink") as made:
        Routing.objects.filter(pk=routing.pk).update(port=made.port)
        routing.refresh_from_db()
        yield tmp_path / "sink"
        connections.hang_up()


@pytest.mark.django_db(transaction=True)
def test_16_stop_is_final_and_pause_then_resume_sends_exactly_the_unsent(browser, sink, message, routing):
    delivery = sending_delivery(message, routing, recipients=9, batch_size=3)
    first, second, third = delivery.batches.order_by("pk").values_list("pk", flat=True)
    work_on_batch._work_on(first, float("inf"))
    act(browser, delivery, "pause")
    work_on_batch.send(second)
    assert figures(delivery)["sent"] == tally(sink).accepted == 3
    act(browser, delivery, "resume")
    work_on_batch._work_on(second, float("inf"))
    act(browser, delivery, "stop")
    work_on_batch.send(third)
    assert "cannot be resumed" in act(browser, delivery, "resume")
    assert figures(delivery) == {"total": 9, "sent": 6, "relayed": 6, "cancelled": 3}
    assert tally(sink).accepted == 6 and not tally(sink).duplicates


def test_17_the_open_rate_is_refreshed_hourly_and_compute_stats_is_immediate(browser, message, routing):
    delivery = sending_delivery(message, routing, recipients=2)
    delivery.sending_logs.update(status=LogStatus.SENT)
    delivery.batches.update(pending=0, sent=2)
    TrackingLog.objects.create(delivery=delivery, sending_log=delivery.sending_logs.first(), type=2, at=timezone.now())
    browser.post(reverse("delivery-compute-stats", args=[delivery.pk]))
    delivery.refresh_from_db()
    assert delivery.opens == 1
    periodic_jobs.ensure()
    assert Task.objects.get(func="reporting.jobs.tasks.refresh_figures").schedule_type == Task.HOURLY


def test_18_a_proof_to_more_than_a_hundred_is_red(browser, delivery, starter):
    ProofDomain.objects.create(domain="example.org")
    prepare(delivery, starter)
    profile = delivery.sending_logs.get().profile_id
    address = reverse("admin:deliveries_delivery_proof", args=[delivery.pk])
    rows = [{"profile": profile, "address": f"r{n}@example.org", "prefix": ""} for n in range(101)]
    typed = {name: [row[name] for row in rows] for name in ("profile", "address", "prefix")}
    page = browser.post(address, typed).content.decode()
    assert "Proof size: 101 mails" in page and "r100@example.org" in page  # nothing typed is lost
    assert delivery.events.filter(code="proof-size", severity=2).exists() and not delivery.proofs.exists()
    browser.post(address, {name: typed[name][:100] for name in typed})
    assert delivery.proofs.get().recipients.count() == 100


def test_19_exclusion_causes_list_zeros(browser, chief, delivery, starter):
    rule = rule_by_form(chief, kind="domains", entries="example.org")
    prepare(delivery, starter)
    listed = browser.get(reverse("admin:deliveries_delivery_exclusion_causes", args=[delivery.pk])).content.decode()
    assert re.search(r">0</td>\s*<td>Quarantined address", listed)
    assert re.search(rf">0</td>\s*<td>Rule \({rule.code}\)", listed)


@pytest.mark.parametrize("name", ["sendinglog", "exclusionlog", "deliveryevent"])
def test_20_logs_are_reached_from_a_delivery_alone(browser, delivery, name):
    assert browser.get(f"/admin/deliveries/{name}/").status_code in (403, 404)
