"""The tables of this app, each in the module of its subject."""

from __future__ import annotations

from campaigns.core.time_zones import validate_time_zone
from campaigns.models.audit.entries import AuditEntry, AuditValue
from campaigns.models.people.audience import Audience, AudienceMember
from campaigns.models.people.consent import AddressOptIn, AddressOptOut, ConsentChange
from campaigns.models.people.imports import ImportProblem, ProfileImport, StagedProfile
from campaigns.models.people.profile import Profile
from campaigns.models.people.seeds import TestProfile

from .accounts import LoginTries, SecondFactor
from .api import ApiToken, ApiWindow, IdempotentRequest
from .campaign import Brand, Campaign, default_campaign_end
from .message import Message
from .notices import NoticeOff, ReaderLanguage
from .proof_domains import ProofDomain
from .schedule import Recurrence, Schedule
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
