"""Rows in doubt: somebody with Start deliveries decides what the journal could not tell (howto/in-doubt.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Literal

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_noop

from campaigns.accounts import permissions
from campaigns.core import queue
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from deliveries.ledger import statuses
from deliveries.ledger.audit import audited
from deliveries.ledger.change import Change
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import RUNNING, Act, LogMove, LogStatus, State, advance

from .commands import Refused, ask

CHUNK = 500
Decision = Literal["resend", "sent"]
_MOVES: dict[str, LogMove] = {"resend": LogMove.SETTLE_RESEND, "sent": LogMove.SETTLE_SENT}
_PAST = {
    "resend": gettext_noop("%(number)s messages in doubt will be sent again, decided %(by)s."),
    "sent": gettext_noop("%(number)s messages in doubt count as sent, decided %(by)s."),
}


@audited("settle")
def resolve_in_doubt(
    delivery: Delivery, by: Person, *, decision: Decision, log_ids: Collection[int] | None = None
) -> int:
    """Settle rows in doubt: "sent" counts them as sent, "resend" sends them again with the same Message-ID.

    In: ids of sending logs, or None for all of the delivery's; those no longer in doubt are left alone. Out: how many
    were settled. Raises PermissionDenied; Refused('nothing_in_doubt'), and for "resend" Refused('not_running') when the
    delivery was stopped or its validity is over. A finished delivery is In progress again.
    """
    ask(permissions.require_start, delivery, by, "settle the messages in doubt of")
    move = _MOVES[decision]
    rows = SendingLog.objects.filter(delivery=delivery, status=LogStatus.IN_DOUBT)
    if log_ids is not None:
        rows = rows.filter(pk__in=log_ids)
    with transaction.atomic():
        if not rows.exists():
            raise Refused("nothing_in_doubt", _("None of these messages is in doubt."))
        if decision == "resend":
            _reopen(delivery)
        words = f"Counted as sent by {by}." if decision == "sent" else ""
        number = _settle(rows.values_list("pk", "attempts", "batch_id"), move, words)
        log_event(
            delivery,
            "doubt_settled",
            _(_PAST[decision], number=number, by=by),
            user=by,
            number=number,
            decision=decision,
        )
    if decision == "resend":
        queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery.pk)
    delivery.refresh_from_db()
    return number


def send_again(delivery: Delivery, rows: Collection[tuple[int, int, int]]) -> int:
    """Make rows in doubt due again that are proved not to have left, if the delivery may still send. Out: how many.

    In: (sending log id, attempts, batch id).
    """
    with transaction.atomic():
        try:
            _reopen(delivery)
        except Refused:
            return 0
        number = _settle(rows, LogMove.SETTLE_RESEND)
    queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery.pk)
    return number


def _settle(rows: Any, move: LogMove, words: str = "") -> int:
    due_at = timezone.now() if move is LogMove.SETTLE_RESEND else None
    changes = defaultdict(list)
    for log_id, attempts, batch_id in rows:
        changes[batch_id].append(Change(log_id, move, attempts, reply=words, due_at=due_at))
    number = 0
    for batch_id, of_batch in sorted(changes.items()):
        for start in range(0, len(of_batch), CHUNK):
            number += statuses.settle(batch_id, of_batch[start : start + CHUNK])
    return number


def _reopen(delivery: Delivery) -> None:
    """Let the delivery send again. Raises Refused if it was stopped or may not send any more."""
    valid = Delivery.objects.filter(pk=delivery.pk, validity_end__gt=Now())
    if advance(valid, Act.REOPEN, finished_at=None):
        log_event(delivery, "reopened", _("In progress again, to send messages that were in doubt."))
        return
    if not valid.filter(state__in=[*RUNNING, State.PAUSED]).exists():
        words = _("Nothing can be sent again: the delivery was stopped, or its validity is over. Count them as sent.")
        raise Refused("not_running", words)
