"""The link in a proof by which its reader answers: signed, good for a month, and for that one reader."""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.urls import reverse

from deliveries.models.proofs import ProofRecipient

_SALT = "deliveries.proof"
DAYS = 30


def url_of(reader: ProofRecipient) -> str:
    """The address of the page on which the reader approves or refuses."""
    return f"{settings.PUBLIC_URL}{reverse('proof-verdict', args=[signing.dumps(reader.pk, salt=_SALT)])}"


def reader_of(token: str) -> ProofRecipient | None:
    """Whose link it is; None if it was not made here, is too old, or the proof is gone."""
    try:
        pk = signing.loads(token, salt=_SALT, max_age=DAYS * 86_400)
    except signing.BadSignature:
        return None
    found = ProofRecipient.objects.select_related("proof__delivery__campaign", "proof__sent_by")
    return found.filter(pk=pk).first()
