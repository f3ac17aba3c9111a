"""Webhooks that leave: what happened is written for each endpoint with the event itself, and posted afterwards.

An event and its calls are one transaction, so none is lost, whatever is killed; a call that was posted but not recorded
is posted again, with the same webhook-id. Signed as the Standard Webhooks specification says: webhook-id,
webhook-timestamp, webhook-signature. The order of arrival is not promised; `timestamp` in the body tells it.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from campaigns.core import queue
from campaigns.core.kept_text import keep as _
from campaigns.core.translate_kept import translated
from campaigns.core.web import safe_http
from deliveries.models.states import State
from deliveries.models.webhooks import WebhookCall, WebhookEndpoint, WebhookTry, new_secret

from .errors import Refused

if TYPE_CHECKING:
    from deliveries.models import DeliveryEvent

logger = logging.getLogger("deliveries.ledger.webhooks")

# Code of a delivery's log line: what programs are told. The names are stable.
KINDS = {
    "preparation_finished": "delivery.prepared",
    "preparation_failed": "delivery.preparation_failed",
    "confirmation_requested": "delivery.confirmation_requested",
    "confirmed": "delivery.confirmed",
    "confirmation_undone": "delivery.confirmation_undone",
    "started": "delivery.started",
    "paused": "delivery.paused",
    "breaker": "delivery.paused_by_breaker",
    "rerouted": "delivery.paused",
    "resumed": "delivery.resumed",
    "stopped": "delivery.stopped",
    "failed": "delivery.failed",
    "finished": "delivery.finished",
    "expired": "delivery.expired",
    "hindered": "delivery.hindered",
    "unhindered": "delivery.unhindered",
    "completed_missing": "delivery.completing",
    "reopened": "delivery.reopened",
    "overdue": "delivery.overdue",
    "not_started": "delivery.not_started",
    "finished_in_doubt": "delivery.in_doubt",
}
ALERT, TEST = "alert", "test"
ALL_KINDS = (*dict.fromkeys(KINDS.values()), ALERT, TEST)

WAITS = tuple(timedelta(seconds=s) for s in (5, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))  # ~3 days
LEASE = timedelta(seconds=60)  # longer than a post can take
BUDGET, PATIENCE = 10.0, 5.0  # seconds: of a round, of a post
OLD_SECRET = timedelta(hours=24)  # after a rotation both secrets sign
KEPT = timedelta(days=31)


def write(event: DeliveryEvent) -> None:
    """In the transaction of a delivery's log line: a call for each endpoint that wants to hear of it."""
    kind = KINDS.get(event.code)
    endpoints = _listening(kind) if kind else []
    if kind and endpoints and event.delivery.proof_id is None:
        _add(
            endpoints,
            kind,
            {**_delivery(event.delivery_id), "words": event.message, "by": event.user_id},
            event.delivery_id,
        )


def write_alert(subject: str, text: str, deliveries: Iterable[int]) -> None:
    """In the transaction of an alert."""
    endpoints = _listening(ALERT)
    if endpoints:
        _add(endpoints, ALERT, {"subject": subject, "text": text, "deliveries": sorted(set(deliveries))})


def write_test(endpoint: WebhookEndpoint) -> WebhookCall:
    """A call that only tells that it arrives. Raises Refused('disabled')."""
    if not endpoint.enabled:
        raise Refused("disabled", _("This endpoint is switched off; enable it first."))
    return _add([endpoint], TEST, {"words": "A test."})[0]


def replay(call: WebhookCall) -> WebhookCall:
    """Post a call again from the beginning, with its own webhook-id. Raises Refused('disabled'), Refused('waiting')."""
    if not call.endpoint.enabled:
        raise Refused("disabled", _("This endpoint is switched off; enable it first."))
    with transaction.atomic():
        ended = WebhookCall.objects.filter(pk=call.pk).exclude(state=WebhookCall.State.WAITING)
        if not ended.update(state=WebhookCall.State.WAITING, tries_made=0, due_at=timezone.now(), ended_at=None):
            raise Refused("waiting", _("This call is still being tried."))
        queue.enqueue(queue.Task.POST_WEBHOOKS)
    call.refresh_from_db()
    return call


def _listening(kind: str) -> list[WebhookEndpoint]:
    return [e for e in WebhookEndpoint.objects.filter(enabled=True) if not e.kinds or kind in e.kinds]


def _delivery(pk: int) -> dict[str, Any]:
    """What programs are told of a delivery: no recipient's data."""
    names = ("label", "campaign_id", "message_id", "state", "targeted", "excluded", "to_deliver")
    found = apps.get_model("deliveries", "Delivery")._base_manager.values(*names).get(pk=pk)
    state, campaign, message = found.pop("state"), found.pop("campaign_id"), found.pop("message_id")
    word = State(state).name.lower()
    return {"delivery": {"id": pk, "code": f"DM{pk}", "state": word, "campaign": campaign, "message": message, **found}}


def _add(
    endpoints: Iterable[WebhookEndpoint], kind: str, data: dict[str, Any], delivery_id: int | None = None
) -> list[WebhookCall]:
    body = {"type": kind, "timestamp": timezone.now().isoformat(), "data": data}
    calls = [WebhookCall(endpoint=e, kind=kind, payload=body, delivery_id=delivery_id) for e in endpoints]
    queue.enqueue(queue.Task.POST_WEBHOOKS)
    return WebhookCall.objects.bulk_create(calls)


def waiting() -> bool:
    """True if something is due."""
    return WebhookCall.objects.filter(due_at__lte=timezone.now()).exists()


def post_due(budget: float = BUDGET) -> int:
    """Post what is due, oldest first, for some seconds. Out: how many arrived. An endpoint that does not answer is left
    alone until the next round, so that it keeps nobody else waiting."""
    until, arrived, silent = time.monotonic() + budget, 0, set[int]()
    while time.monotonic() < until:
        call = _take(silent)
        if call is None:
            return arrived
        if _post(call):
            arrived += 1
        else:
            silent.add(call.endpoint_id)
    queue.enqueue(queue.Task.POST_WEBHOOKS)
    return arrived


def _take(silent: set[int]) -> WebhookCall | None:
    """The next due call, now ours for LEASE."""
    now = timezone.now()
    due = WebhookCall.objects.filter(due_at__lte=now).exclude(endpoint__in=silent).order_by("due_at", "pk")
    for call in due.select_related("endpoint")[:20]:
        if not call.endpoint.enabled:
            _end(call, WebhookCall.State.GIVEN_UP)
        elif WebhookCall.objects.filter(pk=call.pk, due_at=call.due_at).update(
            due_at=now + LEASE, tries_made=F("tries_made") + 1
        ):
            call.tries_made += 1
            return call
    return None


def _post(call: WebhookCall) -> bool:
    """One try, written down. Out: whether it arrived (an answer 2xx)."""
    body = json.dumps(call.payload, ensure_ascii=False, separators=(",", ":")).encode()
    begun, status, words = time.monotonic(), None, ""
    try:
        answer = safe_http.request(
            "POST", call.endpoint.url, body=body, headers=headers(call.endpoint, str(call.uid), body), seconds=PATIENCE
        )
        status, words = answer.status, answer.body[:200].decode("utf-8", "replace").replace("\0", "")
    except (safe_http.Forbidden, safe_http.NoAnswer) as error:
        words = str(error)[:500]
    took = round((time.monotonic() - begun) * 1000)
    with transaction.atomic():
        WebhookTry.objects.create(call=call, status=status, words=words, milliseconds=took)
        return _conclude(call, status, words)


def _conclude(call: WebhookCall, status: int | None, words: str) -> bool:
    arrived = status is not None and 200 <= status < 300
    if arrived:
        _end(call, WebhookCall.State.DELIVERED)
    elif status == 410:  # Gone: it wants to hear of nothing any more
        _end(call, WebhookCall.State.GIVEN_UP)
        call.endpoint.enabled = False
        call.endpoint.save(update_fields=["enabled"])
    elif call.tries_made > len(WAITS):
        logger.warning("the webhook endpoint %s never took %s: %s", call.endpoint_id, call.uid, status or words)
        _end(call, WebhookCall.State.GIVEN_UP)
    else:
        next_try = timezone.now() + WAITS[call.tries_made - 1]
        WebhookCall.objects.filter(pk=call.pk).update(due_at=next_try)
    return arrived


def _end(call: WebhookCall, state: str) -> None:
    WebhookCall.objects.filter(pk=call.pk).update(state=state, due_at=None, ended_at=timezone.now())


def headers(endpoint: WebhookEndpoint, call_id: str, body: bytes, at: int | None = None) -> dict[str, str]:
    """The signed headers of a post (Standard Webhooks, “Signature scheme”). In: `at` in seconds since 1970."""
    when = int(time.time()) if at is None else at
    signed = f"msg_{call_id}.{when}.".encode() + body
    keys = [endpoint.secret]
    if endpoint.old_secret and endpoint.rotated_at > timezone.now() - OLD_SECRET:
        keys.append(endpoint.old_secret)
    signatures = [base64.b64encode(hmac.digest(base64.b64decode(key), signed, "sha256")).decode() for key in keys]
    return {
        "Content-Type": "application/json",
        "User-Agent": "deliveries-back-office",
        "webhook-id": f"msg_{call_id}",
        "webhook-timestamp": str(when),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def secret(endpoint: WebhookEndpoint) -> str:
    """What the receiver verifies with: whsec_ and base64. Whoever makes an endpoint, or a new secret, sees it once."""
    return f"whsec_{endpoint.secret}"


@transaction.atomic
def rotate(endpoint: WebhookEndpoint) -> str:
    """A new secret; for a day posts are signed with the old one, too. Out: the new one."""
    locked = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
    locked.old_secret, locked.secret, locked.rotated_at = locked.secret, new_secret(), timezone.now()
    locked.save(update_fields=["secret", "old_secret", "rotated_at"])
    return secret(locked)


def checked(url: str) -> str:
    """The address if it may be asked. Raises ValidationError with why not; one that is not there yet will do."""
    try:
        safe_http.judge(url)
    except safe_http.Forbidden as error:
        raise ValidationError(translated(error.args[0]), code="forbidden_address") from error
    except safe_http.NoAnswer as error:
        if not url.lower().startswith("https://"):
            words = translated(_("The address must begin with https://."))
            raise ValidationError(words, code="forbidden_address") from error
    return url


def clean_up() -> None:
    """Once a day: secrets that sign no more, and calls that ended long ago, with their tries."""
    over = WebhookEndpoint.objects.filter(rotated_at__lt=timezone.now() - OLD_SECRET).exclude(old_secret="")
    over.update(old_secret="")
    long_ago = timezone.now() - KEPT
    WebhookCall.objects.filter(Q(ended_at__lt=long_ago) | Q(ended_at=None, created_at__lt=long_ago)).delete()
