"""Reports: their numbers, their pictures, and who may see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns.content.compile import compile_content
from deliveries.models import Batch, ExclusionCause, SendingLog
from reporting.figures import breakdown, kept_figures
from reporting.models import TrackingLog
from reporting.reports import click_map, tables
from tests.reporting.conftest import LINKED


@pytest.mark.parametrize(("seconds", "step"), [(0, 1), (59, 1), (60, 5), (3600, 300), (10**9, 86_400)])
def test_the_columns_of_a_throughput_fit(seconds: int, step: int) -> None:
    assert breakdown.step_for(seconds) == step


def test_a_throughput_has_zeros_where_nothing_was_sent() -> None:
    points = breakdown.gapless(10, [(100, 5), (130, 2)])
    assert [number for _, number in points] == [5, 0, 0, 2]


def test_a_badge_stands_before_each_link_with_its_share() -> None:
    compiled = compile_content("s", LINKED["html"], "", fields=["first_name"])
    html = click_map.page(compiled, {}, {0: "75 %", 2: "25 %"})
    assert html.index("75 %") < html.index("our news") < html.index("25 %") < html.index("shop")


@pytest.mark.django_db
def test_a_breakdown_sums_by_domain_reason_and_time(sent: Any) -> None:
    delivery = sent(4)
    a, b, *_ = delivery.sending_logs.order_by("pk")
    SendingLog.objects.filter(pk=a.pk).update(address="a@example.org", status=2, failure_type=2, reason=1)
    SendingLog.objects.filter(pk=b.pk).update(relayed_at=b.relayed_at + timedelta(seconds=30), opened_at=timezone.now())
    found = breakdown.breakdown(delivery.pk)
    assert found["reasons"] == [(2, 1, 1)]
    assert [(d["domain"], d["sent"], d["bounces"], d["opened"]) for d in found["domains"]] == [
        ("example.net", 3, 0, 1),
        ("example.org", 1, 1, 0),
    ]
    assert [number for _, number in found["throughput"]] == [3, 1]


@pytest.mark.django_db
def test_domains_beyond_the_first_ten_are_summed(sent: Any) -> None:
    delivery = sent(12)
    for n, log in enumerate(delivery.sending_logs.all()):
        SendingLog.objects.filter(pk=log.pk).update(address=f"x@{n}.example.com")
    found = breakdown.breakdown(delivery.pk)["domains"]
    assert len(found) == 11
    assert (found[-1]["domain"], found[-1]["sent"]) == (breakdown.OTHERS, 2)


@pytest.mark.django_db
def test_a_big_delivery_shows_what_was_summed_last(sent: Any, monkeypatch: Any) -> None:
    delivery = sent(3)
    kept_figures.refresh(delivery)
    monkeypatch.setattr(breakdown, "AT_ONCE", 1)
    monkeypatch.setattr(breakdown, "breakdown", lambda pk: pytest.fail("summed while somebody waits"))
    made, at = tables.of_delivery(delivery)
    assert [row[1] for row in next(r for r in made if r.name == "domains").rows] == [3]
    assert at is not None


@pytest.mark.django_db
def test_the_report_page_has_a_picture_and_a_table_of_each(sent: Any, preparer: Any, client: Client) -> None:
    delivery = sent(3)
    Batch.objects.update(sent=2, failed=1)
    log = delivery.sending_logs.all()[0]
    TrackingLog.objects.create(delivery=delivery, sending_log=log, type=1, link=0, at=timezone.now())
    client.force_login(preparer)
    page = client.get(reverse("delivery-report", args=[delivery.pk])).content.decode()
    assert page.count("<summary>As a table") == 11
    assert page.count('class="rp-chart"') >= 5
    frame = client.get(reverse("delivery-hot-clicks", args=[delivery.pk]))
    assert "100 %" in frame.content.decode()
    assert "sandbox" in frame["Content-Security-Policy"]


@pytest.mark.django_db
def test_a_campaign_compares_its_deliveries(sent: Any, preparer: Any, make_user: Any, client: Client) -> None:
    delivery = sent(3)
    url = reverse("campaign-report", args=[delivery.campaign_id])
    client.force_login(preparer)
    assert str(delivery) in client.get(url).content.decode()
    client.force_login(make_user("stranger"))
    assert client.get(url).status_code == 404


@pytest.mark.django_db
def test_the_worst_domains_are_found_beyond_the_biggest_and_complaints_counted(sent: Any) -> None:
    delivery = sent(14)
    for n, log in enumerate(delivery.sending_logs.order_by("pk")):
        SendingLog.objects.filter(pk=log.pk).update(address=f"x{n}@{min(n // 2, 12)}.example.com")
    bad = delivery.sending_logs.order_by("-pk")[0]
    SendingLog.objects.filter(pk=bad.pk).update(address="y@tiny.example", status=2, complained_at=timezone.now())
    found = breakdown.breakdown(delivery.pk)
    assert [(d["domain"], d["bounces"]) for d in found["worst"]] == [("tiny.example", 1)]
    assert sum(d["complained"] for d in found["domains"]) == 1


@pytest.mark.django_db
def test_the_fatigue_summary_counts_messages_of_profiles_within_its_days(sent: Any, monkeypatch: Any) -> None:
    first = sent(2)
    ids = list(first.sending_logs.order_by("pk").values_list("profile", flat=True))
    second = sent(3)
    SendingLog.objects.filter(pk=second.sending_logs.order_by("pk")[0].pk).update(profile=ids[0])
    SendingLog.objects.filter(pk=second.sending_logs.order_by("pk")[1].pk).update(date=timezone.now() - timedelta(16))
    assert tables.fatigue().rows == [("1", 2), ("2", 1)]
    monkeypatch.setattr(tables, "SAMPLED", 1)
    assert "one profile in" in tables.fatigue().note


@pytest.mark.django_db
def test_reactions_are_told_by_domain_and_category(sent: Any) -> None:
    content = LINKED | {"html": LINKED["html"].replace('data-label="News"', 'data-label="News" data-category="Press"')}
    delivery = sent(4, content=content)
    Batch.objects.update(sent=3, failed=1)
    a, b, c, d = delivery.sending_logs.order_by("pk")
    now = timezone.now()
    SendingLog.objects.filter(pk=a.pk).update(opted_out_at=now, opened_at=now)
    SendingLog.objects.filter(pk=b.pk).update(complained_at=now)
    SendingLog.objects.filter(pk=c.pk).update(status=2, failure_type=2, reason=8)
    for log, kind, link in ((a, 1, 0), (a, 1, 0), (d, 1, 2), (d, 6, None)):
        TrackingLog.objects.create(delivery=delivery, sending_log=log, type=kind, link=link, at=now)
    made = {report.name: report for report in tables.of_delivery(delivery)[0]}
    assert made["unsubscriptions"].rows == [("Opt-outs", 1, "33 %"), ("example.net", 1, "33 %")]
    assert made["complaints"].rows[0][1] == 1
    assert made["opens"].rows[-1] == ("example.net", 1, "33 %")
    assert made["urls"].rows[0][:4] == ("https://example.com/news", "Press", 2, "67 %")
    assert made["domains"].rows[0][-2:] == [1, 1]  # mirror page, denylisted


@pytest.mark.django_db
def test_a_campaign_tells_whom_fatigue_rules_left_out(sent: Any) -> None:
    first, second = sent(1), sent(0)
    for delivery, volume in ((first, 3), (second, 4)):
        ExclusionCause.objects.create(delivery=delivery, cause=12, rule=1, rule_label="Two a week", volume=volume)
    assert tables.of_campaign(first.campaign)[-1].rows == [("Two a week", 7, 2)]


@pytest.mark.django_db
def test_staff_see_a_recipients_copy_without_being_taken_for_them(
    sent: Any, tracked: Any, preparer: Any, client: Client
) -> None:
    delivery = sent(1)
    log = delivery.sending_logs.all()[0]
    client.force_login(preparer)
    detail = client.get(reverse("admin:deliveries_delivery_sending_log", args=[delivery.pk, log.pk])).content.decode()
    address = reverse("delivery-copy", args=[delivery.pk, log.pk])
    assert address in detail
    answer = client.get(address)
    assert "Dear User 0" in answer.content.decode()
    assert "/t/" not in answer.content.decode()
    assert tracked() == 0


@pytest.mark.django_db
def test_a_link_gets_another_label_and_category(sent: Any, preparer: Any, make_user: Any, client: Client) -> None:
    delivery = sent(1)
    client.force_login(preparer)
    url = reverse("delivery-name-url", args=[delivery.pk, 0])
    assert client.get(url).status_code == 200
    assert client.post(url, {"label": "The news", "category": "Press"}).status_code == 302
    page = client.get(reverse("delivery-tracked-urls", args=[delivery.pk])).content.decode()
    assert "The news" in page
    assert "Press" in page
    assert delivery.events.filter(code="url_named", user=preparer).exists()
