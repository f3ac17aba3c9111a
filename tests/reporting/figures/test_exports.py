"""Lists, figures and files hold the same rows; files are safe and written down."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook

from campaigns.accounts.masking import EVERYTHING
from deliveries.models import Batch, DeliveryEvent, ExclusionLog
from deliveries.models.states import Reason
from reporting.figures import export_progress, exports, row_sets
from reporting.figures.exports import safe
from reporting.jobs import retention
from reporting.models import Export, TrackingLog

pytestmark = pytest.mark.django_db
KEY = "0123456789abcdef" * 2


@pytest.fixture
def exporter(preparer: Any, client: Client) -> Any:
    preparer.groups.add(Group.objects.get(name="Export"))
    client.force_login(preparer)
    return preparer


def url(delivery: Any, what: str = "sending-logs") -> str:
    return reverse("delivery-export", args=[delivery.pk, what])


def lines(answer: Any) -> list[list[str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text), delimiter=";"))


def test_an_export_needs_its_role_and_a_post(sent: Any, preparer: Any, client: Client) -> None:
    delivery = sent()
    client.force_login(preparer)
    assert client.get(url(delivery)).status_code == 403
    assert client.post(url(delivery), {"format": "csv"}).status_code == 403
    assert not DeliveryEvent.objects.filter(code="exported").exists()


def test_whoever_writes_a_file_is_asked_for_the_role_too(sent: Any, preparer: Any) -> None:
    delivery = sent()
    with pytest.raises(PermissionDenied):
        exports.audited(delivery, preparer, row_sets.sending_logs(delivery, {}, EVERYTHING), "csv")
    assert not delivery.events.filter(code="export_started").exists()


def test_a_csv_has_every_row_and_the_log_says_who_took_it(sent: Any, exporter: Any, client: Client) -> None:
    delivery = sent(7)
    assert client.get(url(delivery)).status_code == 200
    rows = lines(client.post(url(delivery), {"format": "csv"}))
    assert [row[1] for row in rows[1:]] == [f"user{n}@example.net" for n in range(7)]
    event = DeliveryEvent.objects.get(code="exported")
    assert (event.user, event.details["rows"]) == (exporter, 7)


def test_an_excel_file_has_the_same_rows(sent: Any, exporter: Any, client: Client) -> None:
    answer = client.post(url(sent(4)), {"format": "xlsx"})
    sheet = load_workbook(io.BytesIO(b"".join(answer.streaming_content)), read_only=True).active
    assert sum(1 for _ in sheet.iter_rows()) == 5


def test_cells_are_no_formulas(sent: Any, exporter: Any, client: Client) -> None:
    delivery = sent(1)
    delivery.sending_logs.update(reply="=HYPERLINK(1)")
    rows = lines(client.post(url(delivery), {"format": "csv"}))
    assert rows[1][6] == "'=HYPERLINK(1)"
    book = client.post(url(delivery), {"format": "xlsx"})
    sheet = load_workbook(io.BytesIO(b"".join(book.streaming_content)), read_only=True).active
    assert [row[6] for row in sheet.iter_rows(values_only=True)][1] == "'=HYPERLINK(1)"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t1", "'\t1"),
        ("\r=1", "' =1"),
        (" =1", "' =1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=b", "a=b"),
        ("", ""),
        (5, 5),
        (-5, -5),
        (None, ""),
        ("a\x00b", "a b"),
    ],
)
def test_a_cell(value: Any, cell: Any) -> None:
    assert safe(value) == cell


def test_a_filter_goes_into_the_file_and_into_the_log(sent: Any, exporter: Any, client: Client) -> None:
    delivery = sent(12)
    rows = lines(client.post(url(delivery) + "?q=user1", {"format": "csv"}))
    assert [row[1] for row in rows[1:]] == ["user1@example.net", "user10@example.net", "user11@example.net"]
    assert DeliveryEvent.objects.get(code="exported").details["filters"] == {"q": "user1"}


@pytest.fixture
def various(sent: Any) -> Any:
    """Three sent rows, one of them failed, clicks on two links by a person and a machine, and three left out."""
    delivery, now = sent(3), timezone.now()
    a, b, c = delivery.sending_logs.order_by("pk")
    for log, kind, link, machine in ((a, 1, 0, False), (a, 2, None, False), (b, 1, 1, True)):
        TrackingLog.objects.create(delivery=delivery, sending_log=log, type=kind, link=link, machine=machine, at=now)
    delivery.sending_logs.filter(pk=c.pk).update(status=2)
    for name, cause in (("ann", Reason.DENYLISTED), ("bob", Reason.DENYLISTED), ("ann2", Reason.DUPLICATE)):
        ExclusionLog.objects.create(delivery=delivery, address=f"{name}@example.com", cause=cause, date=now)
    for cause in (Reason.DENYLISTED, Reason.DUPLICATE):
        delivery.exclusion_causes.create(cause=cause, volume=1)
    return delivery


@pytest.mark.parametrize(
    ("what", "query", "addresses"),
    [
        ("sending-logs", "", {"user0", "user1", "user2"}),
        ("sending-logs", "status=1", {"user0", "user1"}),
        ("sending-logs", "status=2", {"user2"}),
        ("sending-logs", "q=USER1", {"user1"}),
        ("exclusion-logs", "", {"ann", "bob", "ann2"}),
        ("exclusion-logs", "q=ann", {"ann", "ann2"}),
        ("exclusion-logs", f"cause={Reason.DENYLISTED:d}", {"ann", "bob"}),
        ("tracking-logs", "type=1", {"user0", "user1"}),
        ("tracking-logs", "type=2", {"user0"}),
        ("tracking-logs", "who=machines", {"user1"}),
        ("tracking-logs", "who=people", {"user0"}),
        ("tracking-logs", "link=1", {"user1"}),
    ],
)
def test_a_file_holds_what_the_list_was_narrowed_to(
    various: Any, exporter: Any, client: Client, what: str, query: str, addresses: set[str]
) -> None:
    rows = lines(client.post(f"{url(various, what)}?{query}", {"format": "csv"}))
    column = rows[0].index("Address")
    assert {row[column].partition("@")[0] for row in rows[1:]} == addresses


@pytest.mark.parametrize("what", sorted(row_sets.ROW_SETS))
def test_every_kind_of_log_can_be_taken(sent: Any, exporter: Any, client: Client, what: str) -> None:
    delivery = sent(2)
    log = delivery.sending_logs.all()[0]
    TrackingLog.objects.create(delivery=delivery, sending_log=log, type=1, link=0, at=timezone.now())
    assert len(lines(client.post(url(delivery, what), {"format": "csv"}))) >= 1


def test_memory_stays_in_chunks(sent: Any, monkeypatch: Any, django_assert_max_num_queries: Any) -> None:
    monkeypatch.setattr(row_sets, "CHUNK", 3)
    delivery = sent(10)
    Batch.objects.all()
    chosen = row_sets.sending_logs(delivery, {"status": "1"}, EVERYTHING)
    with django_assert_max_num_queries(5):
        assert len(list(chosen.rows())) == 10


def test_the_tracking_tab_tells_people_from_machines(sent: Any, preparer: Any, client: Client) -> None:
    delivery = sent(2)
    a, b = delivery.sending_logs.order_by("pk")
    common = {"delivery": delivery, "at": timezone.now()}
    TrackingLog.objects.create(sending_log=a, type=1, link=0, **common)
    TrackingLog.objects.create(sending_log=b, type=1, link=0, machine=True, rule="burst", **common)
    client.force_login(preparer)
    page = client.get(reverse("delivery-tracking-logs", args=[delivery.pk]), {"who": "people"})
    assert [row.sending_log_id for row in page.context["page"].rows] == [a.pk]
    page = client.get(reverse("delivery-tracked-urls", args=[delivery.pk]))
    first = page.context["urls"][0]
    assert (first.label, first.events, first.recipients, first.people) == ("News", 2, 2, 1)


def test_others_deliveries_do_not_exist(sent: Any, make_user: Any, client: Client) -> None:
    delivery = sent()
    client.force_login(make_user("stranger"))
    for name in ("delivery-tracking-logs", "delivery-tracked-urls"):
        assert client.get(reverse(name, args=[delivery.pk])).status_code == 404


def parts(answer: Any) -> Any:
    """The pieces of a file, one at a time, as a browser takes them."""
    return iter(answer.streaming_content)


@pytest.fixture
def frame(client: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    """frame(delivery) is what stands beside the form; files tell at every second row."""
    monkeypatch.setattr(export_progress, "EVERY", 0.0)
    monkeypatch.setattr(exports, "LINES", 2)
    return lambda delivery: client.get(reverse("delivery-export-progress", args=[delivery.pk, KEY]))


def test_the_frame_shows_how_far_the_file_is(sent: Any, exporter: Any, client: Client, frame: Any) -> None:
    delivery = sent(5)
    assert "Nothing was asked for yet" in frame(delivery).content.decode()
    pieces = parts(client.post(url(delivery), {"format": "csv", "key": KEY}))
    next(pieces)
    assert "Counting" in frame(delivery).content.decode()
    next(pieces), next(pieces)
    going = frame(delivery)
    assert "2 of 5 rows" in going.content.decode() and going["Refresh"] == "1"
    assert '<progress value="2" max="5"' in going.content.decode()
    assert len(list(pieces)) == 1
    over = frame(delivery)
    assert "all 5 rows" in over.content.decode() and "Refresh" not in over


def test_the_page_that_asks_holds_the_frame_of_its_own_file(sent: Any, exporter: Any, client: Client) -> None:
    page = client.get(url(sent()))
    key = page.context["key"]
    assert f'name="key" value="{key}"' in page.content.decode() and f"export-progress/{key}/" in page.content.decode()
    assert client.get(url(sent())).context["key"] != key


def test_cancelling_breaks_the_download_off(sent: Any, exporter: Any, client: Client, frame: Any) -> None:
    delivery = sent(9)
    pieces = parts(client.post(url(delivery), {"format": "csv", "key": KEY}))
    next(pieces), next(pieces)
    client.post(reverse("delivery-export-progress", args=[delivery.pk, KEY]))
    with pytest.raises(ConnectionError):
        list(pieces)
    assert "Cancelled after 2 rows" in frame(delivery).content.decode()
    event = DeliveryEvent.objects.get(code="exported")
    assert (event.details["rows"], event.details["whole"]) == (2, False)
    assert "not the rest" in event.message


def test_cancelling_an_excel_file_leads_back_to_the_form(
    sent: Any, exporter: Any, client: Client, frame: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = sent(4)
    monkeypatch.setattr(row_sets.RowSet, "count", lambda self: Export.objects.update(cancelled_at=timezone.now()))
    answer = client.post(url(delivery), {"format": "xlsx", "key": KEY}, follow=True)
    assert answer.redirect_chain and "The export was cancelled" in answer.content.decode()


def test_who_leaves_the_download_has_taken_what_was_sent(sent: Any, exporter: Any, client: Client, frame: Any) -> None:
    delivery = sent(9)
    answer = client.post(url(delivery), {"format": "csv", "key": KEY})
    pieces = parts(answer)
    for _ in range(3):
        next(pieces)
    answer.close()
    assert DeliveryEvent.objects.get(code="exported").details["rows"] == 2
    assert "ended after 2 rows" in frame(delivery).content.decode()


def test_a_file_whose_writer_is_gone_does_not_look_as_if_it_grew(
    sent: Any, exporter: Any, client: Client, frame: Any
) -> None:
    delivery = sent()
    Export.objects.create(delivery=delivery, user=exporter, key=KEY, seen_at=timezone.now() - timedelta(minutes=3))
    page = frame(delivery)
    assert "not complete" in page.content.decode() and "Refresh" not in page


def test_of_other_peoples_files_nothing_is_told_or_stopped(
    sent: Any, exporter: Any, make_user: Any, client: Client, frame: Any
) -> None:
    delivery = sent()
    Export.objects.create(delivery=delivery, user=exporter, key=KEY, total=7)
    client.force_login(make_user("other", "Prepare deliveries", "Export"))
    assert "Nothing was asked for yet" in frame(delivery).content.decode()
    client.post(reverse("delivery-export-progress", args=[delivery.pk, KEY]))
    assert Export.objects.get().cancelled_at is None


def test_what_was_asked_for_is_forgotten_after_a_week(sent: Any, exporter: Any) -> None:
    delivery = sent()
    for days in (6, 8):
        asked = timezone.now() - timedelta(days=days)
        Export.objects.create(delivery=delivery, user=exporter, key=KEY, asked_at=asked)
    assert retention.purge(60)
    assert Export.objects.count() == 1
