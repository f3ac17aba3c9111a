"""What a line of the log is about: the delivery and the batch that are worked on, for every line written meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_about: ContextVar[Mapping[str, int]] = ContextVar("log_about", default=MappingProxyType({}))


@contextmanager
def about(**ids: int) -> Iterator[None]:
    """Lines written inside carry these, such as delivery=12, batch=40, beside what holds around."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


class Ids(logging.Filter):
    """Puts them on each record, as `about`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        record.about = _about.get()
        return True
