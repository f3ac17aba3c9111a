"""Two who edit one object: who saves second is told, and loses nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns.admin.forms.edit_conflicts import FIELD, NoticesOthers
from campaigns.core import versions
from campaigns.models import Audience, Campaign, Message, Profile, Schedule, Typology
from tests.deliveries.page_form import posted

pytestmark = pytest.mark.django_db


class Editor:
    """Somebody with an object's form open in the browser."""

    def __init__(self, user: Any, thing: Any) -> None:
        self.client = Client()
        self.client.force_login(user)
        self.url = reverse(f"admin:{thing._meta.app_label}_{thing._meta.model_name}_change", args=[thing.pk])
        self.page = self.client.get(self.url)

    def save(self, **changed: str) -> Any:
        """Press Save with some fields changed. Out: the page, which stays open if it was refused."""
        self.page = self.client.post(self.url, {**self.posted, **changed})
        return self.page

    @property
    def posted(self) -> dict[str, Any]:
        """What the open form would post."""
        return posted(self.page.content.decode())

    @property
    def words(self) -> str:
        """What the form says is wrong."""
        return " ".join(self.page.context["adminform"].form.non_field_errors())


@pytest.fixture
def anna(make_user: Any) -> Any:
    return make_user("anna", "Start deliveries")


@pytest.fixture
def peter(make_user: Any) -> Any:
    return make_user("peter", "Prepare deliveries", "Administrators")


def test_who_saves_second_is_told_what_the_first_changed_and_undoes_nothing(
    anna: Any, peter: Any, message: Message
) -> None:
    first, second = Editor(anna, message), Editor(peter, message)
    assert first.save(html="<p>New</p>").status_code == 302
    assert second.save(subject="Another").status_code == 200
    message.refresh_from_db()
    assert (message.html, message.subject) == ("<p>New</p>", "Hello {{ first_name }}")
    assert "by anna at" in second.words and "HTML" in second.words and "subject" not in second.words
    assert second.save().status_code == 302  # the form showed anna's HTML and peter's subject
    message.refresh_from_db()
    assert (message.html, message.subject) == ("<p>New</p>", "Another")


def test_where_both_changed_the_same_each_text_is_there_and_saving_again_means_it(
    anna: Any, peter: Any, message: Message
) -> None:
    first, second = Editor(anna, message), Editor(peter, message)
    first.save(subject="Anna's")
    second.save(subject="Peter's")
    assert "Anna's" in second.words and second.posted["subject"] == "Peter's"
    first = Editor(anna, message)
    first.save(label="In between")
    assert second.save().status_code == 200 and "label" in second.words  # the version was taken anew, once
    assert second.save().status_code == 302
    message.refresh_from_db()
    assert (message.subject, message.label) == ("Peter's", "In between")


def test_a_schedule_that_was_made_changed_or_removed_meanwhile_is_noticed(
    anna: Any, peter: Any, message: Message
) -> None:
    second = Editor(peter, message)
    schedule = Schedule.objects.create(message=message, mode="at_date", contact_date="2030-01-01T09:00Z")
    assert second.save(label="x").status_code == 200 and "schedule: contact date" in second.words
    second = Editor(peter, message)
    Schedule.objects.update(contact_date="2030-02-02T09:00Z")
    assert second.save(label="x").status_code == 200
    assert second.posted["schedule-0-contact_date_0"] == "2030-02-02"
    assert second.save().status_code == 302
    schedule.refresh_from_db()
    assert schedule.contact_date is not None and schedule.contact_date.month == 2
    second = Editor(peter, message)
    schedule.delete()
    assert second.save(label="y").status_code == 200 and "schedule" in second.words


def test_a_form_that_comes_back_for_another_reason_keeps_the_version_it_was_opened_with(
    anna: Any, peter: Any, message: Message
) -> None:
    second = Editor(peter, message)
    assert second.save(label="").status_code == 200 and not second.words
    Editor(anna, message).save(html="<p>New</p>")
    assert second.save(label="named again").status_code == 200 and "HTML" in second.words


def test_nothing_is_asked_when_nothing_changed_and_line_ends_are_no_change(anna: Any, message: Message) -> None:
    Message.objects.update(html="<p>one</p>\n<p>two</p>\n")
    editor = Editor(anna, message)
    Message.objects.update(html="<p>one</p>\r\n<p>two</p>")
    assert editor.save(label="x").status_code == 302


@pytest.mark.parametrize("told", ["", "{", "[]", '{"at": 1}', '{"at": "x", "is": {}}', '{"at": 1e99, "is": {}}'])
def test_a_version_that_is_none_is_refused_with_words(anna: Any, message: Message, told: str) -> None:
    editor = Editor(anna, message)
    assert editor.save(label="x", **{FIELD: told}).status_code == 200 and "Open it anew" in editor.words


@pytest.mark.parametrize(
    ("model", "field", "theirs", "mine"),
    [
        (Campaign, "description", "x", {"label": "mine"}),
        (Audience, "label", "x", {"add_addresses": ""}),
        (Profile, "city", "x", {"first_name": "mine"}),
        (Typology, "label", "x", {}),
    ],
)
def test_every_kind_of_object_notices(
    make_user: Any, message: Message, model: Any, field: str, theirs: str, mine: dict[str, str]
) -> None:
    Profile.objects.create(email="ann@example.com")
    Typology.objects.create(label="Usual")
    thing = model.objects.first()
    editor = Editor(make_user("root", "Start deliveries", "Administrators"), thing)
    model.objects.filter(pk=thing.pk).update(**{field: theirs})
    assert editor.save(**mine).status_code == 200 and editor.words
    assert editor.save().status_code == 302
    assert getattr(model.objects.get(pk=thing.pk), field) == theirs


def test_every_form_of_the_admin_compares() -> None:
    """But for those that nobody can save, or that only show."""
    changes = [type(one) for one in admin.site._registry.values() if one.__module__.split(".")[0] != "django_q"]
    logs = {"SendingLogsAdmin", "ExclusionLogsAdmin", "MessageLogAdmin", "TrackingLogsAdmin", "FeedbackEventAdmin"}
    shown = logs | {"AuditAdmin", "AlertAdmin", "DeliveryAdmin", "ProfileImportAdmin", "WebhookCallAdmin"}
    assert {kind.__name__ for kind in changes if not issubclass(kind, NoticesOthers)} <= shown


# --- the API ----------------------------------------------------------------------------------------------------------


def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_a_program_changes_only_what_it_has_read(anna: Any, message: Message) -> None:
    client, url = api(anna), f"/api/messages/{message.pk}/"
    seen = client.get(url)["ETag"]
    changed = client.patch(url, {"subject": "One"}, headers={"If-Match": seen})
    assert changed.status_code == 200 and changed["ETag"] == client.get(url)["ETag"] != seen
    refused = client.patch(url, {"subject": "Two"}, headers={"If-Match": seen})
    assert refused.status_code == 412 and refused.json()["code"] == "changed_meanwhile"
    for good in (f'"other", {changed["ETag"]}', "*"):
        assert client.patch(url, {}, headers={"If-Match": good}).status_code == 200
    for bad in ('"other"', "other", "", f"W/{changed['ETag']}"):
        assert client.patch(url, {"subject": "Two"}, headers={"If-Match": bad}).status_code == 412
    assert Message.objects.get().subject == "One"


def test_the_tag_covers_what_is_nested_and_is_the_same_for_the_same(anna: Any, message: Message) -> None:
    client, url = api(anna), f"/api/messages/{message.pk}/"
    before = client.get(url)["ETag"]
    after = client.patch(url, {"schedule": {"mode": "at_date", "contact_date": "2030-01-01T09:00Z"}})["ETag"]
    assert before != after
    assert client.patch(url, {"schedule": None})["ETag"] == before


def test_whoever_may_not_read_it_is_not_told_whether_it_changed(make_user: Any, message: Message) -> None:
    nobody = api(make_user("nobody"))
    answer = nobody.patch(f"/api/messages/{message.pk}/", {}, headers={"If-Match": '"x"'})
    assert answer.status_code in (403, 404)


def test_every_patch_of_the_api_knows_if_match() -> None:
    from drf_spectacular.generators import SchemaGenerator

    whole: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    patches = {path: item["patch"] for path, item in whole["paths"].items() if "patch" in item}
    assert len(patches) >= 8
    for path, operation in patches.items():
        assert "If-Match" in json.dumps(operation["parameters"]) and "412" in operation["responses"], path


def test_a_version_covers_what_people_edit_of_a_message_and_nothing_that_changes_by_itself(message: Message) -> None:
    parts = set(versions.values(message))
    assert {"subject", "html", "traps", "schedule.contact_date", "recurrence.cron", "control_group.percent"} <= parts
    assert not parts & {"id", "modified_at", "locked_at", "recurrence.next_at", "schedule.message"}


def test_a_form_that_a_browser_posts_leaves_the_line_breaks_of_what_it_shows_alone(anna: Any, message: Message) -> None:
    Message.objects.filter(pk=message.pk).update(html="<p>One</p>\n<p>Two</p>\n", text="One\nTwo\n")
    editor = Editor(anna, message)
    sent = {name: editor.posted[name].replace("\n", "\r\n") for name in ("html", "text")}
    assert editor.save(subject="Another", **sent).status_code == 302
    message.refresh_from_db()
    assert (message.html, message.text) == ("<p>One</p>\n<p>Two</p>\n", "One\nTwo\n")  # else Confirm refuses
