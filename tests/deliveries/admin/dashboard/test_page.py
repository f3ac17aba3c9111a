"""What the dashboard shows in each state, and the acts behind its buttons."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Schedule
from deliveries.admin.dashboard.action_bar import Rights, buttons
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.admin.dashboard.deployment_block import Balance, Sample, deployment, pace
from deliveries.admin.dashboard.page import dashboard
from deliveries.ledger.kpis import Counters
from deliveries.lifecycle import commands
from deliveries.models import Batch, Delivery, ExclusionCause, SendingLog
from deliveries.models.states import CONFIRMED, PREPARING, LogStatus, Reason, State
from deliveries.preparation.sealing import current_seal

pytestmark = pytest.mark.django_db
EVERYTHING, PREPARING_ONLY, READING = Rights(True, True), Rights(False, True), Rights(False, False)
NOW = timezone.now()


@pytest.fixture
def delivery(message, routing, starter):
    """A delivery as a preparation leaves it: 12 targeted, 2 excluded, 10 to deliver."""
    made = commands.create_delivery(message, starter)
    ExclusionCause.objects.create(delivery=made, cause=Reason.QUARANTINED, volume=2)
    ExclusionCause.objects.create(delivery=made, cause=Reason.DUPLICATE, volume=0)
    Batch.objects.create(delivery=made, number=1, total=10, pending=10)
    return change(
        made,
        state=State.READY,
        preparation=1,
        fingerprint=current_seal(message),
        targeted=12,
        excluded=2,
        to_deliver=10,
    )


def change(delivery, **fields):
    """Set what other rooms would have set."""
    if fields:
        Delivery.objects.filter(pk=delivery.pk).update(**fields)
    return Delivery.objects.get(pk=delivery.pk)


def acts(delivery, rights, stale=()):
    return [button.act for button in buttons(delivery, rights, stale)]


@pytest.mark.parametrize(
    "state, expected",
    [
        (State.EDITING, ["prepare"]),
        *[(state, ["stop-preparation"]) for state in sorted(PREPARING)],
        (State.PREPARATION_FAILED, ["prepare"]),
        (State.READY, ["prepare", "confirm"]),
        (State.START_PENDING, ["undo", "pause", "stop"]),
        *[(state, ["pause", "stop"]) for state in (State.IN_PROGRESS, State.RETRY_PENDING, State.RETRYING)],
        (State.PAUSED, ["resume", "stop"]),
        (State.STOPPED, []),
        (State.FAILED, []),
        (State.FINISHED, []),
    ],
)
def test_each_state_has_its_buttons(delivery, state, expected):
    delivery.state = state
    assert acts(delivery, EVERYTHING) == expected
    assert acts(delivery, READING) == []
    assert acts(delivery, PREPARING_ONLY) == [act for act in expected if "prepar" in act]


def test_what_is_stale_can_only_be_prepared(delivery):
    assert acts(delivery, EVERYTHING, ["schedule"]) == ["prepare"]


def test_without_an_audience_nothing_can_be_prepared(delivery):
    delivery.message.audience = None
    delivery.state = State.EDITING
    assert acts(delivery, EVERYTHING) == []


def test_whoever_lacks_the_role_reads_why_there_is_no_confirm_button(delivery):
    notes = [banner.text for banner in dashboard(delivery, PREPARING_ONLY).banners if banner.level == "info"]
    assert len(notes) == 1 and "Start deliveries" in notes[0] and "Spring campaign" in notes[0]
    assert not dashboard(delivery, EVERYTHING).banners


def test_an_edit_after_the_preparation_shows_what_changed(delivery):
    delivery.message.subject = "Other"
    delivery.message.save()
    board = dashboard(delivery, EVERYTHING)
    assert board.deployment.tone == "amber" and "subject" in board.deployment.line


def test_a_disabled_routing_and_a_hindrance_are_told(delivery, routing):
    routing.enabled = False
    routing.save()
    changed = change(delivery, state=State.IN_PROGRESS, hindrance="127.0.0.1:1 refused", hindered_since=NOW)
    texts = [banner.text for banner in dashboard(changed, EVERYTHING).banners]
    assert "disabled" in texts[0] and "127.0.0.1:1 refused." in texts[1]


def test_there_is_no_deployment_block_before_a_preparation(delivery):
    assert dashboard(change(delivery, state=State.EDITING, preparation=0), EVERYTHING).deployment is None


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_has_words_and_only_running_ones_refresh(delivery, state):
    delivery.state, delivery.to_deliver = state, 10
    block = deployment(delivery, Counters(to_deliver=10, pending=10))
    assert block.headline and block.line and block.tone
    assert block.live == (state in PREPARING or state in CONFIRMED - {State.PAUSED, 85, 87, 95})


def test_before_the_sending_the_tiles_say_whom_it_reaches(delivery):
    tiles = deployment(delivery, Counters(to_deliver=10, pending=10)).tiles
    assert [(tile.name, tile.beneath) for tile in tiles] == [
        ("targeted", "12"),
        ("excluded", "2"),
        ("to_deliver", "10"),
    ]


def test_zero_denominators_read_0_percent(delivery):
    delivery.state = State.START_PENDING
    tiles = deployment(delivery, Counters(to_deliver=10, pending=10)).tiles
    assert [tile.big for tile in tiles] == ["10", *["0 %"] * 5]


@pytest.mark.parametrize(
    "feedback, counters, done, percent",
    [
        (False, Counters(to_deliver=10, pending=6, sent=3, failed=1, relayed=3), 4, 40),
        (
            True,
            Counters(to_deliver=10, pending=7, sent=2, failed=1, relayed=6),
            6,
            60,
        ),  # relayed, outcome unknown: done
        (False, Counters(to_deliver=10, in_doubt=1, sent=9, relayed=9), 9, 90),
        (False, Counters(to_deliver=10, sent=4, cancelled=6, relayed=4), 4, 40),
        (False, Counters(to_deliver=1000, pending=1, sent=999, relayed=999), 999, 99),
    ],
)
def test_the_bar_counts_what_was_processed_and_is_full_only_at_the_end(delivery, feedback, counters, done, percent):
    delivery.state, delivery.feedback_service, delivery.to_deliver = State.IN_PROGRESS, feedback, counters.to_deliver
    block = deployment(delivery, counters)
    assert (block.percent, block.bar_label) == (percent, f"{done} of {counters.to_deliver:,} processed")


def test_a_balance_that_does_not_come_out_is_shown(delivery):
    delivery.state = State.IN_PROGRESS
    assert all(one.holds for one in deployment(delivery, Counters(to_deliver=10, pending=6, sent=4)).balances)
    assert not all(one.holds for one in deployment(delivery, Counters(to_deliver=10, pending=6, sent=3)).balances)
    assert not Balance(("targeted", 12), (("excluded", 2), ("to deliver", 9))).holds


def test_the_pace_is_that_of_the_last_samples():
    assert pace([Sample(100.0, 0), Sample(102.0, 500)]) == 250
    assert pace([Sample(100.0, 0)]) is None
    assert pace([Sample(100.0, 0), Sample(100.1, 500)]) is None


def test_rate_and_expected_finish_follow_the_pace(delivery):
    delivery.state, delivery.started_at = State.IN_PROGRESS, NOW - timedelta(hours=1)
    seen = [Sample(timezone.now().timestamp() - 2, 0)]
    facts = dict(deployment(delivery, Counters(to_deliver=10, pending=6, sent=4, relayed=4), seen=seen).facts)
    assert facts["Rate"] == "2.0/s"
    assert facts["Expected finish"].endswith("in 3 s")


def test_a_paused_delivery_promises_no_finish(delivery):
    delivery.state, delivery.started_at = State.PAUSED, NOW - timedelta(hours=1)
    assert "Expected finish" not in dict(deployment(delivery, Counters(to_deliver=10, pending=6, sent=4)).facts)


def test_confirm_states_number_exclusions_by_cause_and_that_they_leave_now(delivery):
    facts = confirmation(delivery)
    assert facts.sentence == "10 messages leave now."
    assert facts.causes == (("Quarantined address", "2"),)
    assert facts.excluded == "2 of 12 targeted profiles were excluded (17 %)."


@pytest.mark.parametrize(
    "shift, words",
    [
        (timedelta(days=1), "Confirming sends nothing now."),
        (-timedelta(days=1), "leave as soon as you confirm"),
    ],
)
def test_confirm_of_a_dated_send_says_when_they_leave(delivery, shift, words):
    Schedule.objects.create(message=delivery.message, mode="at_date", contact_date=timezone.now() + shift)
    assert words in confirmation(Delivery.objects.get(pk=delivery.pk)).sentence


def test_confirm_predicts_from_the_last_finished_delivery(delivery, message):
    last = Delivery.objects.create(
        message=message,
        campaign=message.campaign,
        label="Last",
        state=State.FINISHED,
        targeted=20,
        excluded=10,
        to_deliver=10,
        started_at=NOW - timedelta(days=10),
        finished_at=NOW,
    )
    facts = confirmation(delivery)
    assert f"In the last finished delivery, {last.code}, it was 50 %." in facts.excluded
    assert "validity period ends first" in facts.warnings[0]


def test_confirm_asks_the_database_little_whatever_the_target(delivery, django_assert_num_queries):
    """Message, schedule, last delivery, causes, brand, audience, traps, routing, recurrence: one each, and no log."""
    fresh = Delivery.objects.get(pk=delivery.pk)
    with django_assert_num_queries(9) as queries:
        confirmation(fresh)
    assert not [q["sql"] for q in queries if "sendinglog" in q["sql"] or "exclusionlog" in q["sql"]]


def page(client, delivery, name="change"):
    return client.get(reverse(f"admin:deliveries_delivery_{name}", args=[delivery.pk]))


def test_the_page_costs_few_queries_and_counts_no_logs(client, delivery, starter, django_assert_max_num_queries):
    client.force_login(starter)
    page(client, delivery)
    with django_assert_max_num_queries(18) as queries:
        assert page(client, delivery).status_code == 200
    assert not [q["sql"] for q in queries if "COUNT" in q["sql"] and "log" in q["sql"]]


def test_the_refreshed_part_carries_the_samples_on(client, delivery, starter):
    client.force_login(starter)
    change(delivery, state=State.IN_PROGRESS, started_at=NOW)
    html = page(client, delivery, "deployment").content.decode()
    assert 'data-next="' in html and ":0," in html and "<html" not in html
    change(delivery, state=State.FINISHED, finished_at=NOW)
    assert "data-next" not in page(client, delivery, "deployment").content.decode()


@pytest.mark.parametrize("seen", ["x", "1:2:3", "nan:1", "1e999:5,", "-1:-1", "9" * 600])
def test_nonsense_in_the_samples_is_ignored(client, delivery, starter, seen):
    client.force_login(starter)
    change(delivery, state=State.IN_PROGRESS, started_at=NOW)
    url = reverse("admin:deliveries_delivery_deployment", args=[delivery.pk])
    assert client.get(url, {"seen": seen}).status_code == 200


def test_confirming_by_the_page_starts_and_a_double_click_is_told_mildly(client, delivery, starter):
    client.force_login(starter)
    url = reverse("admin:deliveries_delivery_confirm", args=[delivery.pk])
    assert "10 messages leave now." in client.get(url).content.decode()
    client.post(url)
    again = client.post(url, follow=True).content.decode()
    delivery.refresh_from_db()
    assert delivery.state == State.START_PENDING
    assert '<li class="info">Already confirmed by starter' in again
    assert delivery.events.filter(code="confirmed").count() == 1


def test_confirm_of_what_changed_meanwhile_goes_back_and_says_so(client, delivery, starter):
    client.force_login(starter)
    url = reverse("admin:deliveries_delivery_confirm", args=[delivery.pk])
    delivery.message.subject = "Other"
    delivery.message.save()
    assert "Changed since the preparation: subject" in client.post(url, follow=True).content.decode()
    assert client.get(url).status_code == 302


def test_what_an_ended_delivery_missed_is_sent_from_its_page(client, delivery, starter):
    rows(delivery, LogStatus.SENT, 4)
    delivery.batches.update(pending=0, cancelled=6)
    SendingLog.objects.bulk_create(
        SendingLog(delivery=delivery, batch=delivery.batches.get(), address=f"left{n}@example.com", status=4, date=NOW)
        for n in range(6)
    )
    past = NOW - timedelta(days=1)
    stopped = change(delivery, state=State.STOPPED, confirmed_at=past, finished_at=NOW, validity_end=past)
    client.force_login(starter)
    assert "dm-act-complete" in page(client, stopped).content.decode()
    url = reverse("admin:deliveries_delivery_complete", args=[stopped.pk])
    assert "6 messages are missing and leave now." in client.get(url).content.decode()
    assert "The validity is over" in client.post(url, follow=True).content.decode()
    client.post(url, {"days": "2"})
    assert change(stopped).state == State.IN_PROGRESS


def test_get_never_acts(client, delivery, starter):
    client.force_login(starter)
    for act in ("prepare", "confirm", "stop"):
        url = reverse("admin:deliveries_delivery_act", args=[delivery.pk, act])
        assert client.get(url).status_code == 405
    delivery.refresh_from_db()
    assert delivery.state == State.READY


def test_opening_a_message_makes_its_delivery_by_post_alone(client, message, routing, starter):
    client.force_login(starter)
    url = reverse("delivery-open", args=[message.pk])
    assert client.get(url).status_code == 200
    assert not message.deliveries.exists()
    made = client.post(url, follow=True)
    assert message.deliveries.count() == 1
    assert client.get(url).url == made.redirect_chain[-1][0]


def rows(delivery, status, number):
    batch = delivery.batches.get()
    made = SendingLog.objects.bulk_create(
        SendingLog(delivery=delivery, batch=batch, address=f"{status}-{n:03}@example.com", status=status, date=NOW)
        for n in range(number)
    )
    counters = {LogStatus.SENT: "sent", LogStatus.IN_DOUBT: "in_doubt"}
    Batch.objects.filter(pk=batch.pk).update(
        pending=batch.pending - min(number, batch.pending), **{counters[status]: min(number, batch.pending)}
    )
    return made


def test_sending_logs_are_paged_by_key_forth_and_back(client, delivery, starter):
    client.force_login(starter)
    made = rows(delivery, LogStatus.SENT, 120)
    url = reverse("admin:deliveries_delivery_sending_logs", args=[delivery.pk])
    seen, first, query = [], None, ""
    while True:
        shown = client.get(f"{url}?{query}").context["page"]
        seen += [row.pk for row in shown.rows]
        first = first or shown
        if not shown.on:
            break
        query = shown.on
    assert seen == [row.pk for row in made]
    second = client.get(f"{url}?{shown.back}").context["page"]
    back = client.get(f"{url}?{second.back}").context["page"]
    assert [row.pk for row in back.rows] == [row.pk for row in first.rows] and not back.back


def test_sending_logs_are_found_by_status_and_by_the_beginning_of_an_address(client, delivery, starter):
    client.force_login(starter)
    rows(delivery, LogStatus.SENT, 3)
    rows(delivery, LogStatus.IN_DOUBT, 2)
    url = reverse("admin:deliveries_delivery_sending_logs", args=[delivery.pk])
    found = lambda **query: [row.address for row in client.get(url, query).context["page"].rows]  # noqa: E731
    assert len(found()) == 5
    assert found(status="5") == ["5-000@example.com", "5-001@example.com"]
    assert found(q="1-002") == ["1-002@example.com"]
    assert found(status="5", q="1-") == []


@pytest.mark.parametrize("tab", ["log", "sending_logs", "exclusion_logs", "exclusion_causes", "in_doubt"])
def test_every_tab_opens(client, delivery, starter, tab):
    client.force_login(starter)
    assert page(client, delivery, tab).status_code == 200


def test_exclusion_causes_list_zeros(client, delivery, starter):
    client.force_login(starter)
    html = page(client, delivery, "exclusion_causes").content.decode()
    assert "Duplicate (10)" in html and "Quarantined address (9)" in html


def test_rows_in_doubt_are_decided_one_by_one(client, delivery, starter):
    client.force_login(starter)
    first, second = rows(delivery, LogStatus.IN_DOUBT, 2)
    change(delivery, state=State.FINISHED, validity_end=NOW + timedelta(days=1))
    url = reverse("admin:deliveries_delivery_resolve", args=[delivery.pk])
    client.post(url, {"decision": "sent", "log": [first.pk]})
    first.refresh_from_db(), second.refresh_from_db()
    assert (first.status, second.status) == (LogStatus.SENT, LogStatus.IN_DOUBT)


def test_the_list_reads_counters_once_and_marks_what_awaits_the_user(
    client, delivery, message, starter, django_assert_max_num_queries
):
    for number in range(8):
        Delivery.objects.create(message=message, campaign=message.campaign, label=f"Old {number}", state=State.FINISHED)
    client.force_login(starter)
    url = reverse("admin:deliveries_delivery_changelist")
    with django_assert_max_num_queries(12):
        html = client.get(url).content.decode()
    assert html.count('class="dm-band"') == 1
    assert [d.pk for d in client.get(url, {"q": delivery.code.lower()}).context["cl"].result_list] == [delivery.pk]
    assert len(client.get(url, {"status": "finished"}).context["cl"].result_list) == 8
