"""Events become tracking logs exactly once, judged with what the recipient did before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reporting.models import TrackedUrl, TrackingBuffer, TrackingLog
from reporting.tracking import ingest
from reporting.tracking.buffer import Event, encode
from tests.reporting.conftest import first_log, later

AGENT = "Mozilla/5.0 (X11) Firefox/128.0"


def event(log: Any, seconds: float, kind: int = 2, link: int = -1) -> Event:
    return Event(int(later(log, seconds).timestamp() * 1000), log.pk, kind, link, False, "", AGENT)


def write(folder: Path, *events: Event) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "h.1.1.events").open("ab") as file:
        file.writelines(map(encode, events))


@pytest.mark.django_db
def test_a_fold_that_dies_before_its_commit_is_done_again_and_once(
    sent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = first_log(sent())
    write(tmp_path, *(event(log, 60 + n) for n in range(5)))
    monkeypatch.setattr(ingest, "LINES", 2)
    with monkeypatch.context() as broken:
        real = TrackingBuffer.save

        def die_at_the_second(self: Any, *args: Any, **kwargs: Any) -> None:
            if self.offset > 200:
                raise KeyboardInterrupt
            real(self, *args, **kwargs)

        broken.setattr(TrackingBuffer, "save", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            ingest.fold(tmp_path)
    assert TrackingLog.objects.count() == 2
    assert ingest.fold(tmp_path) == 3
    assert TrackingLog.objects.count() == 5


@pytest.mark.django_db
def test_what_is_folded_is_not_folded_again_and_the_file_of_a_dead_writer_goes(sent: Any, tmp_path: Path) -> None:
    log = first_log(sent())
    write(tmp_path, event(log, 60))
    assert [ingest.fold(tmp_path), ingest.fold(tmp_path)] == [1, 0]
    assert list(tmp_path.iterdir()) == []
    assert not TrackingBuffer.objects.exists()


@pytest.mark.django_db
def test_events_of_rows_that_are_gone_are_dropped(sent: Any, tmp_path: Path) -> None:
    log = first_log(sent())
    write(tmp_path, event(log, 60)._replace(log_id=log.pk + 999), event(log, 61))
    ingest.fold(tmp_path)
    assert TrackingLog.objects.get().sending_log_id == log.pk


@pytest.mark.django_db
def test_first_times_are_the_earliest_in_any_order(sent: Any, tmp_path: Path) -> None:
    log = first_log(sent())
    write(tmp_path, event(log, 300, kind=1, link=0), event(log, 200))
    ingest.fold(tmp_path)
    write(tmp_path, event(log, 100), event(log, 400, kind=1, link=0))
    ingest.fold(tmp_path)
    log.refresh_from_db()
    assert (log.opened_at, log.clicked_at) == (later(log, 100), later(log, 300))


@pytest.mark.django_db
def test_a_burst_that_two_folds_cut_in_half_is_still_seen(sent: Any, tmp_path: Path) -> None:
    log = first_log(sent())
    for n in range(3):
        write(tmp_path, event(log, 60 + n / 2, kind=1, link=n))
        ingest.fold(tmp_path)
    assert list(TrackingLog.objects.values_list("machine", "rule")) == [(True, "burst")] * 3


@pytest.mark.django_db
def test_the_first_event_makes_the_table_of_links(sent: Any, tmp_path: Path) -> None:
    delivery = sent()
    write(tmp_path, event(first_log(delivery), 60))
    ingest.fold(tmp_path)
    rows = list(TrackedUrl.objects.values_list("link", "kind", "label"))
    assert rows == [
        (0, "tracked", "News"),
        (1, "tracked", "yours"),
        (2, "tracked", "shop"),
        (None, "mirror", "see it on the web"),
        (None, "optout", "unsubscribe"),
    ]
