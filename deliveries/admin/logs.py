"""The tabs of the dashboard: Log, Sending logs, Exclusion logs, Exclusion causes, In doubt.

Lists of millions are paged by key and never counted: numbers come from the counters.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _

from campaigns.core.web.paging import page_of
from campaigns.core.web.search import starts_with
from deliveries.admin.dashboard.action_bar import rights_of
from deliveries.ledger import masked_rows
from deliveries.ledger.counters import counters, counters_of
from deliveries.ledger.kpis import Counters, kpis
from deliveries.lifecycle import evidence
from deliveries.models import Delivery, SendingLog
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.logical_status import LOGICAL, short_label
from deliveries.models.states import LogStatus, Reason, State
from deliveries.preparation import exclusion_filters

REPORTS = 100  # of one message, on its page


class LogPages:
    """The tabs' pages, for DeliveryAdmin."""

    admin_site: Any
    opts: Any

    def log_urls(self) -> list[Any]:
        """All stand behind the admin's door and ask whether the user may read the delivery."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/log/", view(self.log_view), name="deliveries_delivery_log"),
            path("<int:pk>/sending-logs/", view(self.sending_logs_view), name="deliveries_delivery_sending_logs"),
            path(
                "<int:pk>/sending-logs/<int:row>/", view(self.sending_log_view), name="deliveries_delivery_sending_log"
            ),
            path("<int:pk>/exclusion-logs/", view(self.exclusion_logs_view), name="deliveries_delivery_exclusion_logs"),
            path("<int:pk>/exclusion-causes/", view(self.causes_view), name="deliveries_delivery_exclusion_causes"),
            path("<int:pk>/executions/", view(self.executions_view), name="deliveries_delivery_executions"),
            path("<int:pk>/in-doubt/", view(self.in_doubt_view), name="deliveries_delivery_in_doubt"),
        ]

    def readable(self, request: HttpRequest, pk: int) -> Delivery:
        """The delivery, or 404 if the user may not even read it."""
        found = self.get_queryset(request).select_related("campaign", "message__recurrence")  # type: ignore[attr-defined]
        delivery: Delivery | None = found.filter(pk=pk).first()
        if delivery is None:
            raise Http404
        return delivery

    def tab(self, request: HttpRequest, delivery: Delivery, tab: str, **context: Any) -> HttpResponse:
        """Draw a tab."""
        everything = {
            **self.admin_site.each_context(request),
            "title": str(delivery),
            "opts": self.opts,
            "delivery": delivery,
            "original": delivery,
            "tab": tab,
            "numbers": context.pop("numbers", None) or counters(delivery),
            **context,
        }
        return TemplateResponse(request, f"admin/deliveries/delivery/{tab}.html", everything)

    def log_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What happened, newest first."""
        delivery = self.readable(request, pk)
        events = delivery.events.select_related("user")
        page, may_take = page_of([events], request, newest_first=True), evidence.may_take(request.user, delivery)
        masked_rows.mask_words(page.rows, masked_rows.sight(request.user, delivery))
        return self.tab(request, delivery, "log", page=page, may_take_evidence=may_take)

    def sending_logs_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One row for each recipient, by status and by the beginning of the address."""
        delivery = self.readable(request, pk)
        numbers, rows = counters(delivery), delivery.sending_logs.all()
        shown = _by_status(numbers, exclusion_filters.held_back(delivery))
        status, beginning = request.GET.get("status", ""), request.GET.get("q", "").strip().lower()
        wanted = [code for code, _label, number in shown if str(code) == status] or [code for code, *_rest in shown]
        parts = [rows.filter(status=code) for code in wanted]
        seen = masked_rows.sight(request.user, delivery)
        if beginning:
            parts = [rows.filter(starts_with("address", beginning), seen.found_with_tests(), status__in=wanted)]
        page = page_of(parts, request, keep={"status": status, "q": beginning})
        masked_rows.mask_logs(page.rows, seen)
        return self.tab(
            request,
            delivery,
            "sending_logs",
            page=page,
            numbers=numbers,
            statuses=shown,
            status=status,
            beginning=beginning,
        )

    def sending_log_view(self, request: HttpRequest, pk: int, row: int) -> HttpResponse:
        """All that is known of one recipient."""
        delivery = self.readable(request, pk)
        log = delivery.sending_logs.filter(pk=row).first()
        if log is None:
            raise Http404
        masked_rows.mask_logs([log], masked_rows.sight(request.user, delivery))
        about = FeedbackEvent.objects.filter(log_id=log.pk).order_by("-at", "-pk")
        reports = [] if getattr(log, "hidden", False) else about[:REPORTS]  # they quote the address
        return self.tab(request, delivery, "sending_log", log=log, facts=_facts(log), reports=reports)

    def exclusion_logs_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Who was left out, by cause and by the beginning of the address."""
        delivery = self.readable(request, pk)
        causes, rows = exclusion_filters.causes(delivery), delivery.exclusion_logs.all()
        cause, beginning = request.GET.get("cause", ""), request.GET.get("q", "").strip().lower()
        wanted = exclusion_filters.chosen(causes, cause)
        parts = [rows.filter(one) for one in wanted]
        seen = masked_rows.sight(request.user, delivery)
        if beginning:
            parts = [rows.filter(reduce(or_, wanted, Q()), starts_with("address", beginning), seen.found())]
        page = page_of(parts, request, keep={"cause": cause, "q": beginning})
        masked_rows.mask_exclusions(page.rows, seen)
        return self.tab(request, delivery, "exclusion_logs", page=page, causes=causes, cause=cause, beginning=beginning)

    def causes_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How many each cause left out, zeros included."""
        delivery = self.readable(request, pk)
        causes = delivery.exclusion_causes.all()
        return self.tab(request, delivery, "exclusion_causes", causes=causes, control_group=Reason.CONTROL_GROUP)

    def executions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The executions of a series, newest first, with their indicators."""
        delivery = self.readable(request, pk)
        page = page_of([delivery.executions.all()], request, newest_first=True)
        numbers = counters_of(page.rows)
        for row in page.rows:
            row.figures = kpis(numbers[row.pk], feedback_service=row.feedback_service)
            row.chip, row.short = LOGICAL[State(row.state)].value, short_label(row.state)
        return self.tab(request, delivery, "executions", page=page)

    def in_doubt_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Rows of which nobody knows whether the server took them, and the two decisions."""
        delivery = self.readable(request, pk)
        rows = delivery.sending_logs.filter(status=LogStatus.IN_DOUBT)
        page = page_of([rows], request)
        masked_rows.mask_logs(page.rows, masked_rows.sight(request.user, delivery))
        return self.tab(request, delivery, "in_doubt", page=page, rights=rights_of(request.user, delivery))


def _by_status(numbers: Counters, held_back: int) -> list[tuple[int, str, int]]:
    """(status, label, rows with it). The control group's Ignored rows have no counter."""
    known = {
        LogStatus.PENDING: numbers.pending,
        LogStatus.SENT: numbers.sent,
        LogStatus.FAILED: numbers.failed,
        LogStatus.IGNORED: held_back,
        LogStatus.CANCELLED: numbers.cancelled,
        LogStatus.IN_DOUBT: numbers.in_doubt,
    }
    return [(int(code), str(code.label), n) for code, n in known.items() if n or code == LogStatus.IGNORED]


def _facts(log: SendingLog) -> list[tuple[str, Any]]:
    """(label, value) of every field that says something to people."""
    moments = {
        _("Relayed"): log.relayed_at,
        _("Next attempt"): log.due_at,
        _("Last report"): log.last_event_at,
        _("Opened"): log.opened_at,
        _("Clicked"): log.clicked_at,
        _("Opted out"): log.opted_out_at,
    }
    return [
        (_("Address"), log.address),
        (_("Date"), log.date),
        (_("Nature of failure"), log.get_failure_type_display()),
        (_("Reason"), _("Sent") if log.status == LogStatus.SENT else log.get_reason_display()),
        (_("Server's words"), log.reply or "-"),
        (_("Attempts"), log.attempts),
        (_("Test profile"), _("Yes") if log.test_profile else _("No")),
        *[(label, at) for label, at in moments.items() if at],
    ]
