"""Wall clocks and instants in every zone there is; recurrences across changes of summer time."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.scheduling import calendar

ZONES = st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"})).map(ZoneInfo)
CLOCKS = st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31)).map(lambda d: d.replace(second=0, microsecond=0))
INSTANTS = CLOCKS.map(lambda d: d.replace(tzinfo=UTC))
PARIS = ZoneInfo("Europe/Paris")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shows(clock, zone, around):
    """All instants within two days at which the wall shows that clock, found by looking at each offset there is."""
    offsets = {(around + timedelta(hours=h)).astimezone(zone).utcoffset() for h in range(-48, 49)}
    candidates = {clock.replace(tzinfo=UTC) - offset for offset in offsets}
    return sorted(at for at in candidates if calendar.wall_clock(at, zone) == clock)


@given(CLOCKS, ZONES)
def test_a_clock_is_the_first_instant_that_shows_it_or_moves_forward(clock, zone):
    at = calendar.instant(clock, zone)
    shown = shows(clock, zone, at)
    assert shown == [] or at == shown[0]
    assert calendar.wall_clock(at, zone) >= clock
    assert calendar.wall_clock(at, zone) - clock < timedelta(hours=25)


@pytest.mark.parametrize(
    "zone, clock, expected",
    [
        ("Europe/Paris", "2026-03-29 02:30", "2026-03-29 01:30"),  # skipped: 03:30
        ("Europe/Paris", "2026-10-25 02:30", "2026-10-25 00:30"),  # twice: the first, summer time
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:30"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45"),  # half an hour is skipped
        ("Pacific/Apia", "2011-12-30 09:00", "2011-12-30 19:00"),  # a day that never was
        ("Asia/Kathmandu", "2026-01-01 09:00", "2026-01-01 03:15"),
    ],
)
def test_summer_time_and_odd_zones(zone, clock, expected):
    assert calendar.instant(datetime.fromisoformat(clock), ZoneInfo(zone)) == utc(expected)


def test_each_zone_gets_the_same_clock_and_an_unknown_one_the_deliverys():
    at = utc("2026-03-28 08:00")  # nine in Paris
    found = calendar.instants_by_zone(at, PARIS, ["Asia/Tokyo", "America/New_York", "", "No/Where", "../x"])
    assert found == {
        "Asia/Tokyo": utc("2026-03-28 00:00"),
        "America/New_York": utc("2026-03-28 13:00"),
        "": at,
        "No/Where": at,
        "../x": at,
    }


@given(INSTANTS, ZONES, ZONES)
def test_recipients_lie_within_the_earths_turn(at, zone, other):
    there = calendar.instants_by_zone(at, zone, [other.key])[other.key]
    assert abs(there - at) <= timedelta(hours=51)  # 26 between the outermost zones, and a day skipped


CRONS = st.sampled_from(["30 2 * * *", "*/30 * * * *", "0 * * * *", "15 1,2,3 * * *", "0 0 * * 0", "5 23 L * *"])


@given(CRONS, ZONES, INSTANTS)
def test_slots_ascend_each_once_and_are_the_instants_of_their_clocks(cron, zone, after):
    found = calendar.next_slots(cron, zone, after, 6)
    assert all(a < b for a, b in pairwise([after, *found]))
    start = calendar.wall_clock(after, zone) - timedelta(hours=26)
    clocks = calendar.CronSim(cron, start)
    end = calendar.wall_clock(found[-1], zone) + timedelta(hours=26)
    expected = set()
    for clock in clocks:
        if clock > end:
            break
        expected.add(calendar.instant(clock, zone))
    assert found == sorted(at for at in expected if after < at)[:6]


@given(CRONS, ZONES, INSTANTS)
def test_going_on_from_any_slot_gives_the_same_slots(cron, zone, after):
    first, *others = calendar.next_slots(cron, zone, after, 4)
    assert calendar.next_slots(cron, zone, first, 3) == others


@pytest.mark.parametrize(
    "cron, after, expected",
    [
        ("30 2 * * *", "2026-03-28 12:00", ["2026-03-29 01:30", "2026-03-30 00:30"]),
        ("30 2 * * *", "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 2 * * *", "2026-10-25 00:45", ["2026-10-26 01:30"]),  # the second 02:30 is no slot
        ("0 2,3 * * *", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:00"]),  # both are the same instant
    ],
)
def test_a_slot_comes_once_in_each_night_of_change(cron, after, expected):
    assert calendar.next_slots(cron, PARIS, utc(after), len(expected)) == [utc(at) for at in expected]


def test_the_picker_writes_cron():
    assert calendar.daily(time(9, 5)) == "5 9 * * *"
    assert calendar.weekly(time(9), [7, 1]) == "0 9 * * 1,0"
    assert calendar.monthly(time(9), calendar.LAST_DAY) == "0 9 L * *"


@pytest.mark.parametrize("wrong", ["", "* * *", "0 0 9 * * *", "61 * * * *", "0 9 31 2 *", "@daily", "0 9 * * 8"])
def test_what_is_no_recurrence_is_refused_in_words(wrong):
    with pytest.raises(calendar.BadRecurrence):
        calendar.check_cron(wrong)


@pytest.mark.parametrize("make", [lambda: calendar.weekly(time(9), []), lambda: calendar.monthly(time(9), 32)])
def test_the_picker_refuses_days_that_are_none(make):
    with pytest.raises(calendar.BadRecurrence):
        make()


@pytest.mark.parametrize(
    "length, name",
    [
        ("none", ""),
        ("day", "2027-01-01"),
        ("week", "2026-W53"),
        ("month", "2027-01"),
        ("year", "2027"),
    ],
)
def test_a_period_is_told_by_the_wall_clock(length, name):
    assert calendar.period(utc("2026-12-31 23:30"), PARIS, length) == name


@given(CLOCKS, ZONES)
def test_what_summer_time_does_to_a_clock_is_told(clock, zone):
    shown = shows(clock, zone, calendar.instant(clock, zone))
    assert calendar.change_of_clock(clock, zone) == {0: "skipped", 1: "", 2: "twice"}[len(shown)]
