"""The tables of this app, each in the module of its subject."""

from __future__ import annotations

from .accounts import LoginTries, SecondFactor
from .api import ApiToken, ApiWindow, IdempotentRequest
from .audit import AuditEntry, AuditValue
from .message import (
    Audience,
    AudienceMember,
    Brand,
    Campaign,
    Message,
    Profile,
    Schedule,
    default_campaign_end,
    validate_time_zone,
)
from .notices import NoticeOff, ReaderLanguage
from .people.consent import AddressOptIn, AddressOptOut, ConsentChange
from .people.imports import ImportProblem, ProfileImport, StagedProfile
from .people.seeds import TestProfile
from .proof_domains import ProofDomain
from .schedule import Recurrence
from .tracking import NeverTracked, TrackingOptions
from .typologies import ControlGroup, Typology, TypologyRule
from .units import GroupUnit, OrganizationalUnit, PersonUnit

__all__ = [
    "AddressOptIn",
    "AddressOptOut",
    "ApiToken",
    "ApiWindow",
    "Audience",
    "AudienceMember",
    "AuditEntry",
    "AuditValue",
    "Brand",
    "Campaign",
    "ConsentChange",
    "ControlGroup",
    "GroupUnit",
    "IdempotentRequest",
    "ImportProblem",
    "LoginTries",
    "Message",
    "NeverTracked",
    "NoticeOff",
    "OrganizationalUnit",
    "PersonUnit",
    "Profile",
    "ProfileImport",
    "ProofDomain",
    "ReaderLanguage",
    "Recurrence",
    "Schedule",
    "SecondFactor",
    "StagedProfile",
    "TestProfile",
    "TrackingOptions",
    "Typology",
    "TypologyRule",
    "default_campaign_end",
    "validate_time_zone",
]
