"""What the dashboard's buttons do: GET asks, POST acts, and lifecycle/commands.py decides (role, state, seal, log)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast, get_args

from django.contrib import messages
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from campaigns.accounts import permissions
from campaigns.content.fingerprint import changed_since_seen, word
from campaigns.core.actors import person
from campaigns.models import Message
from deliveries.admin.dashboard.action_bar import buttons, rights_of
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.admin.dashboard.deployment_block import processed
from deliveries.ledger.counters import counters
from deliveries.lifecycle import commands, complete_missing, in_doubt, wave_gates
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery
from deliveries.models.states import Act, State, allows
from deliveries.preparation import sealing
from deliveries.preparation.sealing import changed_since_prepared

from .refusals import told

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

ACTS: dict[str, tuple[Callable[..., None], StrOrPromise]] = {  # part of the address: (command, what to say then)
    "prepare": (commands.prepare, gettext_lazy("The preparation has started.")),
    "stop-preparation": (commands.stop_preparation, gettext_lazy("The preparation was stopped; nothing was sent.")),
    "confirm": (commands.confirm, gettext_lazy("Confirmed.")),
    "undo": (commands.undo_confirmation, gettext_lazy("The confirmation was taken back; nothing has left.")),
    "pause": (commands.pause, gettext_lazy("Paused; messages in flight are finished.")),
    "resume": (commands.resume, gettext_lazy("Resumed.")),
    "stop": (commands.stop, gettext_lazy("No more messages are begun; those in flight are finished.")),
    "release-waves": (wave_gates.release_waves, gettext_lazy("The later waves leave at their times.")),
    "series-on": (executions.start_series, gettext_lazy("The series is on.")),
    "series-off": (executions.stop_series, gettext_lazy("The series is off.")),
    "continue-series": (executions.continue_series, gettext_lazy("The series goes on in this form.")),
}
SEEN = {"prepare", "confirm", "series-on", "continue-series"}  # these are told which form the page showed
ASKED = {
    "confirm": gettext_lazy("Confirm send"),
    "stop": gettext_lazy("Stop sending"),
    "complete": gettext_lazy("Complete the missing"),
    "series-on": gettext_lazy("Switch on"),
    "continue-series": gettext_lazy("Continue the series with this form"),
}
DAYS = ("1", "2", "3.5")  # how long a delivery whose validity is over may go on


class ActPages:
    """The acts' addresses, for DeliveryAdmin."""

    admin_site: Any
    opts: Any
    readable: Callable[[HttpRequest, int], Delivery]

    def act_urls(self) -> list[Any]:
        """All stand behind the admin's door; the command asks for the role."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/confirm/", view(self.confirm_view), name="deliveries_delivery_confirm"),
            path("<int:pk>/stop/", view(self.stop_view), name="deliveries_delivery_stop"),
            path("<int:pk>/complete/", view(self.complete_view), name="deliveries_delivery_complete"),
            path("<int:pk>/act/<slug:act>/", view(self.act_view), name="deliveries_delivery_act"),
            path("<int:pk>/resolve/", view(self.resolve_view), name="deliveries_delivery_resolve"),
        ]

    def confirm_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: what confirming would do, or why it cannot be done. POST: confirm."""
        if request.method == "POST":
            return self.act_view(request, pk, "confirm")
        delivery = self.readable(request, pk)
        permissions.require_start(request.user, delivery.campaign)
        stale = changed_since_prepared(delivery) if delivery.state == State.READY else ()
        if not any(button.act == "confirm" for button in buttons(delivery, rights_of(request.user, delivery), stale)):
            messages.error(request, _("%s cannot be confirmed now; its dashboard says why.") % delivery)
            return redirect(delivery)
        form, sealed = sealing.prepared_form(delivery), delivery.fingerprint
        seen = request.GET.get("seen") or word(form)
        differs = "" if seen == word(sealed) else ", ".join(changed_since_seen(seen, form))
        return self.ask(request, delivery, "confirm", facts=confirmation(delivery), seen=seen, differs=differs)

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: what stopping would give up. POST: stop for good."""
        if request.method == "POST":
            return self.act_view(request, pk, "stop")
        delivery = self.readable(request, pk)
        permissions.require_start(request.user, delivery.campaign)
        if not allows(delivery.state, Act.STOP):
            messages.error(request, _("%(delivery)s is not being sent.") % {"delivery": delivery})
            return redirect(delivery)
        numbers = counters(delivery)
        left = max(0, numbers.to_deliver - processed(numbers) - numbers.in_doubt)
        return self.ask(request, delivery, "stop", left=left, done=processed(numbers))

    def complete_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: whom an ended delivery did not reach. POST: send to them."""
        delivery = self.readable(request, pk)
        permissions.require_start(request.user, delivery.campaign)
        valid = delivery.validity_end is not None and delivery.validity_end > timezone.now()
        if request.method != "POST":
            number = complete_missing.number_missing(delivery)
            return self.ask(request, delivery, "complete", number=number, valid=valid, days=DAYS)
        days = request.POST.get("days", "")
        until = timezone.now() + timedelta(days=float(days)) if days in DAYS else None
        with told(request):
            number = complete_missing.complete_missing(delivery, person(request.user), validity_end=until)
            text = ngettext("%d message is sent that was missing.", "%d messages are sent that were missing.", number)
            messages.success(request, text % number)
        return redirect(delivery)

    def ask(
        self, request: HttpRequest, delivery: Delivery, act: str, template: str = "", **context: Any
    ) -> HttpResponse:
        """The page that asks before `act`."""
        everything = {
            **self.admin_site.each_context(request),
            "title": ASKED[act],
            "opts": self.opts,
            "delivery": delivery,
            "original": delivery,
            "act": act,
            **context,
        }
        return TemplateResponse(request, f"admin/deliveries/delivery/{template or act}.html", everything)

    def act_view(self, request: HttpRequest, pk: int, act: str) -> HttpResponse:
        """POST alone: do it, say what came of it, and go back to the dashboard. 403 without the role."""
        delivery = self.readable(request, pk)
        if act not in ACTS:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        command, done = ACTS[act]
        # The page of Confirm always says what it showed; who starts what asks nobody has to say it.
        missing = None if act == "confirm" else ""
        seen = {"seen": request.POST.get("seen", missing)} if act in SEEN else {}
        with told(request):
            command(delivery, person(request.user), **seen)
            messages.success(request, done)
        return redirect(delivery)

    def resolve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST: decide about rows in doubt: those that were ticked, or all of them."""
        delivery = self.readable(request, pk)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        decision = request.POST.get("decision", "")
        if decision not in get_args(in_doubt.Decision):
            raise SuspiciousOperation("no such decision")
        ids = None if "all" in request.POST else [int(i) for i in request.POST.getlist("log") if i.isdecimal()]
        if ids == []:
            messages.warning(request, _("No message was ticked, so nothing was decided."))
            return redirect("admin:deliveries_delivery_in_doubt", delivery.pk)
        with told(request):
            number = in_doubt.resolve_in_doubt(
                delivery, person(request.user), decision=cast(in_doubt.Decision, decision), log_ids=ids
            )
            text = ngettext("Decided about %d message.", "Decided about %d messages.", number)
            messages.success(request, text % number)
        return redirect("admin:deliveries_delivery_in_doubt", delivery.pk)


def open_delivery(admin_site: Any, request: HttpRequest, message_id: int) -> HttpResponse:
    """The message's dashboard. POST makes a delivery if there is none; GET shows the newest, or offers to make one."""
    message = Message.objects.filter(pk=message_id).select_related("campaign").first()
    if message is None or not permissions.may_read(request.user, message.campaign):
        raise Http404
    newest = message.deliveries.filter(parent=None).order_by("-pk").first()
    if request.method == "POST":
        with told(request):
            return redirect(commands.create_delivery(message, person(request.user)))
        return redirect(newest or message)
    if newest is not None:
        return redirect(newest)
    if not permissions.may_prepare(request.user, message.campaign):
        raise PermissionDenied(_("This message has no delivery yet, and you may not make one."))
    context = {**admin_site.each_context(request), "title": str(message), "message": message}
    return TemplateResponse(request, "admin/deliveries/delivery/open.html", context)
