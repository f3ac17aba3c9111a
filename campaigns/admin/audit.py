"""The audit in the admin: a list with filters, and one row's before and after. Nothing here can be changed.

For administrators alone: what tells of everybody's acts takes Administration with the unit All (security.md, Audit).
"""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from campaigns.models.audit.audit_values import WHO
from campaigns.models.audit.entries import AuditEntry, AuditValue

from .base import WholeLogAdmin


def _of(names: str) -> Q:
    """Acts on these kinds of things."""
    found = Q()
    for name in names.split():
        found |= Q(act__startswith=f"{name}.")
    return found


class SubjectFilter(admin.SimpleListFilter):
    """What the acts were about."""

    title = _("about")
    parameter_name = "about"
    _KINDS = {
        "deliveries": (_("deliveries"), Q(act__startswith="delivery.")),
        "messages": (_("messages and schedules"), _of("message schedule recurrence tracking control_group campaign")),
        "recipients": (
            _("profiles, audiences and quarantine"),
            _of("profile profiles audience import quarantine test_profile"),
        ),
        "setup": (
            _("rules and setup"),
            _of(
                "typology typology_rule qualification_rule feedback never_tracked brand routing webhookendpoint "
                "alert_dashboard alert_criterion"
            ),
        ),
        "logins": (_("log-ins"), Q(act__startswith="login") | Q(act="logout")),
        "people": (_("people and rights"), _of("user group right token unit totp")),
        "exports": (_("exports"), Q(act__in=("delivery.export_started", "delivery.exported", "delivery.evidence"))),
        "refusals": (_("refusals and failures"), ~Q(outcome=AuditEntry.Outcome.DONE)),
        "audit": (_("the audit itself"), _of("audit")),
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
    search_fields = ["act"]  # get_search_results() decides; this shows the search bar
    fields = (
        "when",
        "actor",
        "actor_id",
        "act",
        "outcome",
        "subject",
        "subject_type",
        "subject_id",
        "changes",
        "told_as_text",
        "address",
        "agent",
        "channel",
        "position",
        "chain",
    )
    readonly_fields = fields

    class Media:
        css = {"all": ["campaigns/forms.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """With the values beside; the list needs those that say who and what."""
        rows: QuerySet[AuditEntry] = super().get_queryset(request)
        beside = AuditValue.objects.all()
        if request.resolver_match and str(request.resolver_match.url_name).endswith("_changelist"):
            beside = beside.filter(path__in=WHO)
        return rows.prefetch_related(Prefetch("beside", beside))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Equal or beginning so, by index where there is one."""
        words = search_term.replace("\0", "").strip()[:150]
        if not words:
            return queryset, False
        code = words[2:] if words[:2].upper() == "DM" and words[2:].isdecimal() else ""
        if code:
            return queryset.filter(subject_type="deliveries.delivery", subject_id=code[:18]), False
        found = Q(act__startswith=words) | Q(pk__in=_named(words))
        for name in ("actor", "subject", "address"):
            found |= Q(**{f"old_{name}__istartswith": words})
        return queryset.filter(found), False

    @admin.display(description=_("date"), ordering="pk")
    def when(self, entry: AuditEntry) -> str:
        """To the second."""
        return f"{timezone.localtime(entry.at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("who"))
    def actor(self, entry: AuditEntry) -> str:
        """The name, as it was then."""
        return entry.actor

    @admin.display(description=_("what"))
    def subject(self, entry: AuditEntry) -> str:
        """What it was about, as it was called then."""
        return entry.subject

    @admin.display(description=_("from"))
    def address(self, entry: AuditEntry) -> str:
        """The address that the request came from."""
        return entry.address

    @admin.display(description=_("program"))
    def agent(self, entry: AuditEntry) -> str:
        """The program that asked."""
        return entry.agent

    @admin.display(description=_("before and after"))
    def changes(self, entry: AuditEntry) -> str:
        """A line for each field that changed: what it was and what it became."""
        told = entry.told
        before, after = (_mapping(told.get(side)) for side in ("before", "after"))
        names = list(dict.fromkeys([*before, *after]))
        lines = ((name, _shown(before, name), _shown(after, name)) for name in sorted(names))
        shown = f'<p class="audit-change"><strong>{{}}</strong>\n{_("before")}: {{}}\n{_("after")}: {{}}</p>'
        return format_html_join("", shown, lines) or "-"

    @admin.display(description=_("details"))
    def told_as_text(self, entry: AuditEntry) -> str:
        """The rest of what was told."""
        rest = {name: value for name, value in entry.told.items() if name not in ("before", "after")}
        return json.dumps(rest, indent=1, ensure_ascii=False) if rest else "-"


def _named(words: str) -> Any:
    """The entries beside which a name, an address or a subject begins so."""
    begins = json.dumps(words, ensure_ascii=False)[:-1]  # with the quote before it
    who = AuditValue.objects.filter(path__in=("actor", "subject", "address"), after__istartswith=begins)
    return who.values("entry")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(side: dict[str, Any], name: str) -> str:
    """A value as text; '' where there is none on this side."""
    if name not in side:
        return ""
    value = side[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
