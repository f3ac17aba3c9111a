"""Admin pages of messages, campaigns, profiles, audiences and users: rights, refusals, previews."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse
from guardian.shortcuts import assign_perm

from campaigns.admin.preview import problems
from campaigns.core.web.paging import BoundedPaginator
from campaigns.models import Audience, Campaign, Message, Profile, Recurrence, Schedule
from tests.campaigns.content.liquid.heavy_templates import ATTACK, within
from tests.deliveries.page_form import posted

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(db):
    """A campaign on which nobody has a grant."""
    return Campaign.objects.create(label="Other campaign")


def form(message, **changes):
    """What the message form posts."""
    values = {
        "label": message.label,
        "description": "",
        "campaign": message.campaign_id,
        "brand": message.brand_id,
        "audience": message.audience_id or "",
        "subject": message.subject,
        "sender_name": "",
        "sender_address": "",
        "reply_to": "",
        "html": message.html,
        "text": message.text,
        "schedule-TOTAL_FORMS": "0",
        "schedule-INITIAL_FORMS": "0",
        "recurrence-TOTAL_FORMS": "0",
        "recurrence-INITIAL_FORMS": "0",
        "control_group-TOTAL_FORMS": "0",
        "control_group-INITIAL_FORMS": "0",
        "tracking-TOTAL_FORMS": "0",
        "tracking-INITIAL_FORMS": "0",
    }
    return values | changes


def scheduled(**changes):
    """The schedule's part of it."""
    values = {
        "mode": "at_date",
        "contact_date_0": "2027-03-27",
        "contact_date_1": "09:00:00",
        "time_zone": "Europe/Paris",
        "wave_interval": "1:00:00",
        "wave_limit": "10",
        "delivery_duration": "5 00:00:00",
        "validity_end_0": "",
        "validity_end_1": "",
    }
    return {f"schedule-0-{name}": value for name, value in (values | changes).items()} | {"schedule-TOTAL_FORMS": "1"}


def url(name, *args):
    return reverse(f"admin:campaigns_{name}", args=args)


@pytest.mark.parametrize("field", ["subject", "sender_name"])
def test_line_breaks_that_would_forge_headers_are_refused(client, message, starter, field):
    client.force_login(starter)
    answer = client.post(url("message_change", message.pk), form(message, **{field: "Hello\r\nBcc: all@example.com"}))
    assert "Must be a single line." in answer.content.decode()
    assert "Bcc" not in str(Message.objects.values_list("subject", "sender_name").get(pk=message.pk))


def test_a_confirmed_message_is_read_only(client, message, starter):
    client.force_login(starter)
    Message.objects.filter(pk=message.pk).update(locked_at=datetime.now(UTC))
    assert client.post(url("message_change", message.pk), form(message, subject="Other")).status_code == 403
    page = client.get(url("message_change", message.pk)).content.decode()
    assert "its content is final" in page and 'name="subject"' not in page


def test_the_form_names_problems_with_their_lines(client, message, starter):
    client.force_login(starter)
    Message.objects.filter(pk=message.pk).update(html="<p>\n{{ first_nam }}</p>")
    page = client.get(url("message_change", message.pk)).content.decode()
    assert "HTML, line 2" in page and "first_nam" in page


def test_saving_tells_the_problems_too(client, message, starter):
    client.force_login(starter)
    answer = client.post(url("message_change", message.pk), form(message, html="{% if %}"), follow=True)
    assert "HTML, line 1" in answer.content.decode()


def test_a_rare_attribute_is_known_though_no_sample_has_it(message):
    Profile.objects.create(email="old@example.com", attributes={"rare": "x"})
    Profile.objects.bulk_create(Profile(email=f"{n}@example.com") for n in range(600))
    message.text = "{{ attributes.rare }} {{ unsubscribe_url }}"
    assert [p for p in problems(message) if p.severity == "error"] == []


def test_save_and_open_leads_to_the_dashboard_and_makes_the_delivery(client, message, routing, starter):
    client.force_login(starter)
    answer = client.post(url("message_change", message.pk), form(message, subject="New", _open="1"), follow=True)
    assert answer.request["PATH_INFO"] == message.deliveries.get().get_absolute_url()
    assert "New" in answer.content.decode()


def test_the_form_offers_only_campaigns_in_which_one_may_write(client, message, other, make_user):
    guest = make_user("guest")
    assign_perm("prepare_deliveries", guest, message.campaign)
    client.force_login(guest)
    page = client.get(url("message_add")).content.decode()
    assert "Spring campaign" in page and "Other campaign" not in page
    answer = client.post(url("message_change", message.pk), form(message, campaign=other.pk))
    assert "That choice is not one of the available choices" in answer.content.decode()


def test_messages_of_unreadable_campaigns_do_not_exist(client, message, other, make_user):
    guest = make_user("guest")
    assign_perm("prepare_deliveries", guest, other)
    client.force_login(guest)
    assert message.label not in client.get(url("message_changelist")).content.decode()
    assert client.get(url("message_change", message.pk)).status_code == 302  # to the index: no such object
    assert client.get(url("message_preview", message.pk)).status_code == 404


def test_reading_rights_show_the_form_without_fields(client, message, make_user):
    guest = make_user("guest")
    assign_perm("view_campaign", guest, message.campaign)
    client.force_login(guest)
    assert 'name="subject"' not in client.get(url("message_change", message.pk)).content.decode()
    assert client.post(url("message_change", message.pk), form(message)).status_code == 403
    assert client.get(url("message_add")).status_code == 403


@pytest.mark.parametrize(
    "day, clock, instant",
    [
        ("2027-03-27", "09:00:00", "2027-03-27 08:00"),
        ("2027-03-28", "02:30:00", "2027-03-28 01:30"),  # skipped by summer time: forward
        ("2027-10-31", "02:30:00", "2027-10-31 00:30"),  # there twice: the first
    ],
)
def test_the_contact_date_is_a_clock_in_the_schedules_own_zone(client, message, starter, day, clock, instant):
    client.force_login(starter)
    dated = scheduled(contact_date_0=day, contact_date_1=clock)
    client.post(url("message_change", message.pk), form(message) | dated)
    schedule = Schedule.objects.get(message=message)
    assert f"{schedule.contact_date.astimezone(UTC):%Y-%m-%d %H:%M}" == instant


def test_a_dated_schedule_shows_its_own_clock_again(client, message, starter):
    client.force_login(starter)
    client.post(url("message_change", message.pk), form(message) | scheduled())
    page = client.get(url("message_change", message.pk)).content.decode()
    assert 'value="2027-03-27"' in page and 'value="09:00:00"' in page


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"contact_date_0": "", "contact_date_1": ""}, "Give the date"),
        ({"time_zone": "Mars/Base"}, "no IANA time zone"),
        ({"contact_date_1": ""}, "Enter a valid time"),
        ({"validity_end_0": "2027-03-01", "validity_end_1": "09:00"}, "must end after the contact date"),
    ],
)
def test_a_wrong_schedule_is_refused_with_words(client, message, starter, changes, words):
    client.force_login(starter)
    answer = client.post(url("message_change", message.pk), form(message) | scheduled(**changes))
    assert words in answer.content.decode()
    assert not Schedule.objects.exists()


def test_a_duplicate_is_unconfirmed_and_without_schedule(client, message, starter):
    Schedule.objects.create(message=message, mode="at_date", contact_date=datetime.now(UTC))
    Message.objects.filter(pk=message.pk).update(locked_at=datetime.now(UTC))
    client.force_login(starter)
    address = url("message_duplicate", message.pk)
    assert client.get(address).status_code == 405
    client.post(address)
    copy = Message.objects.exclude(pk=message.pk).get()
    assert (copy.label, copy.html, copy.locked_at) == ("Copy of Spring", message.html, None)
    assert not Schedule.objects.filter(message=copy).exists()


def test_whoever_may_only_read_duplicates_nothing(client, message, make_user):
    guest = make_user("guest")
    assign_perm("view_campaign", guest, message.campaign)
    client.force_login(guest)
    assert client.post(url("message_duplicate", message.pk)).status_code == 403


def recurring(**changes):
    """The recurrence's part of the form."""
    values = {
        "frequency": "weekly",
        "at": "09:00",
        "weekdays": ["1", "4"],
        "month_day": "1",
        "cron": "",
        "time_zone": "Europe/Paris",
        "until_0": "2027-12-31",
        "until_1": "12:00",
        "aggregation": "none",
        "request_confirmation": "on",
    }
    return {f"recurrence-0-{name}": value for name, value in (values | changes).items()} | {
        "recurrence-TOTAL_FORMS": "1"
    }


def test_a_wrong_zone_of_a_recurrence_that_is_there_is_refused_with_words(client, message, starter):
    Recurrence.objects.create(message=message)
    client.force_login(starter)
    page = url("message_change", message.pk)
    changes = posted(client.get(page).content.decode()) | {"recurrence-0-time_zone": "Mars/Base"}
    assert "no IANA time zone" in client.post(page, changes).content.decode()


def test_a_recurrence_is_written_in_the_message_form(client, message, starter):
    client.force_login(starter)
    client.post(url("message_change", message.pk), form(message) | recurring())
    held = Recurrence.objects.get(message=message)
    assert (held.weekdays, f"{held.until.astimezone(UTC):%H:%M}", held.next_at) == ([1, 4], "11:00", None)


def test_an_untouched_schedule_and_recurrence_are_not_saved(client, message, starter):
    client.force_login(starter)
    untouched = recurring(weekdays=[], time_zone="", until_0="", until_1="", at="09:00:00")
    immediate = scheduled(
        mode="immediate", contact_date_0="", contact_date_1="", time_zone="", request_confirmation="on"
    )
    client.post(url("message_change", message.pk), form(message) | untouched | immediate)
    assert not Recurrence.objects.exists() and not Schedule.objects.exists()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weekdays": []}, "Choose at least one day of the week."),
        ({"frequency": "cron", "cron": "every day"}, "five fields"),
        ({"aggregation": "day"}, "only without aggregation"),
    ],
)
def test_a_wrong_recurrence_is_refused_with_words(client, message, starter, changes, words):
    client.force_login(starter)
    answer = client.post(url("message_change", message.pk), form(message) | recurring(**changes))
    assert words in answer.content.decode()


@pytest.mark.parametrize("deleted, refused", [("", True), ("on", False)])
def test_a_date_beside_a_recurrence_is_refused_in_the_form(client, message, starter, deleted, refused):
    Schedule.objects.create(message=message)
    client.force_login(starter)
    held = {"schedule-INITIAL_FORMS": "1", "schedule-0-id": message.schedule.pk, "schedule-0-message": message.pk}
    dated = scheduled(mode="recipient_zone", DELETE=deleted) | held
    answer = client.post(url("message_change", message.pk), form(message) | recurring() | dated)
    assert ("leaves at the times of its recurrence" in answer.content.decode()) is refused
    assert Recurrence.objects.exists() is not refused


# --- Preview --------------------------------------------------------------------------------------


def test_the_preview_shows_the_chosen_profile_and_nothing_may_run_in_it(client, message, starter):
    Profile.objects.create(email="ada@example.com", first_name="Ada")
    bob = Profile.objects.create(email="bob@example.com", first_name="Bob <b>")
    client.force_login(starter)
    page = client.get(url("message_preview", message.pk), {"profile": bob.pk}).content.decode()
    assert "Hello Bob &lt;b&gt;" in page and 'sandbox=""' in page
    answer = client.get(url("message_preview_page", message.pk), {"profile": bob.pk})
    assert "Dear Bob &lt;b&gt;" in answer.content.decode()
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert "script-src" not in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "SAMEORIGIN"


def test_the_preview_finds_profiles_of_the_audience_alone(client, message, starter):
    Profile.objects.create(email="ada@example.com", country="FR")
    alien = Profile.objects.create(email="alien@example.com", country="DE")
    audience = Audience.objects.create(label="F", conditions=[{"field": "country", "op": "is", "value": "FR"}])
    Message.objects.filter(pk=message.pk).update(audience=audience)
    client.force_login(starter)
    page = client.get(url("message_preview", message.pk), {"q": "a", "profile": alien.pk})
    assert [p.email for p in page.context["profiles"]] == ["ada@example.com"]
    assert page.context["profile"].email == "ada@example.com"


def test_a_preview_that_cannot_be_made_says_why(client, message, starter):
    Message.objects.filter(pk=message.pk).update(html="{{ nobody }}")
    client.force_login(starter)
    assert "no field is called" in client.get(url("message_preview", message.pk)).content.decode()


def test_a_preview_at_the_budgets_edge_costs_little_and_says_what_to_do(client, message, starter):
    """Eight at once kept a log-in page waiting for 109 s: each may take a few seconds of a slow machine at most."""
    Message.objects.filter(pk=message.pk).update(html=ATTACK)
    client.force_login(starter)
    client.get(url("message_preview", message.pk))  # what is loaded once
    for page in ("message_preview", "message_preview_page"):
        with within(3):
            answer = client.get(url(page, message.pk))
        assert answer.status_code == 200
    with within(3):
        shown = client.get(url("message_preview", message.pk)).content.decode()
    assert "it does more work than one message may" in shown and "the loop in line 1" in shown


def test_the_form_of_a_message_that_takes_too_much_work_says_so_at_the_part(client, message, starter):
    Message.objects.filter(pk=message.pk).update(html=ATTACK)
    client.force_login(starter)
    with within(5):
        shown = client.get(url("message_change", message.pk)).content.decode()
    assert "HTML: it does more work than one message may" in shown


# --- Profiles and audiences -----------------------------------------------------------------------


def test_profiles_are_found_by_the_beginning_of_address_or_name(client, starter):
    for email, first, last in (
        ("ada@example.com", "Ada", "Byron"),
        ("byron@example.com", "Bob", "Ada_"),
        ("c@example.com", "Canada", "X"),
    ):
        Profile.objects.create(email=email, first_name=first, last_name=last)
    client.force_login(starter)
    found = lambda q: {p.email for p in client.get(url("profile_changelist"), {"q": q}).context["cl"].result_list}  # noqa: E731
    assert found("Ada") == {"ada@example.com", "byron@example.com"}
    assert found("by") == {"byron@example.com"}
    assert found("nada") == set()


def test_the_paginator_counts_no_further_than_its_limit(monkeypatch):
    monkeypatch.setattr(BoundedPaginator, "LIMIT", 10)
    Profile.objects.bulk_create(Profile(email=f"{n}@example.com") for n in range(12))
    paginator = BoundedPaginator(Profile.objects.order_by("pk"), 5)
    assert (paginator.count, paginator.num_pages, paginator.cut) == (10, 2, True)


def test_the_profile_list_leads_to_the_import(client, starter):
    client.force_login(starter)
    assert url("profile_import") in client.get(url("profile_changelist")).content.decode()


def conditions(*rows):
    parts = ("field", "op", "value")
    return {
        f"conditions-{n}-{part}": value for n, row in enumerate(rows) for part, value in zip(parts, row, strict=True)
    }


def test_an_audience_is_written_in_rows_and_counted(client, starter):
    Profile.objects.create(email="a@example.com", country="FR")
    Profile.objects.create(email="b@example.com", country="DE")
    client.force_login(starter)
    rows = conditions(("country", "is", "FR"), ("email", "not_empty", ""), ("", "is", ""))
    answer = client.post(url("audience_add"), {"label": "French", "kind": "filter", **rows}, follow=True)
    assert "The audience has 1 profile now." in answer.content.decode()
    held = Audience.objects.get(label="French").conditions
    assert held == [{"field": "country", "op": "is", "value": "FR"}, {"field": "email", "op": "not_empty"}]
    assert "country is FR" in answer.content.decode()


def test_a_wrong_condition_is_refused_and_the_rows_stay(client, starter):
    client.force_login(starter)
    answer = client.post(url("audience_add"), {"label": "X", "kind": "filter", **conditions(("shoe", "is", "44"))})
    page = answer.content.decode()
    assert "shoe" in page and 'value="44"' in page
    assert not Audience.objects.exists()


def test_a_list_takes_addresses_and_names_the_unknown_ones(client, starter):
    profile = Profile.objects.create(email="a@example.com")
    client.force_login(starter)
    values = {"label": "L", "kind": "list", "add_addresses": "A@example.com\nghost@example.com"}
    page = client.post(url("audience_add"), values, follow=True).content.decode()
    assert "ghost@example.com" in page
    assert list(Audience.objects.get(label="L").members.all()) == [profile]


# --- Campaigns, grants, users ---------------------------------------------------------------------


def test_a_campaign_names_who_may_start_here(client, message, starter, make_user):
    guest = make_user("guest")
    assign_perm("start_deliveries", guest, message.campaign)
    client.force_login(starter)
    assert "guest, starter" in client.get(url("campaign_change", message.campaign_id)).content.decode()


def grants(client, campaign, user, rights):
    return client.post(url("campaign_permissions_manage_user", campaign.pk, user.pk), {"permissions": rights})


def test_administrators_grant_rights_on_a_campaign_and_it_is_written_down(client, message, make_user):
    guest, chief = make_user("guest"), make_user("chief", "Administrators", "Start deliveries")
    client.force_login(chief)
    assert client.get(url("campaign_permissions", message.campaign_id)).status_code == 200
    assert grants(client, message.campaign, guest, ["start_deliveries"]).status_code == 302
    assert User.objects.get(pk=guest.pk).has_perm("campaigns.start_deliveries", message.campaign)
    history = client.get(url("campaign_history", message.campaign_id)).content.decode()
    assert f"Rights of user #{guest.pk}: start_deliveries." in history


def test_nobody_else_grants_rights_not_even_to_themselves(client, message, starter):
    client.force_login(starter)
    assert client.get(url("campaign_permissions", message.campaign_id)).status_code == 403
    assert grants(client, message.campaign, starter, ["start_deliveries"]).status_code == 403


def test_rights_that_mean_nothing_on_a_campaign_cannot_be_granted(client, message, make_user):
    guest = make_user("guest")
    client.force_login(make_user("chief", "Administrators"))
    assert grants(client, message.campaign, guest, ["delete_campaign"]).status_code == 403


def test_a_grant_on_one_campaign_does_not_make_new_ones(client, message, make_user):
    guest = make_user("guest")
    assign_perm("start_deliveries", guest, message.campaign)
    client.force_login(guest)
    assert client.get(url("campaign_add")).status_code == 403
    assert client.get(url("campaign_change", message.campaign_id)).status_code == 200


def test_an_administrator_can_neither_become_nor_touch_a_superuser(client, make_user):
    chief = make_user("chief", "Administrators")
    root = User.objects.create_superuser("root", "root@example.com", "pass-word-9")
    client.force_login(chief)
    page = client.get(reverse("admin:auth_user_change", args=[chief.pk])).content.decode()
    assert 'name="is_superuser"' not in page and 'name="user_permissions"' not in page
    values = {
        "username": "chief",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
    }
    client.post(reverse("admin:auth_user_change", args=[chief.pk]), values)
    assert not User.objects.get(pk=chief.pk).is_superuser
    assert client.get(reverse("admin:auth_user_password_change", args=[root.pk])).status_code == 403
    assert client.post(reverse("admin:auth_user_delete", args=[root.pk]), {"post": "yes"}).status_code == 403


def test_brands_are_edited_by_administrators_alone(client, brand, starter, make_user):
    client.force_login(starter)
    assert client.post(url("brand_change", brand.pk), {}).status_code == 403
    client.force_login(make_user("chief", "Administrators"))
    assert client.get(url("brand_change", brand.pk)).status_code == 200


def test_who_is_bound_by_the_second_person_cannot_lift_the_rule(client, message, starter, make_user):
    campaign = message.campaign
    values = {"label": campaign.label, "description": "", "status": "0", "start": campaign.start, "end": campaign.end}
    values["unit"] = 1
    client.force_login(starter)
    client.post(url("campaign_change", campaign.pk), values | {"four_eyes": "on"})
    client.post(url("campaign_change", campaign.pk), values)
    campaign.refresh_from_db()
    assert campaign.four_eyes
    client.force_login(make_user("both", "Administrators", "Prepare deliveries"))
    client.post(url("campaign_change", campaign.pk), values)
    campaign.refresh_from_db()
    assert not campaign.four_eyes


def test_an_administrator_cannot_give_a_group_new_rights(client, make_user):
    administrator = make_user("chief", "Administrators")
    group = Group.objects.create(name="Some")
    before = set(group.permissions.values_list("pk", flat=True))
    anything = Permission.objects.get(content_type__app_label="django_q", codename="add_schedule")
    client.force_login(administrator)
    answer = client.post(
        reverse("admin:auth_group_change", args=[group.pk]), {"name": "Chiefs", "permissions": [anything.pk]}
    )
    group.refresh_from_db()
    assert (answer.status_code, group.name) == (302, "Chiefs")
    assert set(group.permissions.values_list("pk", flat=True)) == before
