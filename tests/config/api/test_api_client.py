"""The main flow through a client that nobody wrote: one that a generator makes of the OpenAPI document."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """office("deliveries.deliveries_list") is that module of the generated client."""
    document = tmp_path / "openapi.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(document))
    json.loads(document.read_text())
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none"]
    made = subprocess.run(
        [*generator, "--output-path", str(tmp_path / "office_client")], capture_output=True, text=True, check=True
    )
    assert "unable" not in made.stdout.lower() + made.stderr.lower(), made.stdout
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda name: importlib.import_module(f"office_client.{name}")
    for name in [name for name in sys.modules if name.startswith("office_client")]:
        del sys.modules[name]


def test_create_prepare_confirm_and_read_the_figures(
    office: Any, live_server: Any, message: Any, routing: Any, starter: Any
) -> None:
    from campaigns.accounts.api_tokens import give
    from campaigns.models import Profile
    from deliveries.preparation import prepare

    Profile.objects.create(email="ann@example.com", first_name="Ann")
    secret = give(starter, "A generated client", ["start"])[1]
    client = office("client").AuthenticatedClient(live_server.url, secret, prefix="Token")
    models, api = office("models"), lambda name: office(f"api.{name}")

    body = models.MessageRequest(
        label="By a program",
        campaign=message.campaign_id,
        brand=message.brand_id,
        audience=message.audience_id,
        subject="Hello",
        html=message.html,
        text=message.text,
    )
    written = api("messages.messages_create").sync(client=client, body=body, idempotency_key="message-1")
    asked = models.DeliveryRequest(message=written.id)
    made = api("deliveries.deliveries_create").sync(client=client, body=asked, idempotency_key="delivery-1")
    again = api("deliveries.deliveries_create").sync(client=client, body=asked, idempotency_key="delivery-1")
    assert again.id == made.id

    carry_out = api("deliveries.deliveries_commands_create")

    def command(name: str, **also: Any) -> Any:
        what = models.CommandRequest(method=models.MethodEnum(name))
        return carry_out.sync_detailed(made.id, client=client, body=what, **also)

    assert command("prepare", idempotency_key="prepare-1").status_code == 200
    prepare.run(made.id)  # what a worker does
    seen = api("deliveries.deliveries_retrieve").sync(made.id, client=client)
    assert (seen.state, seen.to_deliver) == ("ready", 1)
    assert command("confirm", if_match="another").status_code == 412
    assert command("confirm", if_match=seen.fingerprint, idempotency_key="confirm-1").status_code == 200
    assert command("confirm", if_match=seen.fingerprint, idempotency_key="confirm-1").status_code == 200
    refused = command("confirm")
    assert (refused.status_code, refused.parsed.code) == (409, "already_confirmed")
    figures = api("deliveries.deliveries_kpis_retrieve").sync(made.id, client=client)
    assert (figures.to_deliver, figures.balances) == (1, True)
    rows = api("deliveries.deliveries_sending_logs_list").sync(made.id, client=client, address="ann")
    assert [row.address for row in rows.results] == ["ann@example.com"]
