"""The seal of a series: in which form its owner saw it, and what differs from that since.

Only what stands in the sealed form starts under the owner's name; all else waits for a confirmation (unasked.py).
"""

from __future__ import annotations

from django.utils import timezone

from campaigns.content.fingerprint import Seal, by_name
from campaigns.core.actors import Person
from campaigns.core.kept_text import KeptText
from campaigns.core.kept_text import keep as _
from deliveries.models import Delivery
from deliveries.models.series import SeriesSeal
from deliveries.preparation import sealing


def of(series_id: int | None) -> SeriesSeal | None:
    """The seal of a series, with its owner; None before it was first switched on, and for one that is on since before
    an upgrade."""
    return SeriesSeal.objects.select_related("seen_by").filter(series=series_id).first()


def keep(series: Delivery, form: Seal, by: Person) -> None:
    """From now on `form` stands under the name of `by`, who saw it; in the caller's transaction."""
    values = {"form": form, "seen_by": by, "seen_at": timezone.now()}
    SeriesSeal.objects.update_or_create(series=series, defaults=values)


def differing(seal: SeriesSeal | None, form: Seal) -> str:
    """What of `form` nobody who may start the series has seen, as a sentence; empty if all was."""
    if seal is None:
        return _("The series was switched on before an upgrade: nobody has confirmed its form since.")
    changed = by_name(seal.form, form)
    if not changed:
        return ""
    return _("Changed since the series was switched on: %(names)s.", names=", ".join(changed))


def changed(delivery: Delivery) -> KeptText | str:
    """Of a series as it stands now, or of an execution as it was prepared: what differs from the series' seal, as a
    sentence; empty if nothing does, or for all that belongs to no series."""
    if delivery.is_series:
        seal = of(delivery.pk)
        return differing(seal, sealing.form(delivery, delivery.message)) if seal or is_on(delivery) else ""
    if delivery.parent_id is None or not delivery.fingerprint:
        return ""
    return differing(of(delivery.parent_id), sealing.prepared_form(delivery))


def pending(delivery: Delivery) -> KeptText | str:
    """Of a series that is on, or of an execution of one: what keeps it from going on unasked as its message stands now,
    as a sentence; empty if nothing does."""
    series = delivery if delivery.parent_id is None else delivery.parent
    if series is None or getattr(getattr(delivery.message, "recurrence", None), "next_at", None) is None:
        return ""
    return differing(of(series.pk), sealing.form(series, delivery.message))


def is_on(series: Delivery) -> bool:
    """True while executions of the series are made."""
    return series.is_series and series.message.recurrence.next_at is not None
