"""Which events the rules take for machines'."""

from __future__ import annotations

import pytest

from reporting.tracking.bot_detection import Touch, judge

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
SENT = 1000.0
CLICK, OPEN = 1, 2


def touch(at: float, kind: int, link: int | None = None, agent: str = FIREFOX, head: bool = False) -> Touch:
    return Touch(SENT + at, kind, link, head, "203.0.113.0/24", agent)


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (touch(600, OPEN), ""),
        (touch(600, OPEN, agent=GMAIL), ""),
        (touch(600, OPEN, agent="Outlook-Android/4.2 okhttp/4.9"), ""),
        (touch(600, CLICK, 0), ""),
        (touch(600, OPEN, agent="Mozilla/5.0"), "proxy"),
        (touch(600, CLICK, 0, agent="Mozilla/5.0"), ""),
        (touch(600, CLICK, 0, head=True), "head"),
        (touch(600, CLICK, 0, agent=""), "agent"),
        (touch(600, CLICK, 0, agent="python-requests/2.32"), "agent"),
        (touch(600, CLICK, 0, agent="Barracuda Sentinel (EE)"), "agent"),
        (touch(2, OPEN), "prefetch"),
        (touch(2, 3, agent=""), ""),
        (touch(2, OPEN, agent=GMAIL), "prefetch"),
        (touch(-1, CLICK, 0), "prefetch"),
        (touch(5, CLICK, 0), ""),
    ],
)
def test_one_event_by_itself(event: Touch, rule: str) -> None:
    assert judge([event], SENT, links=5) == [rule]


def test_several_links_at_once_are_a_scanner_and_so_is_its_open() -> None:
    events = [touch(600 + n / 10, CLICK, n) for n in range(3)] + [touch(601, OPEN), touch(900, OPEN)]
    assert judge(events, SENT, links=5) == ["burst", "burst", "burst", "company", ""]


def test_both_links_of_two_at_once_are_a_scanner() -> None:
    assert judge([touch(600, CLICK, 0), touch(601, CLICK, 1)], SENT, links=2) == ["burst", "burst"]


def test_a_double_click_is_a_person() -> None:
    assert judge([touch(600, CLICK, 0), touch(600.2, CLICK, 0)], SENT, links=1) == ["", ""]


def test_slow_clicks_on_several_links_are_a_person() -> None:
    assert judge([touch(600 + 10 * n, CLICK, n) for n in range(5)], SENT, links=5) == [""] * 5


def test_a_person_beside_a_scanner_is_still_a_person() -> None:
    scanner = [touch(1, CLICK, n, agent="Mozilla/5.0 (compatible; MSIE 9.0)") for n in range(3)]
    assert judge([*scanner, touch(30, CLICK, 1)], SENT, links=3)[-1] == ""


def test_without_a_time_of_sending_nothing_is_prefetch() -> None:
    assert judge([touch(1, OPEN)], None, links=1) == [""]


def near(at: float, agent: str = FIREFOX, network: str = "203.0.113.0/24", kind: int = CLICK) -> Touch:
    return Touch(SENT + at, kind, 0, False, network, agent)


@pytest.mark.parametrize(
    ("beside", "rule"),
    [
        (near(61), "company"),
        (near(62), ""),
        (near(30, agent=GMAIL), ""),
        (near(30, network="198.51.100.0/24"), ""),
        (near(30, kind=3), ""),
    ],
)
def test_what_the_same_program_did_close_to_a_prefetch_is_a_machines_too(beside: Touch, rule: str) -> None:
    assert judge([near(1), beside], SENT, links=5) == ["prefetch", rule]


def test_company_is_kept_by_those_alone_who_were_too_fast() -> None:
    assert judge([touch(600, CLICK, 0, head=True), touch(601, CLICK, 0)], SENT, links=5) == ["head", ""]


def test_two_links_of_many_at_once_and_many_clicks_on_one_are_a_person() -> None:
    assert judge([touch(600, CLICK, 0), touch(600.5, CLICK, 1)], SENT, links=5) == [""] * 2
    assert judge([touch(600 + n / 10, CLICK, 0) for n in range(4)], SENT, links=5) == [""] * 4
