"""Makes the databases from which test_upgrade.py starts: an installation of before 1.0, caught amid its work.

How it was run: once, from the root of a clone of the commit “The walk over every stage fills in the pages at four of
them”, the newest before the modules moved into their rooms, by that clone's Python:

    python …/tests/upgrade/make_before.py …/tests/upgrade

It leaves before-1.0.sqlite3.xz, before-1.0.sql.xz (pg_dump) and before-1.0.json.xz there. It cannot be run with the
code beside it, since the modules have other names; every row comes from the functions of that commit.

The installation begins on BEGIN, whatever day it is: its processes, PostgreSQL too, have a clock of their own
(tests/faults/clock.c), which the test sets again. The mail server has an address of its own, since what is confirmed
holds for one mail server alone. What the test cannot read from the database goes into the JSON: secrets that are shown
once, letters that have left, and the files of the data directory (journals, tracking events, the audit's last head).
"""

from __future__ import annotations

import base64
import json
import lzma
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from unittest import mock

BEGIN = datetime(2027, 3, 1, 8, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
MAIL, HOOK = ("127.77.10.1", 2599), "http://127.77.10.1:2598/hook"
ENVIRONMENT = {
    "SECRET_KEY": "of-the-installation-that-is-upgraded-" + "0123456789" * 3,
    "HTTPS": "0",
    "HOST_ID": "before",
    "EMAIL_URL": "memorymail://",
    "BATCH_SIZE": "2",
    "UNDO_SECONDS": "0",
    "OUTGOING_ALLOW": "127.0.0.0/8",
    "LOG_LEVEL": "ERROR",
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "ALLOWED_HOSTS": "testserver,127.0.0.1",
    "PUBLIC_URL": "http://127.0.0.1:8000",
}
PASSWORD, PEOPLE = "pass-word-9", 6
HTML = (
    '<p>Dear {{ first_name }}, <a href="https://example.com/news">our news</a>, '
    '<a href="{{ mirror_url }}">in the browser</a>, <a href="{{ unsubscribe_url }}">unsubscribe</a>.</p>'
)


def main(folder: Path) -> None:
    """Make all three files in the folder."""
    sys.path.insert(0, str(Path.cwd()))
    from tests.conftest import find_program
    from tests.faults.house import _clock

    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # PostgreSQL, which is another user, reads the clock's file
        preload = _clock(Path(place))
        Path(preload["CLOCK_FILE"]).write_bytes(offset(BEGIN))
        notes = {"sqlite3": _sqlite(Path(place) / "one", preload, folder)}
        notes["sql"] = _postgresql(Path(place) / "two", preload, folder, find_program)
    _keep(folder / "before-1.0.json.xz", json.dumps(notes, sort_keys=True).encode())


def offset(at: datetime) -> bytes:
    """What the file of the clock holds for it to be `at` now."""
    return round(at.timestamp() - time.time()).to_bytes(8, "little", signed=True)


def _sqlite(data: Path, preload: dict[str, str], folder: Path) -> Any:
    note = _inside(data, preload)
    whole = data / "whole.sqlite3"
    with sqlite3.connect(data / "db.sqlite3") as database:
        database.execute("VACUUM INTO ?", [str(whole)])
    _keep(folder / "before-1.0.sqlite3.xz", whole.read_bytes())
    return note


def _postgresql(data: Path, preload: dict[str, str], folder: Path, find_program: Any) -> Any:
    from tests.postgres import Postgres

    Path(preload["CLOCK_FILE"]).write_bytes(offset(BEGIN))
    with tempfile.TemporaryDirectory() as place:
        made = Postgres(find_program("postgres"), Path(place))
        made.start(os.environ | preload)
        url = f"{made.url}postgres"
        try:
            note = _inside(data, preload | {"DATABASE_URL": url})
            command = [find_program("pg_dump"), "--no-owner", url.replace("postgres://", "postgresql://")]
            _keep(folder / "before-1.0.sql.xz", subprocess.run(command, check=True, capture_output=True).stdout)
        finally:
            made.stop()
    return note


def _keep(path: Path, content: bytes) -> None:
    path.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def _inside(data: Path, environment: dict[str, str]) -> Any:
    """Migrate and live in processes of their own, in that environment. Out: what is to be noted."""
    data.mkdir()
    environment = os.environ | ENVIRONMENT | {"DATA_DIR": str(data)} | environment
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], env=environment, check=True)
    subprocess.run([sys.executable, "manage.py", "sync_roles"], env=environment, check=True, stdout=sys.stderr)
    done = subprocess.run(
        [sys.executable, __file__, "--inside", str(data)], env=environment, check=True, stdout=subprocess.PIPE
    )
    files = [path for path in sorted(data.rglob("*")) if path.is_file() and not path.name.startswith("db.sqlite3")]
    kept = {str(path.relative_to(data)): base64.b64encode(_short(path)).decode() for path in files}
    return {**json.loads(done.stdout), "files": kept}


def _short(path: Path) -> bytes:
    """A file's content; of the audit's heads the last one."""
    content = path.read_bytes()
    return content.splitlines(keepends=True)[-1] if path.parent.name == "audit" else content


# --- inside: the life of the installation ----------------------------------------------------------------------------


class Life:
    """The installation while it works: its people, its mail server, and what is noted of it."""

    def __init__(self) -> None:
        from tests.fakes.smtp_server import Server

        create = socket.create_server
        with mock.patch("socket.create_server", lambda _where: create(MAIL)):
            self.server = Server({"RCPT": refuse, "BODY": lose})
        self.people: dict[str, Any] = {}
        self.noted: dict[str, Any] = {}
        self.labels: dict[str, int] = {}

    def delivery(self, slug: str) -> Any:
        """The one of that message, with what it is now."""
        from deliveries.models import Delivery

        return Delivery.objects.get(pk=self.labels[slug])

    def write(self, slug: str, *, campaign: Any = None, **fields: Any) -> Any:
        """A message to six people of its own; one more opted out, and one is quarantined. Out: its delivery."""
        from campaigns.models import Audience, Brand, Campaign, Message, Profile
        from deliveries import commands
        from deliveries.models import QuarantinedAddress

        Profile.objects.bulk_create(
            Profile(email=f"{slug}-{n}@example.net", first_name=f"Person {n}", city=slug, opt_out_email=n == PEOPLE)
            for n in range(PEOPLE + 2)
        )
        QuarantinedAddress.objects.create(address=f"{slug}-{PEOPLE + 1}@example.net", errors=1)
        where = [{"field": "city", "op": "is", "value": slug}]
        message = Message.objects.create(
            label=slug,
            campaign=campaign or Campaign.objects.get(label="Spring"),
            brand=Brand.objects.get(),
            audience=Audience.objects.create(label=slug, kind="filter", conditions=where),
            subject=f"{slug} {{{{ first_name }}}}",
            html=HTML,
            text="{{ unsubscribe_url }} {{ mirror_url }}",
            **fields,
        )
        made = commands.create_delivery(message, self.people["peter"])
        self.labels[slug] = made.pk
        return made

    def prepare(self, slug: str, routing: Any = None, campaign: Any = None, **schedule: Any) -> Any:
        """… and Peter prepares it. Out: the delivery, Ready."""
        from campaigns.models import Schedule
        from deliveries import commands, preparing
        from deliveries.models import Delivery

        made = self.write(slug, campaign=campaign)
        if schedule:
            Schedule.objects.create(message=made.message, **schedule)
        if routing:
            Delivery.objects.filter(pk=made.pk).update(routing=routing)
        by = self.people["peter" if schedule.get("request_confirmation", True) else "anna"]
        commands.prepare(Delivery.objects.get(pk=made.pk), by)
        preparing.run(made.pk)
        return self.delivery(slug)

    def confirm(self, slug: str, **how: Any) -> Any:
        """… and Anna confirms it."""
        from deliveries import commands

        made = self.prepare(slug, **how)
        commands.confirm(made, self.people["anna"])
        return self.delivery(slug)

    def start(self, slug: str, **how: Any) -> Any:
        """… and it is on its way, nobody has been sent anything yet."""
        from deliveries import progress

        made = self.confirm(slug, **how)
        while not progress.start(made.pk):
            time.sleep(0.01)  # the database's clock is a little behind
        return self.delivery(slug)

    def send(self, slug: str, **how: Any) -> Any:
        """… and every batch that is due is worked on."""
        self.start(slug, **how)
        self.work(slug)
        return self.delivery(slug)

    def work(self, slug: str) -> None:
        """Work on what is due of it."""
        from deliveries import batches, sending

        for batch in list(batches.due(self.labels[slug])):
            sending.send(batch)

    def send_first_batch(self, slug: str) -> Any:
        """… and two of the six have been sent it, the others are due in an hour."""
        from django.utils import timezone

        from deliveries.models import Batch, SendingLog

        made, later = self.start(slug), timezone.now() + HOUR
        others = Batch.objects.filter(delivery=made, number__gt=made.batches.order_by("number").first().number)
        SendingLog.objects.filter(batch__in=others.values("pk")).update(due_at=later)
        others.update(next_due_at=later)
        self.work(slug)
        return self.delivery(slug)


def refuse(_peer: Any, line: str) -> str:
    """The mail server's word to a recipient."""
    if "<retrying-" in line:
        return "450 4.2.0 later"
    return "550 5.1.1 No such mailbox here" if "<finished-5@" in line else "250 2.1.5 Ok"


def lose(_peer: Any, recipient: str) -> str:
    """The mail server's word to a body: of these two nobody hears it."""
    from tests.fakes.smtp_server import DROP

    return DROP if recipient in ("doubt-0@example.net", "doubt-1@example.net") else "250 2.0.0 Ok: queued as 4Y"


def set_clock(at: datetime) -> None:
    """It is `at` now, for every process of the installation."""
    path = Path(os.environ["CLOCK_FILE"])
    shown, kept = time.time(), int.from_bytes(path.read_bytes(), "little", signed=True)
    with path.open("r+b") as file:
        file.write((kept + round(at.timestamp() - shown)).to_bytes(8, "little", signed=True))


def live(data: Path) -> dict[str, Any]:
    """All of it. Out: what is to be noted."""
    from django.conf import settings

    life = Life()
    set_up(life)
    series(life)
    set_clock(BEGIN + 4 * HOUR + timedelta(minutes=1))
    series_go_on(life)
    ended(life)
    read(life)
    on_their_way(life)
    not_confirmed(life)
    beside(life)
    settings.UNDO_SECONDS = 600
    life.confirm("undo")
    beat()
    life.server.stop()
    return life.noted | left(life) | {"labels": life.labels, "made_at": time.time(), "password": PASSWORD}


def set_up(life: Life) -> None:
    """People with roles, second factors and tokens; a brand, campaigns, mail servers."""
    from campaigns.unit_models import ROOT, OrganizationalUnit, PersonUnit
    from django.contrib.auth.models import Group, User
    from guardian.shortcuts import assign_perm

    from campaigns import api_tokens, second_factor, totp
    from campaigns.models import Brand, Campaign, ProofDomain, TestProfile
    from deliveries.models import Routing

    roles = {
        "anna": "Start deliveries",
        "olga": "Start deliveries",
        "tom": "Start deliveries",
        "peter": "Prepare deliveries",
        "xenia": "Export",
        "gina": "",
    }
    for name, role in roles.items():
        made = User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True)
        made.groups.set(Group.objects.filter(name=role))
        PersonUnit.objects.get_or_create(user=made, defaults={"unit_id": ROOT})
        life.people[name] = made
    life.people["admin"] = User.objects.create_superuser("admin", "admin@example.com", PASSWORD)
    life.people["xenia"].groups.add(Group.objects.get(name="Start deliveries"))
    OrganizationalUnit.objects.create(label="North", name="north", parent_id=ROOT)
    life.people = {name: User.objects.get(username=name) for name in life.people}
    factor = second_factor.begin(life.people["tom"])
    secret = second_factor.secret(factor)
    codes = second_factor.confirm(life.people["tom"], totp.code_at(secret, int(time.time()) // totp.STEP))
    life.noted |= {"totp": secret.hex(), "recovery": codes}
    given = {right: api_tokens.give(life.people["anna"], right, [right])[1] for right in ("read", "start")}
    life.noted["tokens"] = given
    Brand.objects.create(
        label="Acme",
        sender_name="Acme News",
        sender_address="news@example.com",
        sender_domains="example.com",
        website="https://www.example.com/",
        is_default=True,
    )
    spring = Campaign.objects.create(label="Spring", created_by=life.people["peter"])
    Campaign.objects.create(label="Approved", needs_approval=True, four_eyes=True)
    assign_perm("campaigns.prepare_deliveries", life.people["gina"], spring)
    ProofDomain.objects.create(domain="example.org", unit_id=ROOT)
    TestProfile.objects.create(label="Reader", email="reader@example.org", first_name="Reader", unit_id=ROOT)
    values = {"host": MAIL[0], "port": MAIL[1], "security": "none", "connections": 2}
    Routing.objects.create(label="Usual", is_default=True, **values)
    Routing.objects.create(label="With reports", feedback_service=True, return_domain="bounces.example.com", **values)


def series(life: Life) -> None:
    """Three recurrences, switched on at eight, for noon."""
    from datetime import time as clock

    from campaigns.models import Recurrence
    from deliveries import executions

    kinds: dict[str, dict[str, Any]] = {
        "series-asks": {"frequency": "daily", "at": clock(12)},
        "series-alone": {"frequency": "daily", "at": clock(12), "request_confirmation": False},
        "series-one": {
            "frequency": "cron",
            "cron": "0 */4 * * *",
            "aggregation": "year",
            "request_confirmation": False,
        },
    }
    for slug, fields in kinds.items():
        Recurrence.objects.create(message=life.write(slug).message, time_zone="UTC", **fields)
        executions.start_series(life.delivery(slug), life.people["anna"])


def series_go_on(life: Life) -> None:
    """Noon: one execution waits for somebody, the others have left."""
    from deliveries.states import PREPARING, SENDING, State

    from campaigns.models import Profile
    from deliveries import executions, preparing, sending, starting
    from deliveries.models import Batch, Delivery

    executions.tick()
    for pk in Delivery.objects.filter(state__in=PREPARING).values_list("pk", flat=True):
        preparing.run(pk)
    starting.start_unasked()
    starting_ones(Delivery.objects.filter(state=State.START_PENDING))
    for pk in list(Batch.objects.filter(delivery__state__in=SENDING).values_list("pk", flat=True)):
        sending.send(pk)
    Profile.objects.create(email="series-one-late@example.net", first_name="Late", city="series-one")


def starting_ones(waiting: Any) -> None:
    """Start what is confirmed."""
    from deliveries import progress

    for pk in list(waiting.values_list("pk", flat=True)):
        progress.start(pk)


def ended(life: Life) -> None:
    """Finished, with reports of three kinds; stopped after two of six; failed; a preparation that failed."""
    from deliveries.states import Act, advance

    from campaigns.models import Message
    from deliveries import commands, feedback, preparing
    from deliveries.models import Delivery
    from tests.deliveries.reported import event

    finished = life.send("finished")
    logs = list(finished.sending_logs.order_by("address"))
    feedback.apply([event(logs[3], "hard"), event(logs[4], "complaint")])
    life.send("doubt")
    commands.stop(life.send_first_batch("stopped"), life.people["anna"])
    failed = life.send_first_batch("failed")
    advance(Delivery.objects.filter(pk=failed.pk), Act.FAIL)
    broken = life.write("broken")
    Message.objects.filter(pk=broken.message_id).update(html="{% if %}")
    broken = Delivery.objects.get(pk=broken.pk)
    commands.prepare(broken, life.people["peter"])
    preparing.run(broken.pk)


def read(life: Life) -> None:
    """What readers of the finished one did: one opened and clicked, of which the events wait in a file; one opted
    out."""
    from django.test import Client

    links = links_of(life, "finished-0@example.net")
    client = Client(HTTP_USER_AGENT="Mozilla/5.0 (X11) Firefox/128.0")
    assert client.get(links["open"]).status_code == 200
    assert client.get(links["click"]).status_code == 302
    answer = client.post(links_of(life, "finished-1@example.net")["optout"])
    assert answer.status_code == 302
    assert client.get(links["mirror"]).status_code == 200


_LINK = re.compile(r"http://127\.0\.0\.1:8000(/(?:t/([ocmu])|(proof))/[^\s\"<>]+)")
_KIND = {"o": "open", "c": "click", "m": "mirror", "u": "optout"}


def links_of(life: Life, recipient: str) -> dict[str, str]:
    """The links of the newest letter to the recipient, by kind."""
    body = next(body for _from, to, body in reversed(life.server.messages) if to == recipient)
    mail: Any = message_from_bytes(body.removesuffix(b".\r\n"), policy=policy.default)
    parts = [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
    return {_KIND.get(kind, proof): path for path, kind, proof in _LINK.findall("\n".join(parts))}


def on_their_way(life: Life) -> None:
    """Confirmed: to start, on its date, half sent, paused, put off by the server, in waves, waiting for reports."""
    from django.utils import timezone

    from deliveries import commands
    from deliveries.models import Routing

    life.confirm("pending")
    life.confirm("scheduled", mode="at_date", contact_date=timezone.now() + 12 * HOUR)
    life.send_first_batch("half")
    commands.pause(life.send_first_batch("paused"), life.people["anna"])
    life.send("retrying")
    life.send("waves", waves="2 2", wave_interval=2 * HOUR)
    life.send("relayed", routing=Routing.objects.get(label="With reports"))
    kill(life)


def kill(life: Life) -> None:
    """A worker died over the last batch: the server took one letter, as the journal says; of the other nobody knows."""
    from deliveries.journal import Journal
    from django.conf import settings
    from django.utils import timezone

    from deliveries import batches
    from deliveries.models import Batch, SendingLog

    batch = Batch.objects.filter(delivery=life.send_first_batch("killed")).order_by("number").last()
    SendingLog.objects.filter(batch=batch).update(due_at=timezone.now())
    Batch.objects.filter(pk=batch.pk).update(next_due_at=timezone.now())
    while (lease := batches.take(batch.pk)) is None:
        time.sleep(0.01)  # the database's clock is a little behind
    accepted, unknown = sorted(row.log_id for row in batches.claim(lease, 9))
    journal = Journal.open(Path(settings.JOURNAL_DIR), lease.batch_id, lease.fence)
    for row in (accepted, unknown):
        journal.intent(row)
    journal.accepted(accepted)


def not_confirmed(life: Life) -> None:
    """Written; being prepared by nobody yet, and by a worker that died; ready; to start by itself; with proofs,
    approvals and refusals."""
    from deliveries.states import Act, advance

    from campaigns.models import Campaign, TestProfile
    from deliveries import commands, proof_verdicts, proofs
    from deliveries.models import Delivery

    life.write("editing")
    for slug in ("asked", "counting"):
        commands.prepare(life.write(slug), life.people["peter"])
    assert advance(Delivery.objects.filter(pk=life.labels["counting"]), Act.COUNT)
    life.prepare("ready")
    life.prepare("alone", request_confirmation=False)
    eyes = {"campaign": Campaign.objects.get(label="Approved")}
    proof_verdicts.approve(life.prepare("approved", **eyes), life.people["olga"], comment="Good.")
    proof_verdicts.refuse(life.prepare("refused", **eyes), life.people["olga"], comment="No.")
    reader = {"readers": [TestProfile.objects.get().pk]}
    proofs.send_proof(life.prepare("proof", **eyes), life.people["peter"], **reader)
    send_proofs()
    life.noted["proof"] = links_of(life, "reader@example.org")["proof"]
    proofs.send_proof(life.delivery("proof"), life.people["peter"], **reader)  # this one is yet to leave


def send_proofs() -> None:
    """What carries proofs is worked on."""
    from deliveries import sending
    from deliveries.models import Batch

    for pk in list(Batch.objects.filter(delivery__proof__isnull=False).values_list("pk", flat=True)):
        sending.send(pk)


def beside(life: Life) -> None:
    """Imports that wait and that stand half way, an export, webhooks to post, log-ins, and tasks of every kind."""
    from campaigns.import_models import ProfileImport
    from deliveries.outbox_models import WebhookEndpoint
    from django.test import Client
    from django_q.tasks import async_task
    from reporting.export_progress import Progress

    from campaigns import importing
    from deliveries import outbox

    with mock.patch.object(importing, "ring"):  # the bell was lost with the worker
        half = importing.start(b"email;city\nhalf-way@example.net;import\n", "half.csv", by=life.people["anna"])
    ProfileImport.objects.filter(pk=half.pk).update(state="reading", run=1)
    half.refresh_from_db()
    importing._stage(half)  # and its worker died
    importing.start(b"email;city\nwaiting@example.net;import\n", "waiting.csv", by=life.people["anna"])
    endpoint = WebhookEndpoint.objects.create(label="Program", url=HOOK, kinds=["test", "delivery.finished"])
    for _number in range(2):
        outbox.write_test(endpoint)
    assert outbox.post_due() == 0  # nobody answers: the first is tried again later
    life.noted["webhook"] = outbox.secret(endpoint)
    Progress(life.delivery("finished"), life.people["xenia"], "0" * 32, lambda *_: None)  # and its worker died
    client = Client()
    client.post("/admin/login/", {"username": "anna", "password": PASSWORD})
    life.noted["session"] = client.cookies["deliveries_session"].value
    finished = life.labels["finished"]
    plain = (
        "reporting.tasks.refresh_figures",
        "reporting.tasks.check_drift",
        "reporting.tasks.purge",
        "reporting.tasks.alert",
        "deliveries.tasks.clean_up",
        "deliveries.tasks.fetch",
        "deliveries.tasks.post_webhooks",
    )
    for name in plain:
        async_task(name)
    async_task("reporting.tasks.compute_stats", finished, life.people["admin"].pk)
    async_task("deliveries.tasks.tick", "before", time.time())


def beat() -> None:
    """The host was there a moment ago, and the audit's newest rows are sealed."""
    from campaigns import audit_chain
    from deliveries import pulse

    audit_chain.seal()
    pulse.beat()
    pulse.swept()


def left(life: Life) -> dict[str, Any]:
    """All letters that have left, and the links of one."""
    letters = [to for _from, to, _body in life.server.messages]
    returns = {to: sender for sender, to, _body in life.server.messages if to.startswith("relayed-")}
    finished = {n: links_of(life, f"finished-{n}@example.net") for n in (0, 2)}
    return {"letters": sorted(letters), "returns": returns, "links": finished}


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        sys.path.insert(0, str(Path.cwd()))
        import django

        django.setup()
        print(json.dumps(live(Path(sys.argv[2]))))
    else:
        main(Path(sys.argv[1]).resolve())
