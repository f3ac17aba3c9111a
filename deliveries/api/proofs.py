"""The API over proofs and verdicts: what the commands sendProof, approve and refuse take, and what came of them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.core.account_names import name_of
from campaigns.core.actors import Person
from deliveries.lifecycle import approving
from deliveries.lifecycle.proofs import history, proofs
from deliveries.models import Delivery
from deliveries.models.proofs import Proof, ProofRecipient, Verdict


class SubstitutionSerializer(serializers.Serializer[Any]):
    """A mail as a profile of the target gets it, sent to another address."""

    profile = serializers.IntegerField(min_value=1)
    address = serializers.EmailField(max_length=proofs.LONGEST_ADDRESS)
    prefix = serializers.CharField(max_length=proofs.MOST_PREFIX, required=False, allow_blank=True)


class SendProofSerializer(serializers.Serializer[Any]):
    """Who gets the proof: ids of test profiles (`readers`), substitutions, or both."""

    readers = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False, max_length=1000)
    substitutions = serializers.ListField(child=SubstitutionSerializer(), required=False, max_length=1000)


class JudgeSerializer(serializers.Serializer[Any]):
    """A verdict's comment, and the number of the proof that it is on; without one, on what is prepared."""

    comment = serializers.CharField(max_length=approving.MOST_COMMENT, required=False, allow_blank=True)
    proof = serializers.IntegerField(min_value=1, required=False)


class VerdictSerializer(serializers.ModelSerializer[Verdict]):
    """Who approved or refused: a user, or an address by the link in its mail. `user` is null and `user_name` stays once
    the account is deleted. A reader of another branch's unit has no address."""

    proof = serializers.IntegerField(source="proof.number", allow_null=True, default=None, read_only=True)
    user_name = serializers.SerializerMethodField()

    class Meta:
        model = Verdict
        fields = ["id", "proof", "approved", "comment", "at", "user", "user_name", "address"]

    def get_user_name(self, verdict: Verdict) -> str:
        """The account's name, also after its end; empty for readers."""
        return name_of(verdict, "user")


class ReaderSerializer(serializers.ModelSerializer[ProofRecipient]):
    """A mail of a proof. `hidden`: for or as somebody of another unit, so it is not told who that is."""

    hidden = serializers.BooleanField(read_only=True, default=False)
    status = serializers.CharField(source="sending_log.get_status_display", read_only=True)

    class Meta:
        model = ProofRecipient
        fields = ["address", "test_profile", "profile", "prefix", "status", "hidden"]


class ProofSerializer(serializers.ModelSerializer[Proof]):
    """A proof with its readers and their verdicts."""

    recipients = ReaderSerializer(many=True, read_only=True)
    verdicts = VerdictSerializer(many=True, read_only=True)

    class Meta:
        model = Proof
        fields = ["number", "sent_at", "sent_by", "recipients", "verdicts"]


ARGUMENTS: dict[str, type[serializers.Serializer[Any]]] = {
    "sendProof": SendProofSerializer,
    "approve": JudgeSerializer,
    "refuse": JudgeSerializer,
}


def arguments(method: str, data: Any) -> dict[str, Any]:
    """What a command takes beside its name, from the request. Raises ValidationError."""
    if method not in ARGUMENTS:
        return {}
    asked = ARGUMENTS[method](data=data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def send_proof(delivery: Delivery, by: Person, *, substitutions: Any = (), **also: Any) -> Proof:
    """The command sendProof."""
    rows = [proofs.Substitution(**row) for row in substitutions]
    return proofs.send_proof(delivery, by, substitutions=rows, **also)


def approve(delivery: Delivery, by: Person, **given: Any) -> Verdict:
    """The command approve."""
    return approving.approve(delivery, by, **_named(delivery, given))


def refuse(delivery: Delivery, by: Person, **given: Any) -> Verdict:
    """The command refuse."""
    return approving.refuse(delivery, by, **_named(delivery, given))


def _named(delivery: Delivery, given: dict[str, Any]) -> dict[str, Any]:
    """With the proof in the place of its number. Raises ValidationError."""
    if "proof" not in given:
        return given
    proof = delivery.proofs.filter(number=given["proof"]).first()
    if proof is None:
        raise serializers.ValidationError({"proof": [f"There is no proof {given['proof']}."]})
    return given | {"proof": proof}


class DeliveryProofs:
    """The lists, for DeliveryViewSet."""

    get_object: Any

    @extend_schema(responses=ProofSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def proofs(self, request: Request, pk: str) -> Response:
        """The proofs of a delivery, newest first."""
        return Response(ProofSerializer(history.history(self.get_object(), request.user), many=True).data)

    @extend_schema(responses=VerdictSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def verdicts(self, request: Request, pk: str) -> Response:
        """What was said of a delivery and its proofs, newest first."""
        found = history.verdicts(self.get_object(), request.user)
        return Response(VerdictSerializer(found, many=True).data)
