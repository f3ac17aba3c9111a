"""The circuit breaker: pauses a delivery whose hard bounces or complaints pass its routing's threshold.

Whoever confirmed the send is told by mail, and decides: Resume goes on (the breaker stays quiet for that delivery
until the share has grown by half again), Stop ends it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext_noop

from campaigns.accounts import staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.core.kept_text import keep
from campaigns.core.kept_text import keep as _
from deliveries.ledger.events import log_event
from deliveries.models import Batch, Delivery, DeliveryEvent
from deliveries.models.routing import Routing
from deliveries.models.states import RUNNING, Act, advance

CODE = "breaker"
_PAUSED = {
    "hard bounces": gettext_noop(
        "Paused by the circuit breaker: %(share)s %% hard bounces, more than the routing's limit of %(limit)s %%."
    ),
    "complaints": gettext_noop(
        "Paused by the circuit breaker: %(share)s %% complaints, more than the routing's limit of %(limit)s %%."
    ),
}
WORSE = 1.5  # after somebody resumed: how much worse it must get before the breaker pauses again


def check(delivery_id: int) -> bool:
    """Pause the delivery if too much comes back. Out: True if it was paused now. Never raises over a mail not sent."""
    delivery = Delivery.objects.select_related("routing").filter(pk=delivery_id, state__in=RUNNING).first()
    if delivery is None or delivery.routing is None:
        return False
    found = _excess(delivery, delivery.routing)
    if found is None:
        return False
    what, share, limit = found
    text = _PAUSED[what]
    words = keep(text, share=f"{share:.2f}", limit=f"{limit:g}")
    with transaction.atomic():
        if not advance(Delivery.objects.filter(pk=delivery_id), Act.PAUSE):
            return False
        log_event(delivery_id, CODE, words, severity=DeliveryEvent.Severity.ERROR, what=what, share=share, limit=limit)
        transaction.on_commit(lambda: _tell(delivery, words))
    return True


def _excess(delivery: Delivery, routing: Routing) -> tuple[str, float, float] | None:
    """(what, its share in percent, the limit) if a limit is passed."""
    sums = Batch.objects.filter(delivery=delivery).aggregate(
        **{name: Sum(name) for name in ("sent", "failed", "hard", "complaints")}
    )
    processed = (sums["sent"] or 0) + (sums["failed"] or 0)
    if processed < max(1, routing.breaker_minimum):
        return None
    known = {what: float(share) for what, share in _before(delivery)}
    kinds = (
        ("hard bounces", sums["hard"], routing.breaker_hard),
        ("complaints", sums["complaints"], routing.breaker_complaints),
    )
    for what, number, limit in kinds:
        share = 100 * (number or 0) / processed
        if limit and share > max(limit, WORSE * known.get(what, 0.0)):
            return what, share, limit
    return None


def _before(delivery: Delivery) -> list[tuple[str, float]]:
    """What the breaker said of this delivery earlier, oldest first."""
    events = delivery.events.filter(code=CODE).order_by("pk").values_list("details", flat=True)
    return [(details["what"], details["share"]) for details in events]


def _tell(delivery: Delivery, words: str) -> None:
    people = [delivery.confirmed_by] if delivery.confirmed_by else []
    link = _("Resume or stop it here: %(link)s", link=f"{settings.PUBLIC_URL}{delivery.get_absolute_url()}")
    staff_mail.tell(Notice.BREAKER, people, _("%(delivery)s was paused", delivery=delivery), words, link)
