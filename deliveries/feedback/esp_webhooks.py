"""The web door for reports: e-mail services post their events here, read by django-anymail (all its providers).

A post must prove where it comes from: by the secret in its address, or by HTTP basic authentication; a provider's
signature is checked besides when its key is configured, and Amazon's always (sns_signatures.py). The proof lets it in;
whether an event is matched is decided by the signed token of the message alone, which services return in headers, tags
or metadata.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from typing import Any

from anymail import urls as anymail_urls
from anymail.exceptions import AnymailInsecureWebhookWarning, AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks.amazon_ses import AmazonSESBaseWebhookView, AmazonSESTrackingWebhookView
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt

from campaigns.audit.trail import client_address
from campaigns.core.token_bucket import Buckets
from campaigns.core.web import safe_http
from deliveries.mail.qualification.engine import REASONS, Readings, qualify, read_code, read_status
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.states import FailureType, Reason

from . import active_rules, apply_events, matching, sns_signatures
from .apply_events import Event

logger = logging.getLogger("deliveries.feedback.esp_webhooks")

warnings.filterwarnings("ignore", category=AnymailInsecureWebhookWarning)  # the door itself asks for the proof

MAX_TEXT = 4000
posts = Buckets(settings.FEEDBACK_PER_SECOND, 10 * settings.FEEDBACK_PER_SECOND)
services = Buckets(10 * settings.FEEDBACK_PER_SECOND, 100 * settings.FEEDBACK_PER_SECOND)  # from all addresses together
GUESS = 100  # posts that a wrong secret costs
_KINDS = {
    EventType.DELIVERED: FeedbackEvent.Kind.DELIVERED,
    EventType.DEFERRED: FeedbackEvent.Kind.DELAYED,
    EventType.BOUNCED: FeedbackEvent.Kind.BOUNCE,
    EventType.REJECTED: FeedbackEvent.Kind.BOUNCE,
    EventType.FAILED: FeedbackEvent.Kind.BOUNCE,
    EventType.COMPLAINED: FeedbackEvent.Kind.COMPLAINT,
    EventType.AUTORESPONDED: FeedbackEvent.Kind.AUTO_REPLY,
}
_ERRORS = (FeedbackEvent.Kind.BOUNCE, FeedbackEvent.Kind.DELAYED)
# What a service says in a word, where it quotes no server that a rule would know.
_WORDS = {
    RejectReason.INVALID: (FailureType.HARD, Reason.USER_UNKNOWN),
    RejectReason.TIMED_OUT: (FailureType.SOFT, Reason.UNREACHABLE),
    RejectReason.BLOCKED: (FailureType.IGNORED, Reason.REFUSED),
    RejectReason.SPAM: (FailureType.IGNORED, Reason.REFUSED),
    RejectReason.UNSUBSCRIBED: (FailureType.IGNORED, Reason.REFUSED),
}


@cache
def providers() -> dict[str, type]:
    """{name in the address: view} of every service that django-anymail reads, each applying a post at once."""
    found = {}
    for pattern in anymail_urls.urlpatterns:
        name, view = str(pattern.name), getattr(pattern.callback, "view_class", None)
        if view is not None and "inbound" not in name and "sendinblue" not in name:  # that is Brevo now
            provider = name.removesuffix("_webhook").removesuffix("_tracking")
            found[provider] = _Ses if provider == "amazon_ses" else type(view.__name__, (_Applying, view), {})
    return found


class _Applying:
    """Mixed into django-anymail's views: all events of a post are applied together, not signalled one by one."""

    def post(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """400: not proved or not readable; 503: to be posted again."""
        try:
            self.run_validators(request)
            events = events_of(self.esp_name, self.parse_events(request))
        except (AnymailWebhookValidationFailure, ImproperlyConfigured, DatabaseError):
            raise
        except safe_http.NoAnswer as error:
            logger.error("a post of %s cannot be proved now: %s", self.esp_name, error)
            return _later()
        except Exception:  # whatever a stranger posts
            logger.warning("a post of %s cannot be read", self.esp_name, exc_info=True)
            return HttpResponse("This cannot be read.", status=400, content_type="text/plain")
        try:
            apply_events.apply(events)
        except DatabaseError:
            logger.exception("a post of %s cannot be applied now", self.esp_name)
            return _later()
        return HttpResponse()


def _later() -> HttpResponse:
    return HttpResponse("Post it again later.", status=503, content_type="text/plain")


class _Ses(_Applying, AmazonSESTrackingWebhookView):  # type: ignore[misc]
    """Amazon SES by SNS, without Amazon's library: all that would need it is to confirm the subscription."""

    def __init__(self, **kwargs: Any) -> None:
        super(AmazonSESBaseWebhookView, self).__init__(**kwargs)  # past the one that asks for the library

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """401 to a post without a password where one is asked for: SNS sends it only then."""
        if self.basic_auth and not request.headers.get("Authorization"):
            return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="feedback"'})
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def validate_request(self, request: HttpRequest) -> None:
        """Besides what django-anymail asks: SNS's signature. Raises AnymailWebhookValidationFailure."""
        try:
            sns_signatures.check(self._parse_sns_message(request))
        except (sns_signatures.Unproved, safe_http.Forbidden) as error:
            raise AnymailWebhookValidationFailure(f"This is no post of SNS: {error}.") from error

    def auto_confirm_sns_subscription(self, sns_message: dict[str, Any]) -> None:
        """A person decides whether the topic is theirs, and opens the address."""
        logger.warning("to subscribe to %s, open %s", sns_message.get("TopicArn"), sns_message.get("SubscribeURL"))


@csrf_exempt
def receive(request: HttpRequest, provider: str, secret: str = "") -> HttpResponseBase:
    """A provider's post. Without the secret, basic authentication must be configured, and is asked for."""
    address = client_address(request.META)
    if not posts.take(address):  # services post again what was not acknowledged
        return _too_many()
    view: Any = providers().get(provider)
    expected = settings.FEEDBACK_SECRET
    known = bool(secret and expected) and constant_time_compare(secret, expected)
    basic = not secret and bool(getattr(settings, "ANYMAIL", {}).get("WEBHOOK_SECRET"))
    if view is None or not (known or basic):
        posts.take(address, GUESS)
        raise Http404
    if not services.take(provider):
        return _too_many()
    try:
        response: HttpResponseBase = view.as_view(**({"basic_auth": []} if known else {}))(request)
    except ImproperlyConfigured as error:
        logger.error("posts of %s cannot be read: %s", provider, error)
        return HttpResponse("This service is not configured here.", status=501, content_type="text/plain")
    return response


def _too_many() -> HttpResponse:
    return HttpResponse("Too many posts.", status=429, content_type="text/plain", headers={"Retry-After": "10"})


def events_of(service: str, posted: Iterable[AnymailTrackingEvent] | None) -> list[Event]:
    """Events as feedback.apply takes them; openings, clicks and the like are not among them."""
    post = _Post(service)
    return [post.event(event) for event in posted or () if event.event_type in _KINDS]


class _Post:
    """One post. Its events may share all that was posted (Amazon's name a recipient each): that is read once."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._readings = Readings()
        # Kept with the objects themselves: while they live, no others have their numbers.
        self._contents: dict[tuple[int, ...], tuple[object, str, int | None]] = {}

    def event(self, posted: AnymailTrackingEvent) -> Event:
        kind = _KINDS[posted.event_type]
        content, named = self._content(posted)
        name, log_id = _text(posted.event_id) or content, matching.log_in([_text(posted.message_id)])
        judged = _judged(posted, self._readings, final=kind == FeedbackEvent.Kind.BOUNCE) if kind in _ERRORS else {}
        return Event(
            FeedbackEvent.Source.WEBHOOK,
            _key(self._service, posted.event_type, name, _text(posted.recipient)),
            kind,
            posted.timestamp,
            address=_text(posted.recipient).lower(),
            log_id=named if log_id is None else log_id,
            **judged,
        )

    def _content(self, posted: AnymailTrackingEvent) -> tuple[str, int | None]:
        """All that the service posted of the event, as text: what names it; and the sending log that it names."""
        whole = (posted.esp_event, posted.metadata, posted.tags)
        same = tuple(id(part) if part else 0 for part in whole)
        if same not in self._contents:
            content = json.dumps(whole, default=str, sort_keys=True)
            self._contents[same] = whole, content, matching.log_in([content])
        return self._contents[same][1:]


def _judged(posted: AnymailTrackingEvent, readings: Readings, *, final: bool) -> dict[str, Any]:
    """The fields of an error: the server's words, and what the rules say of them."""
    words = _text(posted.mta_response) or _text(posted.description)
    code = read_code(words)
    status = read_status(words, code)
    found = qualify(code, status, words, active_rules.rules(), final=final, readings=readings)
    how, reason = active_rules.TYPES[found.type], Reason(REASONS[found.reason])
    if not found.rule:
        how, reason = _WORDS.get(posted.reject_reason, (how, reason))
    return {
        "type": how,
        "reason": reason,
        "detail": found.detail,
        "rule": found.rule,
        "code": code,
        "status": status,
        "text": words,
    }


def _text(value: object) -> str:
    return str(value)[:MAX_TEXT] if value is not None else ""


def _key(*names: object) -> str:
    return blake2b("\n".join(map(str, names)).encode(errors="replace"), digest_size=20).hexdigest()
