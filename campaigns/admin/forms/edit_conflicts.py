"""Two people with the form of one object: who saves second is told what the first has changed, and loses nothing.

Each form carries the version that it was opened with. If the object has changed since, nothing is saved: the form comes
back with the other's values where the person at the form had changed nothing, their own everywhere else, and a line
that says who changed what. Saving again then means it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from campaigns.core import versions
from campaigns.core.web.paging import BoundedList

if TYPE_CHECKING:  # the stubs' classes are generic, Django's are not
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin, ModelForm = admin.ModelAdmin, forms.ModelForm

FIELD = "_seen"  # of the form: when it was opened, and the version then
_LONG = 200  # characters of the other's value that are quoted


class Seen:
    """What a form says it was opened with. Raises ValidationError for what no form of ours says."""

    def __init__(self, text: str) -> None:
        try:
            told = json.loads(text)
            self.at = datetime.fromtimestamp(told["at"], UTC)
            self.digests = {str(part): str(digest) for part, digest in told["is"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError) as error:
            words = _("This form is not complete. Open it anew; copy first what you have written.")
            raise ValidationError(words) from error

    @staticmethod
    def of(obj: models.Model) -> str:
        """What a form that is opened now carries."""
        return json.dumps({"at": time.time(), "is": versions.digests(versions.values(obj))})


@dataclass(frozen=True)
class Meanwhile:
    """What the form was opened with, and the parts that somebody else has changed since."""

    seen: versions.Digests = field(default_factory=dict)
    theirs: tuple[str, ...] = ()


class _SeenForm(ModelForm):
    """A form that compares before it saves. The admin locked the row before it loaded it, so the answer holds."""

    request: HttpRequest

    def clean(self) -> Any:
        """Raises ValidationError that says who changed what."""
        cleaned = super().clean()
        seen = Seen(self.request.POST[FIELD])
        now = versions.values(self.instance)
        theirs = [part for part, digest in versions.digests(now).items() if seen.digests.get(part, digest) != digest]
        theirs = [part for part in theirs if "." in part or part in self.fields]
        if not theirs:
            return cleaned
        mine = [part for part in theirs if "." not in part and self._is_mine(part, seen)]
        for part in theirs:
            if part in self.fields and part not in mine:
                show_stored(self.fields[part])
        self.request.changed_meanwhile = Meanwhile(seen.digests, tuple(theirs))  # type: ignore[attr-defined]
        raise ValidationError(_told(self.instance, seen, theirs, {part: now[part] for part in mine}, self.request))

    def _is_mine(self, part: str, seen: Seen) -> bool:
        """Whether the person at this form had changed it; what cannot be read is theirs, too."""
        if self.fields[part].disabled:
            return False
        return part not in self.cleaned_data or versions.digest(self.cleaned_data[part]) != seen.digests[part]


def show_stored(shown: forms.Field) -> None:
    """Let a field of a form that comes back show what is stored instead of what was sent."""
    shown.bound_data = lambda data, initial: initial  # type: ignore[method-assign]


def _show_stored_below(meanwhile: Meanwhile, part: str, formsets: Any) -> None:
    """The same in the rows that belong to the object, as far as nothing was changed in them here."""
    prefix, _dot, name = part.partition(".")
    for form in (form for shown in formsets if shown.formset.prefix == prefix for form in shown.formset.forms):
        read = form.is_valid() and name in form.fields
        if read and versions.digest(form.cleaned_data.get(name)) == meanwhile.seen.get(part):
            show_stored(form.fields[name])


def _told(
    obj: models.Model, seen: Seen, theirs: list[str], mine: dict[str, Any], request: HttpRequest
) -> list[ValidationError]:
    """Who changed what since the form was opened, and what this form shows now."""
    names = {part: versions.label(type(obj), part) for part in theirs}
    changed = _("Changed since you opened this form%(by)s: %(names)s. Nothing was saved.")
    lines = [changed % {"by": _by(obj, seen), "names": ", ".join(names.values())}]
    if len(theirs) > len(mine):
        lines.append(_("Where you had changed nothing, the form shows the new values now."))
    for part, value in mine.items():
        quoted = Truncator(str(value)).chars(_LONG)
        both = _("You changed %(name)s, too: the form shows your text. Theirs is: “%(value)s”")
        lines.append(both % {"name": names[part], "value": quoted})
    lines.append(_("Check it and save again."))
    return [ValidationError(line, code="changed_meanwhile") for line in lines]


def _by(obj: models.Model, seen: Seen) -> str:
    """“ by anna at 14:03”; empty if it was no form by which the last change came."""
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(obj), object_id=str(obj.pk))
    last = entries.filter(action_time__gte=seen.at).select_related("user").order_by("-pk").first()
    if last is None:
        return ""
    when = timezone.localtime(last.action_time)
    return _(" by %(who)s at %(when)s") % {"who": last.user.get_username(), "when": f"{when:%Y-%m-%d %H:%M}"}


class NoticesOthers(BoundedList, ModelAdmin):
    """Mixin for every admin with a form: carries the version, locks the row before it is compared, and compares."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Lock the row first where it is about to be saved: of two who save at once the second sees the first."""
        if request.method == "POST" and FIELD in request.POST and connection.in_atomic_block:
            try:
                key = self.opts.pk.to_python(object_id) if self.opts.pk else None
            except ValidationError:
                return None
            self.model._base_manager.select_for_update().filter(pk=key).values("pk").first()
        return super().get_object(request, object_id, from_field)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, which compares if it was opened here."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if request.method != "POST" or obj is None or FIELD not in request.POST:
            return form
        return type(form.__name__, (_SeenForm, form), {"request": request})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """With the version: of a form that comes back for another reason, the one that it was opened with."""
        obj = kwargs.get("obj")
        if obj is not None:
            again = request.POST.get(FIELD) if not hasattr(request, "changed_meanwhile") else None
            stored = type(obj)._base_manager.filter(pk=obj.pk).first()  # not what the form has put into `obj`
            context["seen_version"] = again or (Seen.of(stored) if stored else "")
        meanwhile: Meanwhile = getattr(request, "changed_meanwhile", Meanwhile())
        for part in meanwhile.theirs:
            _show_stored_below(meanwhile, part, context["inline_admin_formsets"])
        return super().render_change_form(request, context, *args, **kwargs)
