"""Which deliveries raise an alert, and that each is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Campaign
from campaigns.models.notices import ReaderLanguage
from campaigns.models.units import ROOT, GroupUnit
from deliveries.ledger.kpis import Counters
from deliveries.models import Batch
from deliveries.models.states import SENDING, State
from reporting.alerts import evaluate
from reporting.alerts.mail import COLOURS
from reporting.models import alert_criteria
from reporting.models.alert_criteria import Facts, Level, Limits, meets
from reporting.models.alerts import Alert, AlertCriterion, AlertDashboard

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BASE = Facts(95, Counters(to_deliver=100, sent=100), NOW - timedelta(hours=1), None, NOW - timedelta(hours=1))
SLOW = Facts(
    55, Counters(to_deliver=10_000, sent=500, pending=9_500), NOW - timedelta(hours=1), None, NOW - timedelta(hours=1)
)

CRAWLING = replace(SLOW, counters=Counters(to_deliver=10_000, sent=10))


def bounced(hard: int = 0, soft: int = 0) -> Facts:
    return replace(
        BASE, counters=Counters(to_deliver=100, sent=100 - hard - soft, failed=hard + soft, hard=hard, soft=soft)
    )


@pytest.mark.parametrize(
    ("kind", "facts", "told"),
    [
        ("failed", replace(BASE, state=87), True),
        ("failed", BASE, False),
        ("failed", replace(BASE, state=85), False),
        ("failed", replace(BASE, state=87, contact_date=NOW - timedelta(hours=24)), True),
        ("failed", replace(BASE, state=87, contact_date=NOW - timedelta(hours=25)), False),
        ("failed", replace(BASE, state=87, contact_date=NOW + timedelta(hours=25)), False),
        ("failed", replace(BASE, state=87, counters=Counters(to_deliver=49)), False),
        ("failed", replace(BASE, state=87, counters=Counters(to_deliver=50)), True),
        ("preparation_failed", replace(BASE, state=37, counters=Counters(), contact_date=None, modified=NOW), True),
        ("preparation_failed", replace(BASE, state=37, contact_date=NOW, modified=NOW - timedelta(hours=25)), False),
        ("preparation_failed", replace(BASE, state=87, modified=NOW), False),
        ("hard_bounces", bounced(hard=5), False),
        ("hard_bounces", bounced(hard=6), True),
        ("hard_bounces", bounced(soft=6), False),
        ("hard_bounces", replace(BASE, counters=Counters(to_deliver=1000, sent=94, failed=6, hard=6)), True),
        ("soft_bounces", bounced(soft=5), False),
        ("soft_bounces", bounced(soft=6), True),
        ("soft_bounces", replace(BASE, counters=Counters(to_deliver=1000, sent=94, failed=6, soft=6)), True),
        ("soft_bounces", bounced(hard=6), False),
        ("start_pending", replace(BASE, state=51), True),
        ("start_pending", replace(BASE, state=51, contact_date=NOW - timedelta(minutes=20)), False),
        ("start_pending", replace(BASE, state=55), False),
        ("low_throughput", SLOW, True),
        ("low_throughput", replace(SLOW, state=95), False),
        ("low_throughput", replace(SLOW, counters=Counters(to_deliver=620, sent=500)), False),
        ("low_throughput", replace(SLOW, counters=Counters(to_deliver=625, sent=500)), False),
        ("low_throughput", replace(SLOW, counters=Counters(to_deliver=630, sent=500)), True),
        ("low_throughput", replace(CRAWLING, started_at=NOW - timedelta(minutes=21)), True),
        ("low_throughput", replace(CRAWLING, started_at=NOW - timedelta(minutes=20)), False),
        ("low_throughput", replace(SLOW, counters=Counters(to_deliver=10_000, sent=1000)), False),
        ("in_progress", SLOW, True),
        ("in_progress", replace(SLOW, state=95), False),
        ("in_progress", replace(SLOW, counters=Counters(to_deliver=10_000)), False),
    ],
)
def test_a_criterion(kind: str, facts: Facts, told: bool) -> None:
    assert meets(kind, facts, Limits(), NOW) is told


@pytest.fixture
def dashboard(make_user: Any) -> AlertDashboard:
    group = Group.objects.create(name="Watch")
    GroupUnit.objects.create(group=group, unit_id=ROOT)
    make_user("watcher", "Watch")
    found = AlertDashboard.objects.create(label="Night watch", enabled=True, group=group, minimum_target=1)
    AlertCriterion.objects.create(dashboard=found, kind="failed")
    AlertCriterion.objects.create(dashboard=found, kind="hard_bounces")
    return found


@pytest.mark.django_db
def test_one_mail_tells_all_that_a_dashboard_asks_for_and_only_once_a_day(sent: Any, dashboard: Any) -> None:
    delivery = sent(4, state=State.FAILED)
    Batch.objects.update(sent=2, failed=2, hard=2)
    assert evaluate.look() == 1
    (letter,) = mail.outbox
    assert letter.to == ["watcher@example.com"]
    assert "Failed deliveries: 1" in letter.body
    assert "hard 2 (50.00 %)" in letter.body
    assert delivery.code in letter.body
    assert evaluate.look() == 0
    assert Alert.objects.count() == 1


@pytest.mark.django_db
def test_each_member_reads_it_in_their_language(sent: Any, dashboard: Any, make_user: Any) -> None:
    ReaderLanguage.objects.create(user=make_user("lecteur", "Watch"), language="fr")
    sent(4, state=State.FAILED)
    assert evaluate.look() == 2
    french, english = mail.outbox
    assert (french.to, english.to) == (["lecteur@example.com"], ["watcher@example.com"])
    assert "Diffusions échouées: 1" in french.body and "Résumé" in french.alternatives[0].content
    assert "Failed deliveries: 1" in english.body and Alert.objects.get().text == english.body


@pytest.mark.django_db
def test_a_criterion_for_every_mail_tells_again(sent: Any, dashboard: Any) -> None:
    sent(4, state=State.FAILED)
    dashboard.criteria.update(once_a_day=False)
    assert [evaluate.look(), evaluate.look()] == [1, 1]


@pytest.mark.django_db
def test_a_dashboard_is_off_until_it_is_enabled(sent: Any, dashboard: Any) -> None:
    sent(4, state=State.FAILED)
    AlertDashboard.objects.update(enabled=False)
    assert evaluate.look() == 0


@pytest.mark.django_db
def test_an_alert_that_was_written_but_not_sent_is_sent_later(sent: Any, dashboard: Any, monkeypatch: Any) -> None:
    sent(4, state=State.FAILED)
    with monkeypatch.context() as broken:
        broken.setattr(
            "django.core.mail.EmailMultiAlternatives.send",
            lambda *a, **k: (_ for _ in ()).throw(ConnectionRefusedError("down")),
        )
        assert evaluate.look() == 0
    assert evaluate.look() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("group", "status"), [("Delivery supervisors", 200), ("Administrators", 200), ("Export", 403)])
def test_supervisors_edit_dashboards(make_user: Any, dashboard: Any, client: Client, group: str, status: int) -> None:
    client.force_login(make_user("somebody", group))
    page = client.get(reverse("admin:reporting_alertdashboard_change", args=[dashboard.pk]))
    assert page.status_code == status


@pytest.mark.django_db
def test_a_criterion_shows_the_type_and_the_indicators_that_were_chosen(sent: Any, dashboard: Any) -> None:
    sent(4, state=State.FAILED)
    dashboard.criteria.filter(kind="failed").update(level="INFO", columns=["to_deliver", "throughput"])
    evaluate.look()
    (letter,) = mail.outbox
    assert "Info     Failed deliveries: 1" in letter.body
    assert "  to send 4, thousand an hour " in letter.body
    html, kind = letter.alternatives[0]
    assert kind == "text/html" and COLOURS[Level.INFO] in html and "hard" not in html


@pytest.mark.django_db
def test_a_dashboard_is_made_in_the_admin_with_its_criteria(make_user: Any, client: Client) -> None:
    client.force_login(make_user("somebody", "Administrators"))
    inline = {"TOTAL_FORMS": "1", "INITIAL_FORMS": "0", "0-kind": "soft_bounces", "0-columns": ["soft", "sent"]}
    answer = client.post(
        reverse("admin:reporting_alertdashboard_add"),
        {"label": "Mine", "group": Group.objects.get(name="Export").pk, "unit": ROOT}
        | {field: getattr(Limits(), field) for field in Limits.__slots__}
        | {f"criteria-{name}": value for name, value in inline.items()},
    )
    assert answer.status_code == 302, answer.context["errors"]
    made = AlertCriterion.objects.get(dashboard__label="Mine")
    assert (made.kind, made.columns, made.once_a_day) == ("soft_bounces", ["soft", "sent"], False)


@pytest.mark.django_db
def test_a_new_dashboard_without_criteria_tells_of_all_that_goes_wrong(make_user: Any, client: Client) -> None:
    client.force_login(make_user("somebody", "Delivery supervisors"))
    limits = {field: getattr(Limits(), field) for field in Limits.__slots__}
    empty = {"criteria-TOTAL_FORMS": "0", "criteria-INITIAL_FORMS": "0"}
    data = {"label": "Mine", "group": Group.objects.get(name="Export").pk} | limits | empty
    client.post(reverse("admin:reporting_alertdashboard_add"), data)
    kinds = set(AlertCriterion.objects.values_list("kind", flat=True))
    assert kinds == set(AlertCriterion.Kind.values) - {"in_progress"}


@pytest.mark.django_db
def test_a_dashboard_shows_what_it_told_the_last_first(make_user: Any, dashboard: Any, client: Client) -> None:
    for subject in ("the first", "the last"):
        Alert.objects.create(dashboard=dashboard, subject=subject, text="…")
    client.force_login(make_user("somebody", "Administrators"))
    page = client.get(reverse("admin:reporting_alertdashboard_change", args=[dashboard.pk])).content.decode()
    assert 0 < page.index("the last") < page.index("the first")


def test_throughput_ends_with_the_delivery() -> None:
    ended = replace(BASE, finished_at=BASE.started_at + timedelta(minutes=30))
    assert ended.hourly(NOW) == 200


def test_a_dashboard_that_has_told_something_can_be_deleted_with_its_history(client: Client, make_user: Any) -> None:
    dashboard = AlertDashboard.objects.create(label="Bounces", group=Group.objects.get(name="Administrators"))
    Alert.objects.create(dashboard=dashboard, subject="Told", recipients=1)
    client.force_login(make_user("chief", "Administrators"))
    answer = client.post(reverse("admin:reporting_alertdashboard_delete", args=[dashboard.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert not AlertDashboard.objects.exists()


@pytest.mark.django_db
def test_a_criterion_may_ask_for_one_campaign_alone(sent: Any, dashboard: Any) -> None:
    delivery = sent(4, state=State.FAILED)
    other = Campaign.objects.create(label="Another")
    dashboard.criteria.update(campaign=other)
    assert evaluate.look() == 0
    dashboard.criteria.update(campaign=delivery.campaign_id)
    assert evaluate.look() == 1


@pytest.mark.django_db
def test_a_criterion_may_ask_for_a_word_in_the_label(sent: Any, dashboard: Any) -> None:
    sent(4, state=State.FAILED, label="Winter sale")
    dashboard.criteria.update(label_contains="spring")
    assert evaluate.look() == 0
    dashboard.criteria.update(label_contains="WINTER")
    assert evaluate.look() == 1


@pytest.mark.django_db
def test_the_limits_are_the_dashboards_own(sent: Any, dashboard: Any) -> None:
    sent(4)
    Batch.objects.update(sent=3, failed=1, hard=1)
    AlertDashboard.objects.update(hard_ratio=0.25)
    assert evaluate.look() == 0
    AlertDashboard.objects.update(hard_ratio=0.24)
    assert evaluate.look() == 1


@pytest.mark.django_db
def test_who_has_left_gets_no_alert_and_an_alert_that_nobody_gets_is_tried_for_an_hour(
    sent: Any, dashboard: Any
) -> None:
    User.objects.filter(username="watcher").update(is_active=False)
    sent(4, state=State.FAILED)
    assert evaluate.look() == 0
    assert Alert.objects.get().sent_at is None
    Alert.objects.update(at=timezone.now() - timedelta(hours=2))
    assert evaluate.look() == 0
    assert Alert.objects.get().sent_at
    assert mail.outbox == []


@pytest.mark.django_db
def test_the_history_of_alerts_ends(dashboard: Any, settings: Any) -> None:
    for days in (1, settings.KEEP_ALERTS_DAYS + 1):
        at = timezone.now() - timedelta(days=days)
        Alert.objects.create(dashboard=dashboard, subject=f"{days}", text="…", sent_at=at, at=at)
    evaluate.look()
    assert [alert.subject for alert in Alert.objects.all()] == ["1"]


def test_the_states_that_criteria_speak_of_are_the_deliveries_own() -> None:
    named = (alert_criteria.PREPARATION_FAILED, alert_criteria.START_PENDING, alert_criteria.FAILED)
    assert named == (State.PREPARATION_FAILED, State.START_PENDING, State.FAILED)
    assert alert_criteria.SENDING == SENDING
