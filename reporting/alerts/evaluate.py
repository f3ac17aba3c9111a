"""Looks at the deliveries every ten minutes and mails each enabled dashboard's group what meets its criteria.

A dashboard watches what lies at and below its unit. Each member's own rights are asked when the mail is written:
whoever may not read a delivery is not told of it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language, override

from campaigns.accounts import permissions, staff_mail, units
from campaigns.accounts.staff_mail import Notice
from campaigns.core.actors import Person
from campaigns.models.units import ROOT, OrganizationalUnit
from deliveries.ledger import webhooks
from deliveries.ledger.counters import counters_of
from deliveries.models import Delivery
from reporting.models import alert_criteria
from reporting.models.alert_criteria import Facts, Limits
from reporting.models.alerts import Alert, AlertCriterion, AlertDashboard, AlertOccurrence

from .mail import Found, letter

logger = logging.getLogger("reporting.alerts.evaluate")


def look() -> int:
    """One round over all enabled dashboards; then whatever is written but not sent. Out: mails sent."""
    now = timezone.now()
    for dashboard in (
        AlertDashboard.objects.filter(enabled=True).select_related("unit", "group").prefetch_related("criteria")
    ):
        _look(dashboard, now)
    Alert.objects.filter(at__lt=now - timedelta(days=settings.KEEP_ALERTS_DAYS)).delete()
    AlertOccurrence.objects.filter(day__lt=now.date() - timedelta(days=settings.KEEP_ALERTS_DAYS)).delete()
    return sum(_send(alert) for alert in Alert.objects.filter(sent_at=None).select_related("dashboard__group"))


def _look(dashboard: AlertDashboard, now: datetime) -> None:
    limits = Limits(**{f.name: getattr(dashboard, f.name) for f in fields(Limits)})
    facts = facts_of(_near(now, limits.window_hours, dashboard.unit))
    with transaction.atomic():
        found: Found = []
        for criterion in dashboard.criteria.all():
            met = [d for d, known in facts if _meets(criterion, d, known, limits, now)]
            told = [delivery for delivery in met if _new(criterion, delivery, now)]
            if told:
                found.append((criterion, told))
        if found:
            _write(dashboard, found, {delivery.pk: fact for delivery, fact in facts}, now)


def _write(dashboard: AlertDashboard, found: Found, known: Mapping[int, Facts], now: datetime) -> None:
    """Keep the whole for the dashboard's history, and for each member a letter of what they may read."""
    with override(settings.LANGUAGE_CODE):
        whole = letter(dashboard.label, found, known, now)
    parts = []
    for deliveries, people in _by_sight(dashboard, found).items():
        seen = [(criterion, [d for d in met if d.pk in deliveries]) for criterion, met in found]
        letters = _letters(dashboard.label, [(criterion, met) for criterion, met in seen if met], known, now)
        parts.append({"people": people, "letters": letters})
    Alert.objects.create(
        dashboard=dashboard, unit=dashboard.unit, subject=whole.subject[:255], text=whole.text, letters=parts
    )
    webhooks.write_alert(whole.subject, whole.text, [delivery.pk for _, told in found for delivery in told])


def _by_sight(dashboard: AlertDashboard, found: Found) -> dict[frozenset[int], list[int]]:
    """{ids of deliveries: the members of the group who may be told of just these}."""
    campaigns = {delivery.campaign for _, met in found for delivery in met}
    people: dict[frozenset[int], list[int]] = defaultdict(list)
    for user in dashboard.group.user_set.filter(is_active=True):
        readable = {campaign.pk for campaign in campaigns if permissions.may_be_alerted(user, campaign)}
        seen = frozenset(d.pk for _, met in found for d in met if d.campaign_id in readable)
        if seen:
            people[seen].append(user.pk)
    return people


def _letters(label: str, found: Found, known: Mapping[int, Facts], now: datetime) -> dict[str, staff_mail.Mail]:
    """By language."""
    letters = {}
    for language, _name in settings.LANGUAGES:
        with override(language):
            letters[language] = letter(label, found, known, now)
    return letters


def _near(now: datetime, hours: int, unit: OrganizationalUnit) -> Iterable[Delivery]:
    """Deliveries at and below the unit that were, or are to be, sent about now."""
    window = (now - timedelta(hours=hours), now + timedelta(hours=hours))
    failed = Q(state=alert_criteria.PREPARATION_FAILED, preparation_at__range=window)
    near = Delivery.objects.filter(failed | Q(contact_date__range=window))
    if unit.pk != ROOT:
        near = near.filter(campaign__unit__in=units.below(unit))
    return near.select_related("campaign__unit").defer("content", "fingerprint").order_by("pk")


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
    return wanted in delivery.label.lower() and alert_criteria.meets(criterion.kind, facts, limits, now)


def _new(criterion: AlertCriterion, delivery: Delivery, now: datetime) -> bool:
    """True if it is to be told: always, or the first time on this day."""
    if not criterion.once_a_day:
        return True
    day = timezone.localtime(now).date()
    return AlertOccurrence.objects.get_or_create(criterion=criterion, delivery=delivery, day=day)[1]


def _send(alert: Alert) -> int:
    sent = sum(_send_part(alert, people, letters) for people, letters in _parts(alert))
    if not sent:
        logger.error(
            "nobody got the alert “%s”: no member who may read it, has an address and wants it, or no mail server",
            alert.subject,
        )
        if timezone.now() - alert.at < timedelta(hours=1):
            return 0  # tried again with the next look
    Alert.objects.filter(pk=alert.pk).update(sent_at=timezone.now(), recipients=sent)
    return sent


def _parts(alert: Alert) -> Iterator[tuple[list[Person], dict[str, list[str]]]]:
    """(people who are still in the group, their letters by language)."""
    members = list(alert.dashboard.group.user_set.filter(is_active=True))
    if isinstance(alert.letters, dict):  # written before there were parts: whoever may read everything gets the whole
        yield [user for user in members if units.at_root(user)], alert.letters
        return
    for part in alert.letters:
        yield [user for user in members if user.pk in part["people"]], part["letters"]


def _send_part(alert: Alert, people: list[Person], letters: dict[str, list[str]]) -> int:
    plain = letters.get(settings.LANGUAGE_CODE, (alert.subject, alert.text))
    return staff_mail.tell_each(Notice.ALERT, people, lambda: staff_mail.Mail(*letters.get(str(get_language()), plain)))
