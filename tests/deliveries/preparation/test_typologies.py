"""A typology at preparation: filtering and fatigue rules, their order, the control group, the levels."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.models import Brand, Campaign, ControlGroup, Profile, Schedule, Typology, TypologyRule
from deliveries.ledger import recount
from deliveries.ledger.counters import counters
from deliveries.lifecycle import commands
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import LogStatus, Reason, State
from deliveries.preparation import prepare as preparing
from deliveries.preparation.sealing import changed_since_prepared

pytestmark = pytest.mark.django_db
Kind = TypologyRule.Kind
DAY = timedelta(days=1)


@pytest.fixture
def typology(db):
    return Typology.objects.create(label="Default", is_default=True)


@pytest.fixture
def delivery(message, routing, starter, typology):
    return commands.create_delivery(message, starter)


@pytest.fixture
def dated(delivery):
    """The delivery, with a contact date in three days."""
    Schedule.objects.create(message=delivery.message, mode="at_date", contact_date=timezone.now() + 3 * DAY)
    return delivery


def rule(typology, kind, label="Rule", **fields):
    made = TypologyRule(kind=kind, label=label, **fields)
    made.clean()
    made.save()
    typology.rules.add(made)
    return made


def add(*addresses, **fields):
    Profile.objects.bulk_create(Profile(email=address, **fields) for address in addresses)


def people(count, **fields):
    add(*(f"p{n}@example.com" for n in range(count)), **fields)


def prepare(delivery, by):
    delivery = Delivery.objects.get(pk=delivery.pk)
    commands.prepare(delivery, by)
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.READY, [str(event) for event in delivery.events.all()]
    return delivery


def gets_it(delivery):
    rows = delivery.sending_logs.filter(status=LogStatus.PENDING).order_by("address")
    return [row.address.partition("@")[0] for row in rows]


def volumes(delivery):
    """{code of the rule: volume}; causes that are no rule do not appear."""
    return {f"RL{cause.rule}": cause.volume for cause in delivery.exclusion_causes.exclude(rule=0)}


def balanced(delivery):
    causes = sum(cause.volume for cause in delivery.exclusion_causes.all())
    assert delivery.targeted == delivery.excluded + delivery.to_deliver and delivery.excluded == causes
    held = delivery.sending_logs.filter(status=LogStatus.IGNORED).count()
    assert delivery.exclusion_logs.count() + held == causes
    assert counters(delivery).balances and not recount.drifts(delivery.pk)
    return True


# --- filtering ----------------------------------------------------------------------------------------------------


def test_a_query_leaves_out_whom_it_finds_and_the_log_names_the_rule(delivery, starter, typology):
    add("ann@example.com", country="FR")
    add("bob@example.com", country="NO")
    made = rule(typology, Kind.QUERY, conditions=[{"field": "country", "op": "is", "value": "FR"}])
    prepared = prepare(delivery, starter)
    assert gets_it(prepared) == ["bob"] and balanced(prepared)
    log = prepared.exclusion_logs.get()
    assert (log.address, log.cause, log.words) == (
        "ann@example.com",
        Reason.FILTERING_RULE,
        f"Excluded by a filtering rule ({made.code})",
    )


@pytest.mark.parametrize(
    "kind, entries",
    [
        (Kind.ADDRESSES, "ANN@example.com \n\nnobody@example.org"),
        (Kind.DOMAINS, "Example.com\nexample.net"),
        (Kind.ADDRESSES, "ann@example.com\nann@example.com"),
    ],
)
def test_listed_addresses_and_domains_are_left_out_and_only_their_number_is_revealed(
    delivery, starter, typology, kind, entries
):
    add("ann@example.com", "bob@example.org", "cy@sub.example.com")
    made = rule(typology, kind, entries=entries)
    prepared = prepare(delivery, starter)
    assert gets_it(prepared) == ["bob", "cy"] and volumes(prepared) == {made.code: 1} and balanced(prepared)
    log = prepared.exclusion_logs.get()
    assert (log.profile_id, log.address, log.rule) == (None, "", made.pk)


def test_a_listed_domain_is_found_however_its_letters_are_written(delivery, starter, typology):
    add("ann@bücher.example", "bob@xn--bcher-kva.example", "cy@buecher.example")
    rule(typology, Kind.DOMAINS, entries="BÜCHER.example")
    assert gets_it(prepare(delivery, starter)) == ["cy"]


def test_rules_run_lists_first_then_by_execution_order_and_each_profile_counts_once(delivery, starter, typology):
    everybody = [{"field": "email", "op": "not_empty"}]
    people(2)
    add("ann@example.com")
    late = rule(typology, Kind.QUERY, "late", conditions=everybody, order=60)
    early = rule(typology, Kind.QUERY, "early", conditions=[{"field": "email", "op": "starts_with", "value": "p"}])
    listed = rule(typology, Kind.ADDRESSES, "listed", entries="p0@example.com", order=90)
    prepared = prepare(delivery, starter)
    assert list(volumes(prepared).items()) == [(listed.code, 1), (early.code, 1), (late.code, 1)]
    assert balanced(prepared)


def test_excluded_addresses_count_before_excluded_domains_and_duplicates_before_fatigue(
    dated, starter, typology, message
):
    """Kinds come in a fixed order (concepts.md, Who is left out); rules' order of execution counts within a kind."""
    add("ann@example.com", "bob@example.org", "bob@example.org")
    domains = rule(typology, Kind.DOMAINS, "domains", entries="example.com", order=1)
    addresses = rule(typology, Kind.ADDRESSES, "addresses", entries="ann@example.com", order=2)
    tired = rule(typology, Kind.FATIGUE, "tired", order=1)
    second = Profile.objects.filter(email="bob@example.org").last()
    got(second.email, dated.message.schedule.contact_date, message=message, profile=second)
    prepared = prepare(dated, starter)
    assert volumes(prepared) == {addresses.code: 1, domains.code: 0, tired.code: 0} and balanced(prepared)
    assert prepared.exclusion_causes.get(cause=Reason.DUPLICATE).volume == 1


def test_a_list_finds_an_address_that_a_program_stored_in_capitals(delivery, starter, typology):
    add("Ann@Example.com")
    rule(typology, Kind.ADDRESSES, entries="ann@example.com")
    assert prepare(delivery, starter).to_deliver == 0


def test_who_is_filtered_leaves_the_address_to_the_next_who_shares_it(delivery, starter, typology):
    add("ann@example.com", country="FR")
    add("ann@example.com", country="NO")
    rule(typology, Kind.QUERY, conditions=[{"field": "country", "op": "is", "value": "FR"}])
    prepared = prepare(delivery, starter)
    assert prepared.to_deliver == 1 and not prepared.exclusion_causes.get(cause=Reason.DUPLICATE).volume


def test_a_rule_that_finds_nobody_has_its_zero_and_an_inactive_one_nothing(delivery, starter, typology):
    people(1)
    ran = rule(typology, Kind.ADDRESSES, "ran", entries="x@example.org")
    never = rule(typology, Kind.QUERY, "never", conditions=[{"field": "birth_date", "op": "older", "value": "150"}])
    rule(typology, Kind.ADDRESSES, "rests", entries="p0@example.com", active=False)
    assert volumes(prepare(delivery, starter)) == {ran.code: 0, never.code: 0}


def test_application_criteria_confine_a_rule_to_a_campaign_or_a_brand(delivery, starter, typology, brand):
    people(1)
    other = Campaign.objects.create(label="Other")
    shop = Brand.objects.create(label="Shop", sender_name="S", sender_address="s@example.com", sender_domains="*")
    entries = {"entries": "p0@example.com"}
    rule(typology, Kind.ADDRESSES, "other campaign", only_campaign=other, **entries)
    rule(typology, Kind.ADDRESSES, "other brand", only_brand=shop, **entries)
    ours = rule(typology, Kind.ADDRESSES, "ours", only_campaign=delivery.campaign, only_brand=brand, **entries)
    assert volumes(prepare(delivery, starter)) == {ours.code: 1}


def test_a_message_has_its_own_typology_or_the_default_one(delivery, starter, typology):
    people(1)
    rule(typology, Kind.ADDRESSES, entries="p0@example.com")
    assert prepare(delivery, starter).to_deliver == 0
    delivery.message.typology = Typology.objects.create(label="Without rules")
    delivery.message.save()
    assert prepare(delivery, starter).to_deliver == 1


# --- fatigue ------------------------------------------------------------------------------------------------------


def got(address, when, *, status=LogStatus.SENT, state=State.FINISHED, message, profile=None, **also):
    """Another delivery of which the profile with this address got, or is to get, a message at that time."""
    other = Delivery.objects.create(
        message=message,
        campaign=message.campaign,
        label="Other",
        state=state,
        first_due_at=when,
        finished_at=when + DAY / 24 if state == State.FINISHED else None,
        **also,
    )
    relayed = {"relayed_at": when} if status == LogStatus.SENT else {"due_at": when}
    profile = profile or Profile.objects.get(email=address)
    SendingLog.objects.create(
        delivery=other, profile=profile, address=address, status=status, date=when + 30 * DAY, **relayed
    )
    return other


def test_without_a_contact_date_no_fatigue_rule_is_run_and_the_log_says_so(delivery, starter, typology, message):
    people(1)
    rule(typology, Kind.FATIGUE, threshold=1)
    got("p0@example.com", timezone.now(), message=message)
    prepared = prepare(delivery, starter)
    assert prepared.to_deliver == 1 and volumes(prepared) == {}
    assert "no contact date" in prepared.events.get(code="rule_not_run").message


@pytest.mark.parametrize("days, left_out", [(-8, False), (-6, True), (0, True), (6, True), (8, False)])
def test_a_fatigue_rule_looks_its_period_both_ways_around_the_contact_date(
    dated, starter, typology, message, days, left_out
):
    people(2)
    made = rule(typology, Kind.FATIGUE, threshold=1, period=7, unit="days")
    when = dated.message.schedule.contact_date + days * DAY
    ahead = {"status": LogStatus.PENDING, "state": State.START_PENDING} if days > 0 else {}
    got("p0@example.com", when, message=message, **ahead)
    prepared = prepare(dated, starter)
    assert volumes(prepared) == {made.code: int(left_out)} and balanced(prepared)
    assert gets_it(prepared) == (["p1"] if left_out else ["p0", "p1"])


@pytest.mark.parametrize("threshold, past, left_out", [(0, 0, True), (1, 0, False), (2, 1, False), (2, 2, True)])
def test_who_would_exceed_the_threshold_with_this_one_is_left_out(
    dated, starter, typology, message, threshold, past, left_out
):
    people(1)
    rule(typology, Kind.FATIGUE, threshold=threshold)
    for _ in range(past):
        got("p0@example.com", dated.message.schedule.contact_date - DAY, message=message)
    assert (prepare(dated, starter).to_deliver == 0) is left_out


@pytest.mark.parametrize(
    "number, past, left_out",
    [
        ("3", 2, False),
        ("2", 2, True),
        ("0", 0, True),
        ("many", 2, True),
        ("many", 1, False),
        (None, 2, True),
        (None, 1, False),
    ],
)
def test_the_threshold_may_be_each_profiles_own_and_else_is_the_rules(
    dated, starter, typology, message, number, past, left_out
):
    people(1, attributes={} if number is None else {"most": number})
    rule(typology, Kind.FATIGUE, threshold=2, threshold_field="attributes.most")
    for _ in range(past):
        got("p0@example.com", dated.message.schedule.contact_date - DAY, message=message)
    assert (prepare(dated, starter).to_deliver == 0) is left_out


@pytest.mark.parametrize(
    "status, state, counted",
    [
        (LogStatus.SENT, State.FINISHED, True),
        (LogStatus.SENT, State.STOPPED, True),
        (LogStatus.PENDING, State.IN_PROGRESS, True),
        (LogStatus.IN_DOUBT, State.IN_PROGRESS, True),
        (LogStatus.FAILED, State.FINISHED, False),
        (LogStatus.CANCELLED, State.STOPPED, False),
        (LogStatus.IGNORED, State.FINISHED, False),
        (LogStatus.PENDING, State.PREPARATION_FAILED, False),
        (LogStatus.PENDING, State.READY, False),  # nobody gave it a date
    ],
)
def test_what_was_sent_or_is_scheduled_counts_and_nothing_else(
    dated, starter, typology, other_message, status, state, counted
):
    people(1)
    rule(typology, Kind.FATIGUE)
    got("p0@example.com", dated.message.schedule.contact_date - DAY, status=status, state=state, message=other_message)
    assert (prepare(dated, starter).to_deliver == 0) is counted


@pytest.fixture
def other_message(message, brand):
    """Another brand's message in another campaign, without a schedule."""
    shop = Brand.objects.create(label="Shop", sender_name="S", sender_address="s@example.com", sender_domains="*")
    fields = {"campaign": Campaign.objects.create(label="Other"), "brand": shop, "audience": message.audience}
    return type(message).objects.create(label="Other", **fields)


@pytest.mark.parametrize("days, counted", [(1, True), (-1, False)])
def test_a_delivery_that_is_ready_for_a_date_to_come_is_scheduled(
    dated, starter, typology, other_message, days, counted
):
    people(1)
    rule(typology, Kind.FATIGUE)
    when = timezone.now() + days * DAY
    Schedule.objects.create(message=other_message, mode="at_date", contact_date=when)
    got("p0@example.com", when, status=LogStatus.PENDING, state=State.READY, message=other_message)
    assert (prepare(dated, starter).to_deliver == 0) is counted


def test_a_date_that_the_schedule_does_not_use_is_no_contact_date(dated, starter, typology, message):
    Schedule.objects.update(mode="immediate")
    people(1)
    rule(typology, Kind.FATIGUE, threshold=0)
    assert prepare(dated, starter).to_deliver == 1


@pytest.mark.parametrize("counted, left_out", [("all", True), ("campaign", False), ("brand", False)])
def test_a_rule_may_count_the_same_campaign_or_brand_alone(dated, starter, typology, other_message, counted, left_out):
    people(1)
    rule(typology, Kind.FATIGUE, counted=counted)
    got("p0@example.com", dated.message.schedule.contact_date, message=other_message)
    assert (prepare(dated, starter).to_deliver == 0) is left_out


def test_two_fatigue_rules_run_by_order_and_count_in_slices(dated, starter, typology, message, monkeypatch):
    monkeypatch.setattr("deliveries.preparation.fatigue_rules.SLICE", 2)
    people(5)
    wide = rule(typology, Kind.FATIGUE, "two a week", threshold=2, order=10)
    narrow = rule(typology, Kind.FATIGUE, "one a day", threshold=1, period=24, unit="hours", order=20)
    date = dated.message.schedule.contact_date
    for address, times in (("p1@example.com", [-2, -3]), ("p3@example.com", [0]), ("p4@example.com", [-2])):
        for days in times:
            got(address, date + days * DAY, message=message)
    prepared = prepare(dated, starter)
    assert list(volumes(prepared).items()) == [(wide.code, 1), (narrow.code, 1)]
    assert gets_it(prepared) == ["p0", "p2", "p4"] and balanced(prepared)


# --- control group ------------------------------------------------------------------------------------------------


def held(delivery):
    rows = delivery.sending_logs.filter(status=LogStatus.IGNORED, reason=Reason.CONTROL_GROUP).order_by("address")
    return [row.address.partition("@")[0] for row in rows]


def group(delivery, **fields):
    made = ControlGroup(message=delivery.message, **fields)
    made.clean()
    made.save()


@pytest.mark.parametrize(
    "limits, size",
    [
        ({"percent": 20}, 2),
        ({"size": 3}, 3),
        ({"percent": 50, "size": 4}, 4),
        ({"percent": 9}, 0),
        ({"size": 99}, 8),
    ],
)
def test_a_random_group_is_limited_by_the_percentage_of_the_whole_target_or_a_size(delivery, starter, limits, size):
    people(8)
    add("", "bad")
    group(delivery, extraction="random", **limits)
    prepared = prepare(delivery, starter)
    assert len(held(prepared)) == size == prepared.exclusion_causes.get(cause=Reason.CONTROL_GROUP).volume
    assert prepared.to_deliver == 8 - size and balanced(prepared)


def test_a_random_group_is_the_same_when_prepared_again_and_another_in_another_delivery(
    delivery, starter, message, other_message
):
    people(40)
    group(delivery, extraction="random", percent=50)
    first = held(prepare(delivery, starter))
    assert held(prepare(delivery, starter)) == first and first != [f"p{n}" for n in range(20)]
    again = commands.create_delivery(message.__class__.objects.get(pk=message.pk), starter)
    assert again.pk == delivery.pk
    Delivery.objects.filter(pk=delivery.pk).update(state=State.FINISHED)
    assert held(prepare(commands.create_delivery(message, starter), starter)) != first


@pytest.mark.parametrize(
    "field, descending, found",
    [
        ("city", True, ["p2", "p3"]),
        ("city", False, ["p0", "p1"]),
        ("attributes.spent", True, ["p1", "p2"]),
        ("attributes.spent", False, ["p0", "p2"]),
    ],
)
def test_the_first_after_a_sort_are_extracted_numbers_by_size_and_the_missing_last(
    delivery, starter, field, descending, found
):
    for number, spent in enumerate(["2", "100", "30", None]):
        attributes = {"spent": spent} if spent else {}
        add(f"p{number}@example.com", city="ABCD"[number], attributes=attributes)
    group(delivery, extraction="first", sort_field=field, descending=descending, size=2)
    prepared = prepare(delivery, starter)
    assert held(prepared) == found and balanced(prepared)


def test_a_query_and_an_extraction_are_combined(delivery, starter):
    people(6)
    add("ann@example.com", "bob@example.com", country="FR")
    query = [{"field": "country", "op": "is", "value": "FR"}]
    group(delivery, extraction="random", size=2, conditions=query)
    prepared = prepare(delivery, starter)
    assert len(held(prepared)) == 4 and {"ann", "bob"} <= set(held(prepared)) and balanced(prepared)


def test_the_group_is_made_of_those_whom_no_rule_left_out(dated, starter, typology, message):
    people(4)
    rule(typology, Kind.FATIGUE, "tired")
    rule(typology, Kind.ADDRESSES, "listed", entries="p0@example.com")
    got("p1@example.com", dated.message.schedule.contact_date, message=message)
    group(dated, extraction="random", percent=100)
    prepared = prepare(dated, starter)
    assert held(prepared) == ["p2", "p3"] and prepared.to_deliver == 0 and balanced(prepared)


def test_a_group_that_is_gone_leaves_nothing_behind(delivery, starter, monkeypatch):
    monkeypatch.setattr(preparing, "DELETED_AT_ONCE", 2)
    people(5)
    group(delivery, extraction="random", percent=100)
    prepare(delivery, starter)
    ControlGroup.objects.all().delete()
    prepared = prepare(delivery, starter)
    assert held(prepared) == [] and prepared.to_deliver == 5 and balanced(prepared)
    assert not prepared.exclusion_causes.filter(cause=Reason.CONTROL_GROUP).exists()


# --- levels and seal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "level, state",
    [
        (None, State.READY),
        ("off", State.READY),
        ("error", State.PREPARATION_FAILED),
    ],
)
def test_a_typology_switches_a_control_rule_off_or_makes_it_an_error(delivery, starter, typology, level, state):
    type(typology).objects.update(levels={"target-empty": level} if level else {})
    commands.prepare(delivery, starter)
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == state
    assert delivery.events.filter(code="target-empty").exists() is (level != "off")


def test_what_keeps_a_message_from_being_sent_at_all_cannot_be_switched_off(delivery, starter, typology):
    Typology.objects.update(levels={"sender-domain": "off"})
    Brand.objects.update(sender_domains="example.org")
    commands.prepare(delivery, starter)
    preparing.run(delivery.pk)
    assert delivery.events.filter(code="sender-domain").exists()


def test_a_rule_that_a_program_broke_stops_the_preparation(delivery, starter, typology):
    made = rule(typology, Kind.QUERY, conditions=[{"field": "city", "op": "is", "value": "Oslo"}])
    TypologyRule.objects.update(conditions=[{"field": "salary", "op": "is", "value": "1"}])
    commands.prepare(delivery, starter)
    preparing.run(delivery.pk)
    assert made.code in delivery.events.get(code="typology").message


def _edit_rule(message):
    TypologyRule.objects.update(threshold=3)


def _edit_levels(message):
    Typology.objects.update(levels={"url-label": "off"})


def _other_typology(message):
    type(message).objects.update(typology=Typology.objects.create(label="Other"))


def _rest(message):
    TypologyRule.objects.update(active=False)


def _group(message):
    ControlGroup.objects.create(message=message, extraction="random", percent=10)


@pytest.mark.parametrize(
    "edit, part",
    [
        (_edit_rule, "typology"),
        (_edit_levels, "typology"),
        (_other_typology, "typology"),
        (_rest, "typology"),
        (_group, "control group"),
    ],
)
def test_typology_rules_and_control_group_are_sealed(delivery, starter, typology, edit, part):
    rule(typology, Kind.FATIGUE)
    prepared = prepare(delivery, starter)
    assert changed_since_prepared(prepared) == []
    edit(prepared.message)
    assert changed_since_prepared(Delivery.objects.get(pk=prepared.pk)) == [part]
