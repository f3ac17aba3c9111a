"""What the Confirm dialog states: facts computed when it opens, never remembered (howto/confirm-dialog.md).

A view model like page.py. It predicts from the campaign's last finished delivery; the prediction decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns.core import formats
from campaigns.core.translate_kept import translated
from campaigns.models import Schedule
from campaigns.targeting import audiences
from deliveries.ledger.kpis import Figure
from deliveries.models import Delivery
from deliveries.models.states import LogStatus, State
from deliveries.preparation.times import validity, waves
from deliveries.preparation.unattended import series_seal


@dataclass(frozen=True)
class Confirmation:
    """The dialog: one sentence on what happens, who was left out and why, and what to look at twice."""

    sentence: str
    count: int
    excluded: str
    causes: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def confirmation(delivery: Delivery) -> Confirmation:
    """What confirming `delivery` at this moment does. Nine small queries if nothing of it was read before, whatever the
    target; more for an execution (the series' seal), for waves, and for a date formula, which counts the past dates."""
    now = timezone.now()
    start, latest = validity.due_times(delivery, now)
    latest = max(latest, waves.last(delivery, start))
    limit = validity.sending_limit(delivery.message, latest)
    last = _last_finished(delivery)
    end = _expected_end(delivery, last, latest)
    return Confirmation(
        sentence=_sentence(delivery, now),
        count=delivery.to_deliver,
        excluded=_excluded(delivery, last),
        causes=tuple(
            (cause.words, formats.exact(cause.volume)) for cause in delivery.exclusion_causes.all() if cause.volume
        ),
        facts=_facts(delivery, limit, last, end),
        warnings=_warnings(delivery, now, limit, end),
    )


def _sentence(delivery: Delivery, now: datetime) -> str:
    count = {"count": formats.exact(delivery.to_deliver)}
    schedule: Schedule | None = getattr(delivery.message, "schedule", None)
    if validity.is_spread(delivery.message) and delivery.first_due_at and delivery.last_due_at:
        return _spread_sentence(delivery, now)
    if schedule is None or not schedule.is_dated or schedule.contact_date is None:
        text = ngettext("%(count)s message leaves now.", "%(count)s messages leave now.", delivery.to_deliver)
        return text % count
    date = {"date": formats.moment(schedule.contact_date, schedule.time_zone)}
    if schedule.contact_date > now:
        text = ngettext(
            "%(count)s message leaves from %(date)s on. Confirming sends nothing now.",
            "%(count)s messages leave from %(date)s on. Confirming sends nothing now.",
            delivery.to_deliver,
        )
    else:
        text = ngettext(
            "%(count)s message leaves as soon as you confirm: the contact date, %(date)s, is past.",
            "%(count)s messages leave as soon as you confirm: the contact date, %(date)s, is past.",
            delivery.to_deliver,
        )
    return text % (count | date)


def _spread_sentence(delivery: Delivery, now: datetime) -> str:
    """Each recipient at their own time: the first and the last instant, and how many are past."""
    schedule: Schedule = delivery.message.schedule
    if schedule.mode == Schedule.Mode.FORMULA:
        return _formula_sentence(delivery, now)
    text = ngettext(
        "%(count)s message leaves by its recipient's own clock: %(first)s.",
        "%(count)s messages leave by each recipient's own clock: the first at %(first)s, the last at %(last)s.",
        delivery.to_deliver,
    ) % {
        "count": formats.exact(delivery.to_deliver),
        "first": formats.moment(delivery.first_due_at),
        "last": formats.moment(delivery.last_due_at),
    }
    past = delivery.first_due_at is not None and delivery.first_due_at <= now
    leave = _("Those whose time is past leave as soon as you confirm.")
    return f"{text} {leave}" if past else text


def _formula_sentence(delivery: Delivery, now: datetime) -> str:
    zone = delivery.message.schedule.time_zone
    text = ngettext(
        "%(count)s message leaves at its recipient's own date: %(first)s.",
        "%(count)s messages leave at each recipient's own date: the earliest at %(first)s, the latest at %(last)s.",
        delivery.to_deliver,
    ) % {
        "count": formats.exact(delivery.to_deliver),
        "first": formats.moment(delivery.first_due_at, zone),
        "last": formats.moment(delivery.last_due_at, zone),
    }
    past = delivery.sending_logs.filter(status=LogStatus.PENDING, due_at__lte=now).count()
    if not past:
        none = _("None of these dates is past.")
        return f"{text} {none}"
    leave = ngettext(
        "The date of %(past)s is past already: that message leaves as soon as you confirm.",
        "The dates of %(past)s are past already: these messages leave as soon as you confirm.",
        past,
    )
    return f"{text} {leave % {'past': formats.exact(past)}}"


def _excluded(delivery: Delivery, last: Delivery | None) -> str:
    """How many of the target were left out, beside the last run's share."""
    if not delivery.excluded:
        text = _("Nobody was excluded: the target has %(targeted)s profiles.")
        return text % {"targeted": formats.exact(delivery.targeted)}
    share = Figure(delivery.excluded, delivery.targeted).percent
    text = _("%(excluded)s of %(targeted)s targeted profiles were excluded (%(share)s).") % {
        "excluded": formats.exact(delivery.excluded),
        "targeted": formats.exact(delivery.targeted),
        "share": share,
    }
    if last is None or not last.targeted:
        return text
    before = _("In the last finished delivery, %(code)s, it was %(share)s.")
    return f"{text} {before % {'code': last.code, 'share': Figure(last.excluded, last.targeted).percent}}"


def _facts(
    delivery: Delivery, limit: datetime, last: Delivery | None, end: datetime | None
) -> tuple[tuple[str, str], ...]:
    name, address = delivery.message.sender
    audience = delivery.message.audience
    facts = [
        (_("Execution"), _execution(delivery)),
        (_("From"), f"{name} <{address}>"),
        (_("Subject"), delivery.message.subject),
        (_("Audience"), f"{audience.label}: {audiences.describe(audience)}" if audience else ""),
        (_("Traps"), ", ".join(map(str, delivery.message.traps.all()))),
        (_("Routing"), delivery.routing.label if delivery.routing else ""),
        (_("Waves"), _waves(delivery)),
        (_("Valid until"), formats.moment(limit)),
    ]
    if settings.UNDO_SECONDS:
        facts.append((_("Undo"), _("possible for %s after OK") % formats.duration(settings.UNDO_SECONDS)))
    if last is not None and end is not None:
        text = _("%(end)s, at the pace of %(code)s")
        facts.append((_("Expected finish"), text % {"end": formats.clock(end), "code": last.code}))
    return tuple((label, value) for label, value in facts if value)


def _execution(delivery: Delivery) -> str:
    """Of a series: for which time it was made, and the period that it stands for; '' for all that is none."""
    if delivery.slot is None:
        return ""
    recurrence = getattr(delivery.message, "recurrence", None)
    text = _("of %(series)s for %(when)s") % {
        "series": f"DM{delivery.parent_id}",
        "when": formats.moment(delivery.slot, recurrence.time_zone if recurrence else ""),
    }
    return f"{text}, {delivery.period}" if delivery.period else text


def _waves(delivery: Delivery) -> str:
    """Each wave with its size and its instant."""
    planned = waves.plan(delivery, validity.due_times(delivery, timezone.now())[0])
    zone = delivery.message.schedule.time_zone if len(planned) > 1 else ""
    text = _("%(n)s from %(when)s")
    told = [text % {"n": formats.exact(size), "when": formats.moment(at, zone)} for size, at in planned]
    return "; ".join(told) if len(told) > 1 else ""


def _warnings(delivery: Delivery, now: datetime, limit: datetime, end: datetime | None) -> tuple[str, ...]:
    told = series_seal.changed(delivery)
    warnings = [translated(told)] if told else []
    if not delivery.to_deliver:
        warnings.append(_("There is nobody to send to."))
    first, last = validity.due_times(delivery, now)
    if _by_clocks(delivery) and first < now + timedelta(hours=24):
        warnings.append(_("Less than a day ahead: where it is later already, people get it late."))
    if limit <= last:
        warnings.append(_("The validity period is over before the sending could begin: nothing would leave."))
    elif end is not None and end > limit:
        warnings.append(_("At that pace the validity period ends first; what is unsent then fails."))
    if delivery.routing is None or not delivery.routing.enabled:
        warnings.append(_("The routing is missing or disabled: nothing leaves until that is mended."))
    return tuple(warnings)


def _by_clocks(delivery: Delivery) -> bool:
    schedule: Schedule | None = getattr(delivery.message, "schedule", None)
    return schedule is not None and schedule.mode == Schedule.Mode.RECIPIENT_ZONE


def _last_finished(delivery: Delivery) -> Delivery | None:
    """The campaign's last delivery that went out, for comparison."""
    return (
        Delivery.objects.filter(campaign=delivery.campaign_id, state=State.FINISHED, to_deliver__gt=0)
        .exclude(pk=delivery.pk)
        .order_by("-pk")
        .first()
    )


def _expected_end(delivery: Delivery, last: Delivery | None, latest: datetime) -> datetime | None:
    """When it ends if it goes as fast as `last` went; None if nothing can be said."""
    if last is None or not last.started_at or not last.finished_at or last.finished_at <= last.started_at:
        return None
    seconds = (last.finished_at - last.started_at).total_seconds()
    # Nothing leaves while it may be undone; and where people have times of their own, or waves, the last decides.
    begin = max(latest, timezone.now() + timedelta(seconds=settings.UNDO_SECONDS))
    return begin + timedelta(seconds=seconds * delivery.to_deliver / last.to_deliver)
