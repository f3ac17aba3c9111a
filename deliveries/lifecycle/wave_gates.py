"""Gates before later waves: each opens at its time, unless too much of the earlier waves bounced (concepts.md, When it
leaves).

The limit is the schedule's, apart from the circuit breaker's: what is in flight goes on, nothing is paused. Held waves
leave as soon as the share falls back, say because retries get through, or when somebody with the role lets them go.
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Sum
from django.db.models.functions import Now

from campaigns.accounts import permissions, staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.core import queue
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.models import Schedule
from deliveries.feedback import circuit_breaker
from deliveries.ledger.audit import audited
from deliveries.ledger.events import log_event
from deliveries.models import Batch, Delivery, DeliveryEvent
from deliveries.models.states import SENDING

from .commands import Refused, ask

RELEASED = "waves_released"


def open_gates() -> None:
    """Open every gate whose time has come and that nothing keeps shut."""
    waiting = Batch.objects.filter(delivery=OuterRef("pk"), gated=True, next_due_at__lte=Now())
    found = Delivery.objects.filter(Exists(waiting), state__in=SENDING)
    for delivery in found.select_related("message__schedule", "confirmed_by"):
        _decide(delivery)


def bounced(delivery: Delivery) -> float:
    """Percent of what was tried so far that bounced; 0 before anything was."""
    sums = Batch.objects.filter(delivery=delivery).aggregate(
        **{name: Sum(name, default=0) for name in ("sent", "failed", "hard", "soft")}
    )
    tried = sums["sent"] + sums["failed"]
    return float(100 * (sums["hard"] + sums["soft"]) / tried) if tried else 0.0


def limit(delivery: Delivery) -> float:
    """The share in percent above which later waves wait: that of the schedule as it was prepared, or more once somebody
    has let them go."""
    own = delivery.content.get("wave_limit")
    if own is None:  # prepared before an upgrade
        schedule: Schedule | None = getattr(delivery.message, "schedule", None)
        own = schedule.wave_limit if schedule else 0
    said = delivery.events.filter(code=RELEASED).order_by("-pk").values_list("details", flat=True).first()
    return float(max(own, circuit_breaker.WORSE * said["share"])) if said else float(own)


def _decide(delivery: Delivery) -> None:
    share, most = bounced(delivery), limit(delivery)
    if most and share > most:
        _hold(delivery, share, most)
        return
    with transaction.atomic():
        if Delivery.objects.filter(pk=delivery.pk, held_since__isnull=False).update(held_since=None):
            words = _("Later waves leave again: only %(share)s %% bounced by now.", share=f"{share:.1f}")
            log_event(delivery, "waves_resumed", words, share=share)
        _open(delivery)


def _hold(delivery: Delivery, share: float, most: float) -> None:
    words = _(
        "Later waves are held back: %(share)s %% of the earlier ones bounced, more than %(limit)s %%. Let them go, or "
        "stop the sending.",
        share=f"{share:.1f}",
        limit=f"{most:g}",
    )
    with transaction.atomic():
        if not Delivery.objects.filter(pk=delivery.pk, held_since=None).update(held_since=Now()):
            return
        log_event(delivery, "waves_held", words, severity=DeliveryEvent.Severity.WARNING, share=share, limit=most)
        transaction.on_commit(lambda: _tell(delivery, words))


def _tell(delivery: Delivery, words: str) -> None:
    people = [delivery.confirmed_by] if delivery.confirmed_by else []
    subject = _("Later waves of %(delivery)s are held back", delivery=delivery)
    staff_mail.tell(Notice.BREAKER, people, subject, words, f"{settings.PUBLIC_URL}{delivery.get_absolute_url()}")


def _open(delivery: Delivery) -> None:
    Batch.objects.filter(delivery=delivery, gated=True, next_due_at__lte=Now()).update(gated=False)
    queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery.pk)


@audited("release_waves")
def release_waves(delivery: Delivery, by: Person) -> None:
    """Let held waves go; later ones are held again only once half as much more bounces.

    Raises PermissionDenied, Refused('not_held').
    """
    ask(permissions.require_start, delivery, by, "let the later waves go of")
    share = bounced(delivery)
    with transaction.atomic():
        held = Delivery.objects.filter(pk=delivery.pk, held_since__isnull=False)
        if not held.update(held_since=None):
            raise Refused("not_held", _("No waves of %(delivery)s are held back.", delivery=delivery))
        words = _("Later waves let go by %(by)s, though %(share)s %% bounced.", by=str(by), share=f"{share:.1f}")
        log_event(delivery, RELEASED, words, user=by, share=share)
        _open(delivery)
    delivery.refresh_from_db()
