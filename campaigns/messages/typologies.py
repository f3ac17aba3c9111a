"""What a message's typology and control group say: which rules run for it, at which level, and whether they make sense.

A message that names no typology has the default one, so that each has exactly one.
"""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from campaigns.models import Message, conditions
from campaigns.models.typologies import ControlGroup, Typology, TypologyRule, levels


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
    "kind",
    "order",
    "conditions",
    "entries",
    "threshold",
    "threshold_field",
    "period",
    "unit",
    "counted",
)
_GROUP = ("extraction", "sort_field", "descending", "percent", "size", "conditions")


def sealed(message: Message) -> dict[str, object]:
    """The parts of the fingerprint that are about who is left out, in words for people."""
    typology, group = of(message), control_group(message)
    run = [[rule.pk, *(getattr(rule, name) for name in _RULE)] for rule in rules(message)]
    return {
        "typology": typology and [typology.pk, dict(levels(typology)), run],
        "control group": group and [getattr(group, name) for name in _GROUP],
    }
