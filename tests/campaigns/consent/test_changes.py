"""Consent: nobody is opted in again by accident, each change has its history, and one room writes both."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from campaigns.consent import changes as consent
from campaigns.consent.changes import Origin, ReceivedMessage, Way
from campaigns.models import Profile
from campaigns.models.audit.entries import AuditEntry
from campaigns.models.people.consent import FLAGS, AddressOptIn, ConsentChange, OutsideConsent
from campaigns.models.units import OrganizationalUnit, PersonUnit
from campaigns.targeting import import_profiles
from deliveries.preparation.target import Target
from deliveries.preparation.target_table import TARGET, rows
from tests.campaigns.targeting.test_import_profiles import imported
from tests.deliveries.page_form import posted

pytestmark = pytest.mark.django_db

A = "ann@example.com"
FORM = Origin(Way.FORM)


@pytest.fixture
def ann() -> Profile:
    """Opted out of e-mail by staff."""
    person = Profile.objects.create(email=A, first_name="Ann", attributes={"plan": "gold"})
    consent.opt_out([person.pk], ["opt_out_email"], FORM)
    return Profile.objects.get(pk=person.pk)


def out(address: str = A) -> bool:
    return Profile.objects.get(email=address).opt_out_email


def letter(number: int, address: str = A, profile: int | None = None) -> ReceivedMessage:
    return ReceivedMessage(number, 7, address, profile)


def reached() -> set[str]:
    """Whom a delivery to everybody would mail."""
    with Target() as target:
        target.add(Profile.objects.all())
        target.exclude()
        return {address for (address,) in rows(f"SELECT address FROM {TARGET} WHERE cause = 0")}


def ways() -> list[tuple[str, bool, bool]]:
    return list(ConsentChange.objects.order_by("pk").values_list("way", "before", "after"))


def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    client.default_format = "json"
    return client


def page(user: Any, profile: Profile) -> tuple[Client, str, dict[str, Any]]:
    """Staff opens a profile's form. Out: the browser, the address, and what it would send."""
    client, path = Client(), f"/admin/campaigns/profile/{profile.pk}/change/"
    client.force_login(user)
    return client, path, posted(client.get(path).content.decode())


# --- Imports ---------------------------------------------------------------------------------------------------------


def test_an_empty_cell_says_nothing(ann: Profile) -> None:
    held = imported(f"email;first_name;city;birth_date;gender;opt_out_email;attributes.plan\n{A};;Bergen;;;;\n")
    ann.refresh_from_db()
    assert (ann.opt_out_email, ann.first_name, ann.city, ann.attributes) == (True, "Ann", "Bergen", {"plan": "gold"})
    assert (held.updated, held.stay_out, held.opted_in) == (1, 0, 0)


def test_empty_cells_clear_if_the_import_says_so_but_never_an_opt_out(ann: Profile) -> None:
    imported(f"email;first_name;birth_date;opt_out_email;attributes.plan\n{A};;;;\n", empty_clears=True)
    ann.refresh_from_db()
    assert (ann.opt_out_email, ann.first_name, ann.attributes) == (True, "", {"plan": ""})


@pytest.mark.parametrize("cell", ["no", "false", "0", "N"])
@pytest.mark.parametrize("clears", [False, True])
def test_an_explicit_no_without_a_source_leaves_the_opt_out_and_is_reported(
    ann: Profile, cell: str, clears: bool
) -> None:
    held = imported(f"email,opt_out_email\nbob@example.com,no\n{A},{cell}\n", empty_clears=clears)
    assert out()
    assert (held.state, held.stay_out, held.opted_in) == ("done", 1, 0)
    problem = held.problems.get()
    assert (problem.line, problem.column) == (3, "opt_out_email")
    assert problem.message.startswith("Stays opted out")


def test_an_explicit_no_with_a_source_opts_in_again(ann: Profile, starter: Any) -> None:
    data = f"email,opt_out_email\n{A},no\nnew@example.com,no\n".encode()
    held = import_profiles.start(data, "p.csv", by=starter, consent_source="paper form of 12 May")
    import_profiles.run(held.pk)
    held.refresh_from_db()
    assert not out()
    assert (held.opted_in, held.stay_out) == (1, 0)
    change = ConsentChange.objects.latest("pk")
    told = (change.way, change.source, change.by_id, change.by_name, change.profile_import)
    assert told == ("import", "paper form of 12 May", starter.pk, "starter", held.pk)
    entry = AuditEntry.objects.get(act="consent.opted_in")
    assert entry.told["source"] == "paper form of 12 May"
    assert A not in entry.content + entry.subject + entry.subject_id


def test_an_import_opts_out_known_and_new_profiles_and_says_how_many() -> None:
    Profile.objects.create(email=A)
    held = imported(f"email,opt_out,opt_out_email\n{A},,yes\nnew@example.com,yes,yes\nother@example.com,,no\n")
    assert (held.created, held.updated, held.opted_out, held.stay_out) == (2, 1, 2, 0)
    assert Profile.objects.get(email="new@example.com").opt_out
    assert ConsentChange.objects.filter(way="import", before=False, after=True).count() == 3


def test_importing_an_address_that_a_letter_took_out_does_not_bring_it_back() -> None:
    consent.opt_out_mailbox(letter(1), Way.LINK)
    held = imported(f"email,opt_out_email\n{A},no\n")
    assert (held.created, held.stay_out) == (1, 1)
    assert reached() == set()


def test_with_a_source_the_imported_profile_alone_gets_mail_at_that_address() -> None:
    consent.opt_out_mailbox(letter(1), Way.LINK)
    held = imported(f"email,opt_out_email\n{A},no\n", consent_source="paper form")
    assert (held.opted_in, reached()) == (1, {A})
    assert AddressOptIn.objects.get().profile.email == A
    Profile.objects.all().delete()
    imported(f"email\n{A}\n")
    assert reached() == set()


def test_the_upload_form_asks_for_the_source(starter: Any, ann: Profile) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    client = Client()
    client.force_login(starter)

    def upload(**fields: str) -> Any:
        file = SimpleUploadedFile("p.csv", f"email,opt_out_email\n{A},no\n".encode())
        return client.post("/admin/campaigns/profileimport/add/", {"file": file, **fields})

    assert "where these people said" in upload(may_opt_in="on").content.decode()
    assert "Tick" in upload(consent_source="paper form").content.decode()
    assert upload(may_opt_in="on", consent_source="paper form", empty_clears="on").status_code == 302
    held = import_profiles.ProfileImport.objects.get()
    assert (held.consent_source, held.empty_clears) == ("paper form", True)
    import_profiles.run(held.pk)
    assert "Opted in again" in client.get(f"/admin/campaigns/profileimport/{held.pk}/change/").content.decode()


# --- The API ---------------------------------------------------------------------------------------------------------


def test_the_api_opts_in_again_with_a_source_alone(ann: Profile, starter: Any) -> None:
    path = f"/api/profiles/{ann.pk}/"
    refused = api(starter).patch(path, {"opt_out_email": False, "city": "Oslo"})
    assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (400, "consent_source")
    ann.refresh_from_db()
    assert (ann.opt_out_email, ann.city) == (True, "")
    answer = api(starter).patch(path, {"opt_out_email": False, "consent_source": "call of 3 June"})
    assert (answer.status_code, answer.json()["opt_out_email"]) == (200, False)
    assert "consent_source" not in answer.json()
    change = ConsentChange.objects.latest("pk")
    assert (change.way, change.source, change.by_name) == ("api", "call of 3 June", "starter")
    entry = AuditEntry.objects.get(act="consent.opted_in")
    assert (entry.subject_id, entry.told["source"]) == (str(ann.pk), "call of 3 June")
    assert A not in entry.content + entry.subject


@pytest.mark.parametrize("said", [{}, {"opt_out_email": None}, {"consent_source": "x"}])
def test_null_or_nothing_says_nothing(ann: Profile, starter: Any, said: dict[str, Any]) -> None:
    assert api(starter).patch(f"/api/profiles/{ann.pk}/", {"city": "Oslo", **said}).status_code == 200
    assert out()


def test_what_is_not_opted_out_may_be_said_so_without_a_source(starter: Any) -> None:
    person = Profile.objects.create(email=A)
    said = {"opt_out": False, "opt_out_email": False}
    assert api(starter).patch(f"/api/profiles/{person.pk}/", said).status_code == 200
    assert api(starter).post("/api/profiles/", {"email": "b@example.com", **said}).status_code == 201
    assert not ConsentChange.objects.exists()


def test_a_profile_made_by_the_api_at_an_opted_out_address_needs_a_source_to_get_mail(starter: Any) -> None:
    consent.opt_out_mailbox(letter(1), Way.ONE_CLICK)
    made = api(starter).post("/api/profiles/", {"email": A, "opt_out_email": False}).json()
    assert (made["opt_out_email"], made["address_opted_out"], reached()) == (False, True, set())
    path, said = f"/api/profiles/{made['id']}/", {"opt_out_email": False, "consent_source": "web form"}
    assert api(starter).patch(path, said).json()["address_opted_out"] is False
    assert reached() == {A}


@pytest.mark.parametrize("value", [None, ""])
def test_null_in_a_bulk_call_says_nothing(ann: Profile, starter: Any, value: Any) -> None:
    row = {"email": A, "first_name": value, "opt_out_email": value, "attributes": {"plan": value}, "city": "Oslo"}
    answer = api(starter).post("/api/profiles/bulk/", {"profiles": [row]}).json()
    ann.refresh_from_db()
    assert (ann.opt_out_email, ann.first_name, ann.city, ann.attributes) == (True, "Ann", "Oslo", {"plan": "gold"})
    assert (answer["updated"], answer["stay_out"]) == (1, [])
    api(starter).post("/api/profiles/bulk/", {"profiles": [row], "empty_clears": True})
    ann.refresh_from_db()
    assert (ann.opt_out_email, ann.first_name, ann.attributes) == (True, "", {"plan": ""})


def test_a_bulk_call_says_which_rows_stay_opted_out(ann: Profile, starter: Any) -> None:
    people = [{"email": "b@example.com", "city": "Oslo"}, {"email": A, "opt_out_email": False}]
    answer = api(starter).post("/api/profiles/bulk/", {"profiles": people}).json()
    assert answer == {"created": 1, "updated": 1, "opted_out": 0, "opted_in": 0, "stay_out": [1]}
    assert out()
    answer = api(starter).post("/api/profiles/bulk/", {"profiles": people, "consent_source": "fair in June"}).json()
    assert (answer["opted_in"], answer["stay_out"], out()) == (1, [], False)
    assert ConsentChange.objects.latest("pk").source == "fair in June"


def test_the_history_is_had_from_the_api_by_whoever_may_read_the_profile(
    ann: Profile, starter: Any, make_user: Any
) -> None:
    path = f"/api/profiles/{ann.pk}/consent/"
    [row] = api(starter).get(path).json()["results"]
    assert (row["flag"], row["before"], row["after"], row["way"]) == ("opt_out_email", False, True, "form")
    assert api(make_user("nobody")).get(path).status_code == 403
    here = OrganizationalUnit.objects.create(label="Here", name="here", parent_id=ann.unit_id)
    there = OrganizationalUnit.objects.create(label="There", name="there", parent_id=ann.unit_id)
    Profile.objects.filter(pk=ann.pk).update(unit=here)
    stranger = make_user("stranger", "Start deliveries")
    stranger.groups.get().unit_given.delete()
    PersonUnit.objects.create(user=stranger, unit=there)
    assert api(stranger).get(path).status_code == 404


# --- The form ---------------------------------------------------------------------------------------------------------


def test_a_form_that_was_opened_before_the_opt_out_keeps_it(starter: Any) -> None:
    person = Profile.objects.create(email=A, first_name="Ann", city="Oslo")
    client, path, fields = page(starter, person)
    api(starter).patch(f"/api/profiles/{person.pk}/", {"opt_out_email": True, "first_name": "Anne"})
    told = client.post(path, fields | {"city": "Bergen"})  # nothing is saved before it is known
    assert "opted out of e-mail" in " ".join(told.context["adminform"].form.non_field_errors())
    assert client.post(path, posted(told.content.decode())).status_code == 302
    person.refresh_from_db()
    assert (person.opt_out_email, person.first_name, person.city) == (True, "Anne", "Bergen")


def test_clearing_the_box_is_no_opting_in(ann: Profile, starter: Any) -> None:
    client, path, fields = page(starter, ann)
    fields.pop("opt_out_email", None)
    assert client.post(path, fields | {"opt_out_email": "", "city": "Oslo"}).status_code == 302
    assert out()


def test_the_form_opts_out_and_says_who(starter: Any) -> None:
    person = Profile.objects.create(email=A)
    client, path, fields = page(starter, person)
    assert "opt_in_again" not in client.get(path).content.decode()
    client.post(path, fields | {"opt_out": "on"})
    assert Profile.objects.get().opt_out
    change = ConsentChange.objects.get()
    assert (change.flag, change.way, change.by, change.by_name) == ("opt_out", "form", starter, "starter")
    assert AuditEntry.objects.get(act="consent.opted_out").subject_id == str(person.pk)


def test_opting_in_again_on_the_form_needs_its_source(ann: Profile, starter: Any) -> None:
    client, path, fields = page(starter, ann)
    answer = client.post(path, fields | {"opt_in_again": ["opt_out_email"]})
    assert "Opting in again needs its source" in answer.content.decode()
    assert out()
    fields |= {"opt_in_again": ["opt_out_email"], "consent_source": "paper form of 12 May"}
    assert client.post(path, fields).status_code == 302
    assert not out()
    shown = client.get(path).content.decode()
    assert "opted in again to e-mail" in shown
    assert "paper form of 12 May" in shown


def test_the_form_does_not_opt_in_over_a_word_that_came_meanwhile(ann: Profile, starter: Any) -> None:
    client, path, fields = page(starter, ann)
    consent.opt_out_mailbox(letter(9, profile=ann.pk), Way.ONE_CLICK)
    fields |= {"opt_in_again": ["opt_out_email"], "consent_source": "paper form"}
    answer = client.post(path, fields)
    assert "Consent changed since you opened this page" in answer.content.decode()
    assert out()
    again = posted(answer.content.decode()) | {"opt_in_again": ["opt_out_email"], "consent_source": "paper form"}
    assert client.post(path, again).status_code == 302
    assert reached() == {A}


def test_a_profile_at_an_opted_out_address_says_by_which_message(starter: Any) -> None:
    consent.opt_out_mailbox(letter(1), Way.LINK)
    person = Profile.objects.create(email=A)
    client, path, fields = page(starter, person)
    shown = client.get(path).content.decode()
    assert "opted out by the link of a message" in shown
    assert "DM7" in shown
    client.post(path, fields | {"opt_in_again": ["opt_out_email"], "consent_source": "call"})
    assert reached() == {A}


def test_an_opt_out_without_history_says_so(starter: Any) -> None:
    person = Profile.objects.create(email=A, opt_out_email=True)
    ConsentChange.objects.all().delete()  # as before there was one
    client, path, _fields = page(starter, person)
    assert "before changes of consent were noted" in client.get(path).content.decode()


# --- One writer ----------------------------------------------------------------------------------------------------


def test_saving_an_old_copy_of_a_profile_does_not_opt_it_in_again() -> None:
    Profile.objects.create(email=A)
    old = Profile.objects.get()
    consent.opt_out([old.pk], FLAGS, FORM)
    old.city = "Oslo"
    old.save()
    old.save(update_fields=["city", *FLAGS])
    now = Profile.objects.get()
    assert (now.opt_out, now.opt_out_email, now.city) == (True, True, "Oslo")


def test_opt_outs_cannot_be_changed_past_the_room(ann: Profile) -> None:
    def changed() -> None:
        ann.opt_out_email = False
        ann.save()

    other = Profile(pk=ann.pk, email=A)
    for past in (
        changed,
        lambda: Profile.objects.update(opt_out_email=False),
        lambda: Profile.objects.bulk_update([ann], ["opt_out"]),
        lambda: Profile.objects.bulk_create(
            [other], update_conflicts=True, unique_fields=["id"], update_fields=["opt_out_email"]
        ),
    ):
        with pytest.raises(OutsideConsent):
            past()
    assert out()


def test_no_other_room_writes_opt_outs() -> None:
    """Statements and assignments by their text: what the guards of the model cannot see."""
    root = Path(consent.__file__).parents[2]
    writes = re.compile(
        r"\.switch\(|opt_out(_email)?\s*=[^=].*\.(update|save)\(|\.opt_out(_email)?\s*=[^=]|SET opt_out"
        r"|_base_manager.*opt_out|UPDATE \{?_?(PROFILE|campaigns_profile)"
    )
    found = {
        f"{path.relative_to(root)}"
        for app in ("campaigns", "deliveries", "reporting", "config")
        for path in (root / app).rglob("*.py")
        if "migrations" not in path.parts and writes.search(path.read_text())
    }
    assert found == {
        "campaigns/consent/changes.py",
        "campaigns/consent/staged.py",
        "campaigns/targeting/import_profiles.py",
    }
    assert {*FLAGS}.isdisjoint(re.findall(r"\w+", import_profiles._update_sql(["email", *FLAGS, "city"], "", True)))


def test_a_profile_made_opted_out_begins_its_history_so() -> None:
    Profile.objects.create(email=A, opt_out=True)
    Profile.objects.bulk_create([Profile(email="b@example.com", opt_out_email=True), Profile(email="c@example.com")])
    assert ways() == [("program", False, True)] * 2


def test_the_history_goes_with_the_profile_and_the_address_stays_out(ann: Profile) -> None:
    consent.opt_out_mailbox(letter(1, profile=ann.pk), Way.LINK)
    ann.delete()
    assert not ConsentChange.objects.exists()
    Profile.objects.create(email=A)
    assert reached() == set()


def test_deleting_the_account_keeps_its_name_in_the_history(starter: Any) -> None:
    person = Profile.objects.create(email=A)
    consent.opt_out([person.pk], ["opt_out"], Origin(Way.FORM, by=starter))
    starter.delete()
    assert ConsentChange.objects.values_list("by", "by_name").get() == (None, "starter")


# --- Any road, in any order ----------------------------------------------------------------------------------------


class Walk:
    """Two people at one address and a third, whom letters, staff, programs and files opt out and in at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        people = Profile.objects.bulk_create(Profile(email=e) for e in (A, A, "bob@example.com"))
        self.keys = [one.pk for one in people]
        self.explicit = False

    def step(self) -> None:
        """One act; `explicit` if it may opt somebody in again."""
        act = self.chance.choice((self.by_letter, self.undone, self.by_staff, self.by_file, self.by_bulk, self.saved))
        self.explicit = False
        act()

    def _letter(self) -> ReceivedMessage:
        number = self.chance.randrange(1, 4)
        return letter(number, A, self.keys[number % 2])

    def by_letter(self) -> None:
        """Sometimes twice."""
        for _ in range(self.chance.choice((1, 1, 2))):
            consent.opt_out_mailbox(one := self._letter(), self.chance.choice((Way.LINK, Way.ONE_CLICK)))
            assert consent.mailbox_is_out(one)

    def undone(self) -> None:
        """Of a letter that may have done nothing."""
        self.explicit = True
        consent.undo(self._letter())

    def by_staff(self) -> None:
        """Out or in, of one."""
        key, flag = self.chance.choice(self.keys), self.chance.choice(FLAGS)
        if self.chance.random() < 0.6:
            consent.opt_out([key], [flag], FORM)
            return
        self.explicit = True
        consent.opt_in(key, [flag], Origin(Way.API, source="said so"))

    def by_file(self) -> None:
        """A file with any cells, with a source or none."""
        source = self.chance.choice(("", "", "paper"))
        self.explicit = bool(source)
        words = ("", "yes", "no")
        cells = [f"{e},{self.chance.choice(words)},{self.chance.choice(words)}" for e in (A, "bob@example.com")]
        clears = self.chance.random() < 0.5
        imported("email,opt_out,opt_out_email\n" + "\n".join(cells) + "\n", consent_source=source, empty_clears=clears)

    def by_bulk(self) -> None:
        """Null, true or false."""
        from campaigns.targeting.bulk_upsert import upsert

        source = self.chance.choice(("", "", "web form"))
        self.explicit = bool(source)
        values = (None, True, False)
        upsert([{"email": A, "opt_out_email": self.chance.choice(values)}], Origin(Way.BULK, source=source))

    def saved(self) -> None:
        """Something else, from an old copy."""
        old = list(Profile.objects.all())
        consent.opt_out(self.keys[:1], ["opt_out_email"], FORM)
        for one in old:
            one.city = "Oslo"
            one.save()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_no_wish_is_lost_and_the_history_tells_it(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(14):
        before, mailed = _flags(), reached()
        walk.step()
        after = _flags()
        back = [key for key in before if before[key] and not after[key]]
        assert walk.explicit or not (back or reached() - mailed)
        assert {key: _last_word(*key) for key in after} == after


def _flags() -> dict[tuple[int, str], bool]:
    return {(one.pk, flag): getattr(one, flag) for one in Profile.objects.all() for flag in FLAGS}


def _last_word(profile: int, flag: str) -> bool:
    changes = ConsentChange.objects.filter(profile=profile, flag=flag).order_by("pk")
    told = list(changes.values_list("before", "after"))
    assert all(was == then for (_, was), (then, _) in pairwise(told))
    return told[-1][1] if told else False
