"""Audiences: which profiles a condition finds, what is wrong with one, and how it reads."""

from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from campaigns.models import Audience, Profile
from campaigns.models.conditions import FIELDS, KINDS, check
from campaigns.targeting import audiences

pytestmark = pytest.mark.django_db
YEAR = timezone.localdate().year


@pytest.fixture
def people():
    """Three who differ in everything."""
    Profile.objects.create(
        email="Anna@example.com",
        first_name="Anna",
        city="Paris",
        country="FR",
        gender=2,
        birth_date=date(YEAR - 60, 1, 1),
        attributes={"level": "gold", "points": "120", "joined": "2024-05-01"},
    )
    Profile.objects.create(
        email="bo@example.org",
        first_name="Bo",
        city="",
        country="SE",
        opt_out=True,
        birth_date=date(YEAR - 20, 1, 1),
        attributes={"level": "", "points": 9, "joined": "2019-01-01"},
    )
    Profile.objects.create(first_name="Zoë", city="Saint-Denis", country="FR", attributes={"points": "many"})


def found(*conditions):
    audience = Audience(
        kind="filter", conditions=[dict(zip(("field", "op", "value"), c, strict=False)) for c in conditions]
    )
    return "".join(sorted(name[0] for name in audiences.profiles(audience).values_list("first_name", flat=True)))


CASES = [
    (("country", "is", "FR"), "AZ"),
    (("country", "is", "fr"), ""),
    (("country", "is_not", "FR"), "B"),
    (("city", "contains", "DENIS"), "Z"),
    (("city", "contains", "%"), ""),
    (("first_name", "starts_with", "an"), "A"),
    (("first_name", "in", ["Anna", "Bo"]), "AB"),
    (("country", "in", "SE, NO"), "B"),
    (("email", "is", "ANNA@example.com"), "A"),
    (("email", "is_empty"), "Z"),
    (("city", "not_empty"), "AZ"),
    (("gender", "is", "female"), "A"),
    (("gender", "is_not", 2), "BZ"),
    (("opt_out", "is", True), "B"),
    (("opt_out", "is_not", "yes"), "AZ"),
    (("birth_date", "older", 50), "A"),
    (("birth_date", "younger", "30"), "B"),
    (("birth_date", "is_not", f"{YEAR - 60}-01-01"), "BZ"),
    (("birth_date", "gt", f"{YEAR - 30}-01-01"), "B"),
    (("birth_date", "is_empty"), "Z"),
    (("created_at", "lt", "2020-01-01"), ""),
    (("created_at", "gt", "2020-01-01"), "ABZ"),
    (("attributes.level", "is", "gold"), "A"),
    (("attributes.level", "is_not", "gold"), "BZ"),
    (("attributes.level", "is_empty"), "BZ"),
    (("attributes.level", "not_empty"), "A"),
    (("attributes.points", "is", "9"), "B"),
    (("attributes.points", "gt", 10), "A"),
    (("attributes.points", "lt", "10"), "B"),
    (("attributes.joined", "gt", "2020-01-01"), "A"),
    (("attributes.level", "starts_with", "GO"), "A"),
]


@pytest.mark.parametrize("condition, expected", CASES)
def test_a_condition_finds_who_it_says(people, condition, expected):
    assert found(condition) == expected


def test_every_operator_of_every_kind_is_tried_above():
    tried = {(FIELDS.get(c[0], "attribute"), c[1]) for c, _ in CASES}
    assert {(kind, op) for kind in ("text", "attribute", "date", "moment") for op in KINDS[kind]} - tried <= {
        ("date", "is"),
        ("date", "lt"),
        ("date", "not_empty"),
        ("attribute", "contains"),
        ("attribute", "in"),
    }


def test_all_conditions_must_hold(people):
    assert found(("country", "is", "FR"), ("city", "contains", "paris"), ("attributes.points", "gt", 1)) == "A"


def test_a_list_holds_its_members_and_ids_limit_it(people):
    audience = Audience.objects.create(label="List", kind="list")
    first, second, _third = Profile.objects.order_by("pk")
    audience.members.set([first, second])
    assert set(audiences.profiles(audience)) == {first, second}
    assert list(audiences.profiles(audience, (second.pk, None))) == [second]
    assert not audiences.profiles(audience, (0, first.pk - 1)).exists()


@pytest.mark.parametrize(
    "conditions, words",
    [
        ([], "at least one condition"),
        ({"field": "city"}, "at least one condition"),
        ([7], "Condition 1: It must have field, op and value"),
        ([{"field": "city", "op": "is", "value": "X", "or": 1}], "must have field, op and value"),
        ([{"field": "salary", "op": "is", "value": "1"}], "no field “salary”"),
        ([{"field": "attributes.x; DROP", "op": "is", "value": "1"}], "no field"),
        ([{"field": ["city"], "op": "is", "value": "1"}], "no field"),
        ([{"field": "city", "op": "gt", "value": "1"}], "“gt” does not fit city. Use is, is_not"),
        ([{"field": "city", "op": "is"}], "one to 1000 characters"),
        ([{"field": "city", "op": "is", "value": {"a": 1}}], "one to 1000 characters"),
        ([{"field": "city", "op": "in", "value": []}], "list of one to 500"),
        ([{"field": "gender", "op": "is", "value": "x"}], "none of unknown, male, female"),
        ([{"field": "opt_out", "op": "is", "value": "perhaps"}], "true or false"),
        ([{"field": "birth_date", "op": "lt", "value": "31.12.1990"}], "no date; write it like"),
        ([{"field": "birth_date", "op": "older", "value": -1}], "from 0 to 150"),
        ([{"field": "attributes.a", "op": "gt", "value": "x"}], "neither a number nor a date"),
    ],
)
def test_a_wrong_condition_says_what_is_wrong(conditions, words):
    audience = Audience(kind="filter", conditions=conditions)
    assert words in str(check(conditions)[0])
    assert words in audiences.describe(audience)
    with pytest.raises(ValidationError):
        audiences.validate(audience)
    with pytest.raises(audiences.InvalidAudience):
        audiences.profiles(audience)


def test_audiences_read_as_sentences():
    conditions = [
        {"field": "country", "op": "in", "value": ["FR", "BE"]},
        {"field": "city", "op": "not_empty"},
        {"field": "birth_date", "op": "lt", "value": "2000-01-01"},
        {"field": "attributes.level", "op": "is", "value": "gold"},
    ]
    assert audiences.describe(Audience(kind="filter", conditions=conditions)) == (
        "country is one of FR, BE and city is not empty and birth date is before 2000-01-01 and level is gold"
    )
    assert audiences.describe(Audience(kind="list", label="VIPs")) == "the profiles of the list “VIPs”"


def test_attribute_names_are_those_in_use(people):
    assert audiences.attribute_names() == ["joined", "level", "points"]
