"""A world in which a holder of Start deliveries has brought one delivery into some state, and what leaves of it then.

For test_nothing_unconfirmed_leaves.py: stages, the world going on by itself, and each letter reduced to its form.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from campaigns.content.fingerprint import word
from campaigns.models import Message, Profile, Recurrence, Schedule, TestProfile
from deliveries.feedback import active_rules
from deliveries.lifecycle import auto_start, commands, progress, wave_gates
from deliveries.lifecycle.recurrence import executions, runs
from deliveries.models import Batch, Delivery, Routing, SendingLog
from deliveries.models.runs import Run
from deliveries.models.states import PREPARING, SENDING, State
from deliveries.preparation import prepare, sealing
from deliveries.sending import compose, work_on_batch
from tests.fakes.smtp_server import Server

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@dataclass
class World:
    """One message with its delivery, the people, and the mail servers. `holder` confirmed whatever is confirmed."""

    message: Message
    holder: Any
    servers: list[Server]
    things: dict[str, Any]  # {what an address names: its key}, as in the permission matrix
    undo_seconds: Callable[[int], None]
    slot: datetime | None = None  # of the series, when its next execution is due
    seen: str = ""  # the word of the form that the holder looked at last
    early: list[Letter] = field(default_factory=list)

    @property
    def delivery(self) -> Delivery:
        """The message's own: it is the series if there is a recurrence."""
        return Delivery.objects.get(message=self.message, parent=None)

    @property
    def newest(self) -> Delivery:
        """The newest execution, or the delivery itself."""
        return Delivery.objects.filter(message=self.message).latest("pk")

    def letters(self) -> list[Letter]:
        """What left since the last look, proofs aside: they have a law of their own
        (deliveries/lifecycle/proofs/addresses.py)."""
        taken = [(server, one) for server in self.servers for one in server.messages]
        for server in self.servers:
            server.messages.clear()
        return [letter for server, one in taken if (letter := read(server.port, *one)) is not None]

    def turn(self, at: datetime | None = None) -> None:
        """One round of the sweeper and of its workers. In: the time that recurrences see."""
        executions.tick(at)
        executions.prepare_forgotten()
        for pk in Delivery.objects.filter(state__in=PREPARING).values_list("pk", flat=True):
            prepare.run(pk)
        auto_start.start_unasked()
        for pk in set(Run.objects.filter(ended_at=None).values_list("execution", flat=True)):
            runs.run(pk)
        for pk in Delivery.objects.filter(state=State.START_PENDING).values_list("pk", flat=True):
            progress.start(pk)
        wave_gates.open_gates()
        due = Batch.objects.filter(delivery__state__in=SENDING, next_due_at__lte=timezone.now(), gated=False)
        for pk in list(due.values_list("pk", flat=True)):
            work_on_batch.send(pk)

    def pass_time(self, by: timedelta = DAY) -> None:
        """All that waits for a time comes nearer by that: the clock of the database cannot be moved."""
        dates = ("contact_date", "start_by", "validity_end", "undo_until", "first_due_at", "last_due_at")
        for name in dates:
            Delivery.objects.filter(**{f"{name}__isnull": False}).update(**{name: F(name) - by})
        Batch.objects.filter(next_due_at__isnull=False).update(next_due_at=F("next_due_at") - by)
        SendingLog.objects.filter(due_at__isnull=False).update(due_at=F("due_at") - by)

    def forget(self, *, letters: bool = True) -> None:
        """What processes remember by keys that a roll-back lets come again."""
        compose.forget()
        active_rules.renew()
        if letters:
            self.letters()


@dataclass(frozen=True)
class Letter:
    """A letter without what is each recipient's own: equal letters have the same form."""

    recipient: str = field(compare=False)
    shown: str = field(compare=False)  # the subject as it is
    port: int
    way: tuple[Any, ...]
    headers: tuple[str, ...]
    subject: str
    html: str
    text: str


_OWN = re.compile(r"(?<=/)[A-Za-z0-9_-]{20,}(?=[/.\"\s)>]|$)|(?<=b-)[a-z0-9]{20,}(?=@)")
SEEDLING = "Seedling"  # what the traps are called
_WAY = ("host", "port", "security", "verify_certificate", "username")


def read(port: int, sender: str, recipient: str, body: bytes) -> Letter | None:
    """The letter's form; None for a proof."""
    mail = message_from_bytes(body.removesuffix(b".\r\n"), policy=policy.default)
    if mail["X-Proof"]:
        return None
    person = Profile.objects.filter(email=recipient).first() or TestProfile.objects.filter(email=recipient).first()
    name = (person.first_name if person else "") or "reader"  # as the message calls whoever has no name

    def neutral(text: str) -> str:
        text = _OWN.sub("(own)", text)
        return text.replace(name, "(name)").replace(SEEDLING, "(name)").strip()  # a trap's name is frozen

    parts = {part.get_content_type(): neutral(part.get_content()) for part in mail.walk() if not part.is_multipart()}
    used = Routing.objects.filter(delivery__batches__relayed__gt=0, delivery__proof=None).order_by("pk").distinct()
    return Letter(
        recipient,
        str(mail["Subject"]),
        port,
        tuple(used.values_list(*_WAY)),
        (str(mail["From"]), str(mail["Reply-To"] or ""), sender.rpartition("@")[2]),
        neutral(str(mail["Subject"])),
        parts.get("text/html", ""),
        parts.get("text/plain", ""),
    )


# --- stages -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """`bring` is what the holder did; `then` what they do later, looking at nothing anew; `wait` passes before it goes
    on, or after what they do `at_once`. `sends`: whether anything leaves if nothing is changed."""

    bring: Callable[[World], None]
    then: Callable[[World], None] = lambda world: None
    wait: timedelta = MINUTE
    sends: bool = True
    at_once: bool = False


def prepared(world: World, **schedule: Any) -> Delivery:
    """The holder prepares it as it is written now, and looks at it."""
    if schedule:
        Schedule.objects.filter(message=world.message).update(**schedule)
    delivery = Delivery.objects.get(pk=world.delivery.pk)
    commands.prepare(delivery, world.holder)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    world.seen = word(sealing.prepared_form(delivery))
    return delivery


def confirmed(world: World, **schedule: Any) -> Delivery:
    """… and confirms it."""
    delivery = prepared(world, **schedule)
    commands.confirm(delivery, world.holder, seen=world.seen)
    return delivery


def asked(world: World) -> None:
    """Asked for, to start by itself; no worker has come yet."""
    Schedule.objects.filter(message=world.message).update(request_confirmation=False)
    commands.prepare(Delivery.objects.get(pk=world.delivery.pk), world.holder)


def scheduled(world: World) -> None:
    confirmed(world, mode="at_date", contact_date=timezone.now() + 12 * HOUR)


def dated(world: World) -> None:
    """Prepared for a date, and looked at."""
    prepared(world, mode="at_date", contact_date=timezone.now() + 12 * HOUR)


def in_undo(world: World) -> None:
    world.undo_seconds(600)
    confirmed(world)


def running(world: World) -> None:
    """One batch has left, another is still to come."""
    delivery = confirmed(world)
    last = Batch.objects.filter(delivery=delivery).order_by("-number").first()
    Batch.objects.filter(pk=last.pk).update(next_due_at=timezone.now() + HOUR)
    SendingLog.objects.filter(batch=last.pk).update(due_at=timezone.now() + HOUR)
    world.turn()


def paused(world: World) -> None:
    running(world)
    commands.pause(world.delivery, world.holder)


def resume(world: World) -> None:
    """The holder goes on with what they confirmed."""
    commands.resume(world.delivery, world.holder)


def retrying(world: World) -> None:
    """The server put everything off."""
    world.servers[0].says["RCPT"] = "450 4.2.0 later"
    confirmed(world)
    world.turn()
    del world.servers[0].says["RCPT"]


def series(world: World, **fields: Any) -> None:
    """Switched on by the holder; its next slot is some hours away."""
    coming = timezone.now() + 6 * HOUR
    values = {"frequency": "daily", "at": coming.time().replace(second=0, microsecond=0), "time_zone": "UTC"}
    Recurrence.objects.create(message=world.message, **(values | fields))
    delivery = Delivery.objects.get(pk=world.delivery.pk)
    world.seen = word(sealing.form(delivery, delivery.message))
    executions.start_series(delivery, world.holder, seen=world.seen)
    world.slot = Recurrence.objects.get(message=world.message).next_at


def unasked_series(world: World) -> None:
    series(world, request_confirmation=False)


def aggregated(world: World) -> None:
    """The first run of the period has left, and somebody has come since."""
    series(world, request_confirmation=False, aggregation="year", frequency="cron", cron="0 * * * *")
    world.turn(world.slot)
    Profile.objects.create(email="late@example.com", first_name="Lateness", unit_id=world.things["unit"])
    world.slot = Recurrence.objects.get(message=world.message).next_at


def waiting(world: World) -> None:
    """An execution of a series that asks: it is prepared and waits."""
    series(world)
    world.turn(world.slot)
    world.seen = word(sealing.prepared_form(world.newest))
    world.slot = None


def confirm_as_seen(world: World) -> None:
    """The holder confirms what their page shows, which they opened before; it may be deleted by now."""
    with contextlib.suppress(commands.Refused, Delivery.DoesNotExist):
        commands.confirm(world.newest, world.holder, seen=world.seen)


def resume_if_paused(world: World) -> None:
    with contextlib.suppress(commands.Refused):
        resume(world)


STAGES: dict[str, Stage] = {
    "written": Stage(lambda world: None, sends=False),
    "written, to start by itself": Stage(
        lambda world: Schedule.objects.update(request_confirmation=False) and None, sends=False
    ),
    "ready, and nobody confirms": Stage(lambda world: prepared(world) and None, sends=False),
    "ready": Stage(lambda world: prepared(world) and None, confirm_as_seen),
    "ready, with a date": Stage(dated, confirm_as_seen, wait=12 * HOUR + MINUTE, at_once=True),
    "asked for, to start by itself": Stage(asked),
    "prepared, to start by itself": Stage(lambda world: prepared(world, request_confirmation=False) and None),
    "scheduled": Stage(scheduled, wait=12 * HOUR + MINUTE),
    "in its time to undo": Stage(in_undo, wait=11 * MINUTE),
    "paused": Stage(paused, resume_if_paused, wait=2 * HOUR),
    "running": Stage(running, wait=2 * HOUR),
    "waiting for retries": Stage(retrying, wait=DAY),
    "recurring, asks": Stage(series, sends=False),
    "recurring, never asks": Stage(unasked_series),
    "recurring, never asks, aggregated": Stage(aggregated),
    "an execution that waits": Stage(waiting, confirm_as_seen),
}


def live(world: World, stage: Stage) -> list[Letter]:
    """Everything that happens from here on, until the next slot or the time that the holder confirmed has come.

    Out: what left; `world.early` is what left before that time.
    """
    if stage.at_once:
        stage.then(world)
    if stage.wait > MINUTE or world.slot:
        world.turn(world.slot - HOUR / 2 if world.slot else None)
    world.early = world.letters()
    if not stage.at_once:
        stage.then(world)
    world.pass_time(stage.wait)
    world.turn(world.slot)
    return world.letters()


class undone(transaction.Atomic):
    """What happens inside is taken back."""

    def __init__(self) -> None:
        super().__init__(using=None, savepoint=True, durable=False)

    def __exit__(self, *error: Any) -> None:
        transaction.set_rollback(True)
        super().__exit__(*error)
