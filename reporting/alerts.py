"""Looks at the deliveries every ten minutes and mails each enabled dashboard's group what meets its criteria."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language, override

from campaigns import notices
from campaigns.notices import Notice
from deliveries import outbox
from deliveries.counters import counters_of
from deliveries.models import Delivery

from . import criteria
from .alert_mail import Found, letter
from .alert_models import Alert, AlertCriterion, AlertDashboard, AlertOccurrence
from .criteria import Facts, Limits

logger = logging.getLogger("reporting.alerts")


def look() -> int:
    """One round over all enabled dashboards; then whatever is written but not sent. Out: mails sent."""
    now = timezone.now()
    for dashboard in AlertDashboard.objects.filter(enabled=True).prefetch_related("criteria"):
        _look(dashboard, now)
    Alert.objects.filter(at__lt=now - timedelta(days=settings.KEEP_ALERTS_DAYS)).delete()
    AlertOccurrence.objects.filter(day__lt=now.date() - timedelta(days=settings.KEEP_ALERTS_DAYS)).delete()
    return sum(_send(alert) for alert in Alert.objects.filter(sent_at=None).select_related("dashboard"))


def _look(dashboard: AlertDashboard, now: datetime) -> None:
    limits = Limits(**{f.name: getattr(dashboard, f.name) for f in fields(Limits)})
    facts = facts_of(_near(now, limits.window_hours))
    with transaction.atomic():
        found: Found = []
        for criterion in dashboard.criteria.all():
            met = [d for d, known in facts if _meets(criterion, d, known, limits, now)]
            told = [delivery for delivery in met if _new(criterion, delivery, now)]
            if told:
                found.append((criterion, told))
        if found:
            known = {delivery.pk: fact for delivery, fact in facts}
            letters = {}
            for language, _name in settings.LANGUAGES:
                with override(language):
                    letters[language] = letter(dashboard.label, found, known, now)
            plain = letters[settings.LANGUAGE_CODE]
            Alert.objects.create(dashboard=dashboard, subject=plain.subject[:255], text=plain.text, letters=letters)
            outbox.write_alert(plain.subject, plain.text, [delivery.pk for _, told in found for delivery in told])


def _near(now: datetime, hours: int) -> Iterable[Delivery]:
    window = (now - timedelta(hours=hours), now + timedelta(hours=hours))
    failed = Q(state=criteria.PREPARATION_FAILED, preparation_at__range=window)
    near = Delivery.objects.filter(failed | Q(contact_date__range=window))
    return near.defer("content", "fingerprint").order_by("pk")


def facts_of(deliveries: Iterable[Delivery]) -> list[tuple[Delivery, Facts]]:
    """Each delivery with what the criteria ask; counters are read in one query."""
    rows = list(deliveries)
    numbers = counters_of(rows)
    return [
        (
            d,
            Facts(
                d.state, numbers[d.pk], d.contact_date, d.preparation_at or d.created_at, d.started_at, d.finished_at
            ),
        )
        for d in rows
    ]


def _meets(criterion: AlertCriterion, delivery: Delivery, facts: Facts, limits: Limits, now: datetime) -> bool:
    wanted = criterion.label_contains.lower()
    if criterion.campaign_id and criterion.campaign_id != delivery.campaign_id:
        return False
    return wanted in delivery.label.lower() and criteria.meets(criterion.kind, facts, limits, now)


def _new(criterion: AlertCriterion, delivery: Delivery, now: datetime) -> bool:
    """True if it is to be told: always, or the first time on this day."""
    if not criterion.once_a_day:
        return True
    day = timezone.localtime(now).date()
    return AlertOccurrence.objects.get_or_create(criterion=criterion, delivery=delivery, day=day)[1]


def _send(alert: Alert) -> int:
    people = alert.dashboard.group.user_set.filter(is_active=True)
    kept = (alert.subject, alert.text)
    sent = notices.tell_each(
        Notice.ALERT, people, lambda: notices.Letter(*alert.letters.get(str(get_language()), kept))
    )
    if not sent:
        logger.error("nobody got the alert “%s”: no address, nobody who wants it, or no mail server", alert.subject)
        if timezone.now() - alert.at < timedelta(hours=1):
            return 0  # tried again with the next look
    Alert.objects.filter(pk=alert.pk).update(sent_at=timezone.now(), recipients=sent)
    return sent
