"""Admin pages of profile imports: upload a file, watch it being read, read what was wrong with it."""

from __future__ import annotations

import csv
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import lazy
from django.utils.html import escape
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _

from campaigns.accounts import masking, units
from campaigns.core.actors import Person, person
from campaigns.core.translate_kept import translated
from campaigns.models.people.imports import ImportProblem, ProfileImport
from campaigns.targeting import import_profiles
from campaigns.targeting.csv_profiles import COLUMNS, FileError

from .base import UnitAdmin


def _no_formula(text: str) -> str:
    """A spreadsheet must show the text, not calculate it: an address may begin with = or +."""
    return "'" + text if text[:1] in "=+-@" else text


def _problems(request: HttpRequest, held: ProfileImport) -> list[ImportProblem]:
    """What was wrong with the lines. They quote what the file says of people: from below, where alone is told."""
    found = list(held.problems.all())
    if not masking.sight(request.user, held).own:
        for problem in found:
            problem.message, problem.said = str(masking.MARK), None
    return found


class UploadForm(forms.ModelForm):  # type: ignore[type-arg]
    """The file and what to do with it; an unreadable file is refused here, before anything is kept."""

    file = forms.FileField(
        label=_("CSV file"),
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,text/csv"}),
        help_text=lazy(escape, str)(  # forms show help as HTML, where <name> would be a tag
            format_lazy(
                _("UTF-8; the first line names the columns: {columns} or attributes.<name>."),
                columns=", ".join(COLUMNS),
            )
        ),
    )

    may_opt_in = forms.BooleanField(
        label=capfirst(_("this file may opt people in again")),
        required=False,
        help_text=_(
            "Where it says “no” for an opt-out. Otherwise they stay opted out, and the report tells the lines."
        ),
    )

    class Meta:
        model = ProfileImport
        fields = ["file", "audience", "skip_errors", "empty_clears", "may_opt_in", "consent_source"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists: Any = self.fields["audience"]
        lists.queryset = lists.queryset.filter(units.writable(self.user))

    def clean_consent_source(self) -> str:
        """With the choice to which it belongs, and not without."""
        source = str(self.cleaned_data["consent_source"]).strip()
        if self.cleaned_data.get("may_opt_in") and not source:
            raise forms.ValidationError(_("Write where these people said that they want mail again."))
        if source and not self.cleaned_data.get("may_opt_in"):
            raise forms.ValidationError(_("Tick the choice above, too, or leave this empty."))
        return source

    def clean(self) -> dict[str, Any]:
        """Start the import if all is well, so that what is wrong with the file appears beside it."""
        values = super().clean() or {}
        upload = values.get("file")
        if upload and not self.errors:
            try:
                self.instance = import_profiles.start(
                    upload.read(),
                    upload.name,
                    by=self.user,
                    skip_errors=values["skip_errors"],
                    audience=values["audience"],
                    empty_clears=values["empty_clears"],
                    consent_source=values["consent_source"],
                )
            except FileError as error:
                self.add_error("file", translated(error.message))
        return values

    user: Person  # set by whoever shows the form


@admin.register(ProfileImport)
class ProfileImportAdmin(UnitAdmin):
    """The list of imports; adding one uploads a file, opening one shows its progress and report."""

    shows_unit = False  # it has no form: what is imported is the importer's unit's

    list_display = ["file_name", "state", "lines", "created", "updated", "errors", "created_by", "created_at"]
    list_filter = ["state"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without the files themselves."""
        return super().get_queryset(request).defer("data").select_related("created_by")

    def get_form(
        self, request: HttpRequest, obj: ProfileImport | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """The upload form, which knows who uploads."""
        return type("UserUploadForm", (UploadForm,), {"user": person(request.user)})

    def get_fields(self, request: HttpRequest, obj: ProfileImport | None = None) -> Any:
        """What the upload form asks."""
        return UploadForm.Meta.fields

    def has_change_permission(self, request: HttpRequest, obj: ProfileImport | None = None) -> bool:
        """An import is a record: nobody edits it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ProfileImport | None = None) -> bool:
        """Nor deletes it."""
        return False

    def save_model(self, request: HttpRequest, obj: ProfileImport, form: Any, change: bool) -> None:
        """The form has started the import already."""

    def response_add(
        self, request: HttpRequest, obj: ProfileImport, post_url_continue: str | None = None
    ) -> HttpResponse:
        """On to the page that shows the progress."""
        return redirect("admin:campaigns_profileimport_change", obj.pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The progress bar while it runs, then the report."""
        held = self.get_object(request, object_id)
        if held is None or not self.has_view_permission(request, held):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": held.file_name,
            "held": held,
            "opts": self.opts,
            "problems": _problems(request, held)[:100],
        }
        return TemplateResponse(request, "admin/campaigns/profileimport/report.html", context)

    def get_urls(self) -> list[Any]:
        """The problems as a file, and the name under which the profile list links to the upload."""
        upload = self.admin_site.admin_view(lambda request: redirect(reverse("admin:campaigns_profileimport_add")))
        report = self.admin_site.admin_view(self.problems_view)
        return [
            path("upload/", upload, name="campaigns_profile_import"),
            path("<int:pk>/problems.csv", report, name="campaigns_profileimport_problems"),
            *super().get_urls(),
        ]

    def problems_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The kept problems as CSV: line, column, problem."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        held = get_object_or_404(self.get_queryset(request), pk=pk)
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="import-{pk}-problems.csv"'
        writer = csv.writer(response)
        writer.writerow(["line", "column", "problem"])
        writer.writerows((p.line, p.column, _no_formula(p.words)) for p in _problems(request, held))
        return response
