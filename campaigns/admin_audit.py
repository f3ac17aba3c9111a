"""The audit in the admin: a list with filters, and one row's before and after. Nothing here can be changed.

For administrators alone (domain.md §3.5: what tells of everybody's acts is Administration's, with the whole tree).
"""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .admin_scope import BoundedPaginator, WholeLogAdmin
from .audit_models import AuditEntry


class SubjectFilter(admin.SimpleListFilter):
    """What the acts were about."""

    title = _("about")
    parameter_name = "about"
    _KINDS = {
        "deliveries": (_("deliveries"), Q(act__startswith="delivery.")),
        "logins": (_("log-ins"), Q(act__startswith="login") | Q(act="logout")),
        "people": (_("people and rights"), Q(act__regex=r"^(user|group|right|token|unit|totp)\.")),
        "exports": (_("exports"), Q(act__in=("delivery.export_started", "delivery.exported", "delivery.evidence"))),
        "refusals": (_("refusals and failures"), ~Q(outcome=AuditEntry.Outcome.DONE)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """The kinds."""
        return [(name, label) for name, (label, _condition) in self._KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The rows of the kind."""
        kind = self._KINDS.get(self.value() or "")
        return queryset.filter(kind[1]) if kind else queryset


@admin.register(AuditEntry)
class AuditAdmin(WholeLogAdmin):
    """Newest first. Search by the beginning of a name, an address, or a code like DM12."""

    list_display = ["when", "actor", "act", "outcome", "subject", "address", "channel"]
    list_filter = [SubjectFilter, "outcome", "channel", "at"]
    ordering = ["-pk"]
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator
    search_fields = ["actor"]  # get_search_results() decides; this shows the search bar
    fields = (
        "at", "actor", "actor_id", "act", "outcome", "subject", "subject_type", "subject_id", "told_as_text", "address",
        "agent", "channel", "position", "chain",
    )  # fmt: skip
    readonly_fields = fields

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Equal or beginning so, by index where there is one."""
        words = search_term.replace("\0", "").strip()[:150]
        if not words:
            return queryset, False
        code = words[2:] if words[:2].upper() == "DM" and words[2:].isdecimal() else ""
        if code:
            return queryset.filter(subject_type="deliveries.delivery", subject_id=code[:18]), False
        found = Q(actor__istartswith=words) | Q(address__startswith=words) | Q(act__startswith=words)
        return queryset.filter(found | Q(subject__istartswith=words)), False

    @admin.display(description=_("date"), ordering="pk")
    def when(self, entry: AuditEntry) -> str:
        """To the second."""
        return f"{timezone.localtime(entry.at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("details"))
    def told_as_text(self, entry: AuditEntry) -> str:
        """Before, after and the rest, a line each."""
        return json.dumps(entry.told, indent=1, ensure_ascii=False)
