"""The typology's built-in control rules: what a message must pass to become Ready (concepts.md, Who is left out).

The catalogue with labels and levels is campaigns/models/control_rule_catalogue.py; here each code gets its phase and
its question. An error stops the preparation after its phase, whose other rules still speak; a warning goes to the log.
A typology may switch some off or change their level. What can be wrong with content is campaigns/content's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.utils import timezone

from campaigns.content.checks import check_content
from campaigns.content.problems import Problem, Severity
from campaigns.core import formats
from campaigns.core.kept_text import keep as _
from campaigns.messages import senders, typologies
from campaigns.models import Audience, ControlGroup, Message, Schedule, TypologyRule, conditions
from campaigns.models.control_rule_catalogue import CONTROL_RULES
from campaigns.models.schedule import TWO_TIMES
from campaigns.models.typologies import levels
from campaigns.scheduling import date_formula, waves
from deliveries.models import Delivery
from deliveries.models.proofs import MOST
from deliveries.preparation.times.validity import EFFECTIVE_LIMIT

Findings = Iterable[tuple[str, str] | Problem]
Ask = Callable[["Facts"], Findings]


class Phase(Enum):
    """When a rule is asked."""

    START_OF_TARGETING = "start of targeting"
    AFTER_TARGETING = "after targeting"
    START_OF_PERSONALIZATION = "start of personalization"
    PROOF = "a proof is about to leave"


@dataclass
class Facts:
    """What the rules may look at; one for all phases. `to_deliver` is known once the targeting is done; `proof_size`
    is how many mails a proof has."""

    delivery: Delivery
    message: Message
    contact_date: datetime
    to_deliver: int = 0
    proof_size: int = 0

    @property
    def content(self) -> dict[str, Any]:
        """The snapshot (see snapshot.py)."""
        content: dict[str, Any] = self.delivery.content
        return content

    @property
    def schedule(self) -> Schedule | None:
        """The message's schedule, if it has one."""
        return getattr(self.message, "schedule", None)

    @cached_property
    def levels(self) -> Mapping[str, str]:
        """{code: level} where the message's typology changes it."""
        return levels(typologies.of(self.message))

    @cached_property
    def content_problems(self) -> list[Problem]:
        """All that is wrong with subject, HTML and text."""
        c = self.content
        return check_content(c["subject"], c["html"], c["text"], fields=c["fields"], sender_name=c["sender_name"])


@dataclass(frozen=True, slots=True)
class Rule:
    """Some lines of the catalogue that one function asks. `ask` yields what is wrong: (where, words), or problems with
    a code of their own."""

    codes: tuple[str, ...]
    phase: Phase
    ask: Ask

    def problem(self, finding: Problem | tuple[str, str]) -> Problem:
        """The finding with code and level."""
        if isinstance(finding, Problem):
            return finding
        (where, words), code = finding, self.codes[0]
        return Problem(where, 0, words, CONTROL_RULES[code].level, code)


RULES: list[Rule] = []  # in the order in which they speak


class Unlisted(LookupError):
    """No such code in the catalogue, or one that has its function already."""


def asks(*codes: str, phase: Phase) -> Callable[[Ask], Ask]:
    """Registers the function of these control rules. Raises Unlisted when it is imported."""
    known = {code for rule in RULES for code in rule.codes}
    if wrong := [code for code in codes if code not in CONTROL_RULES or code in known]:
        raise Unlisted(", ".join(wrong))

    def register(ask: Ask) -> Ask:
        RULES.append(Rule(codes, phase, ask))
        return ask

    return register


def check(phase: Phase, facts: Facts) -> list[Problem]:
    """What the rules of `phase` find wrong, in the order of the table, at the levels of the message's typology."""
    found = [rule.problem(finding) for rule in RULES if rule.phase is phase for finding in rule.ask(facts)]
    leveled = ((problem, facts.levels.get(problem.code, problem.severity)) for problem in found)
    return [replace(problem, severity=cast("Severity", level)) for problem, level in leveled if level != "off"]


_EARLY, _LATER, _LAST = Phase.START_OF_TARGETING, Phase.AFTER_TARGETING, Phase.START_OF_PERSONALIZATION


@asks("target-missing", phase=_EARLY)
def _target_missing(facts: Facts) -> Findings:
    audience = facts.message.audience
    if audience is None:
        yield "Audience", _("The message has no audience. Choose whom it goes to.")
    elif audience.kind == Audience.Kind.FILTER:
        for problem in conditions.check(audience.conditions):
            yield "Audience", _("%(problem)s Mend the filter “%(audience)s”.", problem=problem, audience=audience)


@asks("typology", phase=_EARLY)
def _typology(facts: Facts) -> Findings:
    """A program may have written what no form lets pass."""
    group = typologies.control_group(facts.message)
    for rule in typologies.rules(facts.message):
        for words in _faults(rule):
            yield "Typology", _("Rule “%(rule)s”: %(words)s", rule=rule, words=words)
    for words in _faults(group) if group else ():
        yield "Control group", words


def _faults(checked: TypologyRule | ControlGroup) -> list[str]:
    try:
        checked.clean()
    except ValidationError as error:
        return error.messages
    return []


@asks("sender-domain", phase=_EARLY)
def _sender_domain(facts: Facts) -> Findings:
    brand, address = facts.message.brand, facts.content["sender_address"].lower()
    if not senders.covers(brand, address):
        words = _(
            "%(address)s is not in a domain that the brand “%(brand)s” may use. Change it, or ask an administrator.",
            address=address,
            brand=brand,
        )
        yield "Sender", words


@asks(senders.REPLY_TO, phase=_EARLY)
def _reply_to(facts: Facts) -> Findings:
    if words := senders.about_reply_to(facts.message.brand, facts.content.get("reply_to", "")):
        yield "Sender", words


@asks("sender-mask", phase=_EARLY)
def _sender_mask(facts: Facts) -> Findings:
    routing = facts.delivery.routing
    masks = _lines(routing.sender_masks) if routing else []
    address = facts.content["sender_address"].lower()
    if masks and not any(fnmatchcase(address, mask) for mask in masks):
        words = _(
            "The routing “%(routing)s” takes no mail from %(address)s. Change the sender, or ask an administrator.",
            routing=routing,
            address=address,
        )
        yield "Sender", words


@asks("routing-missing", phase=_EARLY)
def _routing_missing(facts: Facts) -> Findings:
    if facts.delivery.routing is None:
        words = _("There is no routing to send through. An administrator makes one and marks it as the default.")
        yield "Routing", words


@asks("routing-disabled", phase=_EARLY)
def _routing_disabled(facts: Facts) -> Findings:
    routing = facts.delivery.routing
    if routing and not routing.enabled:
        words = _(
            "The routing “%(routing)s” is disabled. An administrator enables it, or choose another.", routing=routing
        )
        yield "Routing", words


@asks("validity-over", phase=_EARLY)
def _validity_over(facts: Facts) -> Findings:
    end = facts.schedule.validity_end if facts.schedule else None
    if end and end <= facts.contact_date:
        words = _(
            "The validity ends on %(when)s, before the first message may leave. Set a later end.",
            when=formats.moment(end),
        )
        yield "Schedule", words


@asks("waves", phase=_EARLY)
def _waves(facts: Facts) -> Findings:
    try:
        waves.check(facts.schedule.waves if facts.schedule else "")
    except waves.BadWaves as error:
        yield "Schedule", error.args[0]


@asks("two-times", phase=_EARLY)
def _two_times(facts: Facts) -> Findings:
    """People's own due times would hold for an execution's first run alone, and a date in one execution alone."""
    if facts.schedule and facts.schedule.is_dated and hasattr(facts.message, "recurrence"):
        yield "Schedule", _(TWO_TIMES)


@asks("date-formula", phase=_EARLY)
def _date_formula(facts: Facts) -> Findings:
    schedule = facts.schedule
    if schedule is None or schedule.mode != Schedule.Mode.FORMULA:
        return
    found = date_formula.compiled(schedule.formula, facts.content["fields"])
    if isinstance(found, list):
        yield from (("Schedule", str(problem)) for problem in found)


@asks("contact-date-missing", phase=_EARLY)
def _contact_date_missing(facts: Facts) -> Findings:
    """A program may have left it out; the message must not leave at once because of that."""
    if facts.schedule and facts.schedule.is_dated and not facts.schedule.contact_date:
        yield "Schedule", _("The contact date is missing. Give it, or let the message leave once confirmed.")


@asks("contact-date-past", phase=_EARLY)
def _contact_date_past(facts: Facts) -> Findings:
    schedule = facts.schedule
    date = schedule.contact_date if schedule and schedule.is_dated else None
    if date and date < timezone.now():
        words = _(
            "The contact date, %(when)s, is past: messages leave as soon as the send is confirmed.",
            when=formats.moment(date),
        )
        yield "Schedule", words


@asks("duration-clamped", phase=_EARLY)
def _duration_clamped(facts: Facts) -> Findings:
    """A longer duration is accepted and not used."""
    schedule = facts.schedule
    if schedule is None:
        return
    wanted = schedule.validity_end - facts.contact_date if schedule.validity_end else schedule.delivery_duration
    if wanted > EFFECTIVE_LIMIT:
        words = _(
            "A validity of %(wanted)s days is longer than the %(used)s days that are used.",
            wanted=_days(wanted),
            used=_days(EFFECTIVE_LIMIT),
        )
        yield "Schedule", words


@asks("target-empty", phase=_LATER)
def _target_empty(facts: Facts) -> Findings:
    if not facts.to_deliver:
        yield "Audience", _("Nobody is left to deliver to. See the exclusion causes, or choose another audience.")


@asks("proof-size", phase=Phase.PROOF)
def _proof_size(facts: Facts) -> Findings:
    if facts.proof_size > MOST:
        words = _(
            "%(size)s mails, and %(most)s is the most. Choose fewer; nothing was sent.",
            size=facts.proof_size,
            most=MOST,
        )
        yield _("Proof size"), words


def _lines(text: str) -> list[str]:
    return [line.strip().lower() for line in text.splitlines() if line.strip()]


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):g}"


_OF_THE_WHOLE = ("content-empty", "size")
_IN_A_PART = [code for code, rule in CONTROL_RULES.items() if rule.content and code not in _OF_THE_WHOLE]


@asks(*_OF_THE_WHOLE, phase=_LATER)
def _content_empty(facts: Facts) -> Findings:
    return [problem for problem in facts.content_problems if problem.code in _OF_THE_WHOLE]


@asks(*_IN_A_PART, phase=_LAST)
def _content(facts: Facts) -> Findings:
    """Subject, syntax with its lines, opt-out link, URL labels, '&' in URLs, and whatever else content can have."""
    return [problem for problem in facts.content_problems if problem.code not in _OF_THE_WHOLE]
