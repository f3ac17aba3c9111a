"""How many people an execution of a series would reach that the one before did not.

Members of lists and values of profiles are data (concepts.md, What starts without being asked): who prepares may
change them while a series runs that asks nobody. So the log of each execution tells how many came by that, before
anything leaves.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef

from campaigns.core.kept_text import keep as _
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import LogStatus


def count(execution: Delivery) -> int | None:
    """How many of its addresses the newest confirmed execution before it did not have; None if there is none."""
    earlier = Delivery.objects.filter(parent=execution.parent_id, slot__lt=execution.slot, confirmed_at__isnull=False)
    before = earlier.order_by("-slot").values_list("pk", flat=True).first()
    if before is None:
        return None
    had = SendingLog.objects.filter(delivery=before, address=OuterRef("address"))
    mine = SendingLog.objects.filter(delivery=execution.pk, status=LogStatus.PENDING)
    return mine.filter(~Exists(had)).count()


def tell(execution: Delivery) -> None:
    """A line in the execution's log; nothing for what is no execution, or the first."""
    if execution.parent_id is None or (number := count(execution)) is None:
        return
    words = _("%(number)s of them were not in the execution before.", number=number)
    log_event(execution, "newcomers", words, number=number)
