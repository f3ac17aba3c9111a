"""The control rules: what each finds, how grave it is, and that nothing is found in a correct message."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Audience, Message, Schedule, Typology
from campaigns.models.control_rule_catalogue import CONTROL_RULES
from deliveries.lifecycle import commands
from deliveries.preparation import control_rules
from deliveries.preparation.control_rules import RULES, Facts, Phase
from deliveries.preparation.snapshot import snapshot
from deliveries.preparation.times import validity
from tests.campaigns.content.liquid.heavy_templates import ATTACK

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery(message, routing, starter):
    return commands.create_delivery(message, starter)


def found(delivery, to_deliver=1):
    """{code: severity} of all that the rules find, whatever the phase."""
    delivery.content = snapshot(delivery.message, ["plan"])
    facts = Facts(delivery, delivery.message, validity.contact_date(delivery.message, timezone.now()), to_deliver)
    return {p.code: p.severity for phase in Phase for p in control_rules.check(phase, facts)}


def test_a_correct_message_passes(delivery):
    assert set(found(delivery).values()) <= {"warning"}
    assert not set(found(delivery)) & {code for code, rule in CONTROL_RULES.items() if not rule.content}


@pytest.mark.parametrize(
    "field, value, code, severity",
    [
        ("audience", None, "target-missing", "error"),
        ("audience", Audience(kind="filter", conditions=[{"field": "salary", "op": "is"}]), "target-missing", "error"),
        ("sender_address", "boss@elsewhere.test", "sender-domain", "error"),
        ("sender_address", "boss@sub.example.com", "sender-domain", "error"),
        ("subject", "", "subject-missing", "error"),
        ("html", "<p>{{ first_name </p>", "syntax", "error"),
        ("html", "<p>{{ attributes.plam }}</p>", "syntax", "error"),
        ("html", ATTACK, "work", "error"),
        ("text", "No way out", "optout-missing", "warning"),
    ],
)
def test_a_fault_of_the_message_is_found(delivery, field, value, code, severity):
    setattr(delivery.message, field, value)
    assert found(delivery)[code] == severity == CONTROL_RULES[code].level


def test_content_that_is_empty_is_an_error(delivery):
    delivery.message.html = delivery.message.text = " "
    assert found(delivery)["content-empty"] == "error"


@pytest.mark.parametrize(
    "masks, blamed",
    [
        ("example.com", False),
        ("EXAMPLE.com\n", False),
        ("example.org\nexample.com", False),
        ("*.com", False),
        ("", True),
        ("example.co", True),
        ("*.example.com", True),
    ],
)
def test_the_brand_says_which_domains_may_send(delivery, masks, blamed):
    delivery.message.brand.sender_domains = masks
    assert ("sender-domain" in found(delivery)) is blamed


@pytest.mark.parametrize(
    "masks, blamed",
    [
        ("", False),
        ("*@example.com", False),
        ("x@example.com\nnews@*", False),
        ("*@example.org", True),
    ],
)
def test_the_routing_says_whose_mail_it_takes(delivery, masks, blamed):
    delivery.routing.sender_masks = masks
    assert ("sender-mask" in found(delivery)) is blamed


def test_without_an_enabled_routing_nothing_gets_ready(delivery):
    delivery.routing.enabled = False
    assert found(delivery)["routing-disabled"] == "error"
    delivery.routing = None
    assert found(delivery)["routing-missing"] == "error"


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    "contact, end, duration, expected",
    [
        (None, None, DAY, {}),
        (HOUR, 2 * HOUR, 5 * DAY, {}),
        (HOUR, HOUR, 5 * DAY, {"validity-over": "error"}),
        (None, -HOUR, 5 * DAY, {"validity-over": "error"}),
        (-HOUR, None, DAY, {"contact-date-past": "warning"}),
        (HOUR, None, 5 * DAY, {"duration-clamped": "warning"}),
        (HOUR, 5 * DAY, DAY, {"duration-clamped": "warning"}),
        (None, None, 3.5 * DAY, {}),
    ],
)
def test_dates_that_do_not_fit_are_found(delivery, contact, end, duration, expected):
    now = timezone.now()
    delivery.message.schedule = Schedule(
        mode="at_date" if contact else "immediate",
        contact_date=now + contact if contact else None,
        validity_end=now + end if end else None,
        delivery_duration=duration,
    )
    schedule_codes = {"validity-over", "contact-date-past", "duration-clamped"}
    assert {c: s for c, s in found(delivery).items() if c in schedule_codes} == expected


def test_a_dated_schedule_needs_its_date(delivery):
    delivery.message.schedule = Schedule(mode="at_date")
    assert found(delivery)["contact-date-missing"] == "error"


def test_nobody_to_deliver_to_is_a_warning(delivery):
    assert found(delivery, to_deliver=0)["target-empty"] == "warning"


def test_the_phases_of_the_table_are_those_of_the_domain():
    phases = {code: rule.phase for rule in RULES for code in rule.codes}
    assert phases["target-missing"] is Phase.START_OF_TARGETING
    assert phases["content-empty"] is phases["target-empty"] is Phase.AFTER_TARGETING
    assert phases["syntax"] is Phase.START_OF_PERSONALIZATION


@pytest.mark.parametrize(
    "reply_to, brands_own, told",
    [
        ("", "", False),
        ("desk@example.com", "", False),
        ("desk@EXAMPLE.com", "", False),
        ("me@elsewhere.example", "", True),
        ("me@sub.example.com", "", True),
        ("", "box@partner.example", False),
        ("Box@partner.example", "box@partner.example", False),
        ("me@elsewhere.example", "box@partner.example", True),
    ],
)
def test_a_reply_to_outside_the_brands_domains_is_a_warning(delivery, reply_to, brands_own, told):
    delivery.message.reply_to, delivery.message.brand.reply_to = reply_to, brands_own
    assert found(delivery).get("reply-to-domain") == ("warning" if told else None)


@pytest.mark.parametrize("level, severity", [("error", "error"), ("warning", "warning"), ("off", None)])
def test_a_typology_says_how_grave_a_foreign_reply_to_is(delivery, level, severity):
    delivery.message.reply_to = "me@elsewhere.example"
    delivery.message.typology = Typology.objects.create(label="Strict", levels={"reply-to-domain": level})
    assert found(delivery).get("reply-to-domain") == severity


def test_the_form_tells_of_a_foreign_reply_to_beside_the_field_and_with_the_problems(client, delivery, preparer):
    Message.objects.update(reply_to="me@elsewhere.example")
    client.force_login(preparer)
    page = client.get(reverse("admin:campaigns_message_change", args=[delivery.message_id]))
    beside = str(page.context["adminform"].form.fields["reply_to"].help_text)
    assert beside.startswith("Answers go to me@elsewhere.example, which is not in a domain of the brand")
    assert ("warning", f"Sender: {beside}") in page.context["problems"]


def test_an_administrator_who_lets_a_brands_answers_go_elsewhere_is_told(client, admin_user, brand):
    client.force_login(admin_user)
    values = {
        "label": "Acme",
        "sender_name": "Acme",
        "sender_address": "news@example.com",
        "unit": brand.unit_id,
        "sender_domains": "example.com",
        "reply_to": "box@partner.example",
    }
    page = client.post(reverse("admin:campaigns_brand_change", args=[brand.pk]), values, follow=True)
    assert "Answers go to box@partner.example" in page.content.decode()
