"""The bounce server: an SMTP and LMTP listener that takes mail for signed return paths and keeps it.

250 is said after the mail is in the database, and not before: without a database it is 451, and the sender keeps it.
Addresses without a token made here are refused at RCPT, except those that are configured (a feedback loop's, say).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from threading import Event as Signal
from threading import Thread
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from campaigns.core.token_bucket import Buckets
from deliveries.mail.bounces.parser import LIMIT
from deliveries.models.feedback import FeedbackEvent

from . import matching, raw_mail

logger = logging.getLogger("deliveries.feedback.smtp_server")

MAX_RECIPIENTS = 20  # of one mail
MAX_CONNECTIONS = 50
MAX_AT_ONCE = 50  # mails in one commit
IDLE_SECONDS = 120
DRAIN_SECONDS = 0.3  # between two looks for mails that wait
letters = Buckets(settings.LETTER_PER_SECOND, 30 * settings.LETTER_PER_SECOND)  # mails about one letter

Ready = Callable[[tuple[str, int]], Any]


class _Protocol(SMTP):
    """Both dialects at one port: LHLO begins LMTP (RFC 2033), which answers once for each recipient."""

    line_length_limit = 100_000  # bounces quote what they got, and not every line is as short as it should be
    _open = 0

    def __init__(self, handler: Handler) -> None:
        super().__init__(
            handler,
            data_size_limit=LIMIT,
            enable_SMTPUTF8=True,
            hostname="localhost",
            timeout=IDLE_SECONDS,
            ident="bounce server",
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One connection too many is closed at once; its client comes again later."""
        _Protocol._open += 1
        if _Protocol._open > MAX_CONNECTIONS:
            transport.close()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out."""
        _Protocol._open -= 1
        super().connection_lost(error)

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, hostname: str) -> None:
        """Begin LMTP."""
        self.session.lmtp = True  # type: ignore[union-attr]
        await super().smtp_EHLO(hostname)


class Handler:
    """Decides about recipients, and keeps mails. `configured`: addresses that are taken without a token."""

    def __init__(self, configured: Collection[str] = ()) -> None:
        self.configured = {address.lower() for address in configured}
        self._waiting: list[tuple[bytes, str, asyncio.Future[str]]] = []
        self._keeping: asyncio.Task[None] | None = None

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """550 for an address that nobody can have been given by us, 450 for one that gets too much: the other server
        keeps the mail, and nothing is lost."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        if address.lower() not in self.configured:
            log_id = matching.return_path_of(address.rpartition("@")[0])
            if log_id is None:
                return "550 5.1.1 no such address here"
            if not letters.take(str(log_id)):
                return "450 4.7.1 too much mail for this address; try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail, once for each recipient."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        answers = await asyncio.gather(*(self._kept(content, address) for address in envelope.rcpt_tos))
        if getattr(session, "lmtp", False):
            return "\r\n".join(answers)
        return next((answer for answer in answers if answer.startswith("4")), answers[0])

    async def _kept(self, content: bytes, recipient: str) -> str:
        """The answer, once the mail is in the database. All that came meanwhile goes there in one commit."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((content, recipient, answer))
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        return await answer

    async def _keep(self) -> None:
        while self._waiting:
            mails, self._waiting = self._waiting[:MAX_AT_ONCE], self._waiting[MAX_AT_ONCE:]
            said = await asyncio.to_thread(_store, [mail[:2] for mail in mails])
            for _content, _recipient, answer in mails:
                if not answer.done():  # its connection may be gone
                    answer.set_result(said)


def _store(mails: list[tuple[bytes, str]]) -> str:
    close_old_connections()
    try:
        raw_mail.keep_all(mails, FeedbackEvent.Source.INBOX)
    except DatabaseError:
        logger.exception("%s mails cannot be kept", len(mails))
        return "451 4.3.0 cannot be kept now; try again later"
    return "250 2.0.0 kept"


async def listen(handler: Handler, host: str, port: int, stop: Signal, ready: Ready) -> None:
    """Serve until `stop` is set. Port 0: any free one; `ready` is called with the address."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(handler), host, port)
    async with server:
        ready(server.sockets[0].getsockname()[:2])
        while not stop.is_set():
            await asyncio.sleep(0.1)


def serve(handler: Handler, host: str, port: int, stop: Signal, ready: Ready = lambda address: None) -> None:
    """Listen until `stop` is set, and apply in a thread what was kept. Raises OSError if the port is taken."""
    drainer = Thread(target=_drain_until, args=(stop,), name="drain")
    drainer.start()
    try:
        asyncio.run(listen(handler, host, port, stop, ready))
    finally:
        stop.set()
        drainer.join()


def _drain_until(stop: Signal) -> None:
    """Once more after the end: what was kept last is applied too."""
    while True:
        last = stop.wait(DRAIN_SECONDS)
        close_old_connections()
        try:
            raw_mail.drain()
        except DatabaseError:
            logger.exception("mails wait; they are applied once the database answers")
        if last:
            close_old_connections()
            return
