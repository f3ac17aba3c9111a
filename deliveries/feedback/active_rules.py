"""The qualification rules in force: those that administrators keep, or the built-in list while they keep none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic

from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from campaigns.audit import trail
from deliveries.mail.qualification.engine import (
    DEFAULT_RULES,
    REASONS,
    InvalidRule,
    Qualification,
    Rule,
    check,
    ordered,
    qualify,
)
from deliveries.models.feedback import FeedbackEvent, QualificationRule
from deliveries.models.states import FailureType

from . import quarantine

logger = logging.getLogger("deliveries.feedback.active_rules")

REMEMBERED = 10.0  # seconds that a process goes on with the rules it has read
CHUNK = 500
TYPES = {"soft": FailureType.SOFT, "hard": FailureType.HARD, "ignored": FailureType.IGNORED}
_ABOUT_ADDRESSES = (FeedbackEvent.Kind.BOUNCE, FeedbackEvent.Kind.DELAYED)

_remembered: tuple[float, Sequence[Rule]] = (0.0, DEFAULT_RULES)


def rules() -> Sequence[Rule]:
    """The rules in force, in their order; a rule that cannot be applied is left out and logged.

    While the database cannot be asked, those that were read last.
    """
    global _remembered
    until, known = _remembered
    if monotonic() >= until:
        try:
            kept = [row.rule for row in QualificationRule.objects.filter(enabled=True)]
        except DatabaseError:
            return known
        known = ordered(_valid(kept)) or DEFAULT_RULES
        _remembered = (monotonic() + REMEMBERED, known)
    return known


def known() -> Sequence[Rule]:
    """The rules as this process read them last; asks nobody."""
    return _remembered[1]


def renew() -> None:
    """Read the rules again when they are next needed: somebody has changed them."""
    global _remembered
    _remembered = (0.0, DEFAULT_RULES)


def _valid(found: Sequence[Rule]) -> list[Rule]:
    usable = []
    for rule in found:
        try:
            check(rule)
            usable.append(rule)
        except InvalidRule as error:
            logger.error("a qualification rule is left out: %s", error)
    return usable


def copy_defaults() -> int:
    """Make the built-in rules editable, if no rule is kept yet. Out: how many were written."""
    if QualificationRule.objects.exists():
        return 0
    kept = QualificationRule.objects.bulk_create(
        QualificationRule(
            order=rule.order,
            name=rule.name,
            pattern=rule.pattern,
            code=rule.code,
            status=rule.status,
            stage=rule.stage,
            type=rule.type,
            reason=rule.reason,
            detail=rule.detail,
        )
        for rule in DEFAULT_RULES
    )
    renew()
    return len(kept)


def requalify(events: QuerySet[FeedbackEvent]) -> int:
    """Apply the rules in force to bounces that were kept before. Out: how many verdicts changed.

    Their addresses' standings follow, except where a person has decided. Sending logs keep the status that they have:
    figures that were reported do not change because a rule did.
    """
    changed = 0
    ids = list(events.filter(kind__in=_ABOUT_ADDRESSES).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), CHUNK):
        changed += _requalify(ids[start : start + CHUNK])
    trail.record("feedback.requalified", number=len(ids), verdicts=changed)
    return changed


def _requalify(ids: list[int]) -> int:
    with transaction.atomic():
        rows = list(FeedbackEvent.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
        different = [row for row in rows if _renewed(row)]
        for row in different:
            row.save(update_fields=["type", "reason", "detail", "rule"])
        quarantine.review({row.address for row in different if row.log_id and row.counts})
    return len(different)


def _renewed(row: FeedbackEvent) -> bool:
    """Judge the row anew; True if the verdict differs."""
    found = verdict(row)
    new = (TYPES[found.type], REASONS[found.reason], found.detail, found.rule)
    old = (row.type, row.reason, row.detail, row.rule)
    row.type, row.reason, row.detail, row.rule = new
    return new != old


def verdict(row: FeedbackEvent) -> Qualification:
    """What the rules in force say of an event."""
    final = row.kind == FeedbackEvent.Kind.BOUNCE
    return qualify(row.code, row.status, row.text, rules(), stage=row.stage, final=final)
