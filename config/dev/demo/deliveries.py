"""The demo: accounts, readers, audiences, a message that waits to be confirmed, and one that has gone out.

Made through the same functions as everything else, in one transaction: it is there as a whole or not at all. What
recipients did with the message that has gone out is config/dev/demo/reading.py's.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import DateTimeField, F
from django.utils import timezone

from campaigns.accounts.permissions import PREPARERS, STARTERS, sync_roles
from campaigns.core.actors import Person
from campaigns.models import Audience, Brand, Campaign, Message, Profile, ProofDomain
from campaigns.models.units import ROOT
from deliveries.ledger.change import Change
from deliveries.lifecycle import commands, progress
from deliveries.models import Delivery, QuarantinedAddress, Routing
from deliveries.models.states import FailureType, LogMove, Reason
from deliveries.preparation import prepare
from deliveries.sending import leases, results

from . import people as demo_people

BRAND = "Lumen Books"
ROUTING = "Simulator (nothing leaves this machine)"
AGO = timedelta(days=2)  # when the message that has gone out did so
_LETTERS = Path(__file__).with_name("letters")
_FOOT = "\n\nIn the browser: {{ mirror_url }}\nUnsubscribe: {{ unsubscribe_url }}\n"


class Account(NamedTuple):
    """Somebody to log in as, with a password that everybody knows."""

    name: str
    role: str | None  # None: superuser
    may: str

    @property
    def password(self) -> str:
        """Easy, since only a demo on loopback has it."""
        return f"{self.name}-demo"


ACCOUNTS = (
    Account("anna", STARTERS, "prepares and confirms the send"),
    Account("peter", PREPARERS, "prepares; may not confirm"),
    Account("admin", None, "everything, people and brands included"),
)


def open_accounts() -> list[str]:
    """The names of those that can be logged in to with the password that everybody knows."""
    known = {account.name: account.password for account in ACCOUNTS}
    there = get_user_model()._default_manager.filter(username__in=known, is_active=True).order_by("username")
    return [name for name, hashed in there.values_list("username", "password") if check_password(known[name], hashed)]


class Demo(NamedTuple):
    """What was made: the delivery that waits to be confirmed, and the one that has gone out."""

    waiting: Delivery
    finished: Delivery


def seed() -> Demo | None:
    """Make the demo; None if it is there already, and its data is kept. Raises ImproperlyConfigured without DEMO=1."""
    if not settings.DEMO:
        raise ImproperlyConfigured("The demo has accounts whose passwords everybody knows: it needs DEMO=1.")
    with transaction.atomic():
        routing = _routing()
        if Brand.objects.filter(label=BRAND).exists():
            return None
        people = {account.name: _user(account) for account in ACCOUNTS}
        _readers()
        return _deliveries(people, routing)


def _routing() -> Routing:
    """The simulator listens on another port each time that the usual one is taken."""
    port = int(os.environ.get("SIMULATOR_SMTP_PORT", "2525"))
    values = {"host": "127.0.0.1", "port": port}
    soon = timedelta(seconds=10)  # nobody watches a demo for an hour to see a retry succeed
    first = {
        "security": Routing.Security.NONE,
        "is_default": not Routing.objects.filter(is_default=True).exists(),
        "retry_first_day": 0,
        "retry_gap": soon,
        "retry_every": soon,
    }
    routing, _ = Routing.objects.update_or_create(label=ROUTING, defaults=values, create_defaults=values | first)
    return routing


def _user(account: Account) -> Person:
    users = get_user_model()._default_manager
    if not Group.objects.filter(name=STARTERS).exists():
        sync_roles()
    found = users.filter(username=account.name).first()
    if found is not None:
        return found
    address = f"{account.name}@lumen.example"
    if account.role is None:
        return users.create_superuser(account.name, address, account.password)
    user = users.create_user(account.name, address, account.password, is_staff=True)
    user.groups.add(Group.objects.get(name=account.role))
    return user


def _readers() -> None:
    Profile.objects.bulk_create((Profile(**row) for row in demo_people.rows()), batch_size=500)
    now = timezone.now()
    QuarantinedAddress.objects.bulk_create(
        (
            QuarantinedAddress(
                address=address,
                reason=Reason.USER_UNKNOWN,
                errors=1,
                significant_at=now,
                error_text="550 5.1.1 No such mailbox here",
            )
            for address in demo_people.quarantined()
        ),
        ignore_conflicts=True,
    )


def _deliveries(people: dict[str, Person], routing: Routing) -> Demo:
    brand = Brand.objects.create(
        label=BRAND,
        sender_name=BRAND,
        sender_address="letter@lumen.example",
        reply_to="shop@lumen.example",
        sender_domains="lumen.example",
        website="https://www.lumen.example/",
        is_default=not Brand.objects.filter(is_default=True).exists(),
    )
    campaign = Campaign.objects.create(
        label="Spring at Lumen",
        description="Letters to our readers, March to June",
        status=Campaign.Status.STARTED,
        created_by=people["anna"],
    )
    ProofDomain.objects.get_or_create(domain="lumen.example", unit_id=ROOT)
    audiences = _audiences(people["anna"])
    common = {"campaign": campaign, "brand": brand, "created_by": people["peter"]}
    tour = Message.objects.create(
        label="Authors on tour",
        audience=audiences["near"],
        subject="Three authors, one evening near you",
        html=_letter("tour.html"),
        text=f"Dear {{{{ first_name | default: 'reader' }}}},{_FOOT}",
        **common,
    )
    spring = Message.objects.create(
        label="Spring reading list",
        audience=audiences["all"],
        html=_letter("spring.html"),
        **common,
        subject="{% if first_name %}{{ first_name }}, your{% else %}Your{% endif %} spring reading list",
    )
    finished = _send(_prepared(tour, people["peter"], routing), people["anna"])
    club = Message.objects.create(
        label="Book club: next evening",
        audience=audiences["club"],
        subject="The book club meets again",
        html=_letter("tour.html"),
        **common,
    )
    commands.create_delivery(club, people["peter"])
    return Demo(_prepared(spring, people["peter"], routing), finished)


def _audiences(by: Person) -> dict[str, Audience]:
    def make(label: str, kind: str, *conditions: tuple[str, str, object]) -> Audience:
        keys = ("field", "op", "value")
        written = [dict(zip(keys, condition, strict=True)) for condition in conditions]
        return Audience.objects.create(label=label, kind=kind, conditions=written, created_by=by)

    club = make("Book club", Audience.Kind.LIST)
    club.members.set(Profile.objects.filter(email__contains="@").order_by("-pk")[:60])
    make("Gold readers", Audience.Kind.FILTER, ("attributes.loyalty", "is", "gold"), ("country", "is_not", "US"))
    near = ("country", "in", ["FR", "BE", "DE"])
    return {
        "all": make("All readers", Audience.Kind.ALL),
        "near": make("France, Belgium, Germany", Audience.Kind.FILTER, near, ("city", "not_empty", None)),
        "club": club,
    }


def _letter(name: str) -> str:
    return (_LETTERS / name).read_text(encoding="utf-8")


def _prepared(message: Message, by: Person, routing: Routing) -> Delivery:
    delivery = commands.create_delivery(message, by)
    Delivery.objects.filter(pk=delivery.pk).update(routing=routing)
    commands.prepare(delivery, by)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


# --- the message that has gone out ------------------------------------------------------------------------------------

_ANSWERS = (  # share of a thousand, and what the server said
    (14, LogMove.REFUSE, FailureType.HARD, Reason.USER_UNKNOWN, "550 5.1.1 No such mailbox here"),
    (6, LogMove.REFUSE, FailureType.HARD, Reason.ACCOUNT_DISABLED, "554 5.2.1 This account is disabled"),
    (5, LogMove.REFUSE, FailureType.SOFT, Reason.MAILBOX_FULL, "552 5.2.2 Mailbox full"),
    (12, LogMove.DEFER, FailureType.SOFT, Reason.MAILBOX_FULL, "452 4.2.2 Mailbox full for now, try later"),
)


def _send(delivery: Delivery, by: Person) -> Delivery:
    """Confirm and play the mail server: most are accepted, a few refused, some only at the second try."""
    commands.confirm(delivery, by)
    Delivery.objects.filter(pk=delivery.pk).update(undo_until=None)  # nobody is there to undo it
    progress.start(delivery.pk)
    dice = random.Random(_LETTERS.name)  # noqa: S311 - nothing here is a secret
    for batch_id in leases.due(delivery.pk):
        lease = leases.take(batch_id)
        assert lease is not None
        while rows := leases.claim(lease, 500):
            results.record(lease, [_answer(row, dice) for row in rows])
        leases.release(lease)
    progress.conclude(delivery.pk)
    _age(delivery)
    delivery.refresh_from_db()
    return delivery


def _answer(row: leases.Claimed, dice: random.Random) -> Change:
    drawn = dice.randrange(1000)
    for share, move, how, reason, words in _ANSWERS:
        drawn -= share
        if drawn < 0 and not (row.attempts and move is LogMove.DEFER):
            due_at = timezone.now() - timedelta(seconds=1) if move is LogMove.DEFER else None
            return Change(row.log_id, move, row.attempts, how, reason, words, due_at)
    return Change(row.log_id, LogMove.ACCEPT, row.attempts, reply="250 2.0.0 Kept")


def _age(delivery: Delivery) -> None:
    """Move all of it into the past."""
    moments = [field.name for field in Delivery._meta.fields if isinstance(field, DateTimeField)]
    Delivery.objects.filter(pk=delivery.pk).update(**{name: F(name) - AGO for name in moments})
    delivery.sending_logs.update(date=F("date") - AGO, relayed_at=F("relayed_at") - AGO)
    delivery.events.update(at=F("at") - AGO)
    delivery.exclusion_logs.update(date=F("date") - AGO)
    delivery.exclusion_causes.update(date=F("date") - AGO)
