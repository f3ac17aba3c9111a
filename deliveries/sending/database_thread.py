"""The sender's work on the database, done by a thread beside it: while the database thinks, mail goes on leaving.

One piece of work at a time, in the order in which it was given. The thread uses the sender's own connection, so while
something is under way the sender itself must not touch the database; `collect` waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, connections


class DatabaseThread:
    """A context manager: the thread lives as long as the block. What is under way at its end is waited for."""

    def __init__(self) -> None:
        self._connection = connections[DEFAULT_DB_ALIAS]
        self._thread = ThreadPoolExecutor(1, "database", initializer=self._share)
        self._work: Future[Any] | None = None

    def _share(self) -> None:
        connections[DEFAULT_DB_ALIAS] = self._connection

    @property
    def idle(self) -> bool:
        """Nothing was given that has not been collected."""
        return self._work is None

    @property
    def done(self) -> bool:
        """What was given is finished, and `collect` will not wait."""
        return self._work is not None and self._work.done()

    def give(self, act: Callable[[], Any]) -> None:
        """Begin a piece of work; only when idle."""
        assert self._work is None
        self._work = self._thread.submit(act)

    def collect(self) -> Any:
        """What the work gave, once it is finished. Raises what it raised."""
        assert self._work is not None
        work, self._work = self._work, None
        return work.result()

    def __enter__(self) -> Self:
        self._connection.inc_thread_sharing()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.shutdown()
        self._connection.dec_thread_sharing()
