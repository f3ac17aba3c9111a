"""From a claimed row to an envelope and the bytes of its message; compiled once a delivery and process.

Message-ID, return path and links carry tokens of the sending log, each its own (ledger/message_tokens/tokens.py). They
are signed with the key that the delivery noted when it was prepared, so every attempt of one recipient has the same,
whatever key is new.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from campaigns.content.compile import Compiled, compile_content
from campaigns.content.fast_render import Fields, SlotKind
from campaigns.content.links import Tracking
from campaigns.content.liquid.work import Meter
from campaigns.core import secret_keys
from campaigns.core.domains import ascii_domain
from campaigns.messages import profile_values
from campaigns.models import Profile
from deliveries.ledger.message_tokens import old_tokens, tokens
from deliveries.ledger.message_tokens.tokens import Tokens
from deliveries.mail.mime import compile_mime, smtp_address
from deliveries.mail.smtp.transport import DsnRequest, Envelope
from deliveries.models import Delivery
from deliveries.preparation import traps

from .leases import Claimed

logger = logging.getLogger("deliveries.sending.compose")

KEPT = 4  # deliveries compiled at once in one process
_ALWAYS = ("first_name", "last_name", "email_format")  # of the To header, and whether HTML is wanted
_SAMPLE = 987_654_321  # a link number that no address contains otherwise


class Addresses:
    """The addresses of the web pages that a recipient's links lead to, with a hole for the token.

    A page that does not exist (yet) has no address: then links lead where the content says.
    """

    def __init__(self) -> None:
        self.sample = tokens.sign(0).link
        self.click = self._around("tracking-click", _SAMPLE)
        self.open = self._around("tracking-open")
        self.mirror = self._around("tracking-mirror")
        self.optout = self._around("tracking-optout")

    def _around(self, name: str, *args: Any) -> tuple[str, str] | None:
        try:
            url = f"{settings.PUBLIC_URL}{reverse(name, args=[self.sample, *args])}"
        except NoReverseMatch:
            return None
        before, _, after = url.partition(self.sample)
        return before, after

    def __call__(self, kind: SlotKind, index: int) -> tuple[str, str] | None:
        """What stands before and after the token in the address of a slot; None without such a page."""
        if kind == "link":
            return self.click and (self.click[0], self.click[1].replace(str(_SAMPLE), str(index)))
        return {"pixel": self.open, "mirror": self.mirror, "optout": self.optout}[kind]


class RecipientUrls:
    """One recipient's addresses (campaigns.content.fast_render.Urls)."""

    __slots__ = ("addresses", "compiled", "fields", "meter", "tokens")

    def __init__(self, addresses: Addresses, compiled: Compiled, fields: Fields, tokens: Tokens) -> None:
        self.addresses, self.compiled, self.fields, self.tokens = addresses, compiled, fields, tokens

    @property
    def optout_url(self) -> str:
        """The opt-out page; '' without one."""
        return _address(self.addresses.optout, self.tokens.optout)

    @property
    def mirror_url(self) -> str:
        """The mirror page; '' without one."""
        return _address(self.addresses.mirror, self.tokens.mirror)

    @property
    def pixel_url(self) -> str:
        """The image that tells of an opening; '' without one."""
        return _address(self.addresses.open, self.tokens.pixel)

    def link(self, index: int) -> str:
        """The tracked address of link `index`, or its destination."""
        if self.addresses.click is None:
            if not hasattr(self, "meter"):
                self.meter = Meter()  # one for all links
            return self.compiled.destination(index, self.fields, self.meter)
        return _address(self.addresses("link", index), self.tokens.link)


def _address(around: tuple[str, str] | None, token: str) -> str:
    return f"{around[0]}{token}{around[1]}" if around else ""


class Composer:
    """A delivery's frozen content, compiled. Raises ContentError or BadAddress if it cannot be sent to anybody.

    proof: for X-Proof, '' for all that is no proof."""

    proof = ""

    def __init__(self, delivery: Delivery) -> None:
        content = delivery.content
        known = content["fields"]
        self.compiled = compile_content(
            content["subject"],
            content["html"],
            content["text"],
            fields=known,
            tracking=Tracking.of(content.get("tracking", {})),
        )
        sender = content["sender_address"]
        self.addresses = Addresses()
        self.template = compile_mime(
            self.compiled,
            sender=sender,
            sender_name=content["sender_name"],
            reply_to=content["reply_to"],
            delivery_code=delivery.code,
            proof=self.proof,
            around=self.addresses,
        )
        routing = delivery.routing
        self.domain = ascii_domain((routing.return_domain if routing else "") or sender.rpartition("@")[2])
        self.code = delivery.code
        self.sign = _signer(delivery)
        self.mailto = content.get("unsubscribe_mailto", "")
        self.reports = delivery.feedback_service
        wanted = profile_values.columns(self.template.fields)
        self.columns = (*_ALWAYS, *wanted)  # what compose() expects as the row's fields
        self.read = profile_values.reader(self.template.fields)
        self.traps = {
            person.email: tuple(getattr(person, name) for name in self.columns) for person in traps.people(content)
        }

    def compose(self, row: Claimed) -> RenderedMessage:
        """The message to one recipient, not yet written. Raises BadAddress."""
        if row.opt_out is None and row.address in self.traps:  # of no profile
            row = row._replace(fields=self.traps[row.address])
        return RenderedMessage(self, row, self.sign(row.log_id))


def _signer(delivery: Delivery) -> Callable[[int], Tokens]:
    """How the delivery's tokens are made: with the key that it noted, or as they were before it noted one."""
    key = secret_keys.named(delivery.token_key)
    if key is None:
        words = "%s was prepared with a key that is not in SECRET_KEY_FALLBACKS; what it retries gets a new Message-ID"
        logger.warning(words, delivery.code)
        key = settings.SECRET_KEY
    return tokens.signer(key) if delivery.token_key else partial(old_tokens.sign, key=key)


class RenderedMessage:
    """One recipient's envelope, and their message once it is wanted."""

    __slots__ = ("composer", "envelope", "recipient", "row", "tokens")

    def __init__(self, composer: Composer, row: Claimed, tokens: Tokens) -> None:
        self.composer, self.row, self.tokens = composer, row, tokens
        dsn = DsnRequest(tokens.return_path.encode()) if composer.reports else None
        # The return path names the row (VERP): whatever comes back is told apart by it alone.
        sender = f"b-{tokens.return_path}@{composer.domain}".encode()
        self.recipient = smtp_address(row.address)
        self.envelope = Envelope(row.log_id, sender, self.recipient.encode(), dsn)

    def write(self) -> bytes:
        """The message, ready for the wire. Raises RenderError."""
        composer, row, tokens = self.composer, self.row, self.tokens
        first, last, wanted = row.fields[:3]
        fields = composer.read(row.fields[3:])
        return composer.template.fill(
            fields,
            message_id=f"{tokens.message_id}.{composer.code}@{composer.domain}",
            to_address=self.recipient,
            to_name=f"{first or ''} {last or ''}".strip(),
            urls=RecipientUrls(composer.addresses, composer.compiled, fields, tokens),
            date=int(time.time()),
            optout_mailto=composer.mailto,
            text_only=wanted == Profile.EmailFormat.TEXT,
        )


_compiled: OrderedDict[tuple[int, int], Composer] = OrderedDict()


def composer(delivery: Delivery) -> Composer:
    """The compiled content, from memory if this process has sent for that preparation before."""
    key = (delivery.pk, delivery.preparation)
    if key not in _compiled:
        _compiled[key] = Composer(delivery)
    _compiled.move_to_end(key)
    while len(_compiled) > KEPT:
        _compiled.popitem(last=False)
    return _compiled[key]


def forget() -> None:
    """Empty the memory."""
    _compiled.clear()
