"""What the sender writes for a proof: as any message, but what it quotes comes from the proof's own list of readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from campaigns.messages.profile_values import texts_of
from campaigns.models import Profile
from deliveries.lifecycle.proofs import links
from deliveries.lifecycle.proofs.proof_content import LINK, PREFIX
from deliveries.models import Delivery
from deliveries.models.proofs import ProofRecipient

from . import compose
from .compose import Composer, RenderedMessage
from .leases import Claimed


class ProofComposer(Composer):
    """A proof's content and readers, all in memory: they are a hundred at most."""

    def __init__(self, delivery: Delivery) -> None:
        assert delivery.proof is not None
        self.proof = f"{delivery.proof.number} of DM{delivery.proof.delivery_id}"
        super().__init__(delivery)
        self._quoted = [name for name in self.template.fields if name not in (PREFIX, LINK)]
        self.columns, self.traps = (), {}
        self.read = _given
        found = ProofRecipient.objects.filter(proof=delivery.proof_id, sending_log__delivery=delivery)
        self._readers = {reader.sending_log_id: reader for reader in found.select_related("test_profile", "profile")}

    def compose(self, row: Claimed) -> RenderedMessage:
        """The message to one reader. Raises BadAddress."""
        reader = self._readers.get(row.log_id)
        person = _person(reader)
        texts = texts_of(person, self._quoted) | {
            PREFIX: reader.prefix if reader else "",
            LINK: links.url_of(reader) if reader else "",
        }
        fields = (person.first_name, person.last_name, person.email_format, texts)
        return super().compose(row._replace(fields=fields))


def _person(reader: ProofRecipient | None) -> Profile:
    """For whom it is written; a profile that is gone since has empty fields."""
    if reader and reader.test_profile:
        return reader.test_profile.as_profile()
    found = Profile.objects.filter(pk=reader.profile_id).first() if reader and reader.profile_id else None
    return found or Profile()


def _given(values: Sequence[Any]) -> dict[str, str]:
    texts: dict[str, str] = values[0]
    return texts


def composer(delivery: Delivery) -> Composer:
    """The compiled content of a delivery, a proof's or another's. Raises ContentError, BadAddress."""
    return ProofComposer(delivery) if delivery.proof_id else compose.composer(delivery)
