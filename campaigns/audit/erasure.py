"""Erasing one person from the audit: the values that tell of them go, with the salts of their digests. The chain holds.

What is left of a value is its digest, which tells nothing without the salt. Each erasure is an act of its own
(audit.erased) in the same transaction: it names entries and fields, and no value. Values of other people that stand in
the same field of the same entry (a list of excluded addresses, say) go with it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet

from campaigns.core.actors import Actor
from campaigns.models import Profile
from campaigns.models.audit.audit_values import VERSION, WHO, Kind
from campaigns.models.audit.entries import AuditEntry, AuditValue

from . import trail
from .chain import ERASED

CHUNK = 500  # values erased in one transaction, and by one entry
_WORD = r"\w.!#$%&*+/?^`{|}~-"  # what an address may be part of; = and ' stand before addresses, too


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was done. entries, values: how many; old: entries of version 1 that hold the address in the chain itself,
    which nobody can take back, and which go when their time is over."""

    entries: int
    values: int
    old: tuple[int, ...] = ()


def erase_person(*, profile: int | None = None, address: str = "", by: Actor | None = None) -> Erasure:
    """Erase a recipient: what stands beside the entries about their profile, and every value that names the profile's
    address, one that it had, or `address`; and from where they acted for themselves.

    In: the profile's number, though it may be gone, or an address, or both; who asks for it. Staff who acted are not
    erased with it. Raises ValueError if neither is given.
    """
    needles = {address.strip().lower()} - {""}
    if profile is None and not needles:
        raise ValueError("Name a profile or an address.")
    of_person = Q(pk__in=[])
    if profile is not None:
        needles |= _addresses_of(profile)
        of_person = Q(entry__subject_type=Profile._meta.label_lower, entry__subject_id=str(profile))
    rows = AuditValue.objects.exclude(kind=Kind.STAFF.value)
    found = {row.pk: row for row in rows.filter(of_person).defer("before", "after")}
    for needle in needles:
        found.update((row.pk, row) for row in _naming(rows, needle))
    found.update((row.pk, row) for row in _from_where({row.entry_id for row in found.values()}))
    return _erase(list(found.values()), profile, by, _old(needles))


def erase_account(user: int, by: Actor | None = None) -> Erasure:
    """Erase a member of staff: name, address and program beside what they did, what tells of their account, and the
    words of their acts. The number of the account stays. In: the account's number, though it may be gone."""
    mine = AuditValue.objects.filter(entry__actor_id=user)
    labels = [get_user_model()._meta.label_lower, "campaigns.personunit"]  # both are numbered as accounts are
    about = Q(entry__subject_type__in=labels, entry__subject_id=str(user), kind=Kind.STAFF.value)
    who = Q(entry__actor_id=user, path__in=WHO[:3], kind=Kind.STAFF.value)
    found = {row.pk: row for row in AuditValue.objects.filter(who | about)}
    names = {str(json.loads(row.after)) for row in found.values() if row.path == "actor" and row.after}
    for name in names:
        found.update((row.pk, row) for row in _naming(mine, name))
    return _erase(list(found.values()), None, by, ())


def _addresses_of(profile: int) -> set[str]:
    """The address that the profile has, and those that the audit tells it had."""
    about = AuditValue.objects.filter(entry__subject_type=Profile._meta.label_lower, entry__subject_id=str(profile))
    told = about.filter(path__endswith="/email").values_list("before", "after")
    texts = {json.loads(text) for sides in told for text in sides if text}
    texts |= set(Profile.objects.filter(pk=profile).values_list("email", flat=True))
    return {text.strip().lower() for text in texts if isinstance(text, str)} - {""}


def _naming(rows: QuerySet[Any], needle: str) -> Iterator[AuditValue]:
    """The values that name the address or name, not as a part of a longer one."""
    whole = re.compile(rf"(?<![{_WORD}]){re.escape(needle)}(?![\w-]|\.\w)", re.IGNORECASE)
    if needle.isascii():  # SQLite knows upper and lower case of no other letters
        part = json.dumps(needle)[1:-1]
        rows = rows.filter(Q(before__icontains=part) | Q(after__icontains=part))
    for row in rows.order_by("pk").iterator(200):
        if any(whole.search(text) for side in (row.before, row.after) if side for text in _texts(json.loads(side))):
            yield row


def _from_where(entries: Collection[int]) -> Iterator[AuditValue]:
    """Where recipients were who acted for themselves, in these entries."""
    own = AuditValue.objects.filter(path__in=WHO[:3], kind=Kind.RECIPIENT.value).defer("before", "after")
    some = iter(sorted(entries))
    while part := list(islice(some, CHUNK)):
        yield from own.filter(entry__in=part)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _erase(rows: list[AuditValue], profile: int | None, by: Actor | None, old: tuple[int, ...]) -> Erasure:
    rows.sort(key=lambda row: row.entry_id)
    left = iter(rows)
    while some := list(islice(left, CHUNK)):
        _erase_some(some, profile, by)
    return Erasure(len({row.entry_id for row in rows}), len(rows), old)


def _erase_some(rows: Collection[AuditValue], profile: int | None, by: Actor | None) -> None:
    entries: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        entries[str(row.entry_id)].append(row.path)
    with transaction.atomic():
        trail.record(ERASED, by=by, profile=profile, number=len(rows), entries=dict(entries), plain=["entries"])
        AuditValue.objects.filter(pk__in=[row.pk for row in rows])._raw_delete(using="default")


def _old(needles: Collection[str]) -> tuple[int, ...]:
    """Entries of version 1 that hold one of these addresses."""
    names = Q(pk__in=[])
    for needle in needles:
        names |= Q(content__icontains=json.dumps(needle)[1:-1]) | Q(old_subject__icontains=needle)
    return tuple(AuditEntry.objects.filter(names, version__lt=VERSION).order_by("pk").values_list("pk", flat=True))
