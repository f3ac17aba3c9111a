"""What is kept of consent: each change of a profile's opt-outs, and the mailboxes that a letter's link took out.

`Consenting` gives profiles their flags and lets nobody but changes.py change them: whatever else is saved, also from a
copy that is an hour old, leaves them as they are. Part of models/message.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models.audit.watched import Watched

FLAGS = ("opt_out", "opt_out_email")


class OutsideConsent(Exception):
    """Opt-outs were to be changed without saying how: changes.py changes them, and writes the history."""

    def __init__(self) -> None:
        super().__init__("Opt-outs are changed by campaigns.consent alone, which writes their history.")


class ProfileRows(Watched[Any]):
    """Profiles; statements over many leave the flags alone."""

    def update(self, **values: Any) -> int:
        """Raises OutsideConsent if a flag is among the values."""
        if not values.keys().isdisjoint(FLAGS):
            raise OutsideConsent
        return super().update(**values)

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Raises OutsideConsent if a flag is among the fields."""
        named = list(fields)
        if not set(named).isdisjoint(FLAGS):
            raise OutsideConsent
        return super().bulk_update(objs, named, batch_size)

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """New profiles, with the beginning of their history. Raises OutsideConsent for one that updates flags."""
        if not set(options.get("update_fields") or ()).isdisjoint(FLAGS):
            raise OutsideConsent
        with transaction.atomic():
            made = super().bulk_create(objs, *args, **options)
            note_created(made)
        for one in made:
            one.remember()
        return made

    def switch(self, flag: str, *, to: bool) -> int:
        """For changes.py, which writes the history and tells of staff's acts in the same transaction. Out: how many."""
        return models.QuerySet.update(self, **{flag: to, "modified_at": timezone.now()})

    switch.alters_data = True  # type: ignore[attr-defined]  # no template may call it


class Consenting(models.Model):
    """The opt-outs of a profile. A new one may be made with them; afterwards saving never writes them."""

    opt_out = models.BooleanField(_("opted out of any channel"), default=False)
    opt_out_email = models.BooleanField(_("opted out of e-mail"), default=False)

    objects = ProfileRows.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """All but the flags, unless the profile is new. Raises OutsideConsent if a flag was changed on this object."""
        if self._state.adding:
            new = {"force_insert": True} if self.pk is not None else {}  # lest it be written over one that is there
            with transaction.atomic():
                super().save(*args, **{"update_fields": update_fields, **options, **new})
                note_created([self])
            self.remember()
            return
        if any(self.__dict__.get(flag) not in (None, known) for flag, known in self._as_read.items()):
            raise OutsideConsent
        named = set(update_fields) if update_fields is not None else {*self._savable()}
        super().save(*args, update_fields=named - {*FLAGS}, **options)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        """As read; the flags are remembered."""
        found = super().from_db(*args, **kwargs)
        found.remember()
        return found

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """As read anew."""
        super().refresh_from_db(*args, **kwargs)
        self.remember()

    def remember(self) -> None:
        """The flags are as the database has them."""
        self._as_read = {flag: self.__dict__.get(flag) for flag in FLAGS}

    def _savable(self) -> Iterable[str]:
        """The fields that were read, but for the key."""
        deferred = self.get_deferred_fields()
        return (f.name for f in self._meta.concrete_fields if not f.primary_key and f.attname not in deferred)


class ConsentChange(models.Model):
    """One change of a profile's consent: who or what, when, from where. Rows are added only, and go with the profile.

    No network address is kept: the letter's opt-out event has the sender's network (reporting's TrackingLog).
    """

    class Flag(models.TextChoices):
        ANY = "opt_out", _("any channel")
        EMAIL = "opt_out_email", _("e-mail")
        ADDRESS = "address", _("e-mail to this address")  # that a letter had taken out; see AddressOptIn

    class Way(models.TextChoices):
        LINK = "link", _("opt-out page of a message")
        ONE_CLICK = "one_click", _("the mail program's unsubscribe button")
        UNDO = "undo", _("undo on the opt-out page")
        FORM = "form", _("the profile's form")
        API = "api", _("API")
        BULK = "bulk", _("API, many profiles at once")
        IMPORT = "import", _("import")
        PROGRAM = "program", _("made so by a program")

    profile = models.ForeignKey("campaigns.Profile", models.CASCADE, related_name="consent_changes", db_index=False)
    at = models.DateTimeField(_("date"), default=timezone.now)
    flag = models.CharField(_("consent to"), max_length=16, choices=Flag)
    before = models.BooleanField(_("opted out before"))
    after = models.BooleanField(_("opted out after"))  # the same as before: said again, by somebody else
    way = models.CharField(_("way"), max_length=16, choices=Way)
    source = models.CharField(_("source"), max_length=200, blank=True)  # in the words of whoever opted them in again
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, verbose_name=_("by"), null=True, related_name="+", db_index=False
    )
    by_name = models.CharField(_("by"), max_length=300, blank=True)  # outlives the account; with the token's label
    letter = models.BigIntegerField(null=True)  # number of the sending log whose link it was; it may be gone since
    delivery = models.BigIntegerField(null=True)  # … and of its delivery
    profile_import = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("change of consent")
        verbose_name_plural = _("changes of consent")
        default_permissions = ()
        indexes = [
            models.Index(fields=["profile", "id"], name="consent_of_profile"),
            # undo: what a letter has switched
            models.Index(fields=["letter"], name="consent_by_letter", condition=Q(letter__isnull=False)),
            models.Index(fields=["by"], name="consent_by_user", condition=Q(by__isnull=False)),  # for SET_NULL
        ]

    def __str__(self) -> str:
        return f"profile {self.profile_id}, {self.flag}: {self.before} → {self.after} ({self.way})"


class AddressOptOut(models.Model):
    """A mailbox that a letter's link took out: no profile that has it gets e-mail there, nor one made later.

    Several letters may have said so; it holds until each of them is undone. It outlives profiles: otherwise deleting a
    person and importing them again would mail them again.
    """

    address = models.CharField(_("address"), max_length=254)  # mailboxes.canonical
    letter = models.BigIntegerField(null=True)  # the sending log; null: said before letters were noted here
    delivery = models.BigIntegerField(null=True)
    at = models.DateTimeField(_("date"), default=timezone.now)
    undone_at = models.DateTimeField(_("undone"), null=True)

    class Meta:
        verbose_name = _("opted-out address")
        verbose_name_plural = _("opted-out addresses")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["address", "letter"], name="address_opt_out_once")]

    def __str__(self) -> str:
        return f"{self.address} by {self.letter}"


class AddressOptIn(models.Model):
    """A profile that was opted in again, by an act of its own, at a mailbox that a letter's link had taken out."""

    profile = models.ForeignKey("campaigns.Profile", models.CASCADE, related_name="+", db_index=False)
    address = models.CharField(max_length=254)  # mailboxes.canonical
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["profile", "address"], name="address_opt_in_once")]

    def __str__(self) -> str:
        return f"{self.profile_id} at {self.address}"


def note_created(profiles: Iterable[Any]) -> None:
    """Begin the history of profiles that were made with opt-outs."""
    ConsentChange.objects.bulk_create(
        [
            ConsentChange(profile=profile, flag=flag, before=False, after=True, way=ConsentChange.Way.PROGRAM)
            for profile in profiles
            for flag in FLAGS
            if getattr(profile, flag)
        ],
        batch_size=500,
    )


_OUT, _IN = AddressOptOut._meta.db_table, AddressOptIn._meta.db_table


def is_held(address: str, profile: str) -> str:
    """SQL that is true where a letter has taken the mailbox out, for a profile that was not opted in again since.

    In: SQL of the address, in lower case and ASCII, and of the profile's key, which may be null.
    """
    return f"""EXISTS (SELECT 1 FROM {_OUT} held WHERE held.address = {address} AND held.undone_at IS NULL
        AND NOT {is_back("held.address", profile)})"""


def is_back(address: str, profile: str) -> str:
    """SQL that is true where the profile was opted in again at that mailbox. In: as of `is_held`."""
    return f"EXISTS (SELECT 1 FROM {_IN} back WHERE back.profile_id = {profile} AND back.address = {address})"
