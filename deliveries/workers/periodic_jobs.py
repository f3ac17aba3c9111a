"""What is done for feedback at set times: the daily clean-up, the mailbox, what a door left behind."""

from __future__ import annotations

import logging
from datetime import datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_q.models import Schedule, Task

from campaigns.accounts import api_tokens, login_throttle
from campaigns.api import rate_limits
from campaigns.audit import retention
from deliveries.feedback import imap, quarantine, raw_mail
from deliveries.ledger import webhooks
from deliveries.lifecycle.proofs import limits

logger = logging.getLogger("deliveries.workers.periodic_jobs")

CLEAN_UP_AT = time(4)  # in the server's time zone
POLL_MINUTES = 5


def clean_up() -> None:
    """Once a day: errors that are long past are forgotten, and so are reports that were applied long ago."""
    freed, deleted = quarantine.clean_up()
    mails = raw_mail.clean_up()
    retention.clean_up()
    login_throttle.clean_up()
    rate_limits.clean_up()
    api_tokens.clean_up()
    webhooks.clean_up()
    limits.clean_up()
    Task.objects.all().delete()  # results that were kept before cluster.py kept none
    logger.info("%s addresses freed, %s valid entries and %s mails deleted", freed, deleted, mails)


def fetch() -> None:
    """Every few minutes: the mailbox, if there is one, and mails that their door did not apply."""
    configured = mailbox()
    if configured is not None:
        try:
            imap.poll(configured)
        except imap.MailboxUnusable as error:
            logger.warning("the mailbox for bounces cannot be read: %s", error)
    raw_mail.drain(left_behind=True)


def mailbox() -> imap.Mailbox | None:
    """The mailbox that the settings name, or None."""
    if not settings.BOUNCE_IMAP_URL:
        return None
    return imap.Mailbox.from_url(
        settings.BOUNCE_IMAP_URL, settings.BOUNCE_IMAP_PASSWORD, settings.BOUNCE_IMAP_PROCESSED
    )


def ensure_schedules(**_: Any) -> None:
    """Enter both into django-q2's table, each once, whoever calls this how often."""
    _ensure("Feedback: daily clean-up", "clean_up", schedule_type=Schedule.DAILY, next_run=_next(CLEAN_UP_AT))
    _ensure("Feedback: fetch", "fetch", schedule_type=Schedule.MINUTES, minutes=POLL_MINUTES, next_run=timezone.now())


def _ensure(name: str, function: str, **when: Any) -> None:
    if not Schedule.objects.filter(name=name).exists():
        Schedule.objects.create(name=name, func=f"deliveries.workers.tasks.{function}", repeats=-1, **when)


def _next(at: time) -> datetime:
    now = timezone.localtime()
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
