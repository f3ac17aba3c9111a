"""An import of profiles from a CSV file: the file, its staged lines, and the report of what was wrong."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.core.translate_kept import translate_json
from campaigns.models.units import unit_field


class ProfileImport(models.Model):
    """One uploaded file. Lines are staged first; profiles change in one transaction at the end, or not at all."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for a worker")
        READING = "reading", _("Reading the file")
        DONE = "done", _("Imported")
        REFUSED = "refused", _("Nothing imported: the file has errors")

    file_name = Line(_("file"), max_length=255)
    data = models.BinaryField(editable=False)  # emptied at the end; in the database, since any host's worker may read
    skip_errors = models.BooleanField(
        _("import the correct lines even if others have errors"),
        default=False,
        help_text=_("Otherwise one bad line stops the whole file, and nothing changes."),
    )
    empty_clears = models.BooleanField(
        _("empty cells clear"),
        default=False,
        help_text=_(
            "Otherwise an empty cell says nothing, and known profiles keep what they have. Opt-outs are never cleared."
        ),
    )
    consent_source = models.CharField(
        _("source of the consent"),
        max_length=200,
        blank=True,
        help_text=_("Where these people said that they want mail again, like “paper form of 12 May”."),
    )  # without it the file opts nobody in again
    audience = models.ForeignKey(
        "campaigns.Audience",
        models.SET_NULL,
        verbose_name=_("add to the list"),
        null=True,
        blank=True,
        limit_choices_to={"kind": "list"},
        help_text=_("Optional: a list audience that the imported profiles join."),
    )
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.WAITING, editable=False)
    run = models.PositiveIntegerField(default=0, editable=False)  # a second worker on the same import changes nothing
    alive_at = models.DateTimeField(default=timezone.now, editable=False)
    progress = models.PositiveSmallIntegerField(default=0, editable=False)  # percent
    lines = models.PositiveIntegerField(_("lines"), default=0, editable=False)
    errors = models.PositiveIntegerField(_("lines with errors"), default=0, editable=False)
    unit = unit_field()
    created = models.PositiveIntegerField(_("profiles created"), default=0, editable=False)
    updated = models.PositiveIntegerField(_("profiles updated"), default=0, editable=False)
    opted_out = models.PositiveIntegerField(_("opted out"), default=0, editable=False)
    opted_in = models.PositiveIntegerField(_("opted in again"), default=0, editable=False)
    stay_out = models.PositiveIntegerField(_("stay opted out"), default=0, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("uploaded"), default=timezone.now, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("profile import")
        verbose_name_plural = _("profile imports")

    def __str__(self) -> str:
        return self.file_name

    @property
    def is_running(self) -> bool:
        """A worker reads it or will."""
        return self.state in (self.State.WAITING, self.State.READING)


class StagedProfile(models.Model):
    """A correct line, waiting for the transaction that makes it a profile. Columns are Profile's; null: unsaid."""

    profile_import = models.ForeignKey(ProfileImport, models.CASCADE, db_index=False)
    run = models.PositiveIntegerField()
    line = models.PositiveIntegerField()
    email = models.CharField(max_length=254)
    first_name = models.CharField(max_length=128, null=True)  # noqa: DJ001
    last_name = models.CharField(max_length=128, null=True)  # noqa: DJ001
    gender = models.PositiveSmallIntegerField(null=True)
    birth_date = models.DateField(null=True)
    mobile = models.CharField(max_length=32, null=True)  # noqa: DJ001
    city = models.CharField(max_length=128, null=True)  # noqa: DJ001
    country = models.CharField(max_length=64, null=True)  # noqa: DJ001
    language = models.CharField(max_length=16, null=True)  # noqa: DJ001
    time_zone = models.CharField(max_length=64, null=True)  # noqa: DJ001
    email_format = models.PositiveSmallIntegerField(null=True)
    opt_out = models.BooleanField(null=True)
    opt_out_email = models.BooleanField(null=True)
    attributes = models.JSONField()

    class Meta:
        # duplicates within the file, and the final move, look lines up by address
        indexes = [models.Index(fields=["profile_import", "email"], name="staged_email")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.email}"


class ImportProblem(models.Model):
    """A line that could not be taken, in words; the first thousand of an import are kept."""

    profile_import = models.ForeignKey(ProfileImport, models.CASCADE, related_name="problems")
    line = models.PositiveIntegerField(_("line"))
    column = models.CharField(_("column"), max_length=128, blank=True)
    message = models.CharField(_("problem"), max_length=500)
    said = models.JSONField(null=True, editable=False)  # the message for readers of other languages (kept_text.py)

    class Meta:
        ordering = ["line", "pk"]

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"

    @property
    def words(self) -> str:
        """The message in the reader's language."""
        return translate_json(self.said, self.message)
