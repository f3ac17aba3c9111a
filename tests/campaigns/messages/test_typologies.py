"""Typologies, rules and control groups: what the forms and the API take and refuse, and who may read and write them."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from campaigns.messages import duplication, typologies
from campaigns.models import ControlGroup, Message, Typology, TypologyRule, control_rule_catalogue
from deliveries.preparation.control_rules import RULES, Phase, Unlisted, asks
from tests.campaigns.admin.test_admin import form, url

pytestmark = pytest.mark.django_db
QUERY = [{"field": "country", "op": "is", "value": "FR"}]


@pytest.fixture
def chief(client, make_user):
    client.force_login(make_user("chief", "Administrators"))
    return client


def rule_form(**changes):
    values = {
        "label": "Rule",
        "kind": "query",
        "active": "on",
        "order": 50,
        "threshold": 1,
        "period": 7,
        "unit": "days",
        "counted": "all",
        "entries": "",
        "threshold_field": "",
    }
    return values | changes


def test_every_control_rule_of_the_catalogue_has_its_function():
    assert sorted(code for rule in RULES for code in rule.codes) == sorted(control_rule_catalogue.CONTROL_RULES)


@pytest.mark.parametrize("code", ["colour", "target-empty"])
def test_a_function_for_no_rule_or_a_second_one_is_refused_when_it_is_imported(code):
    with pytest.raises(Unlisted):
        asks(code, phase=Phase.PROOF)


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"kind": "query", "conditions": []}, "conditions"),
        ({"kind": "query", "conditions": [{"field": "salary", "op": "is", "value": "1"}]}, "conditions"),
        ({"kind": "addresses", "entries": " \n"}, "entries"),
        ({"kind": "addresses", "entries": "example.com"}, "entries"),
        ({"kind": "domains", "entries": "ann@example.com"}, "entries"),
        ({"kind": "domains", "entries": "com"}, "entries"),
        ({"kind": "fatigue", "threshold_field": "birth_date"}, "threshold_field"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_at_the_field(fields, field):
    with pytest.raises(ValidationError) as refused:
        TypologyRule(**fields).clean()
    assert set(refused.value.message_dict) == {field}


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"extraction": "random"}, "percent"),
        ({"extraction": "first", "size": 1}, "sort_field"),
        ({"extraction": "first", "size": 1, "sort_field": "salary"}, "sort_field"),
        ({"conditions": [{"field": "salary", "op": "is", "value": "1"}]}, "conditions"),
    ],
)
def test_a_control_group_that_makes_no_sense_is_refused_at_the_field(fields, field):
    with pytest.raises(ValidationError) as refused:
        ControlGroup(**fields).clean()
    assert set(refused.value.message_dict) == {field}


def test_a_rule_is_made_in_its_form_with_the_builder_of_conditions(chief):
    rows = {"conditions-0-field": "country", "conditions-0-op": "is", "conditions-0-value": "FR"}
    assert chief.post(url("typologyrule_add"), rule_form(**rows)).status_code == 302
    assert TypologyRule.objects.get().conditions == QUERY


def test_what_is_wrong_with_a_rule_is_said_in_its_form_and_nothing_is_lost(chief):
    answer = chief.post(url("typologyrule_add"), rule_form(kind="addresses", entries="ann@example.com\nnobody"))
    html = answer.content.decode()
    assert "“nobody” is no address." in html and "ann@example.com" in html and not TypologyRule.objects.exists()


def test_a_new_default_takes_the_place_of_the_former_one_which_can_then_be_deleted(chief):
    former = typologies.ensure_default()
    assert chief.post(url("typology_delete", former.pk), {"post": "yes"}).status_code == 403
    chief.post(url("typology_add"), {"label": "New", "is_default": "on"})
    assert Typology.objects.get(is_default=True).label == "New" and typologies.ensure_default().label == "New"
    assert chief.post(url("typology_delete", former.pk), {"post": "yes"}).status_code == 302


def test_levels_are_kept_where_they_differ_and_fixed_rules_cannot_be_changed(chief):
    levels = {"levels-url-label": "off", "levels-url-ampersand": "warning", "levels-optout-missing": "error"}
    chief.post(url("typology_add"), {"label": "Mild", **levels})
    assert Typology.objects.get().levels == {"url-label": "off", "optout-missing": "error"}
    answer = chief.post(url("typology_add"), {"label": "Reckless", "levels-sender-domain": "off"})
    assert "to some of" in answer.content.decode() and Typology.objects.count() == 1


def test_a_preparer_sees_typologies_and_no_rule(client, preparer):
    client.force_login(preparer)
    rule, typology = TypologyRule.objects.create(label="Rule", entries="ann@example.com"), typologies.ensure_default()
    typology.rules.add(rule)
    page = client.get(url("typology_change", typology.pk)).content.decode()
    assert "Rule" in page and "ann@example.com" not in page
    assert client.get(url("typologyrule_change", rule.pk)).status_code == 403
    assert client.post(url("typology_change", typology.pk), {"label": "Mine"}).status_code == 403


def test_a_message_chooses_its_typology_and_control_group_in_its_form(client, message, starter):
    client.force_login(starter)
    typology = Typology.objects.create(label="Mild")
    group = {
        "control_group-TOTAL_FORMS": "1",
        "control_group-0-extraction": "random",
        "control_group-0-percent": "10",
        "control_group-0-descending": "on",
        "typology": typology.pk,
        "tracking-TOTAL_FORMS": "0",
        "tracking-INITIAL_FORMS": "0",
    }
    answer = client.post(url("message_change", message.pk), form(message, **group))
    assert answer.status_code == 302
    message = Message.objects.get(pk=message.pk)
    assert (message.typology, message.control_group.percent) == (typology, 10)
    copy = duplication.duplicate(message, starter)
    assert (copy.typology, copy.control_group.percent) == (typology, 10)


def test_an_extraction_without_a_limit_is_refused_in_the_form(client, message, starter):
    client.force_login(starter)
    group = {"control_group-TOTAL_FORMS": "1", "control_group-0-extraction": "random"}
    page = client.post(url("message_change", message.pk), form(message, **group)).content.decode()
    assert "Say how many" in page and not ControlGroup.objects.exists()


def test_the_api_takes_both_replaces_the_group_as_a_whole_and_refuses_what_makes_no_sense(client, message, starter):
    client.force_login(starter)
    path, typology = f"/api/messages/{message.pk}/", Typology.objects.create(label="Mild")

    def patch(**values):
        return client.patch(path, values, content_type="application/json")

    patch(typology=typology.pk, control_group={"extraction": "random", "size": 5})
    assert patch(control_group={"conditions": QUERY}).json()["control_group"]["size"] is None
    assert client.get(path).json()["typology"] == typology.pk
    assert patch(control_group={"extraction": "random"}).status_code == 400
    patch(control_group=None)
    assert not ControlGroup.objects.exists()


def test_the_api_tells_of_typologies_without_naming_anybody(client, preparer):
    client.force_login(preparer)
    rule = TypologyRule.objects.create(label="List", kind="addresses", entries="ann@example.com")
    typologies.ensure_default().rules.add(rule)
    answer = client.get(reverse("typology-list"))
    assert answer.json()["results"][0]["rules"][0]["code"] == rule.code and b"ann@" not in answer.content
