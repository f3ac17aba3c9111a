"""Whom a delivery is to reach: its target in a temporary table, who of it is left out and why, and the rows of both.

Set-based: profiles are read once, so that all later statements see one picture of people whom others go on editing. A
profile is left out once, under the first cause that holds (concepts.md, Who is left out); exclusion_order.py has
their order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import DatabaseError, connection
from django.db.models import Case, IntegerField, Model, Q, QuerySet, Value, When
from django.db.models.functions import Length, StrIndex
from django.utils import timezone

from campaigns.core.domains import BadAddress, ascii_address
from campaigns.models import Profile
from campaigns.models.people import consent
from deliveries.models import Batch, ExclusionLog, QuarantinedAddress, SendingLog
from deliveries.models.states import LogStatus, Reason
from deliveries.models.storage import dialect
from deliveries.preparation.times.send_times import Spread

from .target_table import TARGET as _TARGET
from .target_table import Found, analyse, leave_out
from .target_table import execute as _execute
from .target_table import rows as _rows

OWN_CAUSES = (Reason.ADDRESS_EMPTY, Reason.BAD_QUALITY, Reason.DENYLISTED, Reason.QUARANTINED)
MAX_ADDRESS = 254  # octets: a path is at most 256 with its brackets (RFC 5321 §4.5.3.1.3)

# RFC 5321 §4.1.2: a dot-atom at a fully qualified domain (§2.3.5); no quoted local part, no address literal. Letters
# beyond ASCII may stand in the domain, where IDNA writes them as ASCII. PostgreSQL and Python read the pattern alike:
# no $ (it lets a last line feed pass) and no \w. Counts like {1,63} would make PostgreSQL twenty times slower.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ALNUM = r"[^\u0000-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a0\u2000-\u200f\u2028-\u202f\u3000\ufeff]+"
_LABEL = rf"{_ALNUM}(-+{_ALNUM})*"
ADDRESS = rf"^{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})+\Z"
MALFORMED = ~Q(email__regex=ADDRESS) | (
    Q(length__gt=65)  # a shorter one keeps all these limits
    & (
        Q(length__gt=MAX_ADDRESS)
        | Q(at__gt=65)  # §4.5.3.1.1: 64 octets before the @
        | Q(email__regex=r"@.*[^.]{64}")  # RFC 1035 §2.3.4: 63 octets in a label
    )
)

_LOG, _EXCLUSION, _BATCH, _QUARANTINE, _PROFILE, _OPTED_OUT = (
    model._meta.db_table
    for model in (SendingLog, ExclusionLog, Batch, QuarantinedAddress, Profile, consent.AddressOptOut)
)

# The profiles that an earlier run of a delivery left out; those hidden by a list, too.
_LEFT_OUT = f"""SELECT pid FROM (SELECT COALESCE(profile_id, hidden_profile) AS pid FROM {_EXCLUSION}
                WHERE delivery_id = %s) earlier WHERE pid IS NOT NULL"""


class Target:
    """The people of one preparation: `add` them, exclude, then `write` their rows. A context manager.

    `hidden_rules`: rules of which logs tell the number of people alone, not who they are.

    The table lives in the database connection and ends with it; nothing of it is ever left behind.
    """

    def __init__(self, spread: Spread | None = None, *, added_to: int = 0) -> None:
        """In: `spread` tells when each is due, if that differs; `added_to`: a delivery that has people already, who
        are not meant again."""
        self._spread, self.added_to = spread, added_to
        self.first_batch = 0  # earlier ones are not filled up
        self.batch_size = settings.BATCH_SIZE  # may be changed before the first rows are written
        self.hidden_rules: list[int] = []

    def __enter__(self) -> Target:
        """Start with nobody."""
        self._drop()
        _execute(
            f"CREATE TEMPORARY TABLE {_TARGET} "
            "(profile_id bigint NOT NULL, address varchar(1000) NOT NULL, cause smallint NOT NULL, "
            f"rule bigint NOT NULL DEFAULT 0{', zone varchar(64), due_at timestamptz' if self._spread else ''})"
        )
        return self

    def __exit__(self, *error: object) -> None:
        """Forget everybody."""
        with suppress(DatabaseError):  # the connection may be what broke; the table has gone with it
            self._drop()

    def _drop(self) -> None:
        _execute(f"DROP TABLE IF EXISTS {_TARGET}")

    def add(self, profiles: QuerySet[Profile]) -> int:
        """Add profiles, with the cause that they themselves give for leaving them out (0: none). Out: how many."""
        own_cause = Case(
            When(email="", then=Value(Reason.ADDRESS_EMPTY)),
            When(MALFORMED, then=Value(Reason.BAD_QUALITY)),
            When(Q(opt_out=True) | Q(opt_out_email=True), then=Value(Reason.DENYLISTED)),
            default=Value(0),
            output_field=IntegerField(),
        )
        measured = profiles.order_by("pk").alias(length=Length("email"), at=StrIndex("email", Value("@")))
        zone = ["time_zone"] if self._spread else []
        rows = measured.annotate(own=own_cause).values_list("pk", "email", "own", *zone)
        try:
            sql, params = rows.query.sql_with_params()
        except EmptyResultSet:  # conditions that nobody can meet
            return 0
        return _execute(f"INSERT INTO {_TARGET} (profile_id, address, cause{', zone' if zone else ''}) {sql}", params)

    def exclude(self) -> list[Found]:
        """Once all are added: leave out those whose address is missing, bad, opted out or quarantined."""
        _execute(f"CREATE UNIQUE INDEX {_TARGET}_profile ON {_TARGET} (profile_id)")
        self._write_domains_in_ascii()
        self._forget_those_who_are_there()
        analyse(_TARGET)  # the planner would guess wrong
        self._exclude_opted_out_mailboxes()
        self._exclude_quarantined()
        found = dict(_rows(f"SELECT cause, COUNT(*) FROM {_TARGET} GROUP BY cause"))
        return [Found(cause, found.get(cause, 0)) for cause in OWN_CAUSES]

    def _forget_those_who_are_there(self) -> None:
        """Of the delivery that this is added to: nobody gets it twice."""
        if not self.added_to:
            return
        for name in ("profile_id", "address"):
            _execute(
                f"""DELETE FROM {_TARGET} WHERE EXISTS (SELECT 1 FROM {_LOG} l WHERE l.delivery_id = %s
                    AND l.{name} = {_TARGET}.{name})""",
                [self.added_to],
            )

    def settle(self, found: Iterable[Found]) -> list[Found]:
        """Once every cause has taken whom it takes: what they count, which is nobody twice. In: what each took."""
        taken = list(found)
        if not self.added_to:
            return taken
        _execute(f"DELETE FROM {_TARGET} WHERE cause <> 0 AND profile_id IN ({_LEFT_OUT})", [self.added_to])
        rows = _rows(f"SELECT cause, rule, COUNT(*) FROM {_TARGET} WHERE cause <> 0 GROUP BY cause, rule")
        volumes = {(cause, rule): volume for cause, rule, volume in rows}
        return [one._replace(volume=volumes.get((one.cause, one.rule), 0)) for one in taken]

    def size(self) -> int:
        """How many were added, without those whom an earlier run of the same delivery left out."""
        if not self.added_to:
            return int(_rows(f"SELECT COUNT(*) FROM {_TARGET}")[0][0])
        where = f"profile_id NOT IN ({_LEFT_OUT})"
        return int(_rows(f"SELECT COUNT(*) FROM {_TARGET} WHERE {where}", [self.added_to])[0][0])

    def remaining(self) -> int:
        """How many get the message, so far."""
        return int(_rows(f"SELECT COUNT(*) FROM {_TARGET} WHERE cause = 0")[0][0])

    def _write_domains_in_ascii(self) -> None:
        """Mail servers, bounces and quarantine know xn-- domains; what IDNA cannot write so is no address."""
        octets = "octet_length(address)" if connection.vendor == "postgresql" else "length(CAST(address AS blob))"
        found = _rows(
            f"SELECT profile_id, address FROM {_TARGET} WHERE {octets} <> length(address) AND cause NOT IN (%s, %s)",
            [Reason.ADDRESS_EMPTY, Reason.BAD_QUALITY],
        )
        written = [(as_targeted(address), pk) for pk, address in found]
        change = f"UPDATE {_TARGET} SET %s = %%s WHERE profile_id = %%s"
        with connection.cursor() as cursor:
            cursor.executemany(change % "address", [(address, pk) for address, pk in written if address])
            cursor.executemany(change % "cause", [(Reason.BAD_QUALITY, pk) for address, pk in written if not address])

    def _exclude_opted_out_mailboxes(self) -> None:
        """Those that a message's link took out, whoever has them now (deliverability.md, Consent). Old addresses may
        have capitals; all are lower-cased only where there is one."""
        held = f"(SELECT address FROM {_OPTED_OUT} WHERE undone_at IS NULL GROUP BY address) held"
        not_back = f"NOT {consent.is_back('held.address', f'{_TARGET}.profile_id')}"
        spellings = [f"{_TARGET}.address", *([f"LOWER({_TARGET}.address)"] if _some_have_capitals() else [])]
        for address in spellings:
            leave_out(Reason.DENYLISTED, f"held.address = {address} AND {not_back}", source=held)

    def _exclude_quarantined(self) -> None:
        """Erroneous addresses are still targeted."""
        status = QuarantinedAddress.Status
        _execute(
            f"""UPDATE {_TARGET} SET cause = CASE q.status WHEN %s THEN %s ELSE %s END FROM {_QUARANTINE} q
                WHERE q.address = {_TARGET}.address AND q.status IN (%s, %s) AND {_TARGET}.cause = 0""",
            [status.DENYLIST, Reason.DENYLISTED, Reason.QUARANTINED, status.QUARANTINE, status.DENYLIST],
        )

    def exclude_duplicates(self) -> Found:
        """Of those who share an address the one with the lowest id gets the message."""
        shared = f"""(SELECT address, MIN(profile_id) AS first FROM {_TARGET} WHERE cause = 0
                      GROUP BY address HAVING COUNT(*) > 1) shared"""
        where = f"shared.address = {_TARGET}.address AND {_TARGET}.profile_id <> shared.first"
        return Found(Reason.DUPLICATE, leave_out(Reason.DUPLICATE, where, source=shared))

    def set_due_times(self) -> None:
        """Where each recipient has their own time, compute it."""
        if self._spread:
            self._spread(_TARGET)

    def due_times(self) -> tuple[datetime, datetime] | None:
        """When the first and the last message is due, if that differs from person to person; None if nobody is left."""
        if not self._spread:
            return None
        first, last = map(dialect.moment, _rows(f"SELECT MIN(due_at), MAX(due_at) FROM {_TARGET}")[0])
        return (first, last) if first and last else None

    def tell_batches(self, delivery_id: int) -> None:
        """Let each batch wait for its first row, once all are written."""
        if self._spread:
            first = f"SELECT due_at FROM {_LOG} WHERE batch_id = {_BATCH}.id ORDER BY due_at LIMIT 1"
            _execute(f"UPDATE {_BATCH} SET next_due_at = ({first}) WHERE delivery_id = %s", [delivery_id])

    def first_from(self, profile_id: int) -> int | None:
        """The lowest profile id that is not below `profile_id`; None if there is none."""
        found: int | None = _rows(f"SELECT MIN(profile_id) FROM {_TARGET} WHERE profile_id >= %s", [profile_id])[0][0]
        return found

    def write(self, delivery_id: int, ids: tuple[int, int], due_at: datetime) -> tuple[int, int]:
        """Write the sending logs, due at `due_at`, with their batches, and the exclusion logs of some profiles.

        Of the control group there are sending logs, Ignored and in no batch, which count as left out.
        In: their lowest and highest id; ranges come in ascending order. Out: (to deliver, left out). To be called in a
        transaction.
        """
        to_deliver = self._insert_logs(delivery_id, ids, due_at)
        left_out = self._insert_exclusions(delivery_id, ids) + self._insert_control_group(delivery_id, ids)
        return to_deliver, left_out

    def _insert_exclusions(self, delivery_id: int, ids: tuple[int, int]) -> int:
        control = int(Reason.CONTROL_GROUP)
        hidden = f"rule IN ({', '.join(map(str, self.hidden_rules))})" if self.hidden_rules else "1 = 0"
        return _execute(
            f"""INSERT INTO {_EXCLUSION} (delivery_id, profile_id, hidden_profile, address, cause, rule, date)
                SELECT %s, CASE WHEN {hidden} THEN NULL ELSE profile_id END,
                       CASE WHEN {hidden} THEN profile_id END,
                       CASE WHEN {hidden} THEN '' ELSE SUBSTR(address, 1, %s) END, cause, rule, %s FROM {_TARGET}
                WHERE profile_id BETWEEN %s AND %s AND cause NOT IN (0, {control}) ORDER BY profile_id""",
            [delivery_id, MAX_ADDRESS, dialect.stamp(timezone.now()), *ids],
        )

    def _insert_control_group(self, delivery_id: int, ids: tuple[int, int]) -> int:
        constants = _defaults(SendingLog, ("batch_id", "profile_id", "address", "due_at")) | {
            "delivery_id": delivery_id,
            "date": dialect.stamp(timezone.now()),
            "status": int(LogStatus.IGNORED),
            "reason": int(Reason.CONTROL_GROUP),
        }
        return _execute(
            f"""INSERT INTO {_LOG} ({", ".join(constants)}, profile_id, address)
                SELECT {", ".join(["%s"] * len(constants))}, profile_id, address FROM {_TARGET}
                WHERE profile_id BETWEEN %s AND %s AND cause = {Reason.CONTROL_GROUP:d} ORDER BY profile_id""",
            [*constants.values(), *ids],
        )

    def _insert_logs(self, delivery_id: int, ids: tuple[int, int], due_at: datetime) -> int:
        found = _rows(f"SELECT COUNT(*) FROM {_TARGET} WHERE profile_id BETWEEN %s AND %s AND cause = 0", ids)
        first, filled = room(delivery_id, found[0][0], due_at, self.batch_size, self.first_batch)
        constants = _defaults(SendingLog, ("batch_id", "profile_id", "address", "due_at")) | {
            "delivery_id": delivery_id,
            "date": dialect.stamp(timezone.now()),
        }
        own, picked, due = (", due_at", "t.due_at", []) if self._spread else ("", "%s", [dialect.stamp(due_at)])
        return _execute(
            f"""INSERT INTO {_LOG} ({", ".join(constants)}, batch_id, profile_id, address, due_at)
                SELECT {", ".join(["%s"] * len(constants))}, b.id, t.profile_id, t.address, {picked}
                FROM (SELECT profile_id, address{own},
                             %s + (ROW_NUMBER() OVER (ORDER BY profile_id) - 1 + %s) / %s AS number
                      FROM {_TARGET} WHERE profile_id BETWEEN %s AND %s AND cause = 0) t
                JOIN {_BATCH} b ON b.delivery_id = %s AND b.number = t.number""",
            [*constants.values(), *due, first, filled, self.batch_size, *ids, delivery_id],
        )


def _some_have_capitals() -> bool:
    """Whether any profile's address has; the order lets the index of just these answer."""
    low = f"SELECT LOWER(email) FROM {_PROFILE} WHERE NOT (email = LOWER(email)) ORDER BY LOWER(email) LIMIT 1"
    return bool(_rows(low))


def _defaults(model: type[Model], without: Collection[str]) -> dict[str, Any]:
    """{column: default} of all columns but `without` that have one, for statements that go past the model."""
    found = {
        str(field.column): field.get_db_prep_save(field.get_default(), connection)
        for field in model._meta.concrete_fields
        if field.column not in without
    }
    return {column: default for column, default in found.items() if default is not None}


def as_targeted(address: str) -> str:
    """The address as a target holds it: its domain in ASCII; '' if there is none that fits."""
    try:
        written = ascii_address(address)
    except BadAddress:
        return ""
    return written if len(written) <= MAX_ADDRESS else ""


def room(delivery_id: int, wanted: int, due_at: datetime, size: int, start: int) -> tuple[int, int]:
    """Make batches for `wanted` rows more; those before number `start` are left as they are.

    Out: the number of the first to fill, and how many rows that has already.
    """
    last = Batch.objects.filter(delivery_id=delivery_id).order_by("-number").first()
    have, filled = (last.number, last.total) if last else (0, size)
    first, filled = (have, filled) if filled < size and have >= start else (have + 1, 0)
    ends = range(filled + wanted, 0, -size)  # rows that are in each batch from `first` on, and all after it
    batches = [
        Batch(delivery_id=delivery_id, number=number, next_due_at=due_at, total=rows, pending=rows)
        for number, rows in enumerate((min(size, end) for end in ends), first)
    ]
    Batch.objects.bulk_create(
        batches, update_conflicts=True, unique_fields=["delivery", "number"], update_fields=["total", "pending"]
    )
    return first, filled
