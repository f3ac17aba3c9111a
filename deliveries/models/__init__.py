"""The tables of this app, each in the module of its subject."""

from __future__ import annotations

from .delivery import Batch, Delivery, DeliveryEvent, ExclusionCause, ExclusionLog, SendingLog
from .feedback import FeedbackEvent, QualificationRule, RawReport
from .heartbeat import Heartbeat
from .proofs import Proof, ProofRecipient, ProofTally, Verdict
from .quarantine import QuarantinedAddress
from .routing import Routing
from .runs import Run
from .series import SeriesSeal
from .webhooks import WebhookCall, WebhookEndpoint, WebhookTry

__all__ = [
    "Batch",
    "Delivery",
    "DeliveryEvent",
    "ExclusionCause",
    "ExclusionLog",
    "FeedbackEvent",
    "Heartbeat",
    "Proof",
    "ProofRecipient",
    "ProofTally",
    "QualificationRule",
    "QuarantinedAddress",
    "RawReport",
    "Routing",
    "Run",
    "SendingLog",
    "SeriesSeal",
    "Verdict",
    "WebhookCall",
    "WebhookEndpoint",
    "WebhookTry",
]
