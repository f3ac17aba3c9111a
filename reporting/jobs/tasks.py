"""Doors for django-q2, each safe to run twice, late or at the same time as another."""

from __future__ import annotations

from django.conf import settings

from campaigns.accounts import staff_mail
from campaigns.core import queue
from campaigns.core.kept_text import keep as _
from deliveries.models import Delivery
from reporting.alerts import evaluate
from reporting.figures import kept_figures

from . import retention

_BUDGET = 2 * settings.TASK_BUDGET_SECONDS  # well below the cluster's timeout, one delivery's count included


def refresh_figures() -> None:
    """Hourly: opens and clicks of all deliveries that can still change; goes on in another task if there are many."""
    if not kept_figures.refresh_all(_BUDGET):
        queue.enqueue(queue.Task.REFRESH_FIGURES)


def compute_stats(delivery_id: int, user_id: int) -> None:
    """Compute stats of a delivery too big for a page to wait for."""
    from django.contrib.auth import get_user_model

    kept_figures.compute_stats(Delivery.objects.get(pk=delivery_id), get_user_model().objects.get(pk=user_id))


def check_drift() -> None:
    """Nightly: counters that do not say what their rows do are the administrators' business."""
    drifted = kept_figures.check_drift(_BUDGET)
    if drifted:
        staff_mail.tell(
            staff_mail.Notice.DRIFT,
            staff_mail.administrators(),
            _("%(number)s deliveries whose counters differ from their logs", number=len(drifted)),
            _("The nightly check compared counters and logs. They differ for:"),
            "\n".join(f"- {delivery}: {settings.PUBLIC_URL}{delivery.get_absolute_url()}" for delivery in drifted),
            _("The log of each says how. Compute stats on its dashboard corrects the counters."),
        )


def purge() -> None:
    """Nightly: delete what is over its time; goes on in another task if there is much."""
    if not retention.purge(_BUDGET):
        queue.enqueue(queue.Task.PURGE)


def alert() -> None:
    """Every ten minutes: mail what the alert dashboards ask for."""
    evaluate.look()
