"""Fetches bounces from an IMAP mailbox: kept first, marked seen only then. A mail seen twice is applied once."""

from __future__ import annotations

import imaplib
import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from deliveries.models.feedback import FeedbackEvent

from . import raw_mail

logger = logging.getLogger("deliveries.feedback.imap")

SECONDS = 30  # that the server may take for an answer
CHUNK = 50  # mails fetched between two commits
MOST = 5000  # mails in one round; the next one goes on

_UID = re.compile(rb"UID (\d+)")


class MailboxUnusable(Exception):
    """The mailbox cannot be reached or opened; the text tells people why."""


@dataclass(frozen=True)
class Mailbox:
    """A mailbox. processed: the folder into which mails are moved; '' leaves them, marked seen."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    folder: str = "INBOX"
    processed: str = ""

    @classmethod
    def from_url(cls, url: str, password: str, processed: str = "") -> Mailbox:
        """From imaps://user@host:993/FOLDER (imap:// without TLS). Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("imap", "imaps") or not parts.hostname or not parts.username:
            raise ValueError("write it like imaps://user@imap.example.com/INBOX")
        if parts.password is not None:
            raise ValueError("the password belongs into a variable of its own")
        tls = parts.scheme == "imaps"
        port, folder = parts.port or (993 if tls else 143), unquote(parts.path.strip("/")) or "INBOX"
        return cls(parts.hostname, port, tls, unquote(parts.username), password, folder, processed)


def poll(mailbox: Mailbox) -> int:
    """Take the unseen mails and apply them. Out: how many were taken. Raises MailboxUnusable, DatabaseError."""
    taken = 0
    with _opened(mailbox) as server:
        unseen = _answer(server.uid("SEARCH", "UNSEEN"))[0].split()[:MOST]
        for start in range(0, len(unseen), CHUNK):
            taken += _take(server, unseen[start : start + CHUNK], mailbox.processed)
    if taken:
        raw_mail.drain()
    return taken


@contextmanager
def _opened(mailbox: Mailbox) -> Iterator[imaplib.IMAP4]:
    try:
        if mailbox.tls:
            context = ssl.create_default_context()
            server: imaplib.IMAP4 = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=SECONDS)
        else:
            server = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=SECONDS)
    except OSError as error:
        raise MailboxUnusable(f"{mailbox.host}:{mailbox.port}: {error}") from error
    try:
        server.login(mailbox.user, mailbox.password)
        _answer(server.select(_quoted(mailbox.folder)))
        yield server
    except (imaplib.IMAP4.error, OSError) as error:
        raise MailboxUnusable(f"{mailbox.host}: {error}") from error
    finally:
        with suppress(imaplib.IMAP4.error, OSError):
            server.logout()


def _take(server: imaplib.IMAP4, uids: list[bytes], processed: str) -> int:
    """Keep these mails, then mark them. A mail that disappeared meanwhile is passed over."""
    span = b",".join(uids).decode("ascii")
    kept = []
    for item in _answer(server.uid("FETCH", span, f"(UID BODY.PEEK[]<0.{raw_mail.KEPT}>)")):
        if isinstance(item, tuple) and (uid := _UID.search(item[0])):
            raw_mail.keep(item[1], FeedbackEvent.Source.IMAP)
            kept.append(uid.group(1))
    if kept:
        done = b",".join(kept).decode("ascii")
        _answer(server.uid("STORE", done, "+FLAGS.SILENT", r"(\Seen)"))
        if processed:
            _answer(server.uid("MOVE", done, _quoted(processed)))
    return len(kept)


def _answer(response: tuple[str, list]) -> list:  # type: ignore[type-arg]
    kind, data = response
    if kind != "OK":
        raise imaplib.IMAP4.error(f"the server answered {kind} {data!r}"[:300])
    return [item if item is not None else b"" for item in data]


def _quoted(folder: str) -> str:
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
