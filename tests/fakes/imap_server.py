"""An IMAP server with one mailbox in memory: as much of RFC 3501 as fetching bounces takes."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Mails:
    """What the mailbox holds: {uid: (mail, seen)}, and what was moved elsewhere."""

    def __init__(self, *mails: bytes) -> None:
        self.held = {uid: [mail, False] for uid, mail in enumerate(mails, 1)}
        self.moved: dict[int, str] = {}
        self.logins: list[str] = []
        self.refuse_login = False


class _Session(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        """One connection."""
        self.say(b"* OK ready")
        while line := self.rfile.readline():
            tag, _, rest = line.rstrip(b"\r\n").partition(b" ")
            verb = rest.upper()
            if verb.startswith(b"LOGOUT"):
                self.say(b"* BYE", tag + b" OK bye")
                return
            self.answer(tag, verb, rest, self.server.mails)

    def answer(self, tag: bytes, verb: bytes, rest: bytes, mails: Mails) -> None:
        """One command."""
        if verb.startswith(b"CAPABILITY"):
            self.say(b"* CAPABILITY IMAP4rev1 MOVE", tag + b" OK done")
        elif verb.startswith(b"LOGIN"):
            mails.logins.append(rest.decode())
            self.say(tag + (b" NO wrong password" if mails.refuse_login else b" OK welcome"))
        elif verb.startswith(b"SELECT"):
            self.say(b"* %d EXISTS" % len(mails.held), tag + b" OK [READ-WRITE] selected")
        elif verb.startswith(b"UID SEARCH"):
            found = b" ".join(b"%d" % uid for uid, (_mail, seen) in mails.held.items() if not seen)
            self.say(b"* SEARCH " + found, tag + b" OK done")
        else:
            self.on_mails(tag, verb, rest, mails)

    def on_mails(self, tag: bytes, verb: bytes, rest: bytes, mails: Mails) -> None:
        """UID FETCH, STORE and MOVE."""
        uids = [int(uid) for uid in rest.split()[2].split(b",")]
        for number, uid in enumerate(uids, 1):
            if verb.startswith(b"UID FETCH"):
                most = int(re.search(rb"<0\.(\d+)>", rest).group(1))  # type: ignore[union-attr]
                mail = mails.held[uid][0][:most]
                self.wfile.write(b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%b)\r\n" % (number, uid, len(mail), mail))
            elif verb.startswith(b"UID STORE"):
                mails.held[uid][1] = True
            elif verb.startswith(b"UID MOVE"):
                mails.moved[uid] = rest.split()[3].strip(b'"').decode()
                del mails.held[uid]
        self.say(tag + b" OK done")

    def say(self, *lines: bytes) -> None:
        """Lines to the client."""
        self.wfile.write(b"".join(line + b"\r\n" for line in lines))


@contextmanager
def imap_server(*mails: bytes) -> Iterator[tuple[int, Mails]]:
    """A server on loopback. Out: its port, and what it holds."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Session) as server:
        server.mails = Mails(*mails)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1], server.mails  # type: ignore[attr-defined]
        finally:
            server.shutdown()
