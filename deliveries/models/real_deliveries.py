"""What `Delivery.objects` shows: deliveries, without the mails of proofs (proofs.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from .delivery import Delivery

    Base = models.Manager[Delivery]
else:
    Base = models.Manager


class RealDeliveries(Base):
    """What lists, figures, reports and alerts are made of."""

    def get_queryset(self) -> models.QuerySet[Delivery]:
        """All but those of proofs."""
        return super().get_queryset().filter(proof=None)
