"""The API over deliveries: the same commands as the admin's, and everything that they left in the logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.accounts import permissions
from campaigns.api.base import CampaignKey, CampaignRights, InUtc, Selectable
from campaigns.api.idempotency import Idempotent
from campaigns.api.problem_details import MEDIA_TYPE, ProblemSerializer
from campaigns.content.fingerprint import changed_since_seen, word
from campaigns.core.actors import person
from campaigns.models import Message
from deliveries.ledger.counters import counters_of
from deliveries.ledger.kpis import Figure, kpis, possible_delivered
from deliveries.lifecycle import commands, complete_missing, deletion, duplication, wave_gates
from deliveries.lifecycle.in_doubt import resolve_in_doubt
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery
from deliveries.models.logical_status import LOGICAL, Logical
from deliveries.models.states import CONFIRMED, State
from deliveries.preparation import sealing
from deliveries.preparation.sealing import changed_since_prepared
from deliveries.preparation.unattended import series_seal

from . import proofs
from .filters import DeliveryFilter
from .logs import DeliveryLogs
from .proofs import DeliveryProofs, arguments
from .refusals import SealBroken

Command = Callable[..., Any]
# By name, as programs send it: each takes the delivery and the user. Rooms above add theirs (reporting: computeStats).
COMMANDS: dict[str, Command] = {
    "prepare": commands.prepare,
    "stopPreparation": commands.stop_preparation,
    "confirm": commands.confirm,
    "undo": commands.undo_confirmation,
    "startSeries": executions.start_series,
    "stopSeries": executions.stop_series,
    "continueSeries": executions.continue_series,
    "pause": commands.pause,
    "resume": commands.resume,
    "stop": commands.stop,
    "releaseWaves": wave_gates.release_waves,
    "sendProof": proofs.send_proof,
    "approve": proofs.approve,
    "refuse": proofs.refuse,
    "completeMissing": complete_missing.complete_missing,
    "resendInDoubt": lambda delivery, by: resolve_in_doubt(delivery, by, decision="resend"),
    "markInDoubtSent": lambda delivery, by: resolve_in_doubt(delivery, by, decision="sent"),
}
# These are told which form If-Match names.
SEEING = frozenset({"prepare", "confirm", "startSeries", "continueSeries"})


_FIGURES = ("to_deliver", "sent", "delivered", "bounces", "opens", "clicks")


class FigureSerializer(serializers.Serializer[Figure]):
    """A count, its denominator and the unrounded ratio."""

    count = serializers.IntegerField()
    of = serializers.IntegerField()
    ratio = serializers.FloatField()


class KpisSerializer(InUtc):
    """The Deployment figures, and the counters that they are made of."""

    to_deliver = serializers.IntegerField()
    sent = FigureSerializer()
    delivered = FigureSerializer()
    bounces = FigureSerializer()
    opens = FigureSerializer()
    clicks = FigureSerializer()
    counters = serializers.DictField(child=serializers.IntegerField())
    balances = serializers.BooleanField()
    possible_delivered = serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2)
    stats_at = serializers.DateTimeField(allow_null=True)


class DeliverySerializer(Selectable, serializers.ModelSerializer[Delivery]):
    """A delivery. `fingerprint` is its seal, for If-Match at confirm; `changed` what differs from what was prepared.

    `form` is the seal of what its message would send now, for If-Match at startSeries, continueSeries, and prepare
    where no confirmation is requested; `changed_since_switched_on` what differs from the form in which its series was
    switched on, as a sentence. Both are empty in lists.
    """

    code = serializers.CharField(read_only=True)
    message = CampaignKey(queryset=Message.objects.all())
    state = serializers.SerializerMethodField()
    logical_status = serializers.SerializerMethodField()
    state_code = serializers.IntegerField(source="state", read_only=True)
    fingerprint = serializers.SerializerMethodField()
    changed = serializers.SerializerMethodField()
    form = serializers.SerializerMethodField()
    changed_since_switched_on = serializers.SerializerMethodField()
    proof_of = serializers.IntegerField(source="proof.delivery_id", default=None, read_only=True, allow_null=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "code",
            "label",
            "message",
            "campaign",
            "state",
            "state_code",
            "logical_status",
            "progress",
            "targeted",
            "excluded",
            "to_deliver",
            "feedback_service",
            "fingerprint",
            "changed",
            "form",
            "changed_since_switched_on",
            "hindrance",
            "created_at",
            "prepared_at",
            "confirmed_at",
            "contact_date",
            "started_at",
            "finished_at",
            "validity_end",
            "undo_until",
            "first_due_at",
            "last_due_at",
            "parent",
            "slot",
            "period",
            "expires_at",
            "proof_of",
        ]
        read_only_fields = [name for name in fields if name != "message"]

    def get_state(self, delivery: Delivery) -> str:
        """The state as a stable word, such as in_progress."""
        return State(delivery.state).name.lower()

    @extend_schema_field(serializers.ChoiceField(choices=Logical.choices))
    def get_logical_status(self, delivery: Delivery) -> str:
        """One of five words for all states."""
        return LOGICAL[State(delivery.state)].value

    def get_fingerprint(self, delivery: Delivery) -> str:
        """The seal of what was prepared; empty before."""
        return fingerprint(delivery)

    def get_changed(self, delivery: Delivery) -> list[str]:
        """The parts that changed since the preparation; any of them makes confirm refuse."""
        return changed_since_prepared(delivery) if delivery.state == State.READY else []

    def get_form(self, delivery: Delivery) -> str:
        """The seal of what it would send now, while it is not confirmed; empty in lists."""
        if self._is_listed() or (delivery.state in CONFIRMED and not delivery.is_series):
            return ""
        return word(sealing.form(delivery, delivery.message))

    def get_changed_since_switched_on(self, delivery: Delivery) -> str:
        """Of a series and its executions; empty in lists."""
        return "" if self._is_listed() else str(series_seal.changed(delivery))

    def _is_listed(self) -> bool:
        return isinstance(self.parent, serializers.ListSerializer)


class CommandSerializer(serializers.Serializer[Any]):
    """The name of a command."""

    method = serializers.ChoiceField(choices=[])

    def get_fields(self) -> dict[str, Any]:
        """With the names that are known by now."""
        return {"method": serializers.ChoiceField(choices=list(COMMANDS))}


def fingerprint(delivery: Delivery) -> str:
    """The seal as one word for If-Match; empty if nothing was prepared."""
    return word(delivery.fingerprint)


SEAL_BROKEN = OpenApiResponse(ProblemSerializer, description="If-Match names another fingerprint.")
UNSEEN = OpenApiResponse(ProblemSerializer, description="It leaves in your name, and takes an If-Match.")


class DeliveryViewSet(
    Idempotent,
    DeliveryLogs,
    DeliveryProofs,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    viewsets.GenericViewSet[Delivery],
):
    """Deliveries of the campaigns that the user may read."""

    serializer_class = DeliverySerializer
    permission_classes = [CampaignRights]
    filterset_class = DeliveryFilter
    ordering_fields = ("id", "created_at")
    queryset = Delivery.objects.none()

    def get_queryset(self) -> QuerySet[Delivery]:
        """Of readable campaigns, with what the seal reads. Those that carry proofs are listed with
        `with_proofs=true` (api.md, Lists)."""
        asked = self.request.query_params.get("with_proofs", "").lower() == "true"
        rows = Delivery.everything.all() if asked and self.request.method in SAFE_METHODS else Delivery.objects.all()
        readable = permissions.readable_campaigns(self.request.user)
        rows = rows.filter(campaign__in=readable).select_related("campaign", "proof", *sealing.READ)
        return rows.prefetch_related(*sealing.READ_LISTS)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The delivery of a message that is not confirmed yet: made if there is none."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        message: Message = serializer.validated_data["message"]
        delivery = commands.create_delivery(message, person(request.user))
        return Response(self.get_serializer(delivery).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: OpenApiResponse(description="It is gone."), (409, MEDIA_TYPE): ProblemSerializer})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a delivery of which nothing has left; its message stays."""
        deletion.delete(self.get_object(), person(request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={201: DeliverySerializer})
    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated])
    def duplicate(self, request: Request, pk: str) -> Response:
        """A copy of the message with a delivery of its own, without the schedule: it leaves once confirmed."""
        copy = duplication.duplicate(self.get_object(), person(request.user))
        return Response(self.get_serializer(copy).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=CommandSerializer,
        responses={200: DeliverySerializer, (412, MEDIA_TYPE): SEAL_BROKEN, (428, MEDIA_TYPE): UNSEEN},
        parameters=[
            OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The fingerprint or form seen.")
        ],
    )
    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated], url_path="commands")
    def carry_out(self, request: Request, pk: str) -> Response:
        """Carry out a command, as the admin's buttons do; each asks for its own role."""
        delivery = self.get_object()
        asked = CommandSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        seen, method = request.headers.get("If-Match", "").strip('"'), asked.validated_data["method"]
        if seen and seen != fingerprint(delivery):
            form = sealing.form(delivery, delivery.message)
            if seen != word(form):
                raise SealBroken.in_parts(changed_since_seen(seen, form))
        given = {"seen": seen} if method in SEEING else {}
        COMMANDS[method](delivery, person(request.user), **arguments(method, request.data), **given)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses=KpisSerializer)
    @action(detail=True)
    def kpis(self, request: Request, pk: str) -> Response:
        """The figures of the Deployment block, exact."""
        delivery = self.get_object()
        sums = counters_of([delivery])[delivery.pk]
        figures = kpis(sums, feedback_service=delivery.feedback_service)
        shown = KpisSerializer(
            {
                **{name: getattr(figures, name) for name in _FIGURES},
                "counters": asdict(sums),
                "balances": sums.balances,
                "possible_delivered": possible_delivered(sums, feedback_service=delivery.feedback_service),
                "stats_at": delivery.stats_at,
            }
        )
        return Response(shown.data)
