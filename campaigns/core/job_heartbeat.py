"""Jobs that somebody else takes over once their worker gives no more signs of life.

The row of a job keeps when its worker last gave one. Whoever does the job gives signs as it goes on, by changing only
rows that are still their own; who finds a silent job makes it theirs, and the former worker learns that with the next
sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone


class Superseded(Exception):
    """The job was stopped, or somebody else carries it on."""


@dataclass(frozen=True)
class SignsOfLife:
    """Those that one kind of job gives: the column that keeps the last, and how long after it a job is silent."""

    column: str
    patience: timedelta = timedelta(seconds=60)

    @property
    def silent(self) -> Q:
        """The condition on jobs whose worker is gone; a job that never gave a sign is not among them."""
        return Q(**{f"{self.column}__lt": timezone.now() - self.patience})

    def is_silent(self, last: datetime | None) -> bool:
        """Whether the worker of a job is gone that gave its last sign then; True if it never gave one."""
        return last is None or last < timezone.now() - self.patience

    def give(self, mine: QuerySet[Any], **changes: Any) -> None:
        """Give one and make `changes`. In: the job's row as long as it is one's own. Raises Superseded if it is not."""
        if not mine.update(**{self.column: timezone.now()}, **changes):
            raise Superseded
