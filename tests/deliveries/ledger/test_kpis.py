"""The formulas of the figures (concepts.md, The figures), by vectors, and what must hold for any counters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.ledger.kpis import Counters, Figure, kpis, possible_delivered, total


def shown(counters, feedback_service):
    k = kpis(counters, feedback_service=feedback_service)
    return k.sent.count, k.sent.percent, k.delivered_percent, k.bounces_percent


@pytest.mark.parametrize(
    "sent, failed, pending, expected",
    [
        (4, 0, 6, (4, "40 %", "100 %", "0 %")),  # 4 relayed
        (10, 0, 0, (10, "100 %", "100 %", "0 %")),  # all relayed
        (9, 1, 0, (10, "100 %", "90 %", "10 %")),  # a hard bounce; two soft ones change nothing
        (8, 2, 0, (10, "100 %", "80 %", "20 %")),  # one of the soft ones expired
    ],
)
def test_without_feedback_the_vectors_of_ten(sent, failed, pending, expected):
    assert shown(Counters(to_deliver=10, sent=sent, failed=failed, pending=pending), False) == expected


@pytest.mark.parametrize(
    "sent, failed, pending, expected",
    [
        (0, 0, 10, (0, "0 %", "0 %", "0 %")),  # all relayed, nothing reported
        (6, 3, 1, (9, "90 %", "60 %", "30 %")),  # 6 delivered, 1 hard, 2 soft
        (7, 2, 1, (9, "90 %", "70 %", "20 %")),  # a soft one succeeded; the other expired: the same
    ],
)
def test_with_feedback_the_vectors_of_ten(sent, failed, pending, expected):
    assert shown(Counters(to_deliver=10, sent=sent, failed=failed, pending=pending), True) == expected


@pytest.mark.parametrize("feedback_service", [True, False])
def test_nothing_to_deliver_is_zero_percent_everywhere(feedback_service):
    k = kpis(Counters(), feedback_service=feedback_service)
    figures = (k.sent, k.delivered, k.bounces, k.opens, k.clicks)
    assert {f.percent for f in figures} == {k.delivered_percent} == {k.bounces_percent} == {"0 %"}


@pytest.mark.parametrize(
    "count, of, text",
    [
        (1, 1000, "<1 %"),
        (999, 1000, ">99 %"),
        (1000, 1000, "100 %"),
        (5, 1000, "1 %"),
        (125, 1000, "13 %"),
        (0, 9, "0 %"),
    ],
)
def test_rounding_never_claims_none_or_all_falsely(count, of, text):
    assert Figure(count, of).percent == text


counted = st.integers(0, 10**7)


@given(counted, counted, counted)
def test_without_feedback_delivered_and_bounces_add_up_on_the_screen(sent, failed, pending):
    k = kpis(
        Counters(to_deliver=sent + failed + pending, sent=sent, failed=failed, pending=pending), feedback_service=False
    )
    shown_pair = {k.delivered_percent, k.bounces_percent}
    if "<1 %" in shown_pair:
        assert shown_pair == {"<1 %", ">99 %"}
    elif sent + failed:
        assert sum(int(text.removesuffix(" %")) for text in (k.delivered_percent, k.bounces_percent)) == 100


@given(counted, counted, counted, counted)
def test_delivered_can_only_end_within_its_range(sent, failed, pending, retrying):
    counters = Counters(
        to_deliver=sent + failed + pending, sent=sent, failed=failed, pending=pending, retrying=retrying
    )
    least, most = possible_delivered(counters, feedback_service=True)
    assert sent == least <= most <= counters.to_deliver


def test_totals_add_every_counter():
    both = total([Counters(to_deliver=2, sent=1, pending=1), Counters(to_deliver=3, failed=3)])
    assert both == Counters(to_deliver=5, sent=1, pending=1, failed=3)
    assert both.balances
