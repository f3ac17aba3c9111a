"""From a claimed row to an envelope and the bytes of its message; compiled once a delivery and process.

Message-ID, return path and links carry the token of the sending log, so every attempt of one recipient has the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from campaigns import profile_texts
from campaigns.content import Compiled, compile_content
from campaigns.links import Tracking
from campaigns.models import Profile
from campaigns.segments import Fields, SlotKind
from campaigns.work import Meter

from . import tokens, traps
from .batches import Claimed
from .mime import ascii_address, ascii_domain, compile_mime
from .models import Delivery
from .smtp import DsnRequest, Envelope

KEPT = 4  # deliveries compiled at once in one process
_ALWAYS = ("first_name", "last_name", "email_format")  # of the To header, and whether HTML is wanted
_SAMPLE = 987_654_321  # a link number that no address contains otherwise


class Addresses:
    """The addresses of the web pages that a recipient's links lead to, with a hole for the token.

    A page that does not exist (yet) has no address: then links lead where the content says.
    """

    def __init__(self) -> None:
        self.sample = tokens.sign(0)
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
    """One recipient's addresses (campaigns.segments.Urls)."""

    __slots__ = ("addresses", "compiled", "fields", "meter", "token")

    def __init__(self, addresses: Addresses, compiled: Compiled, fields: Fields, token: str) -> None:
        self.addresses, self.compiled, self.fields, self.token = addresses, compiled, fields, token

    def _at(self, around: tuple[str, str] | None) -> str:
        return f"{around[0]}{self.token}{around[1]}" if around else ""

    @property
    def optout_url(self) -> str:
        """The opt-out page; '' without one."""
        return self._at(self.addresses.optout)

    @property
    def mirror_url(self) -> str:
        """The mirror page; '' without one."""
        return self._at(self.addresses.mirror)

    @property
    def pixel_url(self) -> str:
        """The image that tells of an opening; '' without one."""
        return self._at(self.addresses.open)

    def link(self, index: int) -> str:
        """The tracked address of link `index`, or its destination."""
        if self.addresses.click is None:
            if not hasattr(self, "meter"):
                self.meter = Meter()  # one for all links
            return self.compiled.destination(index, self.fields, self.meter)
        return self._at(self.addresses("link", index))


class Mailing:
    """A delivery's frozen content, compiled. Raises ContentError or BadAddress if it cannot be sent to anybody.

    proof: for X-Proof, '' for all that is no proof."""

    proof = ""

    def __init__(self, delivery: Delivery) -> None:
        content = delivery.content
        known = content["fields"]
        self.compiled = compile_content(
            content["subject"], content["html"], content["text"], fields=known,
            tracking=Tracking.of(content.get("tracking", {})),
        )  # fmt: skip
        sender = content["sender_address"]
        self.addresses = Addresses()
        self.template = compile_mime(
            self.compiled, sender=sender, sender_name=content["sender_name"], reply_to=content["reply_to"],
            delivery_code=delivery.code, proof=self.proof, around=self.addresses,
        )  # fmt: skip
        routing = delivery.routing
        self.domain = ascii_domain((routing.return_domain if routing else "") or sender.rpartition("@")[2])
        self.code = delivery.code
        self.mailto = content.get("unsubscribe_mailto", "")
        self.reports = delivery.feedback_service
        wanted = profile_texts.columns(self.template.fields)
        self.columns = (*_ALWAYS, *wanted)  # what letter() expects as the row's fields
        self.read = profile_texts.reader(self.template.fields)
        self.traps = traps.fields_of(content.get("traps", ()), self.columns)

    def letter(self, row: Claimed) -> Letter:
        """The letter to one recipient, not yet written. Raises BadAddress."""
        if row.opt_out is None and row.address in self.traps:  # of no profile
            row = row._replace(fields=self.traps[row.address])
        return Letter(self, row, tokens.sign(row.log_id))


class Letter:
    """One recipient's envelope, and his message once it is wanted."""

    __slots__ = ("envelope", "mailing", "recipient", "row", "token")

    def __init__(self, mailing: Mailing, row: Claimed, token: str) -> None:
        self.mailing, self.row, self.token = mailing, row, token
        dsn = DsnRequest(token.encode()) if mailing.reports else None
        # The return path names the row (VERP): whatever comes back is told apart by it alone.
        sender = f"b-{token}@{mailing.domain}".encode()
        self.recipient = ascii_address(row.address)
        self.envelope = Envelope(row.log_id, sender, self.recipient.encode(), dsn)

    def write(self) -> bytes:
        """The message, ready for the wire. Raises RenderError."""
        mailing, row, token = self.mailing, self.row, self.token
        first, last, wanted = row.fields[:3]
        fields = mailing.read(row.fields[3:])
        return mailing.template.fill(
            fields,
            message_id=f"{token}.{mailing.code}@{mailing.domain}",
            to_address=self.recipient,
            to_name=f"{first or ''} {last or ''}".strip(),
            urls=RecipientUrls(mailing.addresses, mailing.compiled, fields, token),
            date=int(time.time()),
            optout_mailto=mailing.mailto,
            text_only=wanted == Profile.EmailFormat.TEXT,
        )


_compiled: OrderedDict[tuple[int, int], Mailing] = OrderedDict()


def mailing(delivery: Delivery) -> Mailing:
    """The compiled content, from memory if this process has sent for that preparation before."""
    key = (delivery.pk, delivery.preparation)
    if key not in _compiled:
        _compiled[key] = Mailing(delivery)
    _compiled.move_to_end(key)
    while len(_compiled) > KEPT:
        _compiled.popitem(last=False)
    return _compiled[key]
