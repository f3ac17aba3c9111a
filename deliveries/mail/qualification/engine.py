"""Qualification: from an SMTP reply, an enhanced status and text to (type, reason), by ordered rules.

Types and reasons are those of the domain document, section 7.2. The rules are data, so that an
administrator can read, edit, test and re-apply them; `qualify` takes any list of them, and the list
that the product starts with is `qualification_rules.DEFAULT_RULES`.

What a verdict may do to an address follows from its type (section 8): hard quarantines it at once,
soft counts towards quarantine, ignored leaves it alone. So whatever is said about us (our IP, our
domain, our message, our pace) has to be ignored: it must never condemn somebody else's address.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from deliveries.mail.addresses import hide_addresses
from deliveries.mail.text_patterns import lower, without_accents

from .default_rules import DEFAULT_RULES
from .rule import HARD, IGNORED, SOFT, Rule
from .safe_patterns import MOST_PATHS, Searcher, Unusable, searcher

__all__ = [
    "DEFAULT_RULES",
    "HARD",
    "IGNORED",
    "REASONS",
    "SOFT",
    "TYPES",
    "UNQUALIFIED",
    "InvalidRule",
    "Qualification",
    "Readings",
    "Rule",
    "check",
    "fold",
    "ordered",
    "qualify",
    "read_code",
    "read_status",
]

TYPES = (HARD, SOFT, IGNORED)

# Reason -> documented code (domain document, section 7.2)
REASONS = {
    "not_defined": 0,
    "user_unknown": 1,
    "invalid_domain": 2,
    "unreachable": 3,
    "account_disabled": 4,
    "mailbox_full": 5,
    "not_connected": 6,
    "refused": 20,
}

MAX_TEXT = 4000  # characters of a text that rules look at

_REPLY_CODE = re.compile(r"(?:^|[\s'\"\[(<:#-])([45][0-5]\d)(?=[\s:#-])(?!-?\d{3}\b)")
_STATUS = re.compile(r"(?:^|[\s'\"\[(<:;,#-])([245]\.\d{1,3}\.\d{1,3})(?![.\d])")
_CONTINUATION = re.compile(r"(?<=\s)[245]\d\d-(?:[245]\.\d{1,3}\.\d{1,3})?(?=\s)")


@dataclass(frozen=True)
class Qualification:
    """The verdict, and the name of the rule that gave it ('' when none did)."""

    type: str
    reason: str
    detail: str = ""
    rule: str = ""
    order: int = 0
    by_text: bool = False  # a rule with a pattern decided, not one that knows the code alone


_BUILT_IN = frozenset(rule.pattern for rule in DEFAULT_RULES)

UNQUALIFIED = Qualification(SOFT, "not_defined")


class InvalidRule(ValueError):
    """A rule that cannot be applied; the text says which and why."""


class Reading:
    """A text as rules see it, in which each pattern is searched once."""

    def __init__(self, folded: str) -> None:
        self.folded = folded
        self._found: dict[str, bool] = {}

    def has(self, expression: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        if expression not in self._found:
            self._found[expression] = _searcher(expression).found_in(self.folded)
        return self._found[expression]


class Readings:
    """The texts of one mail. However many recipients share one, it is read once; `characters` is how much was."""

    def __init__(self) -> None:
        self.characters = 0
        self._by_text: dict[str, Reading] = {}
        self._by_fold: dict[str, Reading] = {}

    def of(self, text: str) -> Reading:
        """The reading of a text, as it stands in the mail."""
        if text not in self._by_text:
            folded = lower(fold(text))
            if folded not in self._by_fold:
                self.characters += len(folded)
                self._by_fold[folded] = Reading(folded)
            self._by_text[text] = self._by_fold[folded]
        return self._by_text[text]


def qualify(
    code: int | str,
    enhanced: str,
    text: str,
    rules: Iterable[Rule] | None = None,
    *,
    stage: str = "",
    final: bool = False,
    readings: Readings | None = None,
) -> Qualification:
    """The verdict of the first rule that holds.

    `code` is the SMTP reply code (0 or '' when unknown), `enhanced` the status of RFC 3463 ('' when
    unknown), both read from `text` when not given; `stage` is connect, mail, rcpt, data or ''. `rules`
    are taken by their `order`. Text that no rule knows is soft and not defined. `readings` remember what was read.

    A hard rule is lowered to soft when the reply is a temporary one (4xx, or 4.x.x without a code): that
    is no proof. Except for 4.1.1 when the failure is `final`, that is, a server has given up: then the
    other one has said "no such user" for as long as it was asked."""
    reply = str(code or "") or read_code(text)
    status = enhanced or read_status(text, reply)
    reading = (readings or Readings()).of(text)
    for rule in ordered(DEFAULT_RULES if rules is None else rules):
        if _holds(rule, reply, status, reading, stage):
            temporary = (reply or status).startswith("4") and not (final and status == "4.1.1")
            return _verdict(rule, temporary=temporary)
    return UNQUALIFIED


def ordered(rules: Iterable[Rule]) -> list[Rule]:
    """The rules in the order in which they are tried."""
    return sorted(rules, key=lambda rule: rule.order)


def check(rule: Rule, *, new: bool = False) -> None:
    """Raise InvalidRule unless the rule can be applied: known type and reason, valid patterns that cannot take long,
    and at least one condition (a rule without any would decide about every reply).

    Of a `new` rule more is asked: a kept one that can take too long in a whole text is applied to its beginning."""
    if rule.type not in TYPES:
        raise InvalidRule(f"{rule.name}: type is one of {', '.join(TYPES)}, not {rule.type!r}")
    if rule.reason not in REASONS:
        raise InvalidRule(f"{rule.name}: unknown reason {rule.reason!r}")
    conditions = (rule.code, rule.status, rule.stage)
    if not (rule.pattern or any(conditions)):
        raise InvalidRule(f"{rule.name}: a rule needs a condition")
    for expression in conditions:
        try:
            _compiled(expression)
        except (re.error, OverflowError, RecursionError) as error:
            raise InvalidRule(f"{rule.name}: {expression!r}: {error}") from error
    _check_pattern(rule, new)


def _check_pattern(rule: Rule, new: bool) -> None:
    try:
        found = _searcher(rule.pattern)
    except Unusable as error:
        raise InvalidRule(f"{rule.name}: {rule.pattern[:80]!r}: {error}") from error
    if not found.reach or (new and rule.pattern not in _BUILT_IN and found.paths > MOST_PATHS):
        raise InvalidRule(
            f"{rule.name}: the pattern can match in too many ways and would take too long. Write .{{0,40}} instead of "
            "a second .*, repeat no group that itself repeats, or make two rules of it."
        )


def _holds(rule: Rule, code: str, status: str, reading: Reading, stage: str) -> bool:
    return (
        (not rule.code or bool(_compiled(rule.code).fullmatch(code[:8])))
        and (not rule.status or bool(_compiled(rule.status).fullmatch(status[:12])))
        and (not rule.stage or bool(_compiled(rule.stage).fullmatch(stage[:8])))
        and (not rule.pattern or reading.has(rule.pattern))
    )


def _verdict(rule: Rule, *, temporary: bool) -> Qualification:
    kind = SOFT if temporary and rule.type == HARD else rule.type
    return Qualification(kind, rule.reason, rule.detail, rule.name, rule.order, bool(rule.pattern))


def _searcher(expression: str) -> Searcher:
    return searcher(expression, trusted=expression in _BUILT_IN)


@lru_cache(maxsize=2048)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(without_accents(expression), re.IGNORECASE)


def fold(text: str) -> str:
    """`text` as rules see it: one line, no accents, addresses as `*`, continuation codes dropped."""
    line = " ".join(text[: 2 * MAX_TEXT].split())
    line = _CONTINUATION.sub("", without_accents(hide_addresses(line)))
    return " ".join(line.split())[:MAX_TEXT]


def read_code(text: str) -> str:
    """The first SMTP failure code (4xx, 5xx) in `text`, or ''."""
    match = _REPLY_CODE.search(" ".join(text[:MAX_TEXT].split()))
    return match.group(1) if match else ""


def read_status(text: str, code: str = "") -> str:
    """The first enhanced status in `text` that has the class of `code`, or of any failure; else ''."""
    wanted = code[:1] or "45"
    found = _STATUS.findall(text[:MAX_TEXT])
    return next((status for status in found if status[0] in wanted), "")
