"""The Deployment block: what it says in each state, its figures, its balance, its pace.

A view model: dataclasses of words and numbers, no HTML. Everything comes from the delivery's own row and the counters
of its batches; no log row is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.core import formats
from deliveries.ledger.kpis import Counters, Figure, kpis
from deliveries.models import Delivery
from deliveries.models.states import CONFIRMED, ENDED, PREPARING, RUNNING, SENDING, State

SAMPLES = 10  # a browser that asks every second measures the pace of the last ten


@dataclass(frozen=True)
class Sample:
    """How many messages were processed at a moment (seconds since 1970)."""

    at: float
    processed: int


@dataclass(frozen=True)
class Tile:
    """One figure: the big value, the exact one beneath, and a tone: good, bad or empty."""

    name: str
    label: str
    big: str
    beneath: str
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Balance:
    """A sum that must come out: total = its parts."""

    total: tuple[str, int]
    parts: tuple[tuple[str, int], ...]

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """(label, number as people read it): the total, then the parts."""
        return tuple((label, formats.exact(number)) for label, number in (self.total, *self.parts))

    @property
    def holds(self) -> bool:
        """True if the parts add up to the total."""
        return self.total[1] == sum(number for _label, number in self.parts)


@dataclass(frozen=True)
class Deployment:
    """All that the block shows. `percent` is None where there is no bar; `live` asks the page to refresh itself."""

    tone: str  # grey, blue, yellow, green, red, amber
    icon: str
    headline: str
    line: str
    percent: int | None
    bar_label: str
    tiles: tuple[Tile, ...]
    balances: tuple[Balance, ...]
    facts: tuple[tuple[str, str], ...]
    live: bool
    samples: tuple[Sample, ...]
    provisional: str = ""

    @property
    def announcement(self) -> str:
        """What a screen reader hears: changes with the state and every tenth of the way, not every second."""
        if self.percent is None:
            return self.headline
        return _("%(headline)s: %(percent)d %%") % {
            "headline": self.headline,
            "percent": self.percent // 10 * 10,
        }


def deployment(
    delivery: Delivery,
    counters: Counters,
    *,
    stale: Sequence[str] = (),
    seen: Sequence[Sample] = (),
    in_flight: bool = False,
) -> Deployment:
    """The block of `delivery`. `stale`: the parts that changed since it was prepared; `seen`: earlier samples;
    `in_flight`: workers still finish messages of a delivery that was stopped."""
    sent_off = delivery.state in CONFIRMED
    now = Sample(timezone.now().timestamp(), processed(counters))
    samples = (*[s for s in seen if s.at < now.at and s.processed <= now.processed][1 - SAMPLES :], now)
    left = _left(counters, now.processed)
    tone, icon, headline, line = _stopping() if in_flight else _words(delivery, left, counters, stale)
    percent, bar_label = _bar(delivery, now.processed)
    return Deployment(
        tone=tone,
        icon=icon,
        headline=headline,
        line=line,
        percent=percent,
        bar_label=bar_label,
        tiles=kpi_tiles(delivery, counters) if sent_off else _target_tiles(delivery),
        balances=_balances(delivery, counters),
        facts=_facts(delivery, counters, samples),
        live=in_flight or delivery.state in PREPARING | RUNNING,
        samples=samples,
        provisional=_provisional(delivery, counters),
    )


def processed(counters: Counters) -> int:
    """Messages that were relayed or have definitively failed.

    `relayed` alone would miss those refused in the dialogue, `sent + failed` those whose outcome a feedback service has
    yet to report; a bounce after the relay is in both, so the greater one counts and never too many.
    """
    return max(counters.relayed, counters.sent + counters.failed)


def _left(counters: Counters, done: int) -> int:
    """Messages that will still be attempted."""
    return max(0, counters.to_deliver - counters.cancelled - counters.in_doubt - done)


class _Words(NamedTuple):
    tone: str
    icon: str
    headline: str
    line: str


def _stopping() -> _Words:
    line = _("Messages in flight are finished within a few seconds; nothing else leaves.")
    return _Words("red", "work", _("Stopping"), line)


def _words(delivery: Delivery, left: int, counters: Counters, stale: Sequence[str]) -> _Words:
    state = delivery.state
    if state in PREPARING:
        return _Words("grey", "work", _("Preparing"), f"{delivery.get_state_display()}…")
    if state == State.READY:
        return _ready_words(stale)
    if state == State.EDITING:
        return _Words("grey", "edit", _("Not prepared"), _("The preparation was stopped; nothing was sent."))
    if state == State.PREPARATION_FAILED:
        return _Words("red", "bad", _("Preparation failed"), _("Nothing was sent. The log names the cause."))
    if state in ENDED:
        return _ended_words(delivery, counters)
    return _waiting_words(delivery) if state == State.START_PENDING else _running_words(delivery, left, counters)


def _ready_words(stale: Sequence[str]) -> _Words:
    if not stale:
        return _Words("grey", "good", _("Ready"), _("The preparation is complete; the send awaits its confirmation."))
    line = _("Changed since the preparation: %(parts)s. What was prepared cannot be confirmed.")
    return _Words("amber", "warn", _("Prepare again"), line % {"parts": ", ".join(stale)})


def _waiting_words(delivery: Delivery) -> _Words:
    if delivery.undo_until and delivery.undo_until > timezone.now():
        line = _("Confirmed. Nothing leaves before %(when)s: until then Undo takes it back.")
        return _Words("blue", "clock", _("Confirmed"), line % {"when": formats.clock(delivery.undo_until)})
    if delivery.contact_date and delivery.contact_date > timezone.now():
        schedule = getattr(delivery.message, "schedule", None)
        when = formats.moment(delivery.contact_date, schedule.time_zone if schedule else "")
        line = _("Messages leave from %(when)s on.") % {"when": when}
        return _Words("blue", "clock", _("Waiting for the contact date"), line)
    return _Words("blue", "clock", _("Start pending"), _("Confirmed; waiting for a sending worker."))


def _running_words(delivery: Delivery, left: int, counters: Counters) -> _Words:
    number = {"n": formats.exact(left)}
    if delivery.state == State.PAUSED:
        return _Words(
            "yellow", "pause", _("Paused"), _("%(n)s messages left; Resume goes on with exactly them.") % number
        )
    if delivery.state == State.RETRY_PENDING:
        line = _("%(n)s messages were refused for now and will be tried again.") % {
            "n": formats.exact(counters.retrying)
        }
        return _Words("blue", "clock", _("Waiting for a retry"), line)
    headline = _("Retrying") if delivery.state == State.RETRYING else _("Sending")
    return _Words("blue", "work", headline, _("Being processed by the sending service; %(n)s messages left.") % number)


def _ended_words(delivery: Delivery, counters: Counters) -> _Words:
    when = {"when": formats.moment(delivery.finished_at), "n": formats.exact(counters.cancelled)}
    if delivery.state == State.FINISHED:
        return _Words("green", "good", _("Finished"), _("All messages were processed. Ended on %(when)s.") % when)
    if delivery.state == State.STOPPED and not delivery.confirmed_at:
        line = _("Ended on %(when)s, since nobody confirmed it in time; nothing was sent.")
        return _Words("red", "stop", _("Expired"), line % when)
    if delivery.state == State.STOPPED:
        line = _("Stopped by a user on %(when)s; %(n)s messages did not leave and will not.")
        return _Words("red", "stop", _("Stopped"), line % when)
    return _Words("red", "bad", _("Failed"), _("An error ended the sending on %(when)s. The log names it.") % when)


def _bar(delivery: Delivery, done: int) -> tuple[int | None, str]:
    """(percent or None, what the bar says). A bar is full only when nothing is left."""
    if delivery.state in PREPARING:
        return delivery.progress, _("Preparation")
    if delivery.state not in CONFIRMED or not delivery.to_deliver:
        return None, ""
    percent = 100 if done >= delivery.to_deliver else 100 * done // delivery.to_deliver
    label = _("%(done)s of %(all)s processed") % {
        "done": formats.exact(min(done, delivery.to_deliver)),
        "all": formats.exact(delivery.to_deliver),
    }
    return percent, label


def _count_tile(name: str, label: str, number: int, tone: str = "") -> Tile:
    return Tile(name, label, formats.compact(number), formats.exact(number), tone)


def _target_tiles(delivery: Delivery) -> tuple[Tile, ...]:
    """Before the sending: whom it will reach."""
    return (
        _count_tile("targeted", _("Targeted"), delivery.targeted),
        _count_tile("excluded", _("Excluded"), delivery.excluded),
        _count_tile("to_deliver", _("To deliver"), delivery.to_deliver),
    )


def _share_tile(name: str, label: str, figure: Figure, percent: str, hint: str, tone: str = "") -> Tile:
    return Tile(name, label, percent, formats.exact(figure.count), tone, hint)


def kpi_tiles(delivery: Delivery, counters: Counters) -> tuple[Tile, ...]:
    """The six figures, each with what it is a share of (concepts.md, The figures)."""
    k = kpis(counters, feedback_service=delivery.feedback_service)
    base = _("of To deliver") if delivery.feedback_service else _("of what was processed")
    rates = _("of Delivered")
    if delivery.stats_at:
        rates = _("of Delivered, as of %(when)s") % {"when": formats.clock(delivery.stats_at)}
    return (
        _count_tile("to_deliver", _("To deliver"), k.to_deliver),
        _share_tile("sent", _("Sent"), k.sent, k.sent.percent, _("of To deliver")),
        _share_tile("delivered", _("Delivered"), k.delivered, k.delivered_percent, base, _delivered_tone(k.delivered)),
        _share_tile("bounces", _("Bounces + errors"), k.bounces, k.bounces_percent, base, _bounces_tone(k.bounces)),
        _share_tile("opens", _("Open rate"), k.opens, k.opens.percent, rates),
        _share_tile("clicks", _("Click-through rate"), k.clicks, k.clicks.percent, rates),
    )


def _delivered_tone(figure: Figure) -> str:
    """Green when high, red at 0 %; neither before anything was processed."""
    if figure.ratio >= 0.9:
        return "good"
    return "bad" if figure.of and not figure.count else ""


def _bounces_tone(figure: Figure) -> str:
    """Red from 5 % on, the ratio that alerts speak of (concepts.md, What alerts tell)."""
    return "bad" if figure.ratio > 0.05 else ""


def _balances(delivery: Delivery, counters: Counters) -> tuple[Balance, ...]:
    """The two ledgers, as far as there is something to add up."""
    if delivery.state < State.READY:
        return ()
    to_deliver = (_("to deliver"), delivery.to_deliver)
    return (
        Balance((_("targeted"), delivery.targeted), ((_("excluded"), delivery.excluded), to_deliver)),
        Balance(
            to_deliver,
            (
                (_("pending"), counters.pending),
                (_("in doubt"), counters.in_doubt),
                (_("sent"), counters.sent),
                (_("failed"), counters.failed),
                (_("cancelled"), counters.cancelled),
            ),
        ),
    )


def pace(samples: Sequence[Sample]) -> float | None:
    """Messages per second between the first and the last sample; None when they are too close to tell."""
    if len(samples) < 2 or samples[-1].at - samples[0].at < 0.5:
        return None
    return (samples[-1].processed - samples[0].processed) / (samples[-1].at - samples[0].at)


def _facts(delivery: Delivery, counters: Counters, samples: Sequence[Sample]) -> tuple[tuple[str, str], ...]:
    """(label, value) pairs under the bar: pace, expected finish, waiting retries, deadline."""
    if delivery.state not in CONFIRMED:
        return ()
    facts = []
    if delivery.started_at:
        facts += _pace_facts(delivery, counters, samples)
    if counters.retrying:
        facts.append((_("To be retried"), formats.exact(counters.retrying)))
    if delivery.state not in ENDED and delivery.validity_end:
        facts.append((_("Valid until"), formats.moment(delivery.validity_end)))
    return tuple(facts)


def _pace_facts(delivery: Delivery, counters: Counters, samples: Sequence[Sample]) -> list[tuple[str, str]]:
    assert delivery.started_at is not None
    end = delivery.finished_at or timezone.now()
    elapsed = (end - delivery.started_at).total_seconds()
    average = samples[-1].processed / elapsed if elapsed > 0 else 0.0
    if delivery.state not in SENDING:
        ended = delivery.state in ENDED
        return [(_("Average rate"), formats.rate(average)), (_("Took"), formats.duration(elapsed))] if ended else []
    recent = pace(samples)
    speed = average if recent is None else recent
    facts = [(_("Rate"), formats.rate(speed)), (_("Elapsed"), formats.duration(elapsed))]
    left = _left(counters, samples[-1].processed) - counters.retrying
    if left > 0:
        facts.append((_("Expected finish"), _finish(left, speed or average)))
    return facts


def _finish(left: int, speed: float) -> str:
    if speed <= 0:
        return formats.NOTHING
    at = timezone.now() + timedelta(seconds=left / speed)
    return _("%(clock)s, in %(duration)s") % {
        "clock": formats.clock(at),
        "duration": formats.duration(left / speed),
    }


def _provisional(delivery: Delivery, counters: Counters) -> str:
    """Why the figures of a finished delivery may still move; empty when they are final or nothing is finished."""
    if delivery.state != State.FINISHED or not delivery.finished_at:
        return ""
    until = delivery.finished_at + timedelta(days=7)  # mail servers report bounces for up to a week
    if timezone.now() >= until and not counters.pending:
        return ""
    return _("Provisional: bounces may still come in until %(until)s.") % {"until": formats.moment(until)}
