"""Acts on deliveries in the audit.

What was done is heard from the delivery's own log: a line with a user, or one that tells how a sending went, is written
into the audit too, in the same transaction. What was refused is written by @audited, after the roll-back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db import models

from campaigns.accounts.audit_signals import declare_and_hear
from campaigns.audit import trail
from campaigns.audit.trail import Outcome
from campaigns.core.actors import Actor
from campaigns.models.audit.audit_values import Kind
from campaigns.models.audit.sides import Side, Told
from deliveries.models.states import State

from .errors import Refused

if TYPE_CHECKING:
    from deliveries.models import DeliveryEvent

P = ParamSpec("P")
R = TypeVar("R")

# Lines without a user that belong to "who sent what": once or twice in a delivery's life.
TOLD = frozenset(
    {
        "preparation_finished",
        "preparation_failed",
        "started",
        "finished",
        "expired",
        "validity_over",
        "overdue",
        "not_started",
        "purged",
        "form_changed",
        "breaker",
        "rerouted",
        "approved",
        "refused",
    }
)
_SEEN = ("state", "preparation", "to_deliver", "contact_date", "validity_end", "confirmed_by_id", "fingerprint")

_running: ContextVar[dict[str, Any] | None] = ContextVar("act", default=None)


def audited(act: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a command (subject, by, …): its refusals are written down, and what it did is told with what was before."""

    def wrap(command: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(command)
        def ask(*args: P.args, **kwargs: P.kwargs) -> R:
            if _running.get() is not None:  # part of another act, which tells
                return command(*args, **kwargs)
            subject: Any = args[0] if args else kwargs.get("delivery") or kwargs.get("message")
            by = cast(Actor | None, args[1] if len(args) > 1 else kwargs.get("by"))
            token = _running.set({"before": seen(subject)})
            try:
                return command(*args, **kwargs)
            except Refused as refusal:
                _refused(act, by, subject, Outcome.REFUSED, code=refusal.code, words=refusal.message)
                raise
            except PermissionDenied as denial:
                if "denied" not in (_running.get() or ()):
                    _refused(act, by, subject, Outcome.DENIED, words=str(denial))
                raise
            finally:
                _running.reset(token)

        return ask

    return wrap


def _refused(act: str, by: Actor | None, subject: Any, outcome: str, **details: Any) -> None:
    where = subject if isinstance(subject, models.Model) else None
    trail.record(f"delivery.{act}", by=by, subject=where, outcome=outcome, **details)


SIDES: dict[str, Side] = {  # of the audit (campaigns/models/audit/sides.py)
    "deliveries.Routing": Told("routing"),
    "deliveries.WebhookEndpoint": Told("webhookendpoint", untold=frozenset({"old_secret"})),  # ends by itself
    "deliveries.QuarantinedAddress": Told("quarantine", about=Kind.RECIPIENT, untold=frozenset({"modified_at"})),
    "deliveries.QualificationRule": Told("qualification_rule"),
    "deliveries.Delivery": "its log tells, and @audited its refusals",
    "deliveries.DeliveryEvent": "a delivery's log, from which the audit is told",
    "deliveries.Batch": "counters and leases of workers",
    "deliveries.SendingLog": "what became of each message; the ledger alone writes it",
    "deliveries.ExclusionLog": "whom a preparation left out",
    "deliveries.ExclusionCause": "counts of a preparation",
    "deliveries.FeedbackEvent": "what mail servers reported; feedback.requalified tells of people's acts on it",
    "deliveries.RawReport": "mails that came back, until they are read",
    "deliveries.Heartbeat": "says that workers live",
    "deliveries.Proof": "delivery.proof_sent tells",
    "deliveries.ProofRecipient": "delivery.proof_sent tells how many",
    "deliveries.ProofTally": "counts proofs for their limit; delivery.proof_sent tells of each",
    "deliveries.Verdict": "delivery.approved and delivery.refused tell",
    "deliveries.SeriesSeal": "what a series' owner saw; its log tells who switched it on",
    "deliveries.Run": "the executions of a series; its log tells",
    "deliveries.WebhookCall": "what programs were told",
    "deliveries.WebhookTry": "what programs were told",
}


def watch_setup() -> None:
    """Mail servers and webhooks, the quarantine and its rules: where deliveries go, to whom, and who is told."""
    declare_and_hear(SIDES)


def seen(delivery: Any) -> dict[str, Any] | None:
    """The parts of a delivery that acts change, as the database has them; None for another thing."""
    model = apps.get_model("deliveries", "Delivery")
    if not isinstance(delivery, model):
        return None
    names = [field.attname for field in model._meta.concrete_fields if field.attname in _SEEN]
    found = model._base_manager.filter(pk=delivery.pk).values(*names).first()
    return found and {**found, "state": State(found["state"]).name.lower()}


def tell(event: DeliveryEvent) -> None:
    """Write a line of a delivery's log into the audit, if it belongs there."""
    running = _running.get()
    if event.code == "denied":
        if running is not None:
            running["denied"] = True
        trail.record(
            "delivery.denied", by=event.user, subject=event.delivery, outcome=Outcome.DENIED, words=event.message
        )
    elif event.user_id is not None or event.code in TOLD:
        details = {key: value for key, value in event.details.items() if key not in ("before", "after", "words")}
        named = Kind.RECIPIENT if event.details.get("filters") else Kind.OTHER  # an export's filter names an address
        trail.record(
            f"delivery.{event.code}",
            by=event.user,
            subject=event.delivery,
            words=event.message,
            about=named,
            before=running and running["before"],
            after=seen(event.delivery),
            details=details or None,
        )
