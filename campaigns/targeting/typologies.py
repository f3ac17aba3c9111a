"""What a message's typology and control group say: which rules run for it, at which level, and whether they make sense.

A message that names no typology has the default one, so that each has exactly one (domain.md §1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.models import Message, conditions
from campaigns.models.typologies import ControlGroup, Typology, TypologyRule

LEVELS = {"off": gettext_lazy("off"), "warning": gettext_lazy("warning"), "error": gettext_lazy("error")}
MOST_ENTRIES = 20_000  # addresses or domains in one rule: all of it is sealed, and read when a send is confirmed


class Control(NamedTuple):
    """A built-in control rule (domain.md §4.2): what it asks, and its level. `fixed`: no typology changes it, since
    nothing could be sent, or not by whom, or not as written."""

    label: Any
    level: str
    fixed: bool = False


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
    "content-empty": Control(gettext_lazy("There is content"), "error", True),
    "syntax": Control(gettext_lazy("Personalisation is written correctly"), "error", True),
    "work": Control(gettext_lazy("No copy takes more work than one message may"), "error", True),
    "subject-missing": Control(gettext_lazy("There is a subject"), "error", True),
    "size": Control(gettext_lazy("The content is not too large"), "error", True),
    "size-clipped": Control(gettext_lazy("The content is so small that no mailbox cuts it"), "warning"),
    "subject-characters": Control(gettext_lazy("The subject has no risky characters"), "warning"),
    "sender-characters": Control(gettext_lazy("The sender's name has no risky characters"), "warning"),
    "optout-missing": Control(gettext_lazy("HTML and text have an opt-out link"), "warning"),
    "url-label": Control(gettext_lazy("Each tracked link has a label"), "warning"),
    "url-ampersand": Control(gettext_lazy("Each & in a link is written correctly"), "warning"),
    "url-relative": Control(gettext_lazy("Links are complete"), "warning"),
    "link-untracked": Control(gettext_lazy("Links can be tracked"), "warning"),
    "proof-size": Control(gettext_lazy("A proof has a hundred mails at most"), "error", True),
}


def of(message: Message) -> Typology | None:
    """The message's typology: its own, else the default one; None where there is none at all."""
    return message.typology or Typology.objects.filter(is_default=True).first()


def ensure_default() -> Typology:
    """The default typology, made without rules if there is none; safe to repeat."""
    found = Typology.objects.filter(is_default=True).first()
    return found or Typology.objects.create(label=_free(_("Default typology")), is_default=True)


def _free(label: str) -> str:
    taken = Typology.objects.filter(label__startswith=label).count()
    return f"{label} {taken + 1}" if taken else label


def rules(message: Message) -> list[TypologyRule]:
    """The filtering and fatigue rules that run for the message, by execution order. One query."""
    its = Q(typologies=message.typology_id) if message.typology_id else Q(typologies__is_default=True)
    return [rule for rule in TypologyRule.objects.filter(its, active=True) if _applies(rule, message)]


def _applies(rule: TypologyRule, message: Message) -> bool:
    return rule.only_campaign_id in (None, message.campaign_id) and rule.only_brand_id in (None, message.brand_id)


def levels(typology: Typology | None) -> Mapping[str, str]:
    """{code of a control rule: its level} where the typology changes it."""
    changed = typology.levels if typology else {}
    return {code: level for code, level in changed.items() if code in CONTROL_RULES and not CONTROL_RULES[code].fixed}


def control_group(message: Message) -> ControlGroup | None:
    """The message's control group, if it holds anybody back."""
    group: ControlGroup | None = getattr(message, "control_group", None)
    asks = group is not None and (group.extraction != ControlGroup.Extraction.NONE or group.conditions)
    return group if asks else None


def describe_group(group: ControlGroup) -> str:
    """The control group in words, such as “at random, 10 % of the target; where country is FR”."""
    limits = [f"{group.percent} %"] if group.percent else []
    limits += [str(group.size)] if group.size else []
    parts = []
    if group.extraction != ControlGroup.Extraction.NONE:
        most = _("at most %s") % " / ".join(limits)
        parts.append(f"{group.get_extraction_display()}: {most}")
    if group.extraction == ControlGroup.Extraction.FIRST:
        order = _("descending") if group.descending else _("ascending")
        parts.append(f"{group.sort_field}, {order}")
    if group.conditions and not conditions.check(group.conditions):
        parts.append(_("where %s") % _(" and ").join(map(conditions.words, group.conditions)))
    return "; ".join(parts)


_RULE = (
    "kind", "order", "conditions", "entries", "threshold", "threshold_field", "period", "unit", "counted",
)  # fmt: skip
_GROUP = ("extraction", "sort_field", "descending", "percent", "size", "conditions")


def sealed(message: Message) -> dict[str, object]:
    """The parts of the fingerprint that are about who is left out, in words for people."""
    typology, group = of(message), control_group(message)
    run = [[rule.pk, *(getattr(rule, name) for name in _RULE)] for rule in rules(message)]
    return {
        "typology": typology and [typology.pk, dict(levels(typology)), run],
        "control group": group and [getattr(group, name) for name in _GROUP],
    }


def entries(rule: TypologyRule) -> list[str]:
    """The addresses or domains that the rule lists, in lower case, each once."""
    return list(dict.fromkeys(line.strip().lower() for line in rule.entries.splitlines() if line.strip()))


def validate_rule(rule: TypologyRule) -> None:
    """Raises ValidationError by field, with words that say what to do."""
    kind = TypologyRule.Kind
    if rule.kind == kind.QUERY:
        _check_conditions(rule.conditions)
    elif rule.kind in (kind.ADDRESSES, kind.DOMAINS):
        _check_entries(rule)
    elif rule.threshold_field and conditions.attribute_of(rule.threshold_field) is None:
        words = _("Profiles have no such number. Write attributes. and a name, such as attributes.max_mails.")
        raise ValidationError({"threshold_field": words})


def validate_group(group: ControlGroup) -> None:
    """Raises ValidationError by field, with words that say what to do."""
    extraction = ControlGroup.Extraction
    if group.conditions:
        _check_conditions(group.conditions)
    if group.extraction != extraction.NONE and not (group.percent or group.size):
        raise ValidationError({"percent": _("Say how many: give a percentage, a maximum size, or both.")})
    if group.extraction == extraction.FIRST and conditions.kind_of(group.sort_field) is None:
        known = ", ".join(conditions.FIELDS)
        raise ValidationError({"sort_field": _("Sort by one of %s, or attributes. and a name.") % known})


def validate_levels(changed: object) -> None:
    """Raises ValidationError on `levels` unless it gives known levels to control rules that are not fixed."""
    free = [code for code, control in CONTROL_RULES.items() if not control.fixed]
    if not isinstance(changed, dict) or not set(changed) <= set(free) or not set(changed.values()) <= set(LEVELS):
        words = _("Give “off”, “warning” or “error” to some of %s.") % ", ".join(free)
        raise ValidationError({"levels": words})


def _check_conditions(given: Any) -> None:
    if problems := conditions.check(given):
        raise ValidationError({"conditions": [str(problem) for problem in problems]})


def _check_entries(rule: TypologyRule) -> None:
    listed = entries(rule)
    if not 0 < len(listed) <= MOST_ENTRIES:
        raise ValidationError({"entries": _("List one to %d, one a line.") % MOST_ENTRIES})
    with_sign = rule.kind == TypologyRule.Kind.ADDRESSES
    wrong = next((line for line in listed if ("@" in line) is not with_sign or " " in line or "." not in line), None)
    if wrong is not None:
        words = _("“%s” is no address.") if with_sign else _("“%s” is no domain; write it like example.com.")
        raise ValidationError({"entries": words % wrong})
