"""Admin pages of webhooks that leave: endpoints with their secrets, and calls with every try; for administrators."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from campaigns.accounts import permissions
from campaigns.admin.base import key_in
from campaigns.admin.forms.edit_conflicts import NoticesOthers
from deliveries.ledger import webhooks
from deliveries.models.webhooks import WebhookCall, WebhookEndpoint, WebhookTry

from .refusals import told


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """An endpoint; its address must lead to the public internet, or where OUTGOING_ALLOW lets it."""

    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(kind, kind) for kind in webhooks.ALL_KINDS],
        help_text=gettext_lazy("None chosen: all."),
    )

    class Meta:
        model = WebhookEndpoint
        fields = ["label", "url", "kinds", "enabled"]

    def clean_url(self) -> str:
        """Raises ValidationError with why it may not be asked."""
        return webhooks.checked(self.cleaned_data["url"])


class EverybodysAdmin(NoticesOthers):
    """Webhooks tell of all deliveries, so they are kept by Administration with the unit All."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The permission, and the unit All."""
        return super().has_view_permission(request, obj) and permissions.may_administer_all(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """As for seeing."""
        return super().has_add_permission(request) and permissions.may_administer_all(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for seeing."""
        return super().has_change_permission(request, obj) and permissions.may_administer_all(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for seeing."""
        return super().has_delete_permission(request, obj) and permissions.may_administer_all(request.user)


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(EverybodysAdmin):
    """Whom we tell of what happens to deliveries."""

    form = EndpointForm
    list_display = ["label", "url", "enabled", "rotated_at"]
    ordering = ["-pk"]
    change_form_template = "admin/deliveries/webhookendpoint/change_form.html"

    def get_urls(self) -> list[Any]:
        """With a test and the secret."""
        inside = self.admin_site.admin_view
        name = "deliveries_webhookendpoint"
        return [
            path("<path:object_id>/test/", inside(require_POST(self.test_view)), name=f"{name}_test"),
            path("<path:object_id>/rotate/", inside(require_POST(self.rotate_view)), name=f"{name}_rotate"),
            *super().get_urls(),
        ]

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        """The creator is kept."""
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: Any = None) -> HttpResponse:
        """Its secret, once, whatever button was pressed."""
        return self._secret_page(request, obj, webhooks.secret(obj))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """An endpoint takes its calls along, which nobody deletes singly."""
        to_delete, counts, _perms, protected = super().get_deleted_objects(objs, request)
        return to_delete, counts, set(), protected

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Post a call that only tells that it arrives."""
        endpoint = self._mine(request, object_id)
        with told(request):
            return redirect("admin:deliveries_webhookcall_change", webhooks.write_test(endpoint).pk)
        return redirect("admin:deliveries_webhookendpoint_change", endpoint.pk)

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a new secret and show it, once."""
        endpoint = self._mine(request, object_id)
        return self._secret_page(request, endpoint, webhooks.rotate(endpoint), rotated=True)

    def _secret_page(
        self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, rotated: bool = False
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("New secret"),
            "opts": self.opts,
            "original": endpoint,
            "secret": secret,
            "rotated": rotated,
        }
        page = TemplateResponse(request, "admin/deliveries/webhookendpoint/secret.html", context)
        page["Cache-Control"] = "no-store"
        return page

    def _mine(self, request: HttpRequest, object_id: str) -> WebhookEndpoint:
        if not self.has_change_permission(request):
            raise PermissionDenied(_("Webhooks are kept by administrators."))
        return get_object_or_404(WebhookEndpoint, pk=key_in(object_id))


class TryInline(admin.TabularInline):  # type: ignore[type-arg]
    """Every try of a call."""

    model = WebhookTry
    template = "admin/deliveries/webhookcall/tries.html"
    fields = ("at", "status", "words", "milliseconds")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: posting writes it."""
        return False


@admin.register(WebhookCall)
class WebhookCallAdmin(EverybodysAdmin):
    """What was posted, or will be."""

    list_display = ["created_at", "kind", "endpoint", "state", "tries_made", "due_at"]
    list_filter = ["state", "endpoint", "kind"]
    list_select_related = ["endpoint"]
    ordering = ["-pk"]
    actions = ["replay"]
    inlines = [TryInline]
    fields = (
        "kind",
        "endpoint",
        "created_at",
        "state",
        "tries_made",
        "due_at",
        "ended_at",
        "uid",
        "content",
    )
    readonly_fields = fields

    class Media:
        css = {"all": ["deliveries/dashboard.css"]}

    @admin.display(description=gettext_lazy("content"))
    def content(self, call: WebhookCall) -> str:
        """As it is posted, but with line breaks."""
        return json.dumps(call.payload, indent=1, ensure_ascii=False)

    @admin.action(description=gettext_lazy("Post again"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: Any) -> None:
        """From the beginning, with their own webhook-id; those that are still tried, or whose endpoint is off, stay."""
        done = 0
        for call in queryset.select_related("endpoint"):
            with told(request, messages.WARNING, call):
                webhooks.replay(call)
                done += 1
        messages.info(request, ngettext("%d call is posted again.", "%d calls are posted again.", done) % done)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """As for making one."""
        return request.user.has_perm("deliveries.add_webhookcall") and permissions.may_administer_all(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: events make them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: they go after a month."""
        return False
