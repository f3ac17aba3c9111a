"""A recipient's own date from a formula: what is read as a date, in which zone, and what is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from campaigns.content.liquid.filters import add_days, add_hours
from campaigns.scheduling import date_formula
from tests.campaigns.content.liquid.heavy_templates import HEAVY, within

PARIS = ZoneInfo("Europe/Paris")
NINE = datetime(2026, 3, 20, 8, tzinfo=UTC)  # nine in Paris
FIELDS = ("attributes.renewal", "attributes.code")


def due(source, **fields):
    formula = date_formula.compiled(source, FIELDS)
    assert isinstance(formula, date_formula.Formula), formula
    found = formula.due(
        dict.fromkeys(FIELDS, "") | {f"attributes.{name}": v for name, v in fields.items()}, NINE, PARIS
    )
    return found and f"{found:%m-%d %H:%M}"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-04-01 10:00:00+02:00", "04-01 08:00"),
        ("2026-04-01 10:00:00 +0200", "04-01 08:00"),
        ("2026-04-01T10:00Z", "04-01 10:00"),
        ("2026-04-01 10:00", "04-01 08:00"),  # a clock in Paris
        ("2026-03-29 02:30", "03-29 01:30"),  # a clock that Paris skips
        ("2026-04-01", "04-01 07:00"),  # at the contact date's clock
        ("", None),
        ("soon", None),
        ("2026-02-30", None),
        ("0001-01-01 00:00+14:00", None),
        ("20", None),
    ],
)
def test_what_a_formula_gives_is_read_as_a_date_with_or_without_an_offset(text, expected):
    assert due("{{ profile.renewal }}", renewal=text) == expected


@pytest.mark.parametrize(
    "source, expected",
    [
        ("{{ renewal | add_days: -14 }}", "03-18 08:00"),
        ("{{ renewal | add_hours: 3 }}", "04-01 01:00"),
        ("{{ contact_date | add_hours: code }}", "03-20 10:30"),
        ("{{ profile.attributes.renewal | add_days: 0 }}", "04-01 07:00"),
        ('{{ renewal | date: "%Y-%m-%d" }} 18:00', "04-01 16:00"),
        ("{% if code == '2.5' %}{{ renewal }}{% else %}x{% endif %}", "04-01 07:00"),
        ("{% assign d = renewal | add_days: 1 %}{{ d }}", "04-02 07:00"),
        ("{{ nothing | default: renewal | add_days: code }}", None),
    ],
)
def test_formulas_shift_and_choose(source, expected):
    if "nothing" in source:
        assert "no field is called" in str(date_formula.compiled(source, FIELDS))
        return
    assert due(source, renewal="2026-04-01", code="2.5") == expected


@pytest.mark.parametrize(
    "source", ["", "  ", "{{ renewal", "{{ other }}", "{{ renewal | minus_days: 1 }}", "{{ unsubscribe_url }}"]
)
def test_a_formula_that_makes_no_sense_is_refused_where_it_is_written(source):
    with pytest.raises(ValidationError) as error:
        date_formula.clean(source, FIELDS)
    assert "formula" in error.value.message_dict


@given(st.text(max_size=40))
def test_whatever_a_profile_holds_gives_a_date_or_none(text):
    found = date_formula.read_date(text, NINE, PARIS)
    assert found is None or found.tzinfo is not None


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(-5000, 5000))
def test_days_are_hours_and_back_again(at, number):
    text = at.isoformat(sep=" ")
    assert add_days(add_days(text, number), -number)[:19] == add_hours(text, 0)[:19]
    assert add_days(text, number) == add_hours(text, 24 * number)


@pytest.mark.parametrize("value, number", [("2026-01-01", "x"), ("x", 1), ("2026-01-01", 1e9), ("2026-01-01", "nan")])
def test_what_cannot_be_shifted_is_empty(value, number):
    assert add_days(value, number) == "" == add_hours(value, number)


@pytest.mark.parametrize(
    "source",
    [
        HEAVY["loops in loops"],
        HEAVY["the attack"].replace("980", "999"),
        "{% for i in (1..900) %}{{ renewal }}{% endfor %}",
        "{{ renewal | append: code | upcase }}" * 300,
    ],
)
def test_a_formula_that_takes_much_work_is_refused_where_it_is_written(source):
    with within(2), pytest.raises(ValidationError, match="more work than a date may"):
        date_formula.clean(source, FIELDS)


def test_a_person_whose_fields_make_a_formula_dear_gets_no_date_and_quickly():
    loop = "{% assign parts = code | split: '' %}" + "{% for a in parts %}" * 2 + "{% endfor %}" * 2 + "{{ renewal }}"
    assert due(loop, renewal="2026-04-01", code="ab") == "04-01 07:00"
    with within(2):
        assert [due(loop, renewal="2026-04-01", code="x" * 50_000) for _ in range(10)] == [None] * 10


def test_a_long_text_is_no_date_and_found_so_at_once():
    with within(1):
        assert date_formula.read_date("2026-04-01" + " " * 100_000 + "x", NINE, PARIS) is None
