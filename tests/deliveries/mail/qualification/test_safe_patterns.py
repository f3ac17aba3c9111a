"""Administrators' patterns: how many ways they have to match is counted before they meet a stranger's text."""

from __future__ import annotations

import re
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from deliveries.feedback import active_rules
from deliveries.mail.addresses import ADDRESS, places
from deliveries.mail.qualification.default_rules import DEFAULT_RULES
from deliveries.mail.qualification.engine import HARD, InvalidRule, Rule, check, qualify
from deliveries.mail.qualification.safe_patterns import Unusable, alternatives, searcher
from deliveries.mail.text_patterns import lower, without_accents
from deliveries.models.feedback import QualificationRule
from tests.hostile import shapes, spent

SLOW = [
    r"(a+)+$",
    r"(a|a)*b",
    r"(\w+\s*)+:",
    r"(.*)\1",
    r"(a?){30}a{30}",
    r"a.*b.*c",
    r".*,.*,.*,.*;",
    r"(x*)*y",
    r"(\d+)*-",
    r"\s*\s*\s*$",
    r"(?=(a+)+b)",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
]
GOOD = [
    "mailbox full",
    "mailbox.*full",
    "user .* unknown",
    r"quota.{0,40}exceed.{0,40}limit",
    r"^\W*55[0-4]\s+5\.1\.1",
    "(mail ?box|account|user) (is |was )?(full|disabled)",
    r"\d+\.\d+",
    r"(local |virtual )*user",
    "boîte pleine",
    r"[^ ]+ is full",
    "容量",
    r"\[TSS?\d+\]",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_could_run_for_long_is_refused_with_words(pattern: str) -> None:
    with pytest.raises(InvalidRule, match=r"too many ways.*Write \.\{0,40\} instead"):
        check(Rule(1, "mine", pattern, HARD, "refused"), new=True)


@pytest.mark.parametrize("pattern", GOOD)
def test_what_administrators_write_is_taken(pattern: str) -> None:
    check(Rule(1, "mine", pattern, HARD, "refused"), new=True)


@pytest.mark.parametrize("pattern", SLOW + GOOD)
def test_no_pattern_that_is_kept_takes_a_second_of_any_shape(pattern: str) -> None:
    """Those that were kept before patterns were counted see the beginning of the text, or nothing."""
    known = searcher(pattern)
    texts = [lower(text) for _shape, text in shapes(4_000)] + [piece * 2_000 for piece in ("a", "ab", "a,", "x ", "1")]
    assert max(spent(partial(known.found_in, text)) for text in texts) < 1.0


def test_the_form_refuses_it_where_the_person_is_looking(db: None) -> None:
    rule = QualificationRule(order=1, name="mine", pattern="(a+)+$", type="soft", reason="refused")
    with pytest.raises(ValidationError, match="too many ways"):
        rule.clean()


def test_a_kept_rule_that_is_too_slow_is_left_out_and_the_others_apply(db: None, caplog: Any) -> None:
    QualificationRule.objects.create(order=1, name="slow", pattern="(a+)+$", type="hard", reason="refused")
    QualificationRule.objects.create(order=2, name="quick", pattern="aaa", type="soft", reason="mailbox_full")
    active_rules.renew()
    assert qualify("", "", "a" * 3_000 + "!", active_rules.rules()).rule == "quick"
    assert "slow: the pattern can match in too many ways" in caplog.text
    active_rules.renew()


def test_a_kept_copy_of_the_slow_rule_is_mended(db: None) -> None:
    migration = import_module("deliveries.migrations.0006_bounded_rules")
    [ours] = [rule for rule in DEFAULT_RULES if migration.NEW in rule.pattern]
    old = ours.pattern.replace(migration.NEW, migration.OLD)
    QualificationRule.objects.create(order=1, name="copied", pattern=old, type="soft", reason="mailbox_full")
    migration.mend(apps, None)
    assert QualificationRule.objects.get().pattern == ours.pattern
    assert spent(partial(qualify, "550", "", "550 " + "exceed" * 660)) < 0.3


def test_a_pattern_without_end_is_refused() -> None:
    with pytest.raises(Unusable, match="at most 10000"):
        searcher("a" * 10_001)


@given(st.text("abcde (|)[]?*{2}^$.\\", max_size=12), st.text("abcde ()[", max_size=30))
def test_a_searcher_finds_what_the_engine_finds(pattern: str, text: str) -> None:
    try:
        engine = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError):
        return
    known = searcher(pattern, trusted=True)
    assert known.found_in(lower(text)) == bool(engine.search(text)), known


@pytest.mark.parametrize("rule", [rule for rule in DEFAULT_RULES if rule.pattern], ids=lambda rule: rule.name)
def test_every_rule_of_ours_finds_what_the_engine_finds(rule: Rule) -> None:
    engine = re.compile(without_accents(rule.pattern), re.IGNORECASE)
    known = searcher(rule.pattern, trusted=True)
    for other in DEFAULT_RULES:
        text = re.sub(r"[\\()\[\]?^$*+]|\{[^}]*\}|\|", " ", other.pattern)
        for words in (text, text.upper(), " ".join(text.split())):
            assert known.found_in(lower(without_accents(words))) == bool(engine.search(without_accents(words)))


def test_alternatives_are_parted_where_the_engine_parts_them() -> None:
    assert alternatives(r"a|(b|c)|[|]|[^]|]|\||d") == ["a", "(b|c)", "[|]", "[^]|]", r"\|", "d"]


@given(st.text('ab.@"<> -é宛[]1:,\\\n', max_size=60))
def test_addresses_stand_where_the_pattern_finds_them(text: str) -> None:
    assert list(places(text)) == [match.span() for match in re.finditer(ADDRESS, text)]


@given(st.integers(120, 140), st.sampled_from(["@b", "@", '"@b.c', "@@b"]), st.integers(60, 68))
def test_the_longest_addresses_do_too(length: int, end: str, quoted: int) -> None:
    for text in ("a" * length + end, f'x "{"q" * quoted}"{end}', "b@" + "c" * length + end + ".d" * 20):
        assert list(places(text)) == [match.span() for match in re.finditer(ADDRESS, text)]
