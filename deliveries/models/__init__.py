"""The tables of this app, each in the module of its subject."""

from __future__ import annotations

from deliveries.models.host.heartbeat import Heartbeat

from .batch import Batch
from .delivery import Delivery
from .feedback import FeedbackEvent, QualificationRule, RawReport
from .logs import DeliveryEvent, ExclusionCause, ExclusionLog, SendingLog
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
