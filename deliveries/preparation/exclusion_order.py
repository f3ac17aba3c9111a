"""Who of a target is left out, cause after cause (concepts.md, Who is left out).

Own causes of the address, filtering rules (lists, then queries), duplicates, fatigue rules, control group. Each profile
counts under the first; every rule that ran has its number, zero included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from campaigns.messages import typologies
from campaigns.models import TypologyRule
from deliveries.models import Delivery

from . import control_group, fatigue_rules, filtering_rules
from .target import Target
from .target_table import Found


def arbitrate(target: Target, delivery: Delivery, alive: Callable[[], None]) -> Iterator[Found]:
    """Leave out whom each cause takes. In: `alive` is called before each step, which may take seconds."""
    rules = typologies.rules(delivery.message)
    yield from target.exclude()
    targeted = target.size()
    for rule in _filters(rules):
        alive()
        yield filtering_rules.run(rule)
    target.hidden_rules = [rule.pk for rule in rules if rule.kind in filtering_rules.HIDDEN]
    alive()
    yield target.exclude_duplicates()
    tiring, date = [rule for rule in rules if rule.is_fatigue], fatigue_rules.contact_date(delivery)
    if tiring and date:
        yield from fatigue_rules.run(tiring, delivery, date, alive)
    group = typologies.control_group(delivery.message)
    if group:
        alive()
        yield control_group.extract(group, delivery.pk, targeted)
    target.set_due_times()


def _filters(rules: list[TypologyRule]) -> list[TypologyRule]:
    """Filtering rules: excluded addresses, then domains, then queries, each by execution order."""
    places = {TypologyRule.Kind.ADDRESSES: 0, TypologyRule.Kind.DOMAINS: 1, TypologyRule.Kind.QUERY: 2}
    filters = [rule for rule in rules if not rule.is_fatigue]
    return sorted(filters, key=lambda rule: places[TypologyRule.Kind(rule.kind)])
