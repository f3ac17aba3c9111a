"""Both state machines as tables, and the only writers of a delivery's state.

Delivery states and reasons carry the codes of Adobe Campaign; what it does not know, such as *in doubt*, is our own. A
change is one conditional UPDATE: no row changed means that somebody else was first or that the act is not allowed now.
Sending-log rows change in `statuses.py`, which reads LOG_MOVES from here, and, when something is reported of them, in
`reports.py`, which reads the table of `transitions.py`.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import Any

from django.db.models import F, QuerySet
from django.db.models import IntegerChoices as Choices
from django.utils.translation import gettext_lazy as _


class State(Choices):
    """Delivery state, value = documented code."""

    EDITING = 0, _("Editing")
    TARGETING_PENDING = 11, _("Targeting pending")
    COUNTING = 12, _("Counting in progress")
    ARBITRATION = 13, _("Arbitration in progress")
    TARGET_READY = 15, _("Target ready")
    PERSONALIZATION_PENDING = 21, _("Personalization pending")
    PERSONALIZATION = 22, _("Personalization in progress")
    FINALIZED = 25, _("Message finalized")
    PREPARATION_FAILED = 37, _("Preparation failed")
    READY = 45, _("Ready to be delivered")
    START_PENDING = 51, _("Start pending")
    IN_PROGRESS = 55, _("In progress")
    RETRY_PENDING = 61, _("Retry pending")
    RETRYING = 62, _("Retry in progress")
    PAUSED = 75, _("Paused")
    STOPPED = 85, _("Stopped")
    FAILED = 87, _("Failed")
    FINISHED = 95, _("Finished")


S = State
PREPARING = frozenset(
    {
        S.TARGETING_PENDING,
        S.COUNTING,
        S.ARBITRATION,
        S.TARGET_READY,
        S.PERSONALIZATION_PENDING,
        S.PERSONALIZATION,
        S.FINALIZED,
    }
)
SENDING = frozenset({S.IN_PROGRESS, S.RETRY_PENDING, S.RETRYING})  # workers may take rows
RUNNING = SENDING | {S.START_PENDING}
EDITABLE = frozenset({S.EDITING, S.PREPARATION_FAILED, S.READY})
ENDED = frozenset({S.STOPPED, S.FAILED, S.FINISHED})
CONFIRMED = RUNNING | ENDED | {S.PAUSED}


@unique
class Act(Enum):
    """Everything that can change a delivery's state: (states it may leave, state it leads to)."""

    PREPARE = (EDITABLE, S.TARGETING_PENDING)
    COUNT = (frozenset({S.TARGETING_PENDING}), S.COUNTING)
    ARBITRATE = (frozenset({S.COUNTING}), S.ARBITRATION)
    TARGET = (frozenset({S.ARBITRATION}), S.TARGET_READY)
    AWAIT_PERSONALIZATION = (frozenset({S.TARGET_READY}), S.PERSONALIZATION_PENDING)
    PERSONALIZE = (frozenset({S.PERSONALIZATION_PENDING}), S.PERSONALIZATION)
    FINALIZE = (frozenset({S.PERSONALIZATION}), S.FINALIZED)
    MAKE_READY = (frozenset({S.FINALIZED}), S.READY)
    FAIL_PREPARATION = (PREPARING, S.PREPARATION_FAILED)
    STOP_PREPARATION = (PREPARING, S.EDITING)
    TAKE_OVER_PREPARATION = (PREPARING, S.COUNTING)  # its worker died
    DISCARD = (frozenset({S.PREPARATION_FAILED, S.READY}), S.EDITING)  # what was prepared is thrown away
    EXPIRE_REQUEST = (EDITABLE, S.STOPPED)  # an execution that nobody confirmed in time
    CONFIRM = (frozenset({S.READY}), S.START_PENDING)
    UNCONFIRM = (frozenset({S.START_PENDING}), S.READY)  # undone, or too late to start unasked; nothing has left yet
    START = (frozenset({S.START_PENDING}), S.IN_PROGRESS)
    SEND_PROOF = (frozenset({S.EDITING}), S.IN_PROGRESS)  # a proof waits for nobody
    AWAIT_RETRY = (frozenset({S.IN_PROGRESS, S.RETRYING}), S.RETRY_PENDING)
    RETRY = (frozenset({S.RETRY_PENDING}), S.RETRYING)
    PAUSE = (RUNNING, S.PAUSED)
    RESUME = (frozenset({S.PAUSED}), None)  # back to where it was paused
    STOP = (RUNNING | {S.PAUSED}, S.STOPPED)
    FINISH = (RUNNING | {S.PAUSED}, S.FINISHED)
    # Nobody does: what hinders a sending is tried again until the validity ends, and then its rows fail. Adobe
    # ends it by an error of the infrastructure; the state stays for its number, and for whoever decides as they do.
    FAIL = (RUNNING | {S.PAUSED}, S.FAILED)
    REOPEN = (frozenset({S.FINISHED}), S.IN_PROGRESS)  # rows in doubt, or that came back, are sent again
    COMPLETE = (ENDED, S.IN_PROGRESS)  # somebody sends what is missing


def advance(delivery: QuerySet[Any], act: Act, **also: Any) -> bool:
    """Carry out `act` on the one delivery that `delivery` selects, setting the fields `also` with it.

    In: a queryset over Delivery, filtered to one row (and to whatever else must hold, such as a fence).
    Out: True if the row changed; False if its state did not allow the act.
    """
    before, after = act.value
    if act is Act.PAUSE:
        also["paused_from"] = F("state")
    return bool(delivery.filter(state__in=before).update(state=F("paused_from") if after is None else after, **also))


def allows(state: int, act: Act) -> bool:
    """True if a delivery in `state` may undergo `act`; for buttons, never instead of advance()."""
    return state in act.value[0]


class LogStatus(Choices):
    """The status of a sending log."""

    PENDING = 0, _("Pending")
    SENT = 1, _("Sent")
    FAILED = 2, _("Failed")
    IGNORED = 3, _("Ignored")
    CANCELLED = 4, _("Delivery canceled")
    IN_DOUBT = 5, _("In doubt")


class LogMove(Enum):
    """What may happen to a sending-log row while it is sent."""

    ACCEPT = "the server took it; nobody will report"
    RELAY = "the server took it; a feedback service will report"
    DEFER = "a temporary refusal: due again later"
    REFUSE = "a permanent refusal"
    FAIL = "never offered to the server: it could not be built, or the address may not be mailed any more"
    DOUBT = "nobody knows whether the server took it"
    SETTLE_SENT = "in doubt no longer: it was taken"
    SETTLE_RESEND = "in doubt no longer: send it again"
    CANCEL = "stopped before it was relayed"
    EXPIRE = "the validity period ended first"


LOG_MOVES: dict[LogMove, tuple[LogStatus, LogStatus]] = {  # move: (status it leaves, status it leads to)
    LogMove.ACCEPT: (LogStatus.PENDING, LogStatus.SENT),
    LogMove.RELAY: (LogStatus.PENDING, LogStatus.PENDING),
    LogMove.DEFER: (LogStatus.PENDING, LogStatus.PENDING),
    LogMove.REFUSE: (LogStatus.PENDING, LogStatus.FAILED),
    LogMove.FAIL: (LogStatus.PENDING, LogStatus.FAILED),
    LogMove.DOUBT: (LogStatus.PENDING, LogStatus.IN_DOUBT),
    LogMove.SETTLE_SENT: (LogStatus.IN_DOUBT, LogStatus.SENT),
    LogMove.SETTLE_RESEND: (LogStatus.IN_DOUBT, LogStatus.PENDING),
    LogMove.CANCEL: (LogStatus.PENDING, LogStatus.CANCELLED),
    LogMove.EXPIRE: (LogStatus.PENDING, LogStatus.FAILED),
}


class FailureType(Choices):
    """Nature of failure."""

    NONE = 0, _("Not defined")
    SOFT = 1, _("Soft")
    HARD = 2, _("Hard")
    IGNORED = 3, _("Ignored")


class Reason(Choices):
    """Why a row failed or was excluded."""

    NOT_DEFINED = 0, _("Not defined")
    USER_UNKNOWN = 1, _("User unknown")
    INVALID_DOMAIN = 2, _("Invalid domain")
    UNREACHABLE = 3, _("Unreachable")
    ACCOUNT_DISABLED = 4, _("Account disabled")
    MAILBOX_FULL = 5, _("Mailbox full")
    NOT_CONNECTED = 6, _("Not connected")
    ADDRESS_EMPTY = 7, _("Address not specified")
    DENYLISTED = 8, _("Address on denylist")
    QUARANTINED = 9, _("Quarantined address")
    DUPLICATE = 10, _("Duplicate")
    FILTERING_RULE = 11, _("Excluded by a filtering rule")
    FATIGUE_RULE = 12, _("Excluded by a fatigue rule")
    BAD_QUALITY = 14, _("Bad-quality address")
    UNQUALIFIED = 15, _("Unqualified address")
    TARGET_LIMIT = 17, _("Target limited in size")
    REFUSED = 20, _("Refused")
    ERROR_IGNORED = 25, _("Error ignored")
    VALIDITY_EXPIRED = 101, _("Validity period over")  # ours: unsent when the validity ended
    NOT_BUILT = 102, _("Message could not be built")  # ours: this recipient's content failed
    CONTROL_GROUP = 127, _("Control group")
