"""Which models the audit hears of: each takes a side.

TOLD: each row added, changed or deleted is written down, by whatever way (audit_signals.py hears of rows, watched.py of
whole querysets). UNTOLD: it is not, and says why: it changes nothing about who gets what, or another act tells.
A test asks every model of the product; the tables of deliveries and reporting stand in their folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import models

from .audit_values import Kind


@dataclass(frozen=True, slots=True)
class Told:
    """A model whose changes are told.

    name: of the acts, <name>.added, .changed, .deleted; relations: many-to-many fields whose members are told; about:
    of whom its values tell; untold: fields that the product keeps for itself, or that another act tells.
    """

    name: str
    relations: tuple[str, ...] = ()
    about: Kind = Kind.OTHER
    untold: frozenset[str] = frozenset({"last_login", "modified_at"})


Side = Told | str  # a text says why it is not told
_sides: dict[str, Side] = {}
_RECIPIENT, _STAFF = Kind.RECIPIENT, Kind.STAFF
_KEPT = frozenset({"modified_at"})

CAMPAIGNS: dict[str, Side] = {
    "campaigns.Brand": Told("brand"),
    "campaigns.Campaign": Told("campaign"),
    "campaigns.Message": Told("message", ("traps",), untold=_KEPT | {"locked_at"}),  # locked: delivery.confirmed
    "campaigns.Schedule": Told("schedule"),
    "campaigns.Recurrence": Told("recurrence", untold=frozenset({"next_at", "owner"})),  # delivery.series_on, _off
    "campaigns.TrackingOptions": Told("tracking"),
    "campaigns.NeverTracked": Told("never_tracked"),
    "campaigns.ControlGroup": Told("control_group"),
    "campaigns.Audience": Told("audience", ("members",)),
    "campaigns.Profile": Told("profile", about=_RECIPIENT, untold=_KEPT | {"created_at"}),
    "campaigns.ProofDomain": Told("proof_domain"),
    "campaigns.TestProfile": Told("test_profile", about=_RECIPIENT),
    "campaigns.Typology": Told("typology", ("rules",)),
    "campaigns.TypologyRule": Told("typology_rule"),
    "campaigns.OrganizationalUnit": Told("unit", untold=frozenset({"path"})),  # follows from its parent
    "campaigns.GroupUnit": Told("unit"),
    "campaigns.PersonUnit": Told("unit", about=_STAFF),
    "campaigns.ApiToken": Told("token", about=_STAFF),
    "auth.User": Told("user", ("groups", "user_permissions"), about=_STAFF),
    "auth.Group": Told("group", ("permissions",)),
    "guardian.UserObjectPermission": Told("right", about=_STAFF),
    "guardian.GroupObjectPermission": Told("right"),
    "campaigns.ProfileImport": "import.started, import.done and import.refused tell of it (import_profiles.py)",
    "campaigns.StagedProfile": "an import's lines on their way; the import tells",
    "campaigns.ImportProblem": "an import's report; the import tells",
    "campaigns.ConsentChange": "the history of consent; consent.opted_out and consent.opted_in tell of staff's acts",
    "campaigns.AddressOptOut": "what a recipient's own click says of their address; the history of consent has it",
    "campaigns.AddressOptIn": "an opting in at an address; consent.opted_in tells",
    "campaigns.AudienceMember": "told as what it is, audience.members_added and _removed; an import tells how many",
    "campaigns.SecondFactor": "totp.added, totp.removed and others tell (second_factor.py)",
    "campaigns.NoticeOff": "which notices somebody wants for themselves",
    "campaigns.ReaderLanguage": "the language that somebody reads in",
    "campaigns.LoginTries": "counts failed log-ins; login.failed tells",
    "campaigns.IdempotentRequest": "answers kept for a day; the act itself tells",
    "campaigns.ApiWindow": "counts requests",
    "campaigns.AuditEntry": "the audit itself",
    "campaigns.AuditValue": "the audit itself; audit.erased tells",
}


def declare(sides: Mapping[str, Side]) -> None:
    """Add to the table. In: {"app.Model": its side}."""
    for label, side in sides.items():
        _sides[label.lower()] = side


def side_of(model: type[models.Model]) -> Side | None:
    """The side of a model; None if it took none."""
    return _sides.get(model._meta.label_lower)


def told_of(model: type[models.Model]) -> Told | None:
    """How changes of the model are told; None if they are not."""
    side = side_of(model)
    return side if isinstance(side, Told) else None


def about(model: type[models.Model] | None) -> Kind:
    """Of whom a model's values tell."""
    told = told_of(model) if model is not None else None
    return told.about if told else Kind.OTHER
