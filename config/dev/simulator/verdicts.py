"""What the simulator does with a recipient: a pure function of seed, address and attempt.

The first word of the local part, or a ``+tag``, decides; a count behind the word says how many
attempts it holds for (then the address is accepted):

    unknown.ann@example.com     550 5.1.1, every time
    ann+full@example.com        552 5.2.2, every time
    busy.ann@example.com        452 4.2.2 once or twice, by the seed, then accepted
    busy5.ann@example.com       452 4.2.2 five times, then accepted
    ok.ann@example.com          accepted, whatever the seed says

Any other address is accepted, except for small shares of unknown and of busy ones that the seed
picks: the same seed picks the same addresses for ever. The line is dropped only where an
address asks for it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Literal


class Verdict(StrEnum):
    """What became of one recipient; the values stand in the log and on the page."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    FULL = "full"
    SPAM = "spam"
    BUSY = "busy"
    CLOSING = "closing"
    DROP = "drop"
    LOST = "lost"
    DOUBT = "doubt"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a verdict shows on the wire.

    `stage`: answered at RCPT or behind the body's dot. `reply`: the answer without CRLF; empty
    means that the line is dropped instead. `times`: for how many attempts it holds when the
    address names no count; None is always. `keeps`: the message is kept, answered or not.
    """

    word: str
    verdict: Verdict
    stage: Literal["recipient", "dot"]
    reply: str
    times: int | None
    keeps: bool
    meaning: str


RULES = (
    Rule("ok", Verdict.ACCEPTED, "dot", "250 2.0.0 Kept", None, True, "Accepted, whatever the seed says."),
    Rule(
        "unknown",
        Verdict.UNKNOWN,
        "recipient",
        "550 5.1.1 No such mailbox here",
        None,
        False,
        "Refused for good: no such mailbox.",
    ),
    Rule(
        "full",
        Verdict.FULL,
        "recipient",
        "552 5.2.2 Mailbox full",
        None,
        False,
        "Refused for good: the mailbox is full.",
    ),
    Rule(
        "spam",
        Verdict.SPAM,
        "dot",
        "554 5.7.1 Message refused as spam",
        None,
        False,
        "Refused for good after the whole message was read.",
    ),
    Rule(
        "busy",
        Verdict.BUSY,
        "recipient",
        "452 4.2.2 Mailbox full for now, try later",
        1,
        False,
        "Refused for now; accepted at the second or third attempt.",
    ),
    Rule(
        "closing",
        Verdict.CLOSING,
        "recipient",
        "421 4.3.2 Closing the line, try later",
        1,
        False,
        "Answered 421 and the line closed; accepted at the second attempt.",
    ),
    Rule(
        "drop",
        Verdict.DROP,
        "recipient",
        "",
        1,
        False,
        "The line drops before the message is sent; accepted at the second attempt.",
    ),
    Rule(
        "lost",
        Verdict.LOST,
        "dot",
        "",
        1,
        False,
        "The line drops after the message, which is not kept; accepted at the second attempt.",
    ),
    Rule(
        "doubt",
        Verdict.DOUBT,
        "dot",
        "",
        1,
        True,
        "The message is kept, but the line drops before the answer; the second is answered.",
    ),
)
# No word asks for this one: the message itself breaks SMTP's format, and the reply says how.
BROKEN = Rule(
    "",
    Verdict.BROKEN,
    "dot",
    "554 5.6.0 Broken",
    None,
    False,
    "Refused for good: the message breaks SMTP's format or is too big.",
)
RULE_OF = {rule.verdict: rule for rule in (*RULES, BROKEN)}
KEPT = frozenset(rule.verdict for rule in RULES if rule.keeps)

_BY_WORD = {rule.word: rule for rule in RULES}
_WORD = re.compile(rf"(?:^|\+)({'|'.join(_BY_WORD)})(\d{{0,3}})(?=[.+]|$)")


@dataclass(frozen=True, slots=True)
class Personality:
    """Who answers: the seed, the shares (0 to 1) of ordinary addresses that the seed makes
    unknown or busy, and what is called with each kept message.

    `after_acceptance` is called as (entry, the message as it came) in the SMTP thread once the
    message is on disk and before its answer leaves; what needs time takes its own thread.
    """

    seed: int = 7
    unknown: float = 0.015
    busy: float = 0.01
    after_acceptance: tuple[Callable[["Entry", bytes], None], ...] = ()

    def verdict(self, address: str, attempt: int) -> Verdict:
        """The verdict on the `attempt`-th try (from 1) to reach `address` since it last accepted."""
        rule, times = self._fate(address.lower())
        return rule.verdict if times is None or attempt <= times else Verdict.ACCEPTED

    def _fate(self, address: str) -> tuple[Rule, int | None]:
        found = _WORD.search(address.rpartition("@")[0] or address)
        if found is None:
            return self._fate_by_seed(address)
        rule, count = _BY_WORD[found[1]], found[2]
        if count:
            return rule, int(count)
        return rule, self._patience(address) if rule.verdict is Verdict.BUSY else rule.times

    def _fate_by_seed(self, address: str) -> tuple[Rule, int | None]:
        drawn = self._draw("fate", address)
        if drawn < self.unknown:
            return _BY_WORD["unknown"], None
        if drawn < self.unknown + self.busy:
            return _BY_WORD["busy"], self._patience(address)
        return _BY_WORD["ok"], None

    def _patience(self, address: str) -> int:
        return 1 if self._draw("patience", address) < 0.5 else 2

    def _draw(self, purpose: str, address: str) -> float:
        """A number in [0, 1) that depends on nothing but seed, purpose and address."""
        seeded = f"{self.seed}:{purpose}:{address}".encode()
        return int.from_bytes(blake2b(seeded, digest_size=6).digest()) / (1 << 48)


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient of one transaction. `number` counts the log's lines from 0 and is the key of
    pages; `time` is ISO 8601 in UTC; `dsn` holds the RFC 3461 parameters that came along."""

    number: int
    time: str
    sender: str
    recipient: str
    message_id: str
    verdict: Verdict
    reply: str
    attempt: int
    size: int = 0
    dsn: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return self.verdict in KEPT
