"""Consent: the only writer of profiles' opt-outs, each change with its row of history in the same transaction.

A flag is the profile's own. A message's link speaks for the mailbox: it switches every profile that has the address,
whatever their unit, and notes the address, which preparation and the last check before sending look at, so that it
holds for profiles made later, too. Opting in again is an act of its own and names its source (deliverability.md,
Consent). What many staged rows say of it is read in staged.py.

Lock order: profiles by their key, then the mailbox.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Lower
from django.utils import timezone

from campaigns.audit import trail
from campaigns.core import mailboxes
from campaigns.core.actors import Actor, Person
from campaigns.core.kept_text import keep as _
from campaigns.core.one_line import flat
from campaigns.models import Profile
from campaigns.models.people.consent import FLAGS, AddressOptIn, AddressOptOut, ConsentChange

Way = ConsentChange.Way
Flag = ConsentChange.Flag
BY_LETTER = (Way.LINK, Way.ONE_CLICK)
MOST_SOURCE = 200  # characters


class NoSource(ValueError):
    """Somebody would be opted in again without a word on where they said so; the text (kept_text.py) says what to
    do."""

    def __init__(self) -> None:
        super().__init__(
            _("Opting in again needs its source: write where this person said so, like “paper form of 12 May”.")
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from. `by`: the account, `token`: the label of the token that it used; `source`: in the
    words of whoever opts somebody in again; `letter` and `delivery`: the sending log whose link it was."""

    way: str
    by: Person | None = None
    token: str = ""
    source: str = ""
    letter: int | None = None
    delivery: int | None = None
    profile_import: int | None = None

    @property
    def by_name(self) -> str:
        """Who acts, in words that outlive the account."""
        name = self.by.get_username() if self.by and self.by.pk else ""
        return f"{name} ({self.token})" if name and self.token else name


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that somebody got: its sending log, delivery, the address it went to, and whose profile it was."""

    log_id: int
    delivery_id: int
    address: str
    profile_id: int | None


# --- Of a profile ---------------------------------------------------------------------------------------------------


def opt_out(profiles: Collection[int], flags: Iterable[str], origin: Origin) -> int:
    """Opt these profiles out. Again changes nothing; but what a letter had switched is theirs who say it now, and no
    undo on the letter's page takes it back. Out: how many flags were switched."""
    with transaction.atomic():
        switched = 0
        for flag in flags:
            rows = list(_locked(profiles).annotate(way=_last_way(flag)).values_list("pk", flag, "way"))
            free = [pk for pk, is_out, _way in rows if not is_out]
            said_again = [pk for pk, is_out, way in rows if is_out and way in BY_LETTER]
            _switch(free, flag, origin, to=True)
            _note(said_again, flag, origin, before=True, after=True)
            switched += len(free)
        return switched


def opt_in(profile_id: int, flags: Iterable[str], origin: Origin) -> int:
    """Opt a profile in again; e-mail: also at its address, where a letter has taken that out. What is not opted out
    stays as it is. Out: how many changes. Raises NoSource if there would be one and the origin names no source."""
    with transaction.atomic():
        profile = _locked([profile_id]).get()
        wanted = set(flags)
        ours = [flag for flag in FLAGS if flag in wanted and getattr(profile, flag)]
        held = Flag.EMAIL in wanted and is_held(profile)
        if (ours or held) and not origin.source.strip():
            raise NoSource
        for flag in ours:
            _switch([profile.pk], flag, origin, to=False)
        if held:
            AddressOptIn.objects.create(profile=profile, address=mailboxes.canonical(profile.email))
            _note([profile.pk], Flag.ADDRESS, origin, before=True, after=False)
        return len(ours) + held


def is_held(profile: Profile) -> bool:
    """True if a letter has taken the profile's address out, and the profile was not opted in again since."""
    address = mailboxes.canonical(profile.email)
    return _in_force(address).exists() and not AddressOptIn.objects.filter(profile=profile, address=address).exists()


def seen(profile: Profile, *, lock: bool = False) -> str:
    """What names the last word on the profile's consent: another word since, another text. `lock`: and until the end of
    the caller's transaction nobody says another."""
    if lock:
        list(_locked([profile.pk]).values_list("pk"))
    change = profile.consent_changes.order_by("-pk").values_list("pk", flat=True).first()
    letter = said_of(profile).values_list("pk", "at", "undone_at").first()
    return f"{change}/{letter and '/'.join(map(str, letter))}"


def with_held(profiles: QuerySet[Profile]) -> QuerySet[Profile]:
    """The same with `held` on each, as `is_held` has it for addresses in ASCII: for lists."""
    address = AddressOptOut.objects.filter(address=Lower(OuterRef("email")), undone_at=None)
    back = AddressOptIn.objects.filter(profile=OuterRef("pk"), address=Lower(OuterRef("email")))
    found: QuerySet[Profile] = profiles.annotate(held=Exists(address) & ~Exists(back))
    return found


# --- Of a mailbox, by a letter's link -------------------------------------------------------------------------------


def opt_out_mailbox(letter: ReceivedMessage, way: str) -> None:
    """Take the letter's address out: every profile that has it, and whoever got the letter. Again changes nothing."""
    origin = Origin(way, letter=letter.log_id, delivery=letter.delivery_id)
    with transaction.atomic():
        people = _locked(_people(letter)).values_list("pk", Flag.EMAIL)
        free = [pk for pk, is_out in people if not is_out]
        values = {"delivery": letter.delivery_id, "at": timezone.now(), "undone_at": None}
        _row, made = _of(letter).get_or_create(**_key(letter), defaults=values)
        if not made:
            _of(letter).filter(undone_at__isnull=False).update(**values)
        if free and not made:  # somebody was opted in since: it is said anew
            _of(letter).update(at=values["at"])
        _switch(free, Flag.EMAIL, origin, to=True)


def undo(letter: ReceivedMessage) -> None:
    """Take back what the letter's link did. Where another letter's link has taken the address out, too, that holds,
    and what either switched is restored once both are undone. What others said stays. Again changes nothing."""
    origin = Origin(Way.UNDO, letter=letter.log_id, delivery=letter.delivery_id)
    address = mailboxes.canonical(letter.address)
    with transaction.atomic():
        letters = AddressOptOut.objects.filter(address=address, letter__isnull=False).values("letter")
        switched = ConsentChange.objects.filter(letter__in=letters, flag=Flag.EMAIL, way__in=BY_LETTER)
        people = list(_locked({*switched.values_list("profile", flat=True), *_people(letter)}))
        undone = _of(letter).filter(undone_at=None).update(undone_at=timezone.now())
        if undone:
            last = set(switched.filter(pk__in=_last_rows(people)).values_list("profile", flat=True))
            ours = [one for one in people if one.pk in last and one.opt_out_email and not _says_since(one, address)]
            free = [one.pk for one in ours if mailboxes.canonical(one.email) == address or not is_held(one)]
            _switch(free, Flag.EMAIL, origin, to=False)


def _says_since(profile: Profile, address: str) -> bool:
    """True if a letter that is in force has taken the address out since the profile was opted in there, if it was."""
    back = AddressOptIn.objects.filter(profile=profile, address=address).exists()
    acts = profile.consent_changes.filter(flag__in=(Flag.EMAIL, Flag.ADDRESS), after=False).exclude(way=Way.UNDO)
    since = acts.order_by("-pk").values_list("at", flat=True).first() if back else None
    held = _in_force(address)
    return (held if since is None else held.filter(at__gt=since)).exists()


def mailbox_is_out(letter: ReceivedMessage) -> bool:
    """True if nobody's mail goes to the letter's address any more, nor to whoever got the letter."""
    address = mailboxes.canonical(letter.address)
    held = _in_force(address).exists()
    people = Profile.objects.filter(pk__in=_people(letter))
    mailed = people.filter(opt_out=False, opt_out_email=False)
    if not held:
        return people.exists() and not mailed.exists()
    back = AddressOptIn.objects.filter(address=address).values("profile")
    elsewhere = any(mailboxes.canonical(one.email) != address for one in mailed)
    return not (elsewhere or mailed.filter(pk__in=back).exists())


def may_undo(letter: ReceivedMessage) -> bool:
    """True if the letter's link took the address out and was not undone."""
    return _of(letter).filter(undone_at=None).exists()


def said_of(profile: Profile) -> QuerySet[AddressOptOut]:
    """What letters have said of the profile's address, undone or not, newest first."""
    return AddressOptOut.objects.filter(address=mailboxes.canonical(profile.email)).order_by("-at", "-pk")


def sharing(address: str) -> list[int]:
    """The profiles that have this mailbox, in whatever spelling."""
    forms = mailboxes.spellings(address)
    plain = Profile.objects.filter(email__in=forms).values_list("pk", flat=True)
    with_capitals = Profile.objects.alias(low=Lower("email")).exclude(email=F("low")).filter(low__in=forms)
    return [*plain, *with_capitals.values_list("pk", flat=True)]


def _people(letter: ReceivedMessage) -> set[int]:
    """Who has the address, and who got the letter: they may have another address since."""
    return {*sharing(letter.address), *([letter.profile_id] if letter.profile_id else [])}


def _key(letter: ReceivedMessage) -> dict[str, Any]:
    return {"address": mailboxes.canonical(letter.address), "letter": letter.log_id}


def _of(letter: ReceivedMessage) -> QuerySet[AddressOptOut]:
    return AddressOptOut.objects.filter(**_key(letter))


def _in_force(address: str) -> QuerySet[AddressOptOut]:
    return AddressOptOut.objects.filter(address=address, undone_at=None)


# --- The rows -------------------------------------------------------------------------------------------------------


def _locked(profiles: Collection[int]) -> QuerySet[Profile]:
    """In one order, lest two that share people wait for each other."""
    found: QuerySet[Profile] = Profile.objects.select_for_update(of=("self",)).filter(pk__in=profiles).order_by("pk")
    return found


def _last_way(flag: str) -> Subquery:
    mine = ConsentChange.objects.filter(profile=OuterRef("pk"), flag=flag).order_by("-pk")
    return Subquery(mine.values("way")[:1])


def _last_rows(people: Iterable[Profile]) -> list[int]:
    """The key of each one's last change of e-mail."""
    last = ConsentChange.objects.filter(profile=OuterRef("pk"), flag=Flag.EMAIL).order_by("-pk").values("pk")[:1]
    found = Profile.objects.filter(pk__in=[one.pk for one in people]).annotate(last=Subquery(last))
    return [pk for pk in found.values_list("last", flat=True) if pk]


def _switch(profiles: Collection[int], flag: str, origin: Origin, *, to: bool) -> None:
    if profiles:
        Profile.objects.filter(pk__in=profiles).switch(flag, to=to)
        _note(profiles, flag, origin, before=not to, after=to)


def _note(profiles: Collection[int], flag: str, origin: Origin, *, before: bool, after: bool) -> None:
    told: dict[str, Any] = {"flag": flag, "before": before, "after": after, "way": origin.way}
    by = origin.by if getattr(origin.by, "pk", None) else None
    source = {
        "source": flat(origin.source).strip()[:MOST_SOURCE],
        "by_id": by and by.pk,
        "by_name": origin.by_name[:300],
    }
    place = {"letter": origin.letter, "delivery": origin.delivery, "profile_import": origin.profile_import}
    ConsentChange.objects.bulk_create(
        [ConsentChange(profile_id=pk, **told, **source, **place) for pk in sorted(profiles)], batch_size=500
    )
    if by is not None:
        for pk in profiles:
            tell_audit(by, pk, source=origin.source.strip(), **told)


def tell_audit(by: Actor, subject: object, *, flag: str, before: bool, after: bool, **details: Any) -> None:
    """Write an act of staff down. In: `subject`: the profile's number or whatever names many; never a person's data."""
    act = "consent.opted_out" if after else "consent.opted_in"
    trail.record(act, by=by, subject_id=str(subject), before={flag: before}, after={flag: after}, **details)
