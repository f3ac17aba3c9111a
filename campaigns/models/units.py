"""Organisational units: a tree under All (all), and who stands where in it (security.md, Roles and units)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.core.validators import RegexValidator
from django.db import connections, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Substr
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched

ROOT = 1  # the key of All (all), which is always there
STEP = 8  # digits of a key in a path
DEEPEST = 20  # units one beneath the other


class OrganizationalUnit(models.Model):
    """A place in the tree. `path` is the keys from the root down, eight digits each: what lies at or below a unit is
    what begins with its path, and the order of paths is the order of the tree."""

    label = Line(_("label"), max_length=128)
    name = models.CharField(
        _("name"),
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"\A[a-z0-9_-]+\Z", _("Small letters, digits, - and _ alone."))],
        help_text=_("Short and unique, for programs."),
    )
    parent = models.ForeignKey(
        "self", models.PROTECT, verbose_name=_("within"), null=True, blank=True, related_name="children"
    )
    path = models.CharField(max_length=STEP * DEEPEST, editable=False, db_index=True)

    objects = Watched["OrganizationalUnit"].as_manager()

    class Meta:
        ordering = ["path"]
        verbose_name = _("organisational unit")
        verbose_name_plural = _("organisational units")

    def __str__(self) -> str:
        return f"{self.label} ({self.name})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keep the paths: a unit that moves takes along what lies beneath it, in one statement."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            old, new = self.path, (self.parent.path if self.parent else "") + f"{self.pk:0{STEP}d}"
            if old == new:
                return
            beneath = OrganizationalUnit.objects.filter(path__startswith=old) if old else None
            if beneath is not None:
                beneath.update(path=Concat(Value(new), Substr(F("path"), len(old) + 1)))
            OrganizationalUnit.objects.filter(pk=self.pk).update(path=new)
            self.path = new

    @property
    def depth(self) -> int:
        """0 for the root."""
        return len(self.path) // STEP - 1

    def clean(self) -> None:
        """All but the root lie within another, not within themselves, and not too deep."""
        if self.pk == ROOT:
            raise ValidationError(_("All (all) cannot be changed."))
        if self.parent is None:
            raise ValidationError({"parent": _("Choose the unit that it lies within.")})
        if self.path and self.parent.path.startswith(self.path):
            raise ValidationError({"parent": _("A unit cannot lie within itself.")})
        if self.parent.depth + 1 + self._height() >= DEEPEST:
            raise ValidationError({"parent": _("At most %d units may lie one beneath the other.") % DEEPEST})

    def _height(self) -> int:
        """How many units lie one beneath the other below this one."""
        if not self.path:
            return 0
        deepest = max(
            map(len, OrganizationalUnit.objects.filter(path__startswith=self.path).values_list("path", flat=True))
        )
        return (deepest - len(self.path)) // STEP


class GroupUnit(models.Model):
    """The unit that a group gives its members."""

    group = models.OneToOneField(Group, models.CASCADE, primary_key=True, related_name="unit_given")
    unit = models.ForeignKey(OrganizationalUnit, models.PROTECT, related_name="groups")

    objects = Watched["GroupUnit"].as_manager()

    def __str__(self) -> str:
        return f"{self.group}: {self.unit}"


class PersonUnit(models.Model):
    """The unit that a person was given, as if they were a group of one."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="unit_given")
    unit = models.ForeignKey(OrganizationalUnit, models.PROTECT, related_name="people")

    objects = Watched["PersonUnit"].as_manager()

    def __str__(self) -> str:
        return f"{self.user}: {self.unit}"


def unit_field() -> Any:
    """The unit of an object: its creator's; the root for what nobody made. Raw SQL gets the root, too."""
    return models.ForeignKey(
        OrganizationalUnit,
        models.PROTECT,
        verbose_name=_("organisational unit"),
        default=ROOT,
        db_default=ROOT,
        related_name="+",
    )


def plant(using: str = "default", **_options: Any) -> None:
    """Make the root if it is not there: after each migration, and after a test has emptied the tables."""
    values = {"label": "All", "name": "all", "path": f"{ROOT:0{STEP}d}"}
    _root, made = OrganizationalUnit.objects.using(using).get_or_create(pk=ROOT, defaults=values)
    if made:  # its key was given, so the database must be told where to go on
        connection = connections[using]
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [OrganizationalUnit]):
                cursor.execute(statement)
