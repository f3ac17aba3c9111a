"""Whatever goes wrong, the API answers with problem details and a stable code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(starter: Any) -> APIClient:
    """Somebody who may do much."""
    made = APIClient(raise_request_exception=False)
    made.force_authenticate(starter)
    return made


NUL, HALF = '{"label": "\\u0000"}', '{"label": "\\ud800"}'  # what no database keeps
CASES = [
    ("get", "/api/nowhere/", {}, 404, "not_found"),
    ("post", "/api/deliveries", {}, 404, "not_found"),
    ("get", "/api/messages/999/", {}, 404, "not_found"),
    ("put", "/api/messages/", {}, 405, "method_not_allowed"),
    ("get", "/api/messages/", {"headers": {"accept": "text/html"}}, 406, "not_acceptable"),
    (
        "post",
        "/api/messages/",
        {"data": "a=b", "content_type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    ("post", "/api/messages/", {"data": "{", "content_type": "application/json"}, 400, "parse_error"),
    ("post", "/api/messages/", {"data": b"\xff", "content_type": "application/json"}, 400, "parse_error"),
    ("post", "/api/messages/", {"data": '{"label": NaN}', "content_type": "application/json"}, 400, "parse_error"),
    ("post", "/api/messages/", {"data": NUL, "content_type": "application/json"}, 400, "invalid"),
    ("post", "/api/messages/", {"data": HALF, "content_type": "application/json"}, 400, "invalid"),
    ("post", "/api/messages/", {"data": "[" * 99_999, "content_type": "application/json"}, 400, "parse_error"),
    ("post", "/api/messages/", {"data": {}}, 400, "required"),
    ("get", "/api/messages/?limit=0", {}, 400, "invalid"),
    ("get", "/api/messages/?ordering=subject", {}, 400, "invalid"),
    ("get", "/api/messages/?fields=id,nothing", {}, 400, "invalid"),
    ("get", "/api/messages/?cursor=cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk=", {}, 400, "invalid"),
    ("get", "/api/messages/?campaign=9999999999999999999999", {}, 400, "max_value"),
    ("get", "/api/deliveries/?state=nothing", {}, 400, "invalid_choice"),
    ("get", "/api/deliveries/?since=yesterday", {}, 400, "invalid"),
]


@pytest.mark.parametrize(("method", "path", "how", "status", "code"), CASES, ids=[f"{c[3]} {c[1]}" for c in CASES])
def test_each_mistake_has_its_code(client: Any, method: str, path: str, how: Any, status: int, code: str) -> None:
    answer = getattr(client, method)(path, **how)
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert told["errors"][0]["code"] == code
    assert told["detail"]


def test_too_long_a_body_is_not_read(client: Any, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = client.post("/api/messages/", {"label": "x" * 200})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_fault_of_ours_tells_nothing_of_itself(client: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    from campaigns.accounts import permissions

    def broken(*args: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    caplog.set_level("CRITICAL", "django")
    monkeypatch.setattr(permissions, "readable_campaigns", broken)
    answer = client.get("/api/campaigns/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert "swordfish" not in answer.content.decode()


def test_what_one_may_not_use_is_refused_as_if_it_were_not_there(message: Any, make_user: Any) -> None:
    guest = APIClient()
    guest.force_authenticate(make_user("guest"))
    bodies = ({"message": message.pk}, {"message": 10**6})
    there, nowhere = (guest.post("/api/deliveries/", body) for body in bodies)
    assert there.status_code == nowhere.status_code == 403


def test_views_leave_refusals_to_the_one_handler() -> None:
    root = Path(__file__).parents[3]
    rooms = [*root.glob("*/api/*.py"), *root.glob("*/admin/**/*.py")]
    own = {room.name for room in rooms if re.search(r"except \(?[\w.]*\bRefused\b", room.read_text())}
    assert len(rooms) > 30
    assert own == {"refusals.py", "proofs.py"}  # the proofs' pages show the form again, with what was written
