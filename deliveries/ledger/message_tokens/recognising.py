"""Which sending log a token names: of today's form by its signature alone, of the old form if the row takes those."""

from __future__ import annotations

from deliveries.models import Delivery
from deliveries.models.storage import partition_lookup

from . import old_tokens, tokens
from .tokens import Purpose


def log_named(token: str, *purposes: Purpose) -> int | None:
    """The id of the sending log; None for what was not made here, was made for another purpose, or is a token of the
    old form for a row that has its own for each purpose. Only for the old form is the database asked."""
    if len(token) == old_tokens.LENGTH:
        log_id = old_tokens.unsign(token)
        return log_id if log_id is not None and _is_old(log_id) else None
    return next((found for purpose in purposes if (found := tokens.unsign(token, purpose)) is not None), None)


def _is_old(log_id: int) -> bool:
    row = partition_lookup.one(log_id, "delivery_id")
    return row is not None and Delivery.everything.filter(pk=row[0], token_key="").exists()
