"""A confirmed delivery goes by the mail server that was confirmed: another one is told, and waits for a Resume.

An administrator may point a routing elsewhere at any time, and it takes effect at once (sealing.around). What is under
way then pauses itself: whoever holds Start deliveries reads where it would go now, and decides.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from campaigns.accounts import staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.core.kept_text import keep as _
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, DeliveryEvent
from deliveries.models.states import Act, advance
from deliveries.preparation import sealing

CODE = "rerouted"
_TOLD = "mail server, as told"  # beside the parts of the seal: the one that Resume takes


def confirmed(delivery: Delivery) -> dict[str, Any]:
    """The fields of a delivery that is confirmed now: what stands around it is what was seen."""
    return {"around": sealing.around(delivery, delivery.campaign)}


def differing(delivery: Delivery) -> list[str]:
    """What stands around it otherwise than when it was confirmed, in words for people; nothing where that is not known:
    it was confirmed before an upgrade, or is a proof."""
    now = sealing.around(delivery, delivery.campaign)
    return [part for part in now if delivery.around.get(part, now[part]) != now[part]]


def halts(delivery: Delivery) -> bool:
    """Pause a running delivery whose mail server is another than the confirmed one. Out: True if it must not send.

    In: the delivery with its routing, as the sender is about to use it.
    """
    if sealing.MAIL_SERVER not in differing(delivery):
        return False
    one = Delivery.objects.filter(pk=delivery.pk)
    told = {**delivery.around, _TOLD: sealing.around(delivery, delivery.campaign)[sealing.MAIL_SERVER]}
    words = _(
        "Paused: its mail server is not the one that was confirmed, but now %(server)s (%(security)s). "
        "Resume sends the rest by it; stop ends the sending.",
        **_where(delivery),
    )
    with transaction.atomic():
        if advance(one, Act.PAUSE, around=told):
            log_event(delivery, CODE, words, severity=DeliveryEvent.Severity.ERROR)
            transaction.on_commit(lambda: _tell(delivery, words))
    return True


def resumed(delivery: Delivery) -> dict[str, Any]:
    """The fields of a delivery that somebody resumes: by the mail server of which its log told last, unless it is the
    confirmed one again."""
    held = dict(delivery.around)
    told = held.pop(_TOLD, "")
    if told and sealing.MAIL_SERVER in differing(delivery):
        held[sealing.MAIL_SERVER] = told
    return {"around": held}


def _where(delivery: Delivery) -> dict[str, str]:
    routing = delivery.routing
    if routing is None:
        return {"server": "-", "security": "-"}
    return {"server": f"{routing.host}:{routing.port}", "security": str(routing.get_security_display())}


def _tell(delivery: Delivery, words: str) -> None:
    people = [delivery.confirmed_by] if delivery.confirmed_by else []
    link = f"{settings.PUBLIC_URL}{delivery.get_absolute_url()}"
    staff_mail.tell(Notice.BREAKER, people, _("%(delivery)s was paused", delivery=delivery), words, link)
