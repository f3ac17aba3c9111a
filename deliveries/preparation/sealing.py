"""What is sealed: reads the parts of a message that the fingerprint covers, as they stand now.

Three seals, each with all of the one before: of the message alone; the *fingerprint* of what a delivery sends, with its
routing; and the *form*, with what stands around it, which a holder of Start deliveries confirms in advance where nobody
is asked (unasked.py).
"""

from __future__ import annotations

from campaigns.content.fingerprint import Seal, changed_parts, seal
from campaigns.messages import tracking_options, typologies
from campaigns.models import Campaign, Message, Schedule
from deliveries.models import Delivery, Routing

_SCHEDULE = ("mode", "request_confirmation", "waves", "wave_interval", "wave_limit")
_DATED = ("contact_date", "time_zone", "formula")
_RECURRENCE = (
    "frequency",
    "at",
    "weekdays",
    "month_day",
    "cron",
    "time_zone",
    "until",
    "aggregation",
    "request_confirmation",
)
_VALIDITY = ("delivery_duration", "validity_end")
# Of a routing what decides who gets the letters to carry, and where their bounces go; not how fast or how often.
_WAY = ("host", "port", "security", "verify_certificate", "username", "return_domain")
MAIL_SERVER = "mail server"
_AROUND = (MAIL_SERVER, "approval")
# What is read of a delivery, for select_related; and for prefetch_related.
READ = (
    "routing",
    *(
        f"message__{name}"
        for name in (
            "campaign__unit",
            "brand",
            "audience",
            "schedule",
            "recurrence",
            "tracking",
            "typology",
            "control_group",
        )
    ),
)
READ_LISTS = ("message__traps",)


def sealed_parts(message: Message) -> dict[str, object]:
    """{part, in words for people: its value now}. The audience is sealed by its definition, not by its people."""
    audience, brand, schedule = message.audience, message.brand, getattr(message, "schedule", None)
    recurrence = getattr(message, "recurrence", None)
    return {
        "subject": message.subject,
        "HTML": message.html,
        "text": message.text,
        "sender": [*message.sender, message.reply_to or brand.reply_to],
        "brand": [brand.pk, brand.sender_domains, brand.website],
        "audience": audience and [audience.pk, audience.kind, audience.conditions],
        "campaign": message.campaign_id,
        # Whose profiles an audience finds; the path, since a unit that moves in the tree is in reach of others.
        "organisational unit": message.campaign.unit.path,
        "schedule": [_schedule(schedule), recurrence and [str(getattr(recurrence, name)) for name in _RECURRENCE]],
        "validity": [str(getattr(schedule, name)) for name in _VALIDITY] if schedule else None,
        "tracking": tracking_options.sealed(message),
        "traps": sorted([trap.pk, trap.email] for trap in message.traps.all()),
        **typologies.sealed(message),
    }


def _schedule(schedule: Schedule | None) -> list[str] | None:
    """No schedule row and an immediate one that asks for confirmation say the same."""
    if schedule is None or not (schedule.is_dated or schedule.waves or not schedule.request_confirmation):
        return None
    return [str(getattr(schedule, name)) for name in _SCHEDULE + (_DATED if schedule.is_dated else ())]


def current_seal(message: Message) -> Seal:
    """The fingerprint of the message as it stands now; the rows of READ are read if they are not loaded."""
    return seal(sealed_parts(message))


def routing_of(delivery: Delivery) -> Routing | None:
    """The mail server that takes its letters: its own, else the default one."""
    return delivery.routing or Routing.objects.filter(is_default=True, enabled=True).first()


def fingerprint(delivery: Delivery, message: Message) -> Seal:
    """The seal of what `delivery` would send if it were prepared now. In: its message as it stands."""
    return {**current_seal(message), **_routing(delivery)}


def form(delivery: Delivery, message: Message) -> Seal:
    """The fingerprint, with what stands around it: what is confirmed where nobody is asked later."""
    return {**fingerprint(delivery, message), **around(delivery, message.campaign)}


def prepared_form(delivery: Delivery) -> Seal:
    """The form of what was prepared; what stands around it is as it is now."""
    return {**_unknown(delivery), **delivery.fingerprint, **around(delivery, delivery.campaign)}


def around(delivery: Delivery, campaign: Campaign) -> Seal:
    """The parts of a form that take effect at once, prepared or not: the way to the mail server, and how many people
    the campaign wants for a send."""
    routing = routing_of(delivery)
    way = routing and [getattr(routing, name) for name in _WAY]
    values = way, [campaign.four_eyes, campaign.needs_approval]
    return seal(dict(zip(_AROUND, values, strict=True)))


def changed_since_prepared(delivery: Delivery, now: Seal | None = None) -> list[str]:
    """The sealed parts that differ from what was prepared, in words for people; empty when Confirm may be offered.

    In: the form of now, where the caller has it already.
    """
    prepared = {**_unknown(delivery), **delivery.fingerprint} if delivery.fingerprint else {}
    if now is None:
        return changed_parts(prepared, fingerprint(delivery, delivery.message))
    return changed_parts(prepared, {part: digest for part, digest in now.items() if part not in _AROUND})


def _routing(delivery: Delivery) -> Seal:
    routing = routing_of(delivery)
    return seal({"routing": routing and routing.pk})


def _unknown(delivery: Delivery) -> Seal:
    """What was not sealed yet when it was prepared, before an upgrade: as it is now."""
    return {} if "routing" in delivery.fingerprint else _routing(delivery)
