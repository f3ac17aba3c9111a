"""Proofs and whoever prepares: where they may go, whose data they show, how many leave a day, under which mark."""

from __future__ import annotations

import io
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from rest_framework.test import APIClient

from campaigns.models import Profile, ProofDomain, TestProfile
from campaigns.models.units import GroupUnit, OrganizationalUnit, PersonUnit
from deliveries.lifecycle import commands, deletion, duplication
from deliveries.lifecycle.proofs import proofs
from deliveries.lifecycle.proofs.proofs import Substitution
from deliveries.models import Delivery, ProofRecipient, ProofTally, Routing
from deliveries.models.states import State
from deliveries.preparation import prepare
from deliveries.sending import connections, work_on_batch

pytestmark = pytest.mark.django_db
over_the_wire = pytest.mark.django_db(transaction=True)
OUTSIDE = "mallory@outside.example"


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journals"
    yield
    connections.hang_up()


@pytest.fixture
def ready(message, routing, preparer):
    Profile.objects.bulk_create(Profile(email=f"user{i}@example.net", first_name=f"User {i}") for i in range(3))
    delivery = commands.create_delivery(message, preparer)
    commands.prepare(delivery, preparer)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.READY
    return delivery


@pytest.fixture
def outside():
    """A test profile that anybody who prepares could write."""
    return TestProfile.objects.create(label="Outside", email=OUTSIDE)


@pytest.fixture
def exporter(make_user):
    return make_user("exporter", "Start deliveries", "Export")


def listed(domain, unit=None):
    return ProofDomain.objects.create(domain=domain, **({"unit": unit} if unit else {}))


def real(delivery, address=OUTSIDE, prefix=""):
    """A letter with a real profile's data."""
    log = delivery.sending_logs.filter(profile__isnull=False).order_by("pk").first()
    return Substitution(log.profile_id, address, prefix)


def by_function(delivery, by, readers, rows):
    proofs.send_proof(delivery, by, readers=readers, substitutions=rows)


def by_page(delivery, by, readers, rows):
    client = Client()
    client.force_login(by)
    client.post(
        f"/admin/deliveries/delivery/{delivery.pk}/proof/",
        {
            "reader": readers,
            "profile": [str(row.profile) for row in rows],
            "address": [row.address for row in rows],
            "prefix": [row.prefix for row in rows],
        },
    )


def by_api(delivery, by, readers, rows):
    client = APIClient()
    client.force_authenticate(by)
    body = {
        "method": "sendProof",
        "readers": readers,
        "substitutions": [{"profile": row.profile, "address": row.address, "prefix": row.prefix} for row in rows],
    }
    assert client.post(f"/api/deliveries/{delivery.pk}/commands/", body, format="json").status_code in (200, 403, 409)


def by_command(delivery, by, readers, rows):
    labels = TestProfile.objects.filter(pk__in=readers).values_list("label", flat=True)
    given = [f"--to={label}" for label in labels]
    given += [f"--substitute={row.profile}:{row.address}:{row.prefix}" for row in rows]
    call_command("proof", delivery.code, "--as", by.get_username(), *given, stdout=io.StringIO())


ROADS = (by_function, by_page, by_api, by_command)


def leaves(road, delivery, by, readers=(), rows=()):
    """How many letters it makes; a refusal makes none."""
    before = ProofRecipient.objects.count()
    try:
        road(delivery, by, list(readers), list(rows))
    except (PermissionDenied, CommandError, commands.Refused):
        assert ProofRecipient.objects.count() == before
    return ProofRecipient.objects.count() - before


# --- where they may go ------------------------------------------------------------------------------------------------

ANSWERS = [  # who, whose data, is the domain listed, does it leave
    ("preparer", "test", False, False),
    ("preparer", "real", False, False),
    ("preparer", "test", True, True),
    ("preparer", "real", True, True),
    ("starter", "test", False, True),
    ("starter", "real", False, False),
    ("starter", "real", True, True),
    ("exporter", "test", False, True),
    ("exporter", "real", False, True),
]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
@pytest.mark.parametrize(("who", "data", "known", "answer"), ANSWERS)
def test_whom_a_proof_may_reach(request, ready, outside, road, who, data, known, answer):
    by = request.getfixturevalue(who)
    if known:
        listed("outside.example")
    given = {"readers": [outside.pk]} if data == "test" else {"rows": [real(ready)]}
    assert leaves(road, ready, by, **given) == int(answer)


@pytest.mark.parametrize("data", ["test", "real"])
def test_a_program_without_the_role_is_answered_403_with_words(ready, preparer, outside, data):
    client, row = APIClient(), real(ready)
    client.force_authenticate(preparer)
    given = (
        {"readers": [outside.pk]}
        if data == "test"
        else {"substitutions": [{"profile": row.profile, "address": row.address}]}
    )
    path = f"/api/deliveries/{ready.pk}/commands/"
    answer = client.post(path, {"method": "sendProof", **given}, format="json")
    assert answer.status_code == 403 and OUTSIDE in answer.json()["detail"], answer.json()


def test_a_token_that_may_only_prepare_reaches_no_further_than_its_rights(ready, exporter, outside):
    from campaigns.accounts.api_tokens import narrow

    assert leaves(by_function, ready, narrow(exporter, ["prepare"]), [outside.pk]) == 0


def test_one_outside_address_among_others_stops_the_whole_proof(ready, preparer, outside):
    listed("example.org")
    inside = TestProfile.objects.create(label="Inside", email="in@example.org")
    assert leaves(by_function, ready, preparer, [inside.pk, outside.pk]) == 0
    assert leaves(by_function, ready, preparer, [inside.pk]) == 1


def test_a_test_profile_whose_address_is_edited_is_judged_by_the_address_that_it_has_now(ready, preparer):
    listed("example.org")
    seed = TestProfile.objects.create(label="Seed", email="in@example.org")
    assert leaves(by_function, ready, preparer, [seed.pk]) == 1
    seed.email = OUTSIDE
    seed.save()
    assert leaves(by_function, ready, preparer, [seed.pk]) == 0


def test_a_test_profile_with_the_same_address_does_not_let_a_real_profiles_data_out(ready, starter, outside):
    assert leaves(by_function, ready, starter, rows=[real(ready, outside.email)]) == 0


@pytest.mark.parametrize(
    ("domain", "address", "answer"),
    [
        ("example.org", "a@EXAMPLE.org", 1),
        (" Example.ORG ", "a@example.org", 1),
        ("example.org", "a@sub.example.org", 0),
        ("sub.example.org", "a@example.org", 0),
        ("example.org", "a@notexample.org", 0),
        ("example.org", "a@example.org.evil.example", 0),
        ("example.org", '"x@example.org"@evil.example', 0),
        ("bücher.example", "a@xn--bcher-kva.example", 1),
        ("xn--bcher-kva.example", "a@BÜCHER.example", 1),
    ],
)
def test_a_domain_is_listed_as_it_stands(ready, preparer, domain, address, answer):
    listed(domain)
    assert leaves(by_function, ready, preparer, rows=[real(ready, address)]) == answer


def test_the_domains_of_the_brand_do_not_count(ready, preparer):
    assert leaves(by_function, ready, preparer, rows=[real(ready, "boss@example.com")]) == 0


@pytest.fixture
def tree():
    def unit(name, parent):
        return OrganizationalUnit.objects.create(label=name, name=name, parent=parent)

    root = OrganizationalUnit.objects.get(pk=1)
    north = unit("north", root)
    return {"root": root, "north": north, "south": unit("south", root), "deep": unit("deep", north)}


@pytest.mark.parametrize(("at", "answer"), [("root", 1), ("north", 1), ("south", 0), ("deep", 0)])
def test_a_domain_serves_the_deliveries_at_and_below_its_unit(ready, preparer, tree, at, answer):
    ready.campaign.unit = tree["north"]
    ready.campaign.save()
    commands.prepare(ready, preparer)
    prepare.run(ready.pk)
    ready = Delivery.objects.get(pk=ready.pk)
    listed("outside.example", tree[at])
    seed = TestProfile.objects.create(label="Seed", email=OUTSIDE, unit=tree["north"])
    assert leaves(by_function, ready, preparer, [seed.pk]) == answer


def test_the_refusal_says_what_to_do_and_loses_nothing(ready, preparer, client):
    client.force_login(preparer)
    row = real(ready)
    answer = client.post(
        f"/admin/deliveries/delivery/{ready.pk}/proof/",
        {
            "profile": [str(row.profile)],
            "address": [OUTSIDE],
            "prefix": ["Look"],
        },
    )
    page = answer.content.decode()
    assert answer.status_code == 403 and f'value="{OUTSIDE}"' in page and 'value="Look"' in page
    assert "no domain that proofs may go to" in page and "Start deliveries" in page and "Export" in page
    assert ready.events.filter(code="denied").count() == 1


@over_the_wire
def test_what_is_changed_between_asking_and_sending_reaches_nobody_else(ready, preparer, serve):
    server = serve()
    Routing.objects.update(port=server.port)
    listed("example.org")
    seed = TestProfile.objects.create(label="Seed", email="in@example.org")
    proof = proofs.send_proof(ready, preparer, readers=[seed.pk])
    TestProfile.objects.filter(pk=seed.pk).update(email=OUTSIDE)
    ProofRecipient.objects.update(test_profile=seed)
    for carrier in Delivery.everything.filter(proof=proof):
        work_on_batch.send(carrier.batches.get().pk)
    assert [recipient for _, recipient, _ in server.messages] == ["in@example.org"]


# --- whose data, and which test profiles ------------------------------------------------------------------------------


@pytest.fixture
def northerner(preparer, tree, ready):
    """Prepares in the unit North, where the delivery lies; its people come from everywhere."""
    ready.campaign.unit = tree["north"]
    ready.campaign.save()
    GroupUnit.objects.filter(group__in=preparer.groups.all()).update(unit=tree["north"])
    return User.objects.get(pk=preparer.pk)


def test_test_profiles_of_units_beside_are_neither_offered_nor_reached(ready, northerner, tree, client):
    listed("example.org")
    ours = TestProfile.objects.create(label="Ours", email="ours@example.org", unit=tree["north"])
    theirs = TestProfile.objects.create(label="Theirs", email="theirs@example.org", unit=tree["south"])
    ready = Delivery.objects.get(pk=ready.pk)
    for road in ROADS:
        assert leaves(road, ready, northerner, [theirs.pk]) == 0
        assert leaves(road, ready, northerner, [ours.pk, theirs.pk]) == 0
    client.force_login(northerner)
    page = client.get(f"/admin/deliveries/delivery/{ready.pk}/proof/").content.decode()
    assert "ours@example.org" in page and "theirs@example.org" not in page
    call_command("proof", ready.code, "--as", northerner.username, "--all", stdout=io.StringIO())
    assert [row.address for row in ProofRecipient.objects.all()] == ["ours@example.org"]


def test_profiles_of_units_beside_are_neither_offered_nor_shown(ready, northerner, tree, client):
    listed("outside.example")
    row = real(ready)
    Profile.objects.filter(pk=row.profile).update(unit=tree["south"], email="theirs@example.net")
    for road in ROADS:
        assert leaves(road, Delivery.objects.get(pk=ready.pk), northerner, rows=[row]) == 0
    client.force_login(northerner)
    assert "theirs@example.net" not in client.get(f"/admin/deliveries/delivery/{ready.pk}/proof/").content.decode()


def test_the_list_of_proofs_hides_the_test_profiles_of_units_beside(ready, preparer, starter, tree, client, make_user):
    listed("example.org")
    theirs = TestProfile.objects.create(label="Theirs", email="theirs@example.org", unit=tree["south"])
    proofs.send_proof(ready, preparer, readers=[theirs.pk])
    guest = make_user("guest", "Delivery supervisors")
    guest.groups.clear()
    PersonUnit.objects.create(user=guest, unit=tree["north"])
    guest.user_permissions.set(starter.groups.first().permissions.all())
    client.force_login(guest)
    for path in (f"/admin/deliveries/delivery/{ready.pk}/proofs/", f"/api/deliveries/{ready.pk}/proofs/"):
        answer = client.get(path)
        assert answer.status_code == 200 and b"theirs@example.org" not in answer.content.lower()
        assert b"Theirs" not in answer.content
    client.force_login(preparer)
    assert b"theirs@example.org" in client.get(f"/api/deliveries/{ready.pk}/proofs/").content


# --- the mark ---------------------------------------------------------------------------------------------------------


@over_the_wire
@pytest.mark.parametrize(
    ("prefix", "hidden", "own", "shown"),
    [
        ("", False, "", "[Proof 1] "),
        ("", True, "", "[Proof] "),
        ("Invoice", False, "", "[Proof 1] [Invoice] "),
        ("Proof", False, "VIP", "[Proof 1] [VIP] "),
        ("", True, " ", "[Proof] "),
    ],
)
def test_a_letter_with_a_real_profiles_data_keeps_its_mark(ready, preparer, serve, prefix, hidden, own, shown):
    server = serve()
    Routing.objects.update(port=server.port)
    listed("outside.example")
    ready.message.proof_prefix, ready.message.hide_proof_number = prefix, hidden
    ready.message.save()
    seed = TestProfile.objects.create(label="Seed", email="seed@outside.example", first_name="Sid")
    proof = proofs.send_proof(ready, preparer, readers=[seed.pk], substitutions=[real(ready, prefix=own)])
    for carrier in Delivery.everything.filter(proof=proof):
        work_on_batch.send(carrier.batches.get().pk)
    mails = {recipient: message_from_bytes(body, policy=policy.default) for _, recipient, body in server.messages}
    assert mails[OUTSIDE]["Subject"] == f"{shown}Hello User 0"
    assert {mail["X-Proof"] for mail in mails.values()} == {f"1 of {ready.code}"}
    if not prefix:  # the test profile's letter is as bare as the message wants
        assert mails["seed@outside.example"]["Subject"] == "Hello Sid"


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(settings):
    """Thirty test profiles that anybody may send to, of whom a message may have fifty letters a day."""
    settings.PROOFS_PER_DAY, settings.PROOFS_PER_PERSON = 50, 120
    listed("example.org")
    TestProfile.objects.bulk_create(TestProfile(label=f"T{n}", email=f"t{n}@example.org") for n in range(30))
    return list(TestProfile.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
def test_a_delivery_has_so_many_letters_of_proofs_a_day(ready, preparer, exporter, crowd, road):
    assert leaves(road, ready, preparer, crowd) == 30
    assert leaves(road, ready, exporter, crowd) == 0  # whoever asks
    assert leaves(road, ready, preparer, crowd[:20]) == 20
    with pytest.raises(commands.Refused) as caught:
        proofs.send_proof(ready, preparer, readers=crowd[:1])
    assert caught.value.code == "proof_limit" and "0 are left" in caught.value.message


def test_substitutions_count_too_and_a_day_later_there_is_room_again(ready, preparer, crowd):
    assert leaves(by_function, ready, preparer, crowd, [real(ready, f"x{n}@example.org") for n in range(20)]) == 50
    assert leaves(by_function, ready, preparer, crowd[:1]) == 0
    ProofTally.objects.update(sent_at=F("sent_at") - timedelta(hours=24, seconds=1))
    assert leaves(by_function, ready, preparer, crowd[:1]) == 1


def test_deleting_the_delivery_or_its_message_gives_no_new_allowance(ready, preparer, crowd):
    message = ready.message
    assert leaves(by_function, ready, preparer, crowd) == 30
    deletion.delete(ready, preparer)
    again = commands.create_delivery(message, preparer)
    assert leaves(by_function, again, preparer, crowd) == 0


def test_copies_without_end_end_at_what_one_person_may_send_a_day(ready, preparer, starter, crowd):
    sent, delivery = 0, ready
    for _ in range(6):
        sent += leaves(by_function, delivery, preparer, crowd)
        copy = duplication.duplicate(delivery, preparer)
        if delivery != ready:
            deletion.delete(delivery, preparer)
        delivery = copy
    assert sent == 120
    with pytest.raises(commands.Refused, match="24 hours"):
        proofs.send_proof(delivery, preparer, readers=crowd)
    assert leaves(by_function, delivery, starter, crowd) == 30  # another person's is their own


def test_a_refused_proof_counts_nothing(ready, preparer, crowd, outside):
    for _ in range(3):
        assert leaves(by_function, ready, preparer, [*crowd, outside.pk]) == 0
    assert leaves(by_function, ready, preparer, crowd) == 30
