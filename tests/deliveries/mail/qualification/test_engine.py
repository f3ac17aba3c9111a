"""Qualification: what servers say -> type and reason (domain document, section 7.2)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliveries.mail.qualification.engine import (
    DEFAULT_RULES,
    HARD,
    IGNORED,
    REASONS,
    SOFT,
    TYPES,
    InvalidRule,
    Rule,
    check,
    fold,
    qualify,
    read_code,
    read_status,
)

LINES = (Path(__file__).parent / "replies.tsv").read_text().splitlines()
REPLIES = [line.split("\t") for line in LINES if not line.startswith("#")]


@pytest.mark.parametrize(("stage", "kind", "reason", "reply"), REPLIES)
def test_what_servers_say(stage: str, kind: str, reason: str, reply: str) -> None:
    verdict = qualify(0, "", reply, stage=stage.strip("-"))
    assert (verdict.type, verdict.reason) == (kind, reason), verdict


STATUSES = [
    ("5.1.1", HARD, "user_unknown"),
    ("5.1.2", HARD, "invalid_domain"),
    ("5.1.3", HARD, "user_unknown"),
    ("5.1.6", HARD, "user_unknown"),
    ("5.1.8", IGNORED, "refused"),
    ("5.2.1", SOFT, "account_disabled"),
    ("5.2.2", SOFT, "mailbox_full"),
    ("5.3.4", IGNORED, "refused"),
    ("4.4.1", SOFT, "unreachable"),
    ("5.4.6", SOFT, "unreachable"),
    ("5.6.0", IGNORED, "refused"),
    ("5.7.1", IGNORED, "refused"),
    ("5.7.26", IGNORED, "refused"),
    ("5.0.0", SOFT, "not_defined"),
    ("5.2.0", SOFT, "not_defined"),
]


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES)
def test_a_status_decides_where_no_words_do(status: str, kind: str, reason: str) -> None:
    verdict = qualify(550, status, "Nope")
    assert (verdict.type, verdict.reason) == (kind, reason)


@pytest.mark.parametrize("enhanced", ["5.1.1", "5.0.0", "5.2.1", "5.7.1"])
def test_a_block_of_our_ip_never_condemns_the_address_whatever_the_status(enhanced: str) -> None:
    verdict = qualify(550, enhanced, f"550 {enhanced} Client host [192.0.2.1] blocked using zen.spamhaus.example")
    assert verdict.type == IGNORED


def test_user_unknown_without_status_or_stage_is_not_believed() -> None:
    assert qualify(550, "", "550 User unknown").type == SOFT
    assert qualify(550, "", "550 User unknown", stage="rcpt").type == HARD


def test_a_temporary_reply_is_never_hard() -> None:
    assert qualify(450, "4.1.1", "450 4.1.1 User unknown in virtual alias table").type == SOFT
    assert qualify(0, "4.0.0", "responded with code NXDOMAIN").type == SOFT


def test_a_server_that_gave_up_after_user_unknown_is_believed() -> None:
    reply = "450 4.1.1 <u@example.com>: Recipient address rejected: User unknown in local recipient table"
    assert qualify(450, "4.1.1", reply, final=True).type == HARD
    assert qualify(452, "4.2.2", "452 4.2.2 over quota", final=True).type == SOFT


def test_addresses_in_a_reply_do_not_decide() -> None:
    assert qualify(550, "5.0.0", "550 5.0.0 <mailbox.full@user-unknown.example> Nope").reason == "not_defined"


def test_the_first_rule_by_order_decides() -> None:
    late = Rule(20, "late", "nope", SOFT, "mailbox_full")
    early = Rule(10, "early", "nope", HARD, "user_unknown")
    assert qualify(550, "", "550 NOPE", [late, early]).rule == "early"


def test_every_condition_of_a_rule_must_hold() -> None:
    rule = Rule(1, "all", "nope", HARD, "user_unknown", code="550", status=r"5\.7\.1", stage="rcpt")
    assert qualify(550, "5.7.1", "nope", [rule], stage="rcpt").rule == "all"
    for code, status, text, stage in [
        (551, "5.7.1", "nope", "rcpt"),
        (550, "5.7.2", "nope", "rcpt"),
        (550, "5.7.1", "yes", "rcpt"),
        (550, "5.7.1", "nope", "data"),
    ]:
        assert qualify(code, status, text, [rule], stage=stage).rule == ""


def test_an_empty_rule_list_qualifies_nothing() -> None:
    assert qualify(550, "5.1.1", "550 5.1.1 User unknown", []).reason == "not_defined"


@pytest.mark.parametrize(
    "rule",
    [
        Rule(1, "type", "x", "harsh", "refused"),
        Rule(1, "reason", "x", HARD, "because"),
        Rule(1, "nothing", "", HARD, "refused"),
        Rule(1, "pattern", "(", HARD, "refused"),
        Rule(1, "status", "x", HARD, "refused", status="["),
    ],
    ids=lambda rule: rule.name,
)
def test_a_rule_that_cannot_work_is_refused_by_name(rule: Rule) -> None:
    with pytest.raises(InvalidRule, match=rule.name):
        check(rule)


def test_the_default_rules_are_valid_and_their_orders_and_names_unique() -> None:
    for rule in DEFAULT_RULES:
        check(rule)
    assert len({rule.order for rule in DEFAULT_RULES}) == len(DEFAULT_RULES)
    assert len({rule.name for rule in DEFAULT_RULES}) == len(DEFAULT_RULES)


def test_folding_drops_accents_addresses_and_continuation_codes() -> None:
    assert fold("550-5.7.1 Boîte <a@b.example>\r\n 550-5.7.1 pleine") == "550-5.7.1 Boite <*> pleine"


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("550 5.1.1 nope", "550", "5.1.1"),
        ("host mx[192.0.2.1] said: 452-4.2.2 full", "452", "4.2.2"),
        ("Sorry, no mailbox (#5.1.1)", "", "5.1.1"),
        ("released 5.1.1.2 on port 25", "", ""),
        ("550 Postfix 2.3.3 and 4.2.1", "550", ""),
    ],
)
def test_codes_are_read_from_text(text: str, code: str, status: str) -> None:
    assert (read_code(text), read_status(text, code)) == (code, status)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=600), st.sampled_from(["", "rcpt", "data"]), st.integers(0, 999))
def test_any_text_gets_a_documented_verdict(text: str, stage: str, code: int) -> None:
    verdict = qualify(code, "", text, stage=stage)
    assert verdict.type in TYPES
    assert verdict.reason in REASONS
