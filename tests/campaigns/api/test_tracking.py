"""Programs choose a message's tracking with the limits that its form has."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns.models import TrackingOptions

pytestmark = pytest.mark.django_db
CHOSEN = {"active": True, "pixel_at_top": True, "days": 30, "fallback_url": "https://example.com/over"}


@pytest.fixture
def patched(message: Any, preparer: Any) -> Any:
    api = APIClient()
    api.force_authenticate(preparer)
    return lambda tracking: api.patch(f"/api/messages/{message.pk}/", {"tracking": tracking}, format="json")


def test_a_program_chooses_replaces_and_takes_back_the_tracking(patched: Any, message: Any) -> None:
    assert patched(CHOSEN).data["tracking"] == CHOSEN
    usual = {"active": True, "pixel_at_top": False, "days": None, "fallback_url": ""}
    assert patched({"active": False}).data["tracking"] == usual | {"active": False}
    assert TrackingOptions.objects.get(message=message).active is False
    assert patched(None).data["tracking"] is None
    assert not TrackingOptions.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"days": 3651},
        {"days": "soon"},
        {"active": None},
        {"fallback_url": "javascript:alert(1)"},
        {"fallback_url": "ftp://example.com/"},
        {"fallback_url": f"https://example.com/{'a' * 500}"},
    ],
)
def test_what_the_form_refuses_the_api_refuses_and_names(patched: Any, message: Any, wrong: dict[str, Any]) -> None:
    patched(CHOSEN)
    (field,) = wrong
    answer = patched(wrong)
    assert answer.status_code == 400 and f"tracking.{field}" in str(answer.json())
    assert TrackingOptions.objects.values(*CHOSEN).get() == CHOSEN
    with pytest.raises(ValidationError):
        TrackingOptions(message=message, **wrong).clean_fields()


def test_once_confirmed_the_tracking_stays_as_it_is(patched: Any, message: Any) -> None:
    type(message).objects.update(locked_at=message.modified_at)
    assert patched(CHOSEN).status_code == 409
    assert not TrackingOptions.objects.exists()


def test_openapi_describes_it(admin_client: Client) -> None:
    schema = admin_client.get(reverse("schema"), headers={"accept": "application/json"}).json()
    described = schema["components"]["schemas"]["Tracking"]["properties"]
    assert set(described) == set(CHOSEN)
    assert described["days"]["maximum"] == 3650 and "Empty" in described["fallback_url"]["description"]
