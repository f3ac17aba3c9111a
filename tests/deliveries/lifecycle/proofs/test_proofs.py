"""Proofs: who gets them, what they look like, where they do not count, and what their readers say."""

import re
from email import message_from_bytes, policy

import pytest
from django.core.exceptions import PermissionDenied

from campaigns.models import Message, Profile, ProofDomain, TestProfile
from deliveries.feedback import circuit_breaker
from deliveries.lifecycle import approving, commands
from deliveries.lifecycle.proofs import links, proofs
from deliveries.lifecycle.proofs.proofs import Substitution
from deliveries.models import Delivery, Proof, ProofRecipient, Routing, SendingLog, Verdict
from deliveries.models.states import LogStatus, Reason, State
from deliveries.preparation import prepare
from deliveries.sending import connections, work_on_batch
from tests.campaigns.content.liquid.heavy_templates import ATTACK, within

pytestmark = pytest.mark.django_db
really_sent = pytest.mark.django_db(transaction=True)  # over the wire, and told after the commit


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journals"
    yield
    connections.hang_up()


@pytest.fixture
def people():
    Profile.objects.bulk_create(Profile(email=f"user{i}@example.net", first_name=f"User {i}") for i in range(3))
    return list(Profile.objects.order_by("pk"))


@pytest.fixture
def delivery(message, routing, preparer, people):
    ProofDomain.objects.create(domain="example.org")  # of readers; test_proof_rules.py asks about others
    return commands.create_delivery(message, preparer)


@pytest.fixture
def ready(delivery, preparer):
    return prepared(delivery, preparer)


@pytest.fixture
def seed():
    return TestProfile.objects.create(label="Proof reader", email="Reader@Example.org", first_name="Rita")


@pytest.fixture
def post(serve, routing):
    """post(proof) sends it to a real server. Out: its mails, in the order of arrival."""
    server = serve()
    Routing.objects.filter(pk=routing.pk).update(port=server.port)

    def send(proof):
        for carrier in Delivery.everything.filter(proof=proof).order_by("pk"):
            for batch in carrier.batches.all():
                work_on_batch.send(batch.pk)
        return [message_from_bytes(body, policy=policy.default) for _, _, body in server.messages]

    return send


def prepared(delivery, by):
    commands.prepare(delivery, by)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.READY
    return delivery


def refused(code, act, *args, **kwargs):
    with pytest.raises(commands.Refused) as caught:
        act(*args, **kwargs)
    assert caught.value.code == code
    return caught.value.message


@really_sent
def test_a_test_profile_gets_the_message_as_it_stands_with_prefix_and_link(delivery, preparer, seed, post):
    proof = proofs.send_proof(delivery, preparer, readers=[seed.pk])
    [mail] = post(proof)
    assert mail["Subject"] == "[Proof 1] Hello Rita"
    assert mail["To"] == "Rita <reader@example.org>"
    html = mail.get_body(("html",)).get_content()
    [link] = re.findall(r'href="([^"]+/proof/[^"]+)"', html)
    reader = links.reader_of(link.rstrip("/").rpartition("/")[2])
    assert reader.address == "reader@example.org" and reader.proof == proof
    assert link in mail.get_body(("plain",)).get_content()
    [carrier] = Delivery.everything.filter(proof=proof)
    assert carrier.state == State.FINISHED and carrier.sending_logs.get().test_profile


@really_sent
def test_a_substitution_shows_a_profile_of_the_target_to_another_address(ready, preparer, people, post):
    rows = [Substitution(person.pk, "boss@example.org", "VIP" * (n == 1)) for n, person in enumerate(people)]
    proof = proofs.send_proof(ready, preparer, substitutions=rows)
    subjects = sorted(mail["Subject"] for mail in post(proof))
    assert subjects == ["[Proof 1] Hello User 0", "[Proof 1] Hello User 2", "[Proof 1] [VIP] Hello User 1"]
    logs = SendingLog.objects.filter(delivery__proof=proof)
    assert not logs.filter(profile__isnull=False).exists() and not logs.filter(test_profile=True).exists()


@pytest.mark.parametrize(
    ("prefix", "hidden", "own", "shown"),
    [
        ("Proof", False, "", "[Proof 7] "),
        ("Proof", True, "", "[Proof] "),
        ("", False, "", ""),
        ("", True, "", ""),
        ("Test", False, "Boss", "[Boss 7] "),
    ],
)
def test_the_prefix_is_as_the_message_says(message, prefix, hidden, own, shown):
    message.proof_prefix, message.hide_proof_number = prefix, hidden
    assert proofs.subject_prefix(message, 7, own) == shown


def test_a_test_profile_that_is_switched_off_gets_none_and_what_was_sent_needs_none(ready, preparer, starter, seed):
    TestProfile.objects.update(proofs=False)
    refused("nobody", proofs.send_proof, ready, preparer, readers=[seed.pk])
    TestProfile.objects.update(proofs=True)
    commands.confirm(ready, starter)
    refused("not_editable", proofs.send_proof, ready, preparer, readers=[seed.pk])


def test_numbers_rise_with_each_proof(delivery, preparer, seed):
    sent = [proofs.send_proof(delivery, preparer, readers=[seed.pk]).number for _ in range(3)]
    assert sent == [1, 2, 3]


def test_more_than_a_hundred_are_refused_in_red_and_nothing_leaves(ready, preparer, people):
    rows = [Substitution(people[0].pk, f"r{n}@example.org") for n in range(101)]
    assert "Proof size" in refused("proof_size", proofs.send_proof, ready, preparer, substitutions=rows)
    assert ready.events.filter(code="proof-size", severity=2).count() == 1
    assert not Proof.objects.exists()
    proofs.send_proof(ready, preparer, substitutions=rows[:100])


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (Substitution(0, "a@example.org"), "not_targeted"),
        (Substitution(1, "nobody"), "bad_address"),
        (Substitution(1, "a@example.org", "x" * 501), "bad_prefix"),
        (Substitution(1, "a@example.org", "a\nb"), "bad_prefix"),
    ],
)
def test_a_wrong_substitution_is_refused(ready, preparer, row, code):
    refused(code, proofs.send_proof, ready, preparer, substitutions=[row])


def test_a_substitution_needs_a_preparation_of_what_stands(delivery, preparer, people):
    row = [Substitution(people[0].pk, "a@example.org")]
    refused("not_prepared", proofs.send_proof, delivery, preparer, substitutions=row)
    prepared(delivery, preparer)
    delivery.message.subject = "Other"
    delivery.message.save()
    refused("not_prepared", proofs.send_proof, delivery, preparer, substitutions=row)


def test_a_broken_message_sends_no_proof(delivery, preparer, seed):
    delivery.message.html = "<p>{{ first_name"
    delivery.message.save()
    refused("content", proofs.send_proof, delivery, preparer, readers=[seed.pk])
    refused("nobody", proofs.send_proof, delivery, preparer)


def test_a_proof_that_takes_too_much_work_is_refused_at_once_with_words(delivery, preparer, seed):
    Message.objects.filter(pk=delivery.message_id).update(html=ATTACK)
    delivery.message.refresh_from_db()
    with within(5):
        words = refused("content", proofs.send_proof, delivery, preparer, readers=[seed.pk])
    assert "it does more work than one message may" in words
    assert not Proof.objects.exists()


@really_sent
def test_a_proof_too_dear_for_its_reader_fails_at_once_and_is_not_leased_again(delivery, preparer, seed, post):
    loop = "{% assign parts = first_name | split: '~' %}" + "{% for a in parts %}" * 4 + "x" + "{% endfor %}" * 4
    Message.objects.filter(pk=delivery.message_id).update(html=f"<p>{loop}</p>")
    delivery.message.refresh_from_db()
    TestProfile.objects.update(first_name="x~" * 100)
    proof = proofs.send_proof(delivery, preparer, readers=[seed.pk])
    with within(5):
        assert post(proof) == [] == post(proof)
    log = SendingLog.objects.get()
    assert (log.status, log.reason, log.claims, log.due_at) == (LogStatus.FAILED, Reason.NOT_BUILT, 0, None)
    assert Delivery.everything.get(proof=proof).state == State.FINISHED


def test_sending_a_proof_takes_the_role(delivery, make_user, seed):
    with pytest.raises(PermissionDenied):
        proofs.send_proof(delivery, make_user("nobody"), readers=[seed.pk])


@really_sent
def test_a_proof_counts_nowhere(ready, preparer, people, post, client, starter):
    before = list(Delivery.objects.values_list("pk", "to_deliver", "targeted"))
    proof = proofs.send_proof(ready, preparer, substitutions=[Substitution(people[0].pk, "boss@example.org")])
    post(proof)
    [carrier] = Delivery.everything.filter(proof=proof)
    assert list(Delivery.objects.values_list("pk", "to_deliver", "targeted")) == before
    assert not ready.sending_logs.exclude(status=LogStatus.PENDING).exists()
    assert not circuit_breaker.check(carrier.pk)
    client.force_login(starter)
    assert client.get(f"/admin/deliveries/delivery/{carrier.pk}/change/").status_code in (302, 404)
    assert carrier.label not in client.get("/admin/deliveries/delivery/").content.decode()
    assert client.get(f"/api/deliveries/{carrier.pk}/").status_code == 404
    assert [row["id"] for row in client.get("/api/deliveries/").json()["results"]] == [ready.pk]


@really_sent
def test_a_click_in_a_proof_counts_for_the_proof_alone(ready, preparer, people, post):
    from reporting.tracking import destinations

    proof = proofs.send_proof(ready, preparer, substitutions=[Substitution(people[0].pk, "boss@example.org")])
    [mail] = post(proof)
    token = re.search(r"/t/c/([a-z0-9]+)/0", mail.get_body(("html",)).get_content())[1]
    log = destinations.recipient(token, "link")
    assert log.delivery_id != ready.pk and log.delivery.proof_id == proof.pk
    assert destinations.of_link(token, 0).url == "https://example.com/news"


def test_opting_out_from_a_proof_opts_nobody_out(ready, preparer, people):
    from reporting.tracking import collect, opt_out

    proof = proofs.send_proof(ready, preparer, substitutions=[Substitution(people[0].pk, "boss@example.org")])
    opt_out.opt_out(proof.recipients.get().sending_log, collect.visit({}))
    assert not Profile.objects.filter(opt_out_email=True).exists()


def test_the_history_of_a_profile_marks_the_proof(ready, preparer, people):
    from campaigns.models import Campaign
    from reporting.figures.history import history

    proofs.send_proof(ready, preparer, substitutions=[Substitution(people[0].pk, "boss@example.org")])
    found = history(people[0], Campaign.objects.all())
    assert [(entry.kind, entry.delivery.pk) for entry in found.entries] == [("proof", ready.pk)]
    assert found.outbound == found.touchpoints == 0


def test_deleting_the_delivery_takes_its_proofs_along(ready, preparer, seed):
    from deliveries.lifecycle import deletion

    proofs.send_proof(ready, preparer, readers=[seed.pk])
    deletion.delete(ready, preparer)
    assert not (Delivery.everything.exists() or Proof.objects.exists() or SendingLog.objects.exists())


def test_a_restored_copy_sends_no_proof(delivery, preparer, seed):
    from deliveries.workers import restored_copy

    proof = proofs.send_proof(delivery, preparer, readers=[seed.pk])
    restored_copy.hold_everything("Restored.")
    assert Delivery.everything.get(proof=proof).state == State.STOPPED


# --- what readers say -------------------------------------------------------------------------------------------------


@pytest.fixture
def link(ready, preparer, seed):
    proof = proofs.send_proof(ready, preparer, readers=[seed.pk])
    return "/proof/" + links.url_of(ProofRecipient.objects.get(proof=proof)).partition("/proof/")[2]


def test_looking_behind_the_link_decides_nothing(client, link):
    answer = client.get(link)
    page = answer.content.decode()
    assert answer.status_code == 200 and "Approve" in page and "Press one of" not in page
    assert client.head(link).status_code == 200
    assert not Verdict.objects.exists()


@really_sent
def test_the_reader_refuses_with_a_comment_and_those_concerned_hear_of_it(client, link, ready, mailoutbox, preparer):
    answer = client.post(link, {"verdict": "refuse", "comment": "The price is wrong"})
    assert "Refused, thank you" in answer.content.decode()
    verdict = Verdict.objects.get()
    assert (verdict.approved, verdict.comment, verdict.who) == (False, "The price is wrong", "reader@example.org")
    assert verdict.proof.number == 1
    assert ready.events.filter(code="refused", message__contains="The price is wrong").count() == 1
    assert [mail.to for mail in mailoutbox] == [[preparer.email]]


@really_sent
def test_a_double_click_is_one_verdict_and_a_change_of_mind_another(client, link, ready, mailoutbox):
    for _ in range(2):
        client.post(link, {"verdict": "approve", "comment": " Fine "})
    assert Verdict.objects.count() == len(mailoutbox) == 1
    client.post(link, {"verdict": "refuse", "comment": "Fine"})
    assert [verdict.approved for verdict in Verdict.objects.order_by("pk")] == [True, False]


def test_a_forged_or_old_link_leads_nowhere(client, link, monkeypatch):
    assert client.get(link[:-3] + "xx/").status_code == 404
    assert client.post("/proof/1/", {"verdict": "approve"}).status_code == 404
    monkeypatch.setattr(links, "DAYS", -1)
    assert client.get(link).status_code == 404
    assert not Verdict.objects.exists()


def test_a_link_outlives_the_key_it_was_signed_with_as_long_as_that_is_listed(client, link, settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the-key-of-tomorrow-" * 3, [settings.SECRET_KEY]
    assert client.get(link).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get(link).status_code == 404


def test_a_post_without_a_button_keeps_the_comment(client, link):
    answer = client.post(link, {"comment": "Half a thought"})
    assert "Half a thought" in answer.content.decode() and not Verdict.objects.exists()


def test_after_the_send_is_confirmed_a_reader_comes_too_late(client, link, ready, starter):
    commands.confirm(ready, starter)
    assert "Too late" in client.post(link, {"verdict": "refuse"}).content.decode()
    assert not Verdict.objects.exists()


def test_a_proof_is_judged_in_the_admin_too(ready, preparer, starter, seed, client):
    proofs.send_proof(ready, preparer, readers=[seed.pk])
    client.force_login(starter)
    client.post(
        f"/admin/deliveries/delivery/{ready.pk}/approve/", {"verdict": "approve", "proof": "1", "comment": "Fine"}
    )
    page = client.get(f"/admin/deliveries/delivery/{ready.pk}/proofs/").content.decode()
    assert "reader@example.org" in page and "Fine" in page and "starter" in page
    assert approving.Verdict.objects.get().proof.number == 1
