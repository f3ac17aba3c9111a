"""Deleting a delivery by hand: one of which nothing has left, or one that has ended (concepts.md, When it leaves).

What an ended one counted stays in the figures of its series. Executions aggregated by month or year are never deleted.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any

from django.db import transaction
from django.db.models import CASCADE, QuerySet
from django.utils import timezone

from campaigns.accounts import permissions
from campaigns.audit import trail
from campaigns.core.actors import Actor, Person
from campaigns.core.kept_text import keep as _
from campaigns.models.schedule import Recurrence
from deliveries.ledger.audit import audited, seen
from deliveries.ledger.counters import series_figures
from deliveries.models import Delivery
from deliveries.models.states import EDITABLE, ENDED, Act, State, advance
from deliveries.preparation import prepare

from .commands import Refused

logger = logging.getLogger("deliveries.lifecycle.deletion")

DELETED_AT_ONCE = 5000
NEVER_DELETED = re.compile(r"\d{4}(-\d\d)?")  # periods that are months or years


def may_delete(delivery: Delivery, by: Actor) -> bool:
    """True if `delete` would do it now."""
    return not why_not(delivery) and permissions.may_prepare(by, delivery.campaign)


@audited("delete")
def delete(delivery: Delivery, by: Person) -> None:
    """Delete it with all its logs; its message stays. Raises PermissionDenied, Refused('not_deletable')."""
    permissions.require_prepare(by, delivery.campaign)
    if why := why_not(delivery):
        raise Refused("not_deletable", why)
    one = Delivery.objects.filter(pk=delivery.pk)
    with transaction.atomic():
        if advance(one, Act.DISCARD):
            prepare.void(delivery.pk)
    if delivery.state in ENDED:
        _empty(one, by)
    else:
        prepare.clear(delivery.pk)  # some rows at a time: the rest would cascade in one statement
    with transaction.atomic():
        found = one.select_for_update().filter(state__in=ENDED | {State.EDITING}).first()
        if found is None:
            raise Refused("not_deletable", _("%(delivery)s is in use again.", delivery=delivery))
        code = found.code
        if found.state not in ENDED:
            trail.record("delivery.deleted", by=by, subject=found, before=seen(found))
        found.delete()
    logger.info("%s was deleted by %s", code, by)


def _empty(one: QuerySet[Delivery], by: Person) -> None:
    """Take what an ended delivery counted out of it, then its logs, some rows at a time.

    Without batches nothing can send it again, so whoever comes meanwhile finds nothing to do; and a kill leaves an
    empty delivery that can be deleted again.
    """
    with transaction.atomic():
        found = one.select_for_update(of=("self",)).filter(state__in=ENDED).select_related("parent").first()
        if found is None or found.batches.filter(lease_until__isnull=False).exists():
            raise Refused("not_deletable", _("A worker still has some of its messages; try again in a minute."))
        trail.record("delivery.deleted", by=by, subject=found, before=seen(found))
        keep_figures(found)
        one.update(to_deliver=0, targeted=0, excluded=0, opens=0, clicks=0)
        found.batches.all().delete()
    for relation in Delivery._meta.related_objects:
        model, name = relation.related_model, relation.field.name
        if relation.on_delete is CASCADE and not any(
            getattr(r.field, "db_constraint", True) for r in model._meta.related_objects
        ):
            _remove(model._base_manager.filter(**{name: found.pk}))


def _remove(rows: QuerySet[Any]) -> None:
    last = 0
    while rows.exists():
        ids = list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:DELETED_AT_ONCE])
        if not ids:  # what came meanwhile
            last = 0
            continue
        rows.model._base_manager.filter(pk__in=ids)._raw_delete(using=rows.db)
        last = ids[-1]


def keep_figures(execution: Delivery) -> None:
    """Add what an execution counted to what its series keeps, before it is deleted; in the caller's transaction."""
    if execution.parent_id is None or not execution.confirmed_at:
        return
    series = Delivery.objects.select_for_update().get(pk=execution.parent_id)
    kept = Counter(series.kept_figures) + Counter(series_figures(Delivery.objects.filter(pk=execution.pk)))
    Delivery.objects.filter(pk=series.pk).update(kept_figures=dict(kept))


def _goes_on(execution: Delivery) -> bool:
    """True while the next run of its series would be added to it."""
    recurrence = Recurrence.objects.filter(message=execution.message_id, next_at__isnull=False).first()
    if recurrence is None or not execution.period:
        return False
    return recurrence.period(recurrence.next_at or timezone.now()) == execution.period


def why_not(delivery: Delivery) -> str:
    """Why it cannot be deleted, as a sentence; empty if it can."""
    one = {"delivery": delivery}
    if delivery.state not in EDITABLE | ENDED:
        return _("%(delivery)s cannot be deleted: it is “%(state)s”.", state=delivery.get_state_display(), **one)
    if NEVER_DELETED.fullmatch(delivery.period):
        return _(
            "%(delivery)s cannot be deleted: executions aggregated by month or year stay, with their figures.", **one
        )
    if delivery.confirmed_at and _goes_on(delivery):
        return _(
            "%(delivery)s cannot be deleted while runs can be added to it: the next one would send to everybody anew.",
            **one,
        )
    if delivery.executions.exists():
        return _("%(delivery)s cannot be deleted: it is a series with executions.", **one)
    if delivery.is_series and delivery.message.recurrence.next_at:
        return _("%(delivery)s cannot be deleted while the series is on.", **one)
    return ""
