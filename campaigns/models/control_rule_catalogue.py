"""What a typology may say, checked where rules are written."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.content.problems import Severity

from . import conditions

LEVELS = {"off": gettext_lazy("off"), "warning": gettext_lazy("warning"), "error": gettext_lazy("error")}


MOST_ENTRIES = 20_000  # addresses or domains in one rule: all of it is sealed, and read when a send is confirmed


class Control(NamedTuple):
    """A built-in control rule: what it asks, and its level. `fixed`: no typology changes it, since
    nothing could be sent, or not by whom, or not as written. `content`: campaigns/content finds what is wrong."""

    label: Any
    level: Severity
    fixed: bool = False
    content: bool = False


# Each has its function in deliveries/preparation/control_rules.py, registered with its code.
CONTROL_RULES: dict[str, Control] = {
    "target-missing": Control(gettext_lazy("There is an audience, and it can be read"), "error", True),
    "typology": Control(gettext_lazy("The typology's rules and the control group can be read"), "error", True),
    "sender-domain": Control(gettext_lazy("The brand may send from the sender's domain"), "error", True),
    "reply-to-domain": Control(gettext_lazy("Answers go to a domain of the brand"), "warning"),
    "sender-mask": Control(gettext_lazy("The routing takes mail from the sender"), "error", True),
    "routing-missing": Control(gettext_lazy("There is a routing"), "error", True),
    "routing-disabled": Control(gettext_lazy("The routing is enabled"), "error", True),
    "validity-over": Control(gettext_lazy("The validity ends after the contact date"), "error", True),
    "waves": Control(gettext_lazy("The waves can be read"), "error", True),
    "contact-date-missing": Control(gettext_lazy("A dated schedule has its date"), "error", True),
    "two-times": Control(gettext_lazy("A recurring message has no contact date beside"), "error", True),
    "date-formula": Control(gettext_lazy("The date formula can be read"), "error", True),
    "contact-date-past": Control(gettext_lazy("The contact date is ahead"), "warning"),
    "duration-clamped": Control(gettext_lazy("The validity is no longer than what is used"), "warning"),
    "target-empty": Control(gettext_lazy("Somebody is left to deliver to"), "warning"),
    "content-empty": Control(gettext_lazy("There is content"), "error", True, content=True),
    "syntax": Control(gettext_lazy("Personalisation is written correctly"), "error", True, content=True),
    "work": Control(gettext_lazy("No copy takes more work than one message may"), "error", True, content=True),
    "subject-missing": Control(gettext_lazy("There is a subject"), "error", True, content=True),
    "size": Control(gettext_lazy("The content is not too large"), "error", True, content=True),
    "size-clipped": Control(gettext_lazy("The content is so small that no mailbox cuts it"), "warning", content=True),
    "subject-characters": Control(gettext_lazy("The subject has no risky characters"), "warning", content=True),
    "sender-characters": Control(gettext_lazy("The sender's name has no risky characters"), "warning", content=True),
    "optout-missing": Control(gettext_lazy("HTML and text have an opt-out link"), "warning", content=True),
    "url-label": Control(gettext_lazy("Each tracked link has a label"), "warning", content=True),
    "url-ampersand": Control(gettext_lazy("Each & in a link is written correctly"), "warning", content=True),
    "url-relative": Control(gettext_lazy("Links are complete"), "warning", content=True),
    "link-untracked": Control(gettext_lazy("Links can be tracked"), "warning", content=True),
    "proof-size": Control(gettext_lazy("A proof has a hundred mails at most"), "error", True),
}


def validate_levels(changed: object) -> None:
    """Raises ValidationError on `levels` unless it gives known levels to control rules that are not fixed."""
    free = [code for code, control in CONTROL_RULES.items() if not control.fixed]
    if not isinstance(changed, dict) or not set(changed) <= set(free) or not set(changed.values()) <= set(LEVELS):
        words = _("Give “off”, “warning” or “error” to some of %s.") % ", ".join(free)
        raise ValidationError({"levels": words})


def _check_conditions(given: Any) -> None:
    if problems := conditions.check(given):
        raise ValidationError({"conditions": [str(problem) for problem in problems]})
