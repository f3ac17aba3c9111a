"""Admin pages of messages: the form with its schedule, what is wrong with the content, and the way to the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import NoReverseMatch, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts import masking, permissions, units
from campaigns.admin.forms.schedule_form import RecurrenceForm, ScheduleForm
from campaigns.content.fast_render import one_newline
from campaigns.core.actors import person
from campaigns.core.translate_kept import translated
from campaigns.messages import senders
from campaigns.messages.duplication import duplicate
from campaigns.models import Brand, ControlGroup, Message, Schedule, Typology
from campaigns.models.people.seeds import TestProfile
from campaigns.models.schedule import Recurrence
from campaigns.models.tracking import TrackingOptions
from campaigns.scheduling.calendar import BadRecurrence
from campaigns.targeting.known_fields import known_fields

from .base import InCampaign, ScopedAdmin, StackedInline, writable
from .preview import PreviewPages, problems, remember_untracked
from .typologies import ControlGroupForm

SHOWN = 10  # problems of the content shown after saving; the form lists them all


class MessageForm(forms.ModelForm):  # type: ignore[type-arg]
    """What staff write. Line breaks in names and subject are refused: they would forge headers."""

    class Meta:
        model = Message
        fields = [
            "label",
            "description",
            "campaign",
            "brand",
            "audience",
            "subject",
            "sender_name",
            "sender_address",
            "reply_to",
            "html",
            "text",
            "typology",
            "proof_prefix",
            "hide_proof_number",
            "traps",
        ]
        help_texts = {
            "proof_prefix": gettext_lazy(
                "In brackets before the subject of a proof. Empty: none, and no number; a proof that shows a real "
                "profile's data begins with “[Proof]” anyway."
            )
        }
        widgets = {
            "subject": forms.TextInput(attrs={"class": "vLargeTextField"}),
            "html": forms.Textarea(
                attrs={"rows": 18, "cols": 100, "class": "vLargeTextField code", "spellcheck": "false"}
            ),
            "text": forms.Textarea(attrs={"rows": 10, "cols": 100, "class": "vLargeTextField code"}),
            "traps": forms.CheckboxSelectMultiple,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """A reply-to that is to be told of is told of beside it."""
        super().__init__(*args, **kwargs)
        told = senders.problems(self.instance) if self.instance.pk else []
        if told and "reply_to" in self.fields:
            self.fields["reply_to"].help_text = translated(told[0].message)
        for name in {"html", "text"} & self.fields.keys():
            cast("forms.CharField", self.fields[name]).strip = False

    def clean_html(self) -> str:
        """As it stood: a part that nobody touched must not differ from the one that was prepared."""
        return _as_written(self.cleaned_data["html"])

    def clean_text(self) -> str:
        """As the HTML."""
        return _as_written(self.cleaned_data["text"])


def _as_written(text: str) -> str:
    """Without the CRs that browsers put in; blanks alone are nothing."""
    return one_newline(text) if text.strip() else ""


class _InMessage(StackedInline):
    """One at most; seen and changed by whoever sees or changes the message."""

    max_num = 1

    def has_view_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Whoever sees the message."""
        return True

    def has_add_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Whoever may change the message."""
        return self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Whoever may change the message."""
        return obj is None or may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Deleting it leaves the usual."""
        return self.has_change_permission(request, obj)


class ScheduleInline(_InMessage):
    """No schedule means: once confirmed, with the usual validity."""

    model = Schedule
    form = ScheduleForm
    verbose_name_plural = gettext_lazy("schedule")


class RecurrenceInline(_InMessage):
    """No recurrence means: once."""

    model = Recurrence
    form = RecurrenceForm
    verbose_name_plural = gettext_lazy("recurrence")
    classes = ["collapse"]


class ControlGroupInline(_InMessage):
    """No control group means: everybody gets it."""

    model = ControlGroup
    form = ControlGroupForm
    verbose_name_plural = gettext_lazy("control group")
    classes = ["collapse"]


class TrackingInline(_InMessage):
    """No row means: tracked, with the usual time."""

    model = TrackingOptions
    verbose_name_plural = gettext_lazy("tracking")
    classes = ["collapse"]


def may_change(request: HttpRequest, message: Message) -> bool:
    """True if the user may edit it: the role, and no confirmed delivery that it must go on matching."""
    return message.locked_at is None and permissions.may_prepare(request.user, message.campaign)


def _occurrences(message: Message | None) -> list[tuple[str, str]]:
    """When the message as it was saved would be sent, if it recurs."""
    recurrence: Recurrence | None = getattr(message, "recurrence", None)
    try:
        return recurrence.occurrences(timezone.now()) if recurrence else []
    except BadRecurrence:
        return []


def _hidden_traps(request: HttpRequest, message: Message) -> list[TestProfile]:
    """The message's traps that the form does not show, since they lie beside the user's unit: saving keeps them."""
    if units.at_root(request.user):
        return []
    return list(message.traps.exclude(units.readable(request.user)))


def _series_note(message: Message | None) -> str:
    """What a change does while the message's series is on; empty if it is not."""
    recurrence: Recurrence | None = getattr(message, "recurrence", None)
    if recurrence is None or recurrence.next_at is None:
        return ""
    if recurrence.request_confirmation:
        return _("The series is on, and each execution asks for a confirmation. Turning that off switches it off.")
    return _(
        "The series is on, and its executions start without being asked. After a change here the next one waits for a "
        "confirmation; a change of the recurrence switches the series off until somebody with “Start deliveries” "
        "switches it on again."
    )


def _traps_seen(sight: masking.Sight) -> Callable[[Message], str]:
    """A read-only field: the message's traps as one reader sees them."""

    @admin.display(description=gettext_lazy("traps"))
    def traps_seen(message: Message) -> str:
        traps = message.traps.all()
        return ", ".join(str(masking.MARK if sight.hides_test(trap) else trap) for trap in traps) or "-"

    return traps_seen


@admin.register(Message)
class MessageAdmin(PreviewPages, ScopedAdmin):
    """Messages of the campaigns that the user may read; read-only once confirmed."""

    form = MessageForm
    inlines = [ScheduleInline, RecurrenceInline, ControlGroupInline, TrackingInline]
    change_form_template = "admin/campaigns/message/change_form.html"
    list_display = ["label", "campaign", "audience", "subject", "is_locked", "modified_at", "dashboard"]
    list_filter = [InCampaign]
    list_select_related = ["campaign", "audience"]
    search_fields = ["label", "subject"]
    view_on_site = False
    fieldsets = [
        (None, {"fields": ["label", "description", "campaign", "brand", "audience"]}),
        (gettext_lazy("Sender"), {"fields": ["sender_name", "sender_address", "reply_to"], "classes": ["collapse"]}),
        (gettext_lazy("Content"), {"fields": ["subject", "html", "text"]}),
        (gettext_lazy("Proofs"), {"fields": ["proof_prefix", "hide_proof_number"], "classes": ["collapse"]}),
        (gettext_lazy("Traps"), {"fields": ["traps"], "classes": ["collapse"]}),
        (gettext_lazy("Typology"), {"fields": ["typology"]}),
    ]

    class Media:
        css = {"all": ["campaigns/forms.css"]}

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """By role and campaign, and not once confirmed."""
        return super().has_change_permission(request, obj) and (obj is None or may_change(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Message | None = None) -> Any:
        """Where the form only shows, the traps without those that the user may not see."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        shown = _traps_seen(masking.sight(request.user, obj.campaign))
        return [
            (title, {**options, "fields": [shown if name == "traps" else name for name in options["fields"]]})
            for title, options in fieldsets
        ]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Campaigns in which the user may write alone; the default brand and typology are chosen already."""
        if db_field.name == "campaign":
            kwargs["queryset"] = writable(request)
        if db_field.name == "brand":
            kwargs["initial"] = Brand.objects.filter(is_default=True).first
        if db_field.name == "typology":
            kwargs["initial"] = Typology.objects.filter(is_default=True).first
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Of test profiles those that the user's unit reads."""
        kwargs["queryset"] = TestProfile.objects.filter(units.readable(request.user))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Beside the choices: add and view. Deleting a campaign from here would be a slip of the hand."""
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)
        for icon in ("can_delete_related", "can_change_related"):
            if formfield is not None and hasattr(formfield.widget, icon):
                setattr(formfield.widget, icon, False)
        return formfield

    def save_model(self, request: HttpRequest, obj: Message, form: Any, change: bool) -> None:
        """Save under the message's lock: a confirmation that came meanwhile wins."""
        if not change:
            obj.created_by = person(request.user)
        elif Message.objects.select_for_update().get(pk=obj.pk).locked_at:
            raise PermissionDenied("This message was confirmed meanwhile; its content is final.")
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Then tell what would stop the preparation; the form that comes after "continue" lists it anyway."""
        hidden = _hidden_traps(request, form.instance)
        super().save_related(request, form, formsets, change)
        form.instance.traps.add(*hidden)
        for one in (each for formset in formsets for each in formset.forms):
            for note in getattr(one, "notes", ()):
                self.message_user(request, note, messages.WARNING)
        gone = [row for formset in formsets for row in formset.deleted_objects]
        rows = [row for formset in formsets for row in (each.instance for each in formset.forms)]
        if any(getattr(row, "switched_off", False) for row in rows) or any(
            getattr(row, "next_at", None) for row in gone
        ):
            words = _("The series is off now. Somebody with “Start deliveries” can look at it and switch it on again.")
            self.message_user(request, words, messages.WARNING)
        remember_untracked(form.instance)
        if "_continue" not in request.POST:
            for problem in [*senders.problems(form.instance), *problems(form.instance)][:SHOWN]:
                self.message_user(request, translated(problem.sentence), messages.WARNING)

    def response_add(self, request: HttpRequest, obj: Message, post_url_continue: str | None = None) -> HttpResponse:
        """On to the dashboard if that button was pressed."""
        return self._open(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Message) -> HttpResponse:
        """On to the dashboard if that button was pressed."""
        return self._open(request, obj) or super().response_change(request, obj)

    def _open(self, request: HttpRequest, message: Message) -> HttpResponse | None:
        if "_open" not in request.POST:
            return None
        # The method is kept (307): opening makes the delivery if there is none, and only a POST may do that.
        return redirect("delivery-open", message.pk, preserve_request=True)

    def get_urls(self) -> list[Any]:
        """With the address that duplicates."""
        view = self.admin_site.admin_view(self.duplicate_view)
        return [path("<int:pk>/duplicate/", view, name="campaigns_message_duplicate"), *super().get_urls()]

    def duplicate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST alone: make the copy and open its form."""
        message = self._readable(request, pk)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        copy = duplicate(message, person(request.user))
        self.log_addition(request, copy, f"Copied from “{message}”.")
        self.message_user(request, _("This is the copy. It has no schedule: it leaves once confirmed."))
        return redirect(copy)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """With the fields that a message may quote and what is wrong with the content."""
        message: Message | None = kwargs.get("obj")
        context["field_names"] = known_fields()
        context["occurrences"] = _occurrences(message)
        context["series_note"] = _series_note(message)
        found = [*senders.problems(message), *problems(message)] if message and request.method == "GET" else []
        context["problems"] = [(problem.severity, translated(problem.sentence)) for problem in found]
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("confirmed"), boolean=True)
    def is_locked(self, message: Message) -> bool:
        """True once confirmed."""
        return message.locked_at is not None

    @admin.display(description=gettext_lazy("dashboard"))
    def dashboard(self, message: Message) -> str:
        """The link to the message's delivery."""
        try:
            url = reverse("delivery-open", args=[message.pk])
        except NoReverseMatch:
            return ""
        return format_html(
            '<a href="{}" aria-label="{}">{}</a>', url, _("Dashboard of %s") % message.label, _("Dashboard")
        )
