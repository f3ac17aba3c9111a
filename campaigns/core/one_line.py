"""Texts of one line: labels, names and whatever else stands in headers, lists, logs and files.

A line break in one would forge a header, a line of a log or a row of a list; a control character would steer a
terminal. Line separators of Unicode break lines in some programs, so they count as breaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:  # the stubs' class is generic, Django's is not
    from django.db.models.expressions import Combinable

    _CharField = models.CharField[str | int | Combinable, str]
else:
    _CharField = models.CharField

# C0 and C1 control characters, DEL, the separators of lines and paragraphs, and halves of surrogate pairs, which have
# no bytes in UTF-8.
BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

single_line = RegexValidator(BREAKING, _("Must be a single line."), inverse_match=True)


def flat(text: str) -> str:
    """The text in one line, for where it leaves: what was stored before it was checked may break lines."""
    return BREAKING.sub(" ", text)


class Line(_CharField):
    """A text of one line. To migrations it is a CharField: the check is the program's, not the column's."""

    default_validators = [single_line]

    def deconstruct(self) -> Any:
        """As the column is."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs
