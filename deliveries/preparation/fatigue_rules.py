"""Fatigue rules over a preparation's target: who has got, or is about to get, enough messages.

A rule looks its period back from the contact date and its period ahead, and counts what was sent and what is scheduled
in other deliveries; the logs of proofs and traps are no profile's. All rules are counted in one walk through the
sending logs, some profiles at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, F, FloatField, Q, QuerySet, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.utils import timezone

from campaigns.messages import typologies
from campaigns.models import Profile, Schedule, TypologyRule
from campaigns.models.conditions import NUMBER, attribute_of
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import CONFIRMED, LogStatus, Reason, State
from deliveries.models.storage import dialect

from .target_table import TARGET, Found, analyse, execute, leave_out, rows, temporary

SLICE = 250_000  # profiles counted in one statement: a few seconds over ten million logs
_COUNTED = "prepared_counted"
_LOG = SendingLog._meta.db_table
_HOLDS = ", ".join(str(int(status)) for status in (LogStatus.PENDING, LogStatus.SENT, LogStatus.IN_DOUBT))


def contact_date(delivery: Delivery) -> datetime | None:
    """The date around which rules look: the schedule's, or the slot of an execution; None: no rule is run."""
    schedule: Schedule | None = getattr(delivery.message, "schedule", None)
    if delivery.slot:
        return delivery.slot
    return schedule.contact_date if schedule and schedule.is_dated else None


def waiting(delivery: Delivery) -> list[TypologyRule]:
    """The fatigue rules of the delivery's typology that are not run, since it has no contact date."""
    if delivery.is_series or contact_date(delivery) is not None:
        return []
    return [rule for rule in typologies.rules(delivery.message) if rule.is_fatigue]


def run(
    rules: Sequence[TypologyRule], delivery: Delivery, date: datetime, alive: Callable[[], None]
) -> Iterable[Found]:
    """Leave out whom each of the rules, in this order, finds to have enough. `alive` is called every few seconds."""
    around = {rule.pk: (date - rule.reach, date + rule.reach) for rule in rules}
    counted = {rule.pk: list(_counted(rule, delivery, *around[rule.pk]).values_list("pk", flat=True)) for rule in rules}
    _count(around, counted, alive)
    for number, rule in enumerate(rules):
        alive()
        volume = _by_field(rule, number) if rule.threshold_field else _by_constant(rule, number)
        yield Found(Reason.FATIGUE_RULE, volume, rule.pk, rule.label)


def _counted(rule: TypologyRule, delivery: Delivery, low: datetime, high: datetime) -> QuerySet[Delivery]:
    """The other deliveries that the rule counts: confirmed, or ready for a date to come."""
    dated = Q(message__schedule__mode__in=_DATED) | Q(slot__isnull=False)
    waiting = Q(dated, state=State.READY, first_due_at__gt=timezone.now())
    others = Delivery.objects.exclude(pk=delivery.pk).filter(Q(state__in=CONFIRMED) | waiting)
    others = others.filter(Q(first_due_at=None) | Q(first_due_at__lte=high)).exclude(finished_at__lt=low)
    if rule.counted == TypologyRule.Counted.CAMPAIGN:
        others = others.filter(campaign=delivery.campaign_id)
    elif rule.counted == TypologyRule.Counted.BRAND:
        others = others.filter(message__brand=delivery.message.brand_id)
    return others


_DATED = [mode for mode in Schedule.Mode if mode != Schedule.Mode.IMMEDIATE]


def _count(
    around: dict[int, tuple[datetime, datetime]], counted: dict[int, list[int]], alive: Callable[[], None]
) -> None:
    """Fill the table of counts: profile_id, and n0, n1 … for the rules."""
    numbers = [f"n{number}" for number in range(len(around))]
    temporary(_COUNTED, ", ".join(["profile_id bigint PRIMARY KEY", *(f"{name} integer NOT NULL" for name in numbers)]))
    low, high = rows(f"SELECT MIN(profile_id), MAX(profile_id) FROM {TARGET} WHERE cause = 0")[0]
    if low is None or not any(counted.values()):
        return
    sql, params = _counting(around, counted)
    for first in range(low, high + 1, SLICE):
        alive()
        execute(f"INSERT INTO {_COUNTED} {sql}", [*params, first, min(first + SLICE - 1, high)])
    analyse(_COUNTED)


def _counting(around: dict[int, tuple[datetime, datetime]], counted: dict[int, list[int]]) -> tuple[str, list[Any]]:
    """The statement that counts profiles between two ids, which are its last parameters."""
    union = sorted({pk for those in counted.values() for pk in those})
    columns, params = [], []
    for pk, ends in around.items():
        column, its = _column(ends, counted[pk], every=len(counted[pk]) == len(union))
        columns.append(column)
        params += its
    # SQLite: people first, then their logs by the index of profiles (CROSS JOIN keeps the order, + other indexes off).
    join, plain = ("CROSS JOIN", "+") if connection.vendor == "sqlite" else ("JOIN", "")
    one_of, ids = dialect.one_of(union)
    sql = f"""SELECT t.profile_id, {", ".join(columns)} FROM {TARGET} t {join} {_LOG} l ON l.profile_id = t.profile_id
              WHERE {plain}l.status IN ({_HOLDS}) AND {plain}l.delivery_id {one_of}
              AND t.cause = 0 AND t.profile_id BETWEEN %s AND %s GROUP BY t.profile_id"""
    return sql, [*params, ids]


def _column(ends: tuple[datetime, datetime], ids: list[int], *, every: bool) -> tuple[str, list[Any]]:
    """What counts one rule's logs. In: `every`, its deliveries are all that are read, so none needs a look."""
    moment = "COALESCE(l.relayed_at, l.due_at, l.date)"
    one_of, among = ("", []) if every else dialect.one_of(ids)
    its = "" if every else f" AND l.delivery_id {one_of}"
    parameters = [*map(dialect.stamp, ends), *([] if every else [among])]
    return f"COUNT(CASE WHEN {moment} BETWEEN %s AND %s{its} THEN 1 END)", parameters


def _by_constant(rule: TypologyRule, number: int) -> int:
    if rule.threshold == 0:
        return leave_out(Reason.FATIGUE_RULE, "1 = 1", rule=rule.pk)
    where = f"c.profile_id = {TARGET}.profile_id AND c.n{number} >= %s"
    return leave_out(Reason.FATIGUE_RULE, where, [rule.threshold], rule=rule.pk, source=f"{_COUNTED} c")


def _by_field(rule: TypologyRule, number: int) -> int:
    """The number in the profile's attribute; the rule's threshold where that is no number."""
    sql, params = _limits(rule).query.sql_with_params()
    source = f"""(SELECT p.pid, p.most, COALESCE(c.n{number}, 0) AS n FROM ({sql}) p
                  LEFT JOIN {_COUNTED} c ON c.profile_id = p.pid) x"""
    where = f"x.pid = {TARGET}.profile_id AND x.n + 1 > x.most"
    return leave_out(Reason.FATIGUE_RULE, where, params, rule=rule.pk, source=source)


def _limits(rule: TypologyRule) -> Any:
    name = attribute_of(rule.threshold_field) or ""
    text = Cast(KeyTextTransform(name, "attributes"), TextField())
    number = Case(
        When(Q(held__regex=NUMBER), then=Cast(F("held"), FloatField())),  # PostgreSQL raises at what is no number
        default=Value(float(rule.threshold)),
        output_field=FloatField(),
    )
    return Profile.objects.alias(held=text).annotate(pid=F("pk"), most=number).values_list("pid", "most")
