"""The message dashboard as a view model: buttons, banners, blocks, and what Confirm is about to do.

Dataclasses of words and numbers; the templates add the HTML and nothing else. Buttons and notes follow the same rights
that lifecycle/commands.py enforces: they spare people a refusal, they protect nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.accounts.masking import EVERYTHING, MARK, Sight
from campaigns.content.fingerprint import word
from campaigns.core import formats
from campaigns.core.account_names import name_of
from campaigns.core.translate_kept import translated
from campaigns.messages import typologies
from campaigns.models import Schedule
from campaigns.targeting import audiences
from deliveries.ledger.counters import counters, series_counters
from deliveries.ledger.kpis import Counters
from deliveries.lifecycle import deletion, wave_gates
from deliveries.models import Delivery
from deliveries.models.states import CONFIRMED, ENDED, SENDING, State
from deliveries.preparation import fatigue_rules, sealing
from deliveries.preparation.sealing import changed_since_prepared
from deliveries.preparation.times import validity
from deliveries.preparation.unattended import series_seal

from .action_bar import Banner, Button, Rights, buttons, notes
from .deployment_block import Deployment, Sample, deployment
from .series_block import series_block


@dataclass(frozen=True)
class Dashboard:
    """Everything that the page shows."""

    delivery: Delivery
    rights: Rights
    counters: Counters
    locked: bool
    may_delete: bool
    buttons: tuple[Button, ...]
    banners: tuple[Banner, ...]
    deployment: Deployment | None
    summary: tuple[tuple[str, str], ...]
    audience: tuple[tuple[str, str], ...]
    schedule: tuple[tuple[str, str], ...]
    content: tuple[tuple[str, str], ...]
    seen: str


def dashboard(
    delivery: Delivery, rights: Rights, *, seen: Sequence[Sample] = (), sight: Sight = EVERYTHING
) -> Dashboard:
    """The page of `delivery` for a user with `rights`.

    In: the delivery with its message, brand, audience, schedule, recurrence and campaign loaded; `seen`: what the
    browser saw before, for the pace; `sight`: what the user sees of people, whose names a trap may tell. One query,
    the sum of the counters; two for a series.
    """
    numbers = series_counters(delivery) if delivery.is_series else counters(delivery)
    form = sealing.form(delivery, delivery.message) if _may_ask(delivery) else None
    stale = tuple(changed_since_prepared(delivery, form)) if delivery.state == State.READY else ()
    return Dashboard(
        delivery=delivery,
        rights=rights,
        counters=numbers,
        locked=delivery.state in CONFIRMED,
        may_delete=rights.prepare and not deletion.why_not(delivery),
        buttons=buttons(delivery, rights, stale, missing=numbers.to_deliver > numbers.sent + numbers.hard),
        banners=_banners(delivery, rights, numbers),
        deployment=_block(delivery, numbers, stale, seen),
        summary=_summary(delivery),
        audience=_audience(delivery, sight),
        schedule=_schedule(delivery),
        content=_content(delivery),
        seen=word(form) if form else "",
    )


def _may_ask(delivery: Delivery) -> bool:
    """True if something on the page confirms the form that it shows."""
    return delivery.is_series or delivery.state not in CONFIRMED


def _block(delivery: Delivery, numbers: Counters, stale: Sequence[str], seen: Sequence[Sample]) -> Deployment | None:
    """What stands in the Deployment block; nothing before the first preparation."""
    if delivery.is_series:
        return series_block(delivery, numbers)
    if not delivery.preparation:
        return None
    # Only then may the page say that it is stopped: a worker that holds a batch may have messages in flight.
    in_flight = delivery.state == State.STOPPED and delivery.batches.filter(lease_until__isnull=False).exists()
    return deployment(delivery, numbers, stale=stale, seen=seen, in_flight=in_flight)


def _banners(delivery: Delivery, rights: Rights, numbers: Counters) -> tuple[Banner, ...]:
    shown = [*notes(delivery, rights), *_other_form(delivery), *_warnings(delivery), *_waiting_rules(delivery)]
    if numbers.in_doubt:
        text = _("%(n)s messages are in doubt: nobody knows whether the mail server took them. See the tab In doubt.")
        shown.append(Banner("warning", text % {"n": formats.exact(numbers.in_doubt)}))
    return tuple(shown)


def _other_form(delivery: Delivery) -> list[Banner]:
    """What differs from the form in which the series was switched on, and what becomes of it."""
    told = series_seal.changed(delivery) if delivery.state not in ENDED else ""
    if not told:
        return []
    if not delivery.is_series:
        return [Banner("warning", translated(told))]
    if not series_seal.is_on(delivery):
        return []
    waits = _(
        "Executions wait for a confirmation until somebody with “Start deliveries” continues the series with this form."
    )
    return [Banner("warning", f"{translated(told)} {waits}")]


def _waiting_rules(delivery: Delivery) -> list[Banner]:
    """A note on each fatigue rule that does not run, since the delivery has no contact date."""
    waiting = fatigue_rules.waiting(delivery) if delivery.state not in CONFIRMED else []
    text = _("Fatigue rules are not run without a contact date: %(rules)s. Set one in the schedule to have them run.")
    return [Banner("info", text % {"rules": ", ".join(map(str, waiting))})] if waiting else []


def _warnings(delivery: Delivery) -> list[Banner]:
    shown, routing = [], delivery.routing
    if delivery.state not in ENDED:
        if routing is None:
            shown.append(Banner("warning", _("No routing: there is no mail server that this delivery could use.")))
        elif not routing.enabled:
            text = _("The routing “%(routing)s” is disabled, so nothing will leave.")
            shown.append(Banner("warning", text % {"routing": routing.label}))
    if delivery.hindrance and delivery.state in SENDING | {State.START_PENDING}:
        since = formats.clock(delivery.hindered_since) if delivery.hindered_since else formats.NOTHING
        text = _("Held up since %(since)s: %(what)s It goes on by itself once that is over.")
        shown.append(Banner("error", text % {"since": since, "what": _sentence(delivery.hindrance)}))
    if delivery.held_since and delivery.state in SENDING:
        text = _(
            "The later waves are held back since %(since)s: %(share)s %% of what was tried bounced, more than "
            "%(limit)s %%. They leave once that is over, or when somebody lets them go."
        )
        blanks = {"since": formats.clock(delivery.held_since), "share": f"{wave_gates.bounced(delivery):.1f}"}
        shown.append(Banner("warning", text % (blanks | {"limit": f"{wave_gates.limit(delivery):g}"})))
    return shown


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _summary(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    """The panel at the left."""
    lines = [
        (_("ID"), delivery.code),
        (_("Label"), delivery.label),
        (_("Contact date"), formats.moment(delivery.contact_date, _zone(delivery)) if delivery.contact_date else ""),
        (_("Brand"), delivery.message.brand.label),
        (_("Routing"), delivery.routing.label if delivery.routing else ""),
        (_("Feedback service"), _feedback(delivery)),
        (_("Description"), delivery.message.description),
        *_people(delivery),
    ]
    return tuple((label, value) for label, value in lines if value)


def _feedback(delivery: Delivery) -> str:
    """Which of the two ways of counting holds: frozen at confirmation, until then the routing's."""
    on = delivery.feedback_service
    if delivery.state not in CONFIRMED:
        on = bool(delivery.routing and delivery.routing.feedback_service)
    return _("on: Sent means reported as delivered") if on else _("off: Sent means accepted by the mail server")


def _people(delivery: Delivery) -> list[tuple[str, str]]:
    """Who did what and when."""
    acts = (
        (_("Created"), delivery.created_at, name_of(delivery, "created_by")),
        (_("Prepared"), delivery.prepared_at, name_of(delivery, "prepared_by")),
        (_("Confirmed"), delivery.confirmed_at, name_of(delivery, "confirmed_by")),
    )
    said = _("%(when)s by %(who)s")
    return [
        (label, said % {"when": formats.clock(at), "who": who} if who else formats.clock(at))
        for label, at, who in acts
        if at
    ]


def _audience(delivery: Delivery, sight: Sight) -> tuple[tuple[str, str], ...]:
    audience = delivery.message.audience
    if audience is None:
        return ()
    group = typologies.control_group(delivery.message)
    held = ((_("Control group"), typologies.describe_group(group)),) if group else ()
    traps = delivery.message.traps.all()
    labels = ", ".join(str(MARK) if sight.hides_test(trap) else trap.label for trap in traps)
    trapped = ((_("Traps"), labels),) if labels else ()
    return ((_("Audience"), audience.label), (_("Target"), audiences.describe(audience)), *trapped, *held)


def _schedule(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    if delivery.is_series:
        return _recurrence(delivery)
    schedule = _schedule_of(delivery)
    lines = [(_("Start"), _start(delivery, schedule))]
    if schedule and not schedule.request_confirmation:
        lines.append((_("Confirmation"), _("none requested: it starts by itself once prepared")))
    if schedule and schedule.waves:
        every = formats.duration(schedule.wave_interval.total_seconds())
        lines.append(
            (
                _("Waves"),
                _("%(sizes)s, the rest last; every %(every)s")
                % {
                    "sizes": schedule.waves,
                    "every": every,
                },
            )
        )
        if schedule.wave_limit:
            lines.append((_("Held back"), _("while more than %s %% of what was tried bounced") % schedule.wave_limit))
    sent = delivery.state in CONFIRMED
    limit = delivery.validity_end or validity.sending_limit(
        delivery.message, validity.contact_date(delivery.message, timezone.now())
    )
    label = _("Valid until") if sent else _("Valid until, if confirmed now")
    return (*lines, (label, formats.moment(limit, _zone(delivery))))


def _start(delivery: Delivery, schedule: Schedule | None) -> str:
    if delivery.slot:
        return formats.moment(delivery.slot, _zone(delivery))
    if schedule is None or not schedule.is_dated:
        return _("immediately once confirmed")
    when = formats.moment(schedule.contact_date, schedule.time_zone)
    if schedule.mode == Schedule.Mode.RECIPIENT_ZONE:
        return _("%s, by each recipient's own clock") % when
    if schedule.mode == Schedule.Mode.FORMULA:
        formula = {"formula": schedule.formula, "date": when}
        return _("at each recipient's own date, %(formula)s; without one at %(date)s") % formula
    return when


def _recurrence(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    """How a series repeats."""
    recurrence = delivery.message.recurrence
    asked = _("requested for each execution") if recurrence.request_confirmation else _("none: executions start alone")
    lines = [
        (_("Frequency"), recurrence.get_frequency_display()),
        (_("Time zone"), recurrence.time_zone),
        (_("Until"), formats.moment(recurrence.until, recurrence.time_zone) if recurrence.until else ""),
        (_("Aggregation"), recurrence.get_aggregation_display()),
        (_("Confirmation"), asked),
        (_("Switched on by"), str(recurrence.owner) if recurrence.next_at and recurrence.owner else ""),
    ]
    return tuple((label, str(value)) for label, value in lines if value)


def _content(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    name, address = delivery.message.sender
    return ((_("From"), f"{name} <{address}>"), (_("Subject"), delivery.message.subject or _("no subject")))


def _schedule_of(delivery: Delivery) -> Schedule | None:
    return getattr(delivery.message, "schedule", None)


def _zone(delivery: Delivery) -> str:
    recurrence = getattr(delivery.message, "recurrence", None)
    schedule = recurrence or _schedule_of(delivery)
    return schedule.time_zone if schedule else ""
