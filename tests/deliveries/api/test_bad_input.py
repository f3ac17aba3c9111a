"""What people, files, programs and mail servers get wrong, from where it comes in to where somebody reads of it."""

from contextlib import ExitStack
from email import message_from_bytes, policy

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns.models import Message, Profile, ProfileImport
from campaigns.targeting import import_profiles
from deliveries.lifecycle import commands, progress
from deliveries.mail.smtp.transport import Endpoint
from deliveries.models import Delivery, Routing, SendingLog
from deliveries.models.states import LogStatus, State
from deliveries.preparation import prepare
from deliveries.sending import connections, work_on_batch
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures
from tests.sink import tally
from tests.sink.server import in_a_thread

FORGED = "Ann\r\nBcc: all@example.com"


@pytest.fixture
def api(starter):
    made = APIClient()
    made.force_authenticate(starter)
    return made


@pytest.fixture
def browser(client, starter):
    client.force_login(starter)
    return client


def prepared(message, by):
    delivery = commands.create_delivery(message, by)
    commands.prepare(delivery, by)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def dashboard(browser, delivery):
    return (
        browser.get(delivery.get_absolute_url()).content.decode()
        + browser.get(reverse("admin:deliveries_delivery_log", args=[delivery.pk])).content.decode()
    )


def upload(browser, data):
    file = SimpleUploadedFile("people.csv", data)
    return browser.post(reverse("admin:campaigns_profileimport_add"), {"file": file}, follow=True)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "data, words",
    [
        (b"\xff\xfe\x00", "Line 1 is not UTF-8"),
        (b"PK\x03\x04\x00\x00", "NUL bytes"),
        (b"name\nAnn\n", "must be email"),
        (b"\n\n\n", "must be email"),
    ],
)
def test_an_unreadable_file_is_told_beside_the_field_and_kept_nowhere(browser, data, words):
    page = upload(browser, data)
    assert page.status_code == 200 and words in page.content.decode()
    assert not ProfileImport.objects.exists()


@pytest.mark.django_db
def test_the_report_of_an_import_names_line_and_column_of_what_would_forge_a_header(browser):
    upload(browser, b'email,first_name\nann@example.com,Ann\nbob@example.com,"Bob\r\nBcc: all@example.com"\n')
    held = ProfileImport.objects.get()
    import_profiles.run(held.pk)
    page = browser.get(reverse("admin:campaigns_profileimport_change", args=[held.pk])).content.decode()
    assert "Contains a line break" in page and "first_name" in page and "<td>3</td>" in page.replace(' class="num"', "")
    assert not Profile.objects.exists()


# --- programs -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["subject", "sender_name", "sender_address", "reply_to"])
@pytest.mark.parametrize("value", [FORGED, "\0", "\ud800", "x" * 600], ids=["line break", "NUL", "surrogate", "long"])
def test_the_api_refuses_what_no_header_can_hold_and_names_the_field(api, message, field, value):
    answer = api.generic("PATCH", f"/api/messages/{message.pk}/", _json({field: value}), "application/json")
    assert answer.status_code == 400
    assert {error["attr"] for error in answer.data["errors"]} == {field}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "row",
    [
        {"first_name": FORGED},
        {"email": "ann@example.com\nbcc: b@example.com"},
        {"first_name": "\ud800"},
        {"attributes": {"plan": "\0"}},
        {"attributes": {"plan": "\ud800"}},
        {"attributes": ["gold"]},
        {"attributes": {"plan": {"__class__": 1}}},
        {"first_name": {"a": 1}},
    ],
    ids=str,
)
@pytest.mark.parametrize("door", ["/api/profiles/", "/api/profiles/bulk/"])
def test_the_api_refuses_profiles_that_no_message_can_quote(api, door, row):
    row = {"email": "ann@example.com"} | row
    body = {"profiles": [row]} if "bulk" in door else row
    answer = api.generic("POST", door, _json(body), "application/json")
    assert answer.status_code == 400 and not Profile.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "[" * 2000,
        '{"profiles": 1}',
        '{"profiles": [1]}',
        '{"profiles": [{"": ""}]}',
        '{"profiles": [' + "9" * 5000 + "]}",
        '{"method": {"a": 1}}',
        '{"message": ' + "9" * 400 + "}",
        "\udcff",
    ],
    ids=lambda body: body[:20] or "nothing",
)
@pytest.mark.parametrize(
    "door", ["profiles/", "profiles/bulk/", "messages/", "campaigns/", "audiences/", "deliveries/"]
)
def test_a_body_that_makes_no_sense_is_400(api, door, body):
    answer = api.generic("POST", f"/api/{door}", body.encode(errors="surrogateescape"), "application/json")
    assert answer.status_code == 400 and answer.data["errors"]


def _json(body):
    import json

    return json.dumps(body)


# --- content --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "html, words",
    [
        ("<p>\n{{ frist_name }}</p>", "frist_name"),
        ("<p>\n{{ first_name.__class__.__mro__ }}</p>", "__class__"),
        ("<p>\n{% for i in (1..1000000000) %}x{% endfor %}</p>", "for"),
        ("<p>\n{% include 'settings' %}</p>", "include"),
        ("<p>\n{{ first_name | upcase", "HTML"),
    ],
    ids=["unknown", "attributes", "loop", "include", "open"],
)
def test_a_template_that_may_not_be_fails_the_preparation_with_its_line(
    browser, message, routing, starter, html, words
):
    Profile.objects.create(email="ann@example.com")
    Message.objects.filter(pk=message.pk).update(html=html)
    delivery = prepared(Message.objects.get(pk=message.pk), starter)
    page = dashboard(browser, delivery)
    assert delivery.state == State.PREPARATION_FAILED and not SendingLog.objects.exists()
    assert words in page and "line 2" in page


@pytest.mark.django_db
def test_a_message_of_5_mb_is_kept_and_told_to_be_too_big(browser, api, message, routing, starter):
    Profile.objects.create(email="ann@example.com")
    big = "<p>" + "x" * 5_000_000 + "</p>"
    answer = api.patch(f"/api/messages/{message.pk}/", {"html": big})
    assert answer.status_code == 200
    delivery = prepared(Message.objects.get(pk=message.pk), starter)
    assert delivery.state == State.PREPARATION_FAILED
    assert "MB is not sent" in dashboard(browser, delivery)


@pytest.mark.django_db
def test_no_text_of_staff_or_customers_becomes_markup_in_the_back_office(browser, message, routing, starter):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    Profile.objects.create(email="ann@example.com", first_name=evil, last_name=evil, city=evil)
    Message.objects.filter(pk=message.pk).update(label=evil, subject=evil, description=evil)
    message.campaign.label = evil
    message.campaign.save()
    delivery = prepared(Message.objects.get(pk=message.pk), starter)
    pages = [
        delivery.get_absolute_url(),
        reverse("admin:deliveries_delivery_changelist"),
        reverse("admin:index"),
        reverse("admin:campaigns_message_changelist"),
        reverse("admin:campaigns_profile_changelist"),
        reverse("admin:campaigns_message_change", args=[message.pk]),
        reverse("campaign-report", args=[message.campaign_id]),
        reverse("admin:campaigns_message_preview", args=[message.pk]),
        reverse("admin:deliveries_delivery_confirm", args=[delivery.pk]),
    ]
    for page in pages:
        assert "<script>alert" not in (text := browser.get(page).content.decode()) and "<img src=x" not in text, page


# --- what leaves ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journals"
    yield
    connections.hang_up()


@pytest.mark.django_db(transaction=True)
def test_names_that_would_forge_headers_leave_as_one_header(place, serve, message, routing, starter):
    server = serve()
    Routing.objects.filter(pk=routing.pk).update(port=server.port)
    Profile.objects.bulk_create([Profile(email="ann@example.com", first_name=FORGED, last_name="\r\n\r\nbody")])
    Message.objects.filter(pk=message.pk).update(subject="{{ first_name }}", sender_name="Acme\r\nBcc: x@example.com")
    delivery = prepared(Message.objects.get(pk=message.pk), starter)
    commands.confirm(delivery, starter)
    progress.start(delivery.pk)
    for batch in delivery.batches.all():
        work_on_batch.send(batch.pk)
    ((_sender, _recipient, body),) = server.messages
    parsed = message_from_bytes(body, policy=policy.default)
    assert parsed["Bcc"] is None and len(parsed.get_all("Subject")) == 1
    assert parsed["Subject"] == "Ann Bcc: all@example.com"


@pytest.fixture
def sink(tmp_path, routing, monkeypatch):
    """sink(behaviour): a server that misbehaves, and a client that waits two seconds for a reply."""
    patient = Endpoint.__init__
    monkeypatch.setattr(Endpoint, "__init__", lambda *a, **k: patient(*a, **{"reply_timeout": 2.0} | k))
    with ExitStack() as running:

        def start(behaviour):
            made = running.enter_context(in_a_thread(tmp_path / "sink", behaviour))
            Routing.objects.filter(pk=routing.pk).update(port=made.port)
            routing.refresh_from_db()
            return made

        yield start


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("behaviour", ["nonsense=5", pytest.param("hang=5", marks=pytest.mark.slow)])
def test_a_server_that_talks_nonsense_or_hangs_loses_and_doubles_nothing(
    place, sink, browser, message, routing, tmp_path, behaviour
):
    sink(behaviour)
    delivery = sending_delivery(message, routing, recipients=20)
    for _ in range(4):
        for batch in delivery.batches.all():
            work_on_batch.send(batch.pk)
    found = figures(delivery)
    assert found["total"] == found.get("sent", 0) + found["in_doubt"] == 20 and found == true_figures(delivery)
    noted = tally(tmp_path / "sink")
    assert not noted.duplicates and noted.accepted == 20
    assert Delivery.objects.get(pk=delivery.pk).state == State.FINISHED
    page = browser.get(reverse("admin:deliveries_delivery_in_doubt", args=[delivery.pk])).content.decode()
    assert all(row.address in page for row in SendingLog.objects.filter(status=LogStatus.IN_DOUBT))


def test_a_task_outlives_the_silence_of_a_mail_server_so_that_somebody_hears_of_it():
    cluster, silence = settings.Q_CLUSTER, Endpoint("127.0.0.1", 25).reply_timeout
    assert settings.TASK_BUDGET_SECONDS + silence < cluster["timeout"] < cluster["retry"]
