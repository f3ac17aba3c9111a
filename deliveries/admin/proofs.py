"""The pages of proofs and of approval: send one, see the history, judge. The commands decide; these pages ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns.accounts import permissions
from campaigns.core.actors import Person, person
from campaigns.core.translate_kept import translated
from deliveries.ledger.counters import counters
from deliveries.ledger.errors import Refused
from deliveries.lifecycle import approving
from deliveries.lifecycle.confirming import approvals
from deliveries.lifecycle.proofs import addresses, history, limits, proofs
from deliveries.lifecycle.proofs.proofs import Substitution
from deliveries.models import Delivery
from deliveries.models.proofs import MOST, Verdict
from deliveries.models.states import EDITABLE

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
        permissions.require_prepare(request.user, delivery.campaign)
        by = person(request.user)
        if request.method != "POST":
            return self._draw(request, delivery, "proof", **_choices(delivery, by, None, [Row()] * ROWS))
        readers = {int(key) for key in request.POST.getlist("reader") if key.isdecimal() and len(key) < 19}
        rows = _typed(request.POST)
        try:
            proof = proofs.send_proof(delivery, by, readers=readers, substitutions=_substitutions(rows))
        except (Refused, PermissionDenied) as refusal:
            rows += [Row()] * (ROWS - len(rows))
            context = {"problem": translated(refusal.args[0]), **_choices(delivery, by, readers, rows)}
            status = 403 if isinstance(refusal, PermissionDenied) else 200
            return self._draw(request, delivery, "proof", status, **context)
        number = proof.recipients.count()
        text = ngettext("Proof %(p)d: %(n)d mail is on its way.", "Proof %(p)d: %(n)d mails are on their way.", number)
        messages.success(request, text % {"p": proof.number, "n": number})
        return redirect("admin:deliveries_delivery_proofs", delivery.pk)

    def proofs_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Which proofs were sent to whom, and what was said of them."""
        delivery = self.readable(request, pk)
        shown = history.history(delivery, request.user)
        other = list(delivery.verdicts.filter(proof=None).select_related("user"))
        _say_what_counts(delivery, [*other, *(verdict for proof in shown for verdict in proof.verdicts.all())])
        context: dict[str, Any] = {
            "proofs": shown,
            "tab": "proofs",
            "numbers": counters(delivery),
            "other": other,
            "may_judge": delivery.state in EDITABLE and permissions.may_start(request.user, delivery.campaign),
        }
        return self._draw(request, delivery, "proofs", **context)

    def approve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: approve or refuse, with a comment. POST: do it. `proof` may name one of the delivery's proofs."""
        delivery = self.readable(request, pk)
        permissions.require_start(request.user, delivery.campaign)
        given = request.POST if request.method == "POST" else request.GET
        proof = _proof(delivery, given.get("proof", ""))
        if request.method != "POST":
            context = {"proof": proof, "missing": approvals.missing(delivery, again=True)}
            return self._draw(request, delivery, "approve", **context)
        judge = {"approve": approving.approve, "refuse": approving.refuse}.get(given.get("verdict", ""))
        if judge is None:
            raise Http404
        seen = given.get("preparation", "")
        looked = (
            {"preparation": int(seen)} if given["verdict"] == "approve" and seen.isdecimal() and len(seen) < 9 else {}
        )
        try:
            verdict = judge(delivery, person(request.user), comment=given.get("comment", ""), proof=proof, **looked)
        except Refused as refusal:
            problem, comment = translated(refusal.message), given.get("comment", "")
            return self._draw(request, delivery, "approve", problem=problem, proof=proof, comment=comment)
        messages.success(request, _("Approved.") if verdict.approved else _("Refused."))
        return redirect(delivery)

    def _draw(
        self, request: HttpRequest, delivery: Delivery, page: str, status: int = 200, **context: Any
    ) -> HttpResponse:
        everything = {
            **self.admin_site.each_context(request),
            "title": str(TITLES[page]()),
            "opts": self.opts,
            "delivery": delivery,
            "original": delivery,
            **context,
        }
        return TemplateResponse(request, f"admin/deliveries/delivery/{page}.html", everything, status=status)


TITLES: dict[str, Callable[[], str]] = {
    "proof": lambda: _("Send a test"),
    "proofs": lambda: _("Proofs"),
    "approve": lambda: _("Approve or refuse"),
}


def _choices(delivery: Delivery, by: Person, chosen: set[int] | None, rows: list[Row]) -> dict[str, Any]:
    """What the form offers. `chosen`: the test profiles that are ticked; None: all to whom `by` may send."""
    substituting, readers = proofs.may_substitute(delivery), list(proofs.test_profiles(by))
    beyond = addresses.out_of_reach(delivery, by, [reader.email for reader in readers])
    for reader in readers:
        reader.beyond = reader.email in beyond  # type: ignore[attr-defined]
    if chosen is None:
        chosen = {reader.pk for reader in readers if reader.email not in beyond}
    return {
        "readers": readers,
        "chosen": chosen,
        "rows": rows,
        "substituting": substituting,
        "candidates": history.candidates(delivery, by) if substituting else [],
        "most": min(MOST, limits.left(delivery, by)),
    }


def _say_what_counts(delivery: Delivery, verdicts: list[Verdict]) -> None:
    """Beside an approval of what is prepared now that does not count: why."""
    for verdict in verdicts:
        now = bool(delivery.fingerprint) and verdict.fingerprint == delivery.fingerprint
        why = approvals.why_void(verdict, delivery) if now and not verdict.address else ""
        verdict.void = _(why) if why else ""  # type: ignore[attr-defined]


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
