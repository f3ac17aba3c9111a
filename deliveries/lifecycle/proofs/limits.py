"""How many mails of proofs may leave in 24 hours: of a message, whatever delivery of it they prove; and by a person.

The second is there because whoever prepares makes messages, and so deliveries, without end. What was sent is kept by
itself (ProofTally), so that deleting a delivery gives no new allowance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from campaigns.core import formats
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.models import Message
from deliveries.ledger.errors import Refused
from deliveries.models import Delivery
from deliveries.models.proofs import ProofTally

DAY = timedelta(hours=24)
_OF_MESSAGE = gettext_noop(
    "Proofs of one message have at most %(most)s mails in 24 hours, and %(left)s are left. Nothing was sent. Choose "
    "fewer, or send it after %(when)s."
)
_OF_PERSON = gettext_noop(
    "One person sends at most %(most)s mails of proofs in 24 hours, and you have %(left)s left. Nothing was sent. "
    "Choose fewer, or send it after %(when)s."
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """`most` mails in 24 hours, of which `sent` (each with its time, oldest first) are used; `words` for who asks for
    more."""

    most: int
    sent: tuple[tuple[datetime, int], ...]
    words: str

    @property
    def left(self) -> int:
        """How many more are possible now."""
        return max(0, self.most - self._used)

    @property
    def _used(self) -> int:
        return sum(mails for _at, mails in self.sent)

    def from_when(self, mails: int) -> datetime:
        """From when on `mails` more are possible; of more than the most, from when on that many."""
        missing = min(mails, self.most) + self._used - self.most
        for at, used in self.sent:
            missing -= used
            if missing <= 0:
                return at + DAY
        return timezone.now()


def allowances(delivery: Delivery, by: Person) -> tuple[Allowance, Allowance]:
    """What the message and the person may still send."""
    return (
        Allowance(settings.PROOFS_PER_DAY, _sent(message=delivery.message_id), _OF_MESSAGE),
        Allowance(settings.PROOFS_PER_PERSON, _sent(sender=by.pk), _OF_PERSON),
    )


def left(delivery: Delivery, by: Person) -> int:
    """How many mails `by` may send now; for pages, never instead of `take`."""
    return min(allowance.left for allowance in allowances(delivery, by))


def take(delivery: Delivery, by: Person, mails: int) -> None:
    """Count `mails` more, in the caller's transaction, which it holds alone for message and person until its end.

    Raises Refused('proof_limit', left=…, again_at=…).
    """
    Message.objects.select_for_update().only("pk").get(pk=delivery.message_id)
    get_user_model()._default_manager.select_for_update(no_key=True).only("pk").get(pk=by.pk)
    for allowance in allowances(delivery, by):
        if mails > allowance.left:
            raise _refusal(allowance, mails)
    ProofTally.objects.create(sender=by.pk, message=delivery.message_id, mails=mails)


def _refusal(allowance: Allowance, mails: int) -> Refused:
    when = allowance.from_when(mails)
    words = _(allowance.words, most=allowance.most, left=allowance.left, when=formats.moment(when))
    return Refused("proof_limit", words, left=allowance.left, again_at=when.isoformat())


def _sent(**whose: Any) -> tuple[tuple[datetime, int], ...]:
    rows: QuerySet[ProofTally] = ProofTally.objects.filter(sent_at__gt=timezone.now() - DAY, **whose)
    return tuple(rows.order_by("sent_at").values_list("sent_at", "mails"))


def clean_up() -> int:
    """Forget what counts no more. Out: how many rows."""
    return ProofTally.objects.filter(sent_at__lte=timezone.now() - 2 * DAY).delete()[0]
