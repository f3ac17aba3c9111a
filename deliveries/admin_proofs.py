"""The pages of proofs and of approval: send one, see the history, judge. The commands decide; these pages ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns import access, units
from campaigns.retelling import retold

from . import approvals, masked_rows, proof_verdicts, proofs
from .counters import counters
from .models import Delivery
from .proof_models import MOST
from .proofs import Substitution
from .refusal import Refused
from .states import EDITABLE

ROWS = 3  # empty rows for substitutions; with a script or without, who needs more sends another proof


@dataclass(frozen=True)
class Row:
    """A row for a substitution as it was typed."""

    profile: str = ""
    address: str = ""
    prefix: str = ""


class ProofPages:
    """The pages' addresses, for DeliveryAdmin."""

    admin_site: Any
    opts: Any
    readable: Callable[[HttpRequest, int], Delivery]

    def proof_urls(self) -> list[Any]:
        """All stand behind the admin's door; the commands ask for the roles."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/proof/", view(self.proof_view), name="deliveries_delivery_proof"),
            path("<int:pk>/proofs/", view(self.proofs_view), name="deliveries_delivery_proofs"),
            path("<int:pk>/approve/", view(self.approve_view), name="deliveries_delivery_approve"),
        ]

    def proof_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: choose who gets a proof. POST: send it; what was typed stays if that is refused."""
        delivery = self.readable(request, pk)
        access.require_prepare(request.user, delivery.campaign)
        if request.method != "POST":
            chosen = set(proofs.test_profiles().values_list("pk", flat=True))
            return self._draw(request, delivery, "proof", **_choices(delivery, request.user, chosen, [Row()] * ROWS))
        readers = {int(key) for key in request.POST.getlist("reader") if key.isdecimal() and len(key) < 19}
        rows = _typed(request.POST)
        try:
            proof = proofs.send_proof(delivery, request.user, readers=readers, substitutions=_substitutions(rows))
        except Refused as refusal:
            rows += [Row()] * (ROWS - len(rows))
            problem = retold(refusal.message)
            choices = _choices(delivery, request.user, readers, rows)
            return self._draw(request, delivery, "proof", problem=problem, **choices)
        number = proof.recipients.count()
        text = ngettext("Proof %(p)d: %(n)d mail is on its way.", "Proof %(p)d: %(n)d mails are on their way.", number)
        messages.success(request, text % {"p": proof.number, "n": number})
        return redirect("admin:deliveries_delivery_proofs", delivery.pk)

    def proofs_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Which proofs were sent to whom, and what was said of them."""
        delivery = self.readable(request, pk)
        sent, seen = proofs.history(delivery), masked_rows.sight(request.user, delivery)
        masked_rows.mask_proofs(sent, seen)
        context = {
            "proofs": sent, "tab": "proofs", "numbers": counters(delivery),
            "other": delivery.verdicts.filter(proof=None).select_related("user"),
            "may_judge": delivery.state in EDITABLE and access.may_start(request.user, delivery.campaign),
        }  # fmt: skip
        return self._draw(request, delivery, "proofs", **context)

    def approve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: approve or refuse, with a comment. POST: do it. `proof` may name one of the delivery's proofs."""
        delivery = self.readable(request, pk)
        access.require_start(request.user, delivery.campaign)
        given = request.POST if request.method == "POST" else request.GET
        proof = _proof(delivery, given.get("proof", ""))
        if request.method != "POST":
            context = {"proof": proof, "missing": approvals.missing(delivery, again=True)}
            return self._draw(request, delivery, "approve", **context)
        judge = {"approve": proof_verdicts.approve, "refuse": proof_verdicts.refuse}.get(given.get("verdict", ""))
        if judge is None:
            raise Http404
        seen = given.get("preparation", "")
        looked = (
            {"preparation": int(seen)} if given["verdict"] == "approve" and seen.isdecimal() and len(seen) < 9 else {}
        )
        try:
            verdict = judge(delivery, request.user, comment=given.get("comment", ""), proof=proof, **looked)
        except Refused as refusal:
            problem, comment = retold(refusal.message), given.get("comment", "")
            return self._draw(request, delivery, "approve", problem=problem, proof=proof, comment=comment)
        messages.success(request, _("Approved.") if verdict.approved else _("Refused."))
        return redirect(delivery)

    def _draw(self, request: HttpRequest, delivery: Delivery, page: str, **context: Any) -> HttpResponse:
        everything = {
            **self.admin_site.each_context(request), "title": str(TITLES[page]()), "opts": self.opts,
            "delivery": delivery, "original": delivery, **context,
        }  # fmt: skip
        return TemplateResponse(request, f"admin/deliveries/delivery/{page}.html", everything)


TITLES: dict[str, Callable[[], str]] = {
    "proof": lambda: _("Send a test"), "proofs": lambda: _("Proofs"), "approve": lambda: _("Approve or refuse"),
}  # fmt: skip


def _choices(delivery: Delivery, by: Any, chosen: set[int], rows: list[Row]) -> dict[str, Any]:
    """Of test profiles and of the target's profiles those that the user may read."""
    substituting, seen = proofs.may_substitute(delivery), masked_rows.sight(by, delivery)
    found = proofs.candidates(delivery) if substituting else []
    hidden = seen.hidden(person.pk for person in found)
    return {
        "readers": proofs.test_profiles().filter(units.readable(by)), "chosen": chosen, "rows": rows, "most": MOST,
        "substituting": substituting, "candidates": [person for person in found if person.pk not in hidden],
    }  # fmt: skip


def _typed(data: Mapping[str, Any]) -> list[Row]:
    """The rows that have an address or a profile."""
    columns = (data.getlist(name) for name in ("profile", "address", "prefix"))  # type: ignore[attr-defined]
    rows = [Row(*(text.strip() for text in row)) for row in zip(*columns, strict=False)]
    return [row for row in rows if row.address or row.prefix]


def _substitutions(rows: list[Row]) -> list[Substitution]:
    """Raises Refused('not_targeted') for what is no profile's number."""
    for row in rows:
        if not row.profile.isdecimal() or len(row.profile) > 18:
            words = _("Choose the profile as which %(address)s gets the proof.") % {"address": row.address}
            raise Refused("not_targeted", words)
    return [Substitution(int(row.profile), row.address, row.prefix) for row in rows]


def _proof(delivery: Delivery, number: str) -> Any:
    """The proof that `number` names, or None without one. Raises Http404."""
    if not number:
        return None
    found = delivery.proofs.filter(number=int(number)).first() if number.isdecimal() and len(number) < 9 else None
    if found is None:
        raise Http404
    return found
