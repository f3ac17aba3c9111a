"""The command line: the same acts as everywhere, one line for a refusal, figures as text."""

import io

import pytest
from django.core.management import CommandError, call_command

from campaigns.models import Profile
from deliveries.lifecycle import commands
from deliveries.management import terminal
from deliveries.models.states import State
from deliveries.preparation import prepare

pytestmark = pytest.mark.django_db


def manage(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def delivery(message, routing, starter):
    Profile.objects.bulk_create([Profile(email="a@example.com"), Profile(email="")])
    return commands.create_delivery(message, starter)


@pytest.fixture
def ready(delivery, starter):
    commands.prepare(delivery, starter)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def test_acts_go_from_prepare_to_stop(delivery):
    assert "starter started to prepare Spring" in manage("prepare", delivery.code, "--as", "starter")
    prepare.run(delivery.pk)
    assert "Confirmed by starter" in manage("confirm", delivery.code.lower(), "--as", "starter")
    manage("pause", str(delivery.pk), "--as", "starter")
    manage("resume", delivery.code, "--as", "starter")
    assert "Stopped by starter: Spring" in manage("stop", delivery.code, "--as", "starter")
    delivery.refresh_from_db()
    assert delivery.state == State.STOPPED


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("confirm", "DM{pk}", "--as", "preparer"), "do not hold the role"),
        (("confirm", "DM{pk}", "--as", "nobody"), "no user 'nobody'"),
        (("confirm", "DM999", "--as", "starter"), "no delivery DM999"),
        (("pause", "DM{pk}", "--as", "starter"), "cannot be paused"),
        (("watch", "DM"), "write its code"),
    ],
)
def test_a_refusal_is_one_line(ready, preparer, arguments, words):
    with pytest.raises(CommandError) as refusal:
        manage(*(part.format(pk=ready.pk) for part in arguments))
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_watching_shows_the_figures_and_ends_when_nothing_moves(ready):
    assert manage("watch", ready.code) == f"{ready.code} Ready: Targeted 2, Excluded 1, To deliver 1\n"


def test_waiting_for_a_preparation_ends_with_its_errors(delivery, message, monkeypatch):
    message.html = "{{ nobody }}"
    message.save()
    monkeypatch.setattr(terminal.time, "sleep", lambda seconds: prepare.run(delivery.pk))
    with pytest.raises(CommandError, match="HTML, line 1"):
        manage("prepare", delivery.code, "--as", "starter", "--wait")


def test_a_terminal_is_drawn_over(ready):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    terminal.watch(ready, out)
    assert out.getvalue().startswith(f"Spring ({ready.code}): Ready\n")
    assert "Targeted 2   Excluded 1   To deliver 1" in out.getvalue()


def test_deliveries_are_listed_newest_first(ready):
    listed = manage("deliveries").splitlines()
    assert listed[0].split() == ["CODE", "STATE", "TO", "DELIVER", "DELIVERED", "ERRORS", "LABEL"]
    assert listed[1].startswith(ready.code) and "Ready to be delivered" in listed[1] and listed[1].endswith("Spring")


def test_proofs_and_approvals(ready, make_user):
    from campaigns.models import ProofDomain, TestProfile

    make_user("other", "Start deliveries")
    ProofDomain.objects.create(domain="example.org")
    TestProfile.objects.create(label="Rita", email="rita@example.org")
    profile = ready.sending_logs.get().profile_id
    told = manage("proof", ready.code, "--as", "starter", "--all", "--substitute", f"{profile}:boss@example.org:VIP")
    assert told == f"Proof 1 of {ready} is on its way to 2.\n"
    assert "Approved by other" in manage("approve", ready.code, "--as", "other", "--comment", "Good")
    assert [verdict.comment for verdict in ready.verdicts.all()] == ["Good"]
    assert "Refused by other" in manage("refuse", ready.code, "--as", "other")
    with pytest.raises(CommandError, match="There is no test profile 'Bob'"):
        manage("proof", ready.code, "--as", "starter", "--to", "Bob")
