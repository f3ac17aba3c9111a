"""Importing profiles: all or nothing, told line by line."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from campaigns.models import Audience, Profile
from campaigns.models.people.imports import ProfileImport, StagedProfile
from campaigns.targeting import import_profiles
from campaigns.targeting.csv_profiles import FileError, ProfileFile

pytestmark = pytest.mark.django_db


def imported(text, **options):
    """Start and run an import of `text`; gives it back as it ended."""
    data = text.encode() if isinstance(text, str) else text
    held = import_profiles.start(data, "people.csv", by=None, **options)
    import_profiles.run(held.pk)
    held.refresh_from_db()
    return held


def test_new_addresses_become_profiles_and_known_ones_are_updated():
    Profile.objects.create(email="ann@example.com", first_name="Old", city="Oslo")
    held = imported("Email,First name\nANN@example.com,Ann\nbob@example.com,Bob\n")
    assert (held.state, held.created, held.updated) == ("done", 1, 1)
    ann = Profile.objects.get(email="ann@example.com")
    assert (ann.first_name, ann.city) == ("Ann", "Oslo")  # a column that the file lacks keeps its value
    assert Profile.objects.get(email="bob@example.com").first_name == "Bob"


def test_attributes_are_merged():
    Profile.objects.create(email="ann@example.com", attributes={"plan": "gold", "since": "2019"})
    imported("email;attributes.plan\nann@example.com;silver\n")
    assert Profile.objects.get().attributes == {"plan": "silver", "since": "2019"}


def test_one_bad_line_imports_nothing_and_is_reported():
    held = imported("email,birth_date\nann@example.com,1990-12-31\nbob@example.com,yesterday\n")
    assert (held.state, Profile.objects.count(), StagedProfile.objects.count()) == ("refused", 0, 0)
    problem = held.problems.get()
    assert (problem.line, problem.column) == (3, "birth_date")
    assert "1990-12-31" in problem.message


def test_bad_lines_can_be_left_out():
    held = imported("email\nann@example.com\nno address\n", skip_errors=True)
    assert (held.state, held.created, held.errors) == ("done", 1, 1)


def test_the_second_line_of_an_address_is_an_error_naming_the_first():
    held = imported("email\nann@example.com\nbob@example.com\nAnn@example.com\n", skip_errors=True)
    assert held.problems.get().message == "ann@example.com stands in line 2 already."
    assert held.created == 2


@pytest.mark.parametrize(
    "cell",
    ["", "ann", "a@b", '"ann@example.com\nbcc: x@example.com"', "jürgen@example.com", "a" * 250 + "@example.com"],
)
def test_what_is_no_address_is_an_error(cell):
    held = imported(f"email,city\n{cell},Oslo\n")
    assert (held.state, held.problems.get().column) == ("refused", "email")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "name the columns"),
        (b"name,city\nAnn,Oslo\n", "must be email"),
        (b"email,shoe size\n", "Unknown column 'shoe_size'"),
        (b"email,email\n", "twice"),
        (b"email\nann\xe9@example.com\n", "Line 2 is not UTF-8"),
        (b"email\nann\0@example.com\n", "NUL"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_once(data, words):
    with pytest.raises(FileError, match=words):
        import_profiles.start(data, "bad.csv", by=None)
    assert not ProfileImport.objects.exists()


def test_an_open_quotation_mark_is_one_clear_error():
    held = imported('email,city\nann@example.com,Oslo\nbob@example.com,"Ber\ngen\n')
    assert held.state == "refused"
    assert "quotation mark" in held.problems.get().message
    assert not Profile.objects.exists()


def test_a_line_with_too_few_values_says_so():
    held = imported("email,city\nann@example.com\n")
    assert held.problems.get().message == "1 values where the first line names 2 columns."


def test_imported_profiles_join_the_list():
    audience = Audience.objects.create(label="Readers", kind="list")
    imported("email\nann@example.com\nbob@example.com\n", audience=audience)
    imported("email\nann@example.com\n", audience=audience)
    assert sorted(audience.members.values_list("email", flat=True)) == ["ann@example.com", "bob@example.com"]


def test_a_killed_import_runs_again_from_the_start():
    held = import_profiles.start(b"email\nann@example.com\nbob@example.com\n", "people.csv", by=None)
    ProfileImport.objects.filter(pk=held.pk).update(state="reading", run=1, lines=1)
    held.run = 1
    import_profiles.stage_lines(held, list(ProfileFile(bytes(held.data)).lines())[:1])  # what the dead worker left
    import_profiles.run(held.pk)
    held.refresh_from_db()
    assert held.state == "reading" and not import_profiles.silent()  # its worker may live yet
    ProfileImport.objects.update(alive_at=timezone.now() - timedelta(minutes=2))
    assert import_profiles.silent().get() == held
    import_profiles.run(held.pk)
    held.refresh_from_db()
    assert (held.state, held.created, held.lines) == ("done", 2, 2)


def test_running_an_ended_import_again_changes_nothing():
    held = imported("email,city\nann@example.com,Oslo\n")
    Profile.objects.update(city="Bergen")
    import_profiles.run(held.pk)
    assert Profile.objects.get().city == "Bergen"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_never_a_crash(data):
    try:
        for line in ProfileFile(b"email,city\n" + data).lines():
            assert line.number >= 2
    except FileError as error:
        assert str(error)
