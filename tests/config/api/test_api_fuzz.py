"""Programs that behave badly, generated from the OpenAPI document, as each role: no fault of ours, no answer that is
not documented, nothing told of what one may not read. Sequences follow the ids that answers gave (stateful)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from django.test import override_settings
from guardian.shortcuts import assign_perm
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

pytestmark = pytest.mark.django_db

MARK = "told-to-nobody-else"  # in all that belongs to a campaign that guests may not read
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture
def foreign(message: Any, routing: Any, starter: Any) -> Any:
    """A prepared delivery whose every part bears the mark."""
    from campaigns.models import Profile
    from deliveries.lifecycle import commands
    from deliveries.preparation import prepare

    Profile.objects.create(email=f"ann@{MARK}.example")
    for thing in (message, message.campaign, message.audience):
        thing.label = f"{MARK} {thing.label}"
        thing.save()
    message.subject = MARK
    message.save()
    delivery = commands.create_delivery(message, starter)
    commands.prepare(delivery, starter)
    prepare.run(delivery.pk)
    return delivery


@pytest.fixture
def bearer(make_user: Any, foreign: Any, starter: Any, preparer: Any) -> Any:
    """bearer(kind) gives the header of a token of that kind of person; none for strangers."""
    from campaigns.accounts.api_tokens import Right, give
    from campaigns.models import Campaign, Message

    guest = make_user("guest")
    own = Campaign.objects.create(label="Elsewhere")
    assign_perm("start_deliveries", guest, own)
    Message.objects.create(label="Own", campaign=own, brand=foreign.message.brand, subject="Hello")
    people = {
        "guest": guest,
        "nobody": make_user("nobody"),
        "preparer": preparer,
        "starter": starter,
        "administrator": make_user("chief", "Administrators"),
    }

    def header(kind: str) -> dict[str, str]:
        if kind not in people:
            return {}
        return {"Authorization": f"Token {give(people[kind], kind, Right.values)[1]}"}

    return header


def machine(header: dict[str, str], blind: bool, sent: list[str]) -> Any:
    """A state machine over all operations, that sends `header` and notes what it asked in `sent`; a `blind` person must
    never see the mark."""
    from drf_spectacular.generators import SchemaGenerator

    from config.wsgi import application

    document = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(public=True))
    document.app = application
    # What would end the very token that is used.
    document = document.exclude(path="/api/token/end/").exclude(path="/api/tokens/{uid}/", method="DELETE")

    class Program(document.as_state_machine()):  # type: ignore[misc]
        """Asks, and looks at what it was told."""

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": header}

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            sent.append(f"{case.method} {case.path}")
            case.validate_response(response, checks=CHECKS)
            assert not (blind and MARK in response.text), f"{case.method} {case.path} told what belongs to others"

    return Program


def run(header: dict[str, str], *, blind: bool, examples: int, steps: int) -> None:
    """So many sequences of so many requests. What can be asked depends on what the answers before it made, so the
    generator may find that it cannot repeat itself, and stop early."""
    sent: list[str] = []
    with override_settings(OUTGOING_ALLOW=[]), suppress(FlakyStrategyDefinition):
        machine(header, blind, sent).run(
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
                database=None,
                report_multiple_bugs=False,
                phases=[Phase.generate],
            )
        )
    assert len(sent) >= examples * steps // 4


def test_a_guest_who_asks_anything_breaks_nothing_and_sees_their_own_alone(bearer: Any, caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")
    run(bearer("guest"), blind=True, examples=6, steps=8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stranger", "nobody", "guest", "preparer", "starter", "administrator"])
def test_whoever_asks_anything_breaks_nothing(bearer: Any, kind: str, caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")
    run(bearer(kind), blind=kind in ("stranger", "nobody", "guest"), examples=20, steps=12)
