"""Runs a Transport against a server and keeps all that it says."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from deliveries.mail.smtp.transport import Endpoint, Envelope, Reply, ServerUnavailable, Transport

BODY = b"Subject: Hello\r\n\r\nGood day.\r\n"


@dataclass
class Diary:
    """What a transport asked and told: replies by key, intents, acceptances, all events in their order."""

    replies: dict[int, Reply] = field(default_factory=dict)
    events: list[tuple[str, int]] = field(default_factory=list)
    unavailable: ServerUnavailable | None = None

    def intent(self, key: int) -> None:
        self.events.append(("intent", key))

    def accepted(self, key: int) -> None:
        self.events.append(("accepted", key))

    def tick(self, replies: list[Reply]) -> bool:
        for reply in replies:
            assert reply.key not in self.replies, "a key was answered twice"
            self.replies[reply.key] = reply
        return True

    @property
    def outcomes(self) -> list[str]:
        """The outcomes in the order of the keys."""
        return [self.replies[key].outcome.name for key in sorted(self.replies)]

    @property
    def intents(self) -> list[int]:
        return [key for name, key in self.events if name == "intent"]


def envelopes(count: int) -> list[Envelope]:
    """Keys from 1, to user1@example.org and so on."""
    return [Envelope(key, b"bounces@example.com", b"user%d@example.org" % key) for key in range(1, count + 1)]


def endpoint(server: Any, **options: Any) -> Endpoint:
    return Endpoint("127.0.0.1", server.port, **{"security": "none", "reply_timeout": 5.0, **options})


def transport(server: Any, diary: Diary, connections: int = 1, body: Any = BODY, **options: Any) -> Transport:
    """`body` may be a function of the key; options other than may_send and rehearsal go to the endpoint."""
    own = {name: options.pop(name) for name in ("may_send", "rehearsal") if name in options}
    give = body if callable(body) else lambda key: body
    return Transport(endpoint(server, **options), connections, give, diary.intent, diary.accepted, **own)


def run(sender: Transport, diary: Diary, batch: Iterable[Envelope], tick: Any = None) -> Diary:
    source = iter(batch)
    try:
        sender.run(lambda: next(source, None), tick or diary.tick)
    except ServerUnavailable as error:
        diary.unavailable = error
    return diary


def dispatch(server: Any, batch: Iterable[Envelope] | int = 1, **options: Any) -> Diary:
    """One run over so many envelopes, then leave."""
    diary = Diary()
    with closing(transport(server, diary, **options)) as sender:
        return run(sender, diary, envelopes(batch) if isinstance(batch, int) else batch)
