"""Every figure opens exactly its rows: list, CSV, Excel and API give what the page shows, on random histories."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from typing import IO, Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework.test import force_authenticate

from campaigns.accounts.masking import EVERYTHING
from campaigns.core.web.paging import page_of
from deliveries.ledger.counters import counters
from deliveries.ledger.kpis import kpis
from deliveries.models import Delivery
from reporting.api.figure_rows import FigureRowsView
from reporting.figures import exports, kept_figures, row_sets
from reporting.figures.export_progress import Watch

from . import histories

pytestmark = pytest.mark.django_db
TELLING = (37, 129, 188, 24)  # seeds of histories in which hardly any two figures are the same


def lines(content: bytes) -> int:
    return sum(1 for _ in csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=";")) - 1


def sheet_rows(content: IO[bytes]) -> int:
    """Counted in the file itself: reading it cell by cell would take half of the time of a thousand histories."""
    with zipfile.ZipFile(content) as book:
        return book.read("xl/worksheets/sheet1.xml").count(b"<row ") - 1


def by_http(client: Client, delivery: Delivery, name: str) -> tuple[int, ...]:
    """Rows in the list, the API, the CSV and the Excel file, as a browser and a program get them."""
    page = client.get(reverse("delivery-rows", args=[delivery.pk, name])).context["page"]
    answer = client.get(reverse("api-figure-rows", args=[delivery.pk, name]), {"count": "1"}).json()
    url = f"{reverse('delivery-export', args=[delivery.pk, 'sending-logs'])}?figure={name}"
    files: list[Any] = [client.post(url, {"format": ending}) for ending in ("csv", "xlsx")]
    text, book = (b"".join(file.streaming_content) for file in files)
    return len(page.rows), answer["count"], len(answer["results"]), lines(text), sheet_rows(io.BytesIO(book))


def by_hand(client: Client, delivery: Delivery, name: str) -> tuple[int, ...]:
    """The same four from the functions behind the pages, so that a thousand histories take minutes."""
    chosen = row_sets.figure(delivery, name, EVERYTHING)
    request = RequestFactory().get("/", {"count": "1"})
    force_authenticate(request, client.user)  # type: ignore[attr-defined]
    answer = FigureRowsView.as_view(throttle_classes=[])(request, pk=delivery.pk, name=name).data
    book = exports.xlsx_file(chosen, Watch())
    text = b"".join(exports.csv_bytes(chosen, Watch()))
    page = page_of(chosen.parts, request)
    return len(page.rows), answer["count"], len(answer["results"]), lines(text), sheet_rows(book)


def check(client: Client, sent: Any, seeds: Sequence[int], found_in: Callable[..., tuple[int, ...]]) -> int:
    """All figures of a delivery for each seed. Out: how many numbers were compared in four places."""
    written = [histories.invent(seed) for seed in seeds]
    deliveries = histories.store(written, lambda: sent(0))
    for delivery, rows in zip(deliveries, written, strict=True):
        kept_figures.refresh(delivery)
        delivery.refresh_from_db()
        sums = counters(delivery)
        shown = histories.shown(delivery, kpis(sums, feedback_service=False), sums)
        assert shown == histories.truth(rows)
        for name, number in shown.items():
            found = found_in(client, delivery, name)
            assert set(found) == {number}, (delivery.pk, name, number, found)
    return len(deliveries) * len(row_sets.FIGURES)


@pytest.fixture
def exporter(preparer: Any, client: Client) -> Client:
    preparer.groups.add(Group.objects.get(name="Export"))
    client.force_login(preparer)
    client.user = preparer  # type: ignore[attr-defined]
    return client


def test_every_figure_of_some_histories(sent: Any, exporter: Client) -> None:
    assert set(histories.truth([])) == set(row_sets.FIGURES)
    check(exporter, sent, TELLING[:1], by_http)
    check(exporter, sent, TELLING[1:], by_hand)


@pytest.mark.slow
def test_every_figure_of_a_thousand_histories(sent: Any, exporter: Client) -> None:
    assert check(exporter, sent, range(10, 1010), by_hand) == 13_000
