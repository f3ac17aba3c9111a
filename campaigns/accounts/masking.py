"""What readers see of the people in rows that they reach from what they may read (security.md, Roles and units).

A delivery that lies above somebody's unit has rows about people of the units beside it. Such a row stays where it is,
so that counters, pages, files and programs find the same number; who it is about is replaced by MARK, and no search
finds it. Readers at All (all) see everything, at no cost: nothing is asked of the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.lookups import In, IsNull
from django.utils.translation import gettext_lazy as _

from campaigns.core.actors import Actor
from campaigns.models import Profile
from campaigns.models.people.seeds import TestProfile

from . import units

MARK = _("another unit's profile")


@dataclass(frozen=True, slots=True)
class Sight:
    """What one reader sees of one object's rows.

    `units`: the keys of those units whose people they may read; None: everybody's. `own`: the object lies at or below
    the reader's unit, so whom it reached was within their reach: a row is shown whose profile was deleted since. Of
    what lies above nobody knows whose profile that was, and the row stays masked.
    """

    units: frozenset[int] | None = None
    own: bool = True

    @property
    def all(self) -> bool:
        """Nothing is masked."""
        return self.units is None

    def hidden(self, profiles: Iterable[int | None]) -> set[int]:
        """Which of these profiles' rows are masked. One query for all of them."""
        wanted = {key for key in profiles if key is not None}
        if self.units is None or not wanted:
            return set()
        found = dict(Profile.objects.filter(pk__in=wanted).values_list("pk", "unit_id"))
        return {key for key in wanted if not self._shows([found[key]] if key in found else ())}

    def hidden_tests(self, addresses: Iterable[str]) -> set[str]:
        """Of test profiles' addresses those that are masked. One query; one address may serve several units."""
        wanted = set(addresses)
        if self.units is None or not wanted:
            return set()
        places: dict[str, set[int]] = {}
        for address, unit in TestProfile.objects.filter(email__in=wanted).values_list("email", "unit_id"):
            places.setdefault(address, set()).add(unit)
        return {address for address in wanted if not self._shows(places.get(address, ()))}

    def hides_test(self, test_profile: TestProfile | None) -> bool:
        """Whether a test profile, or one that is gone, is masked."""
        return not self.all and not self._shows([test_profile.unit_id] if test_profile else ())

    def _shows(self, places: Collection[int | None]) -> bool:
        """In: the units of those whom a row may be about; none: they are gone."""
        return self.units is None or (bool(self.units.intersection(places)) if places else self.own)

    def found(self) -> Q:
        """The rows, each with a `profile_id`, that a search may find: those that are not masked.

        The profile's unit is looked up by key for each row that the search finds anyway. EXISTS would be written more
        easily, but for a page of fifty PostgreSQL then reads all people of the readable units (measured).
        """
        if self.units is None:
            return Q()
        unit = Subquery(Profile.objects.filter(pk=OuterRef("profile_id")).values("unit_id"))
        seen = Q(In(unit, sorted(self.units))) if self.units else Q(pk__in=[])
        return seen | Q(IsNull(unit, True)) if self.own else seen

    def found_with_tests(self) -> Q:
        """As `found`, for rows of which some are about test profiles (`test_profile`), known by their `address`."""
        if self.units is None:
            return Q()
        there = TestProfile.objects.filter(email=OuterRef("address"))
        tests = Q(Exists(there.filter(unit_id__in=self.units)))
        tests = tests | ~Q(Exists(there)) if self.own else tests
        # In this order: only of the few rows of test profiles their table is asked.
        return (Q(test_profile=False) & self.found()) | (Q(test_profile=True) & tests)


EVERYTHING = Sight()


def sight(user: Actor, obj: Any) -> Sight:
    """What `user` sees of the people in the rows of `obj`, which has a unit: a delivery's campaign, an import."""
    if units.at_root(user):
        return EVERYTHING
    return Sight(frozenset(units.readable_units(user).values_list("pk", flat=True)), units.writes(user, obj))
