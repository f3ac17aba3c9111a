"""What people and time do to the installation after its upgrade; run in its environment, by test_upgrade.py.

`python -m tests.upgrade.going_on FILE` takes the notes of make_before.py from FILE, and prints as JSON how it ended.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import Value
from pathlib import Path
from queue import Queue
from typing import Any

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# After the newest moment before the upgrade: the undo time is over; what waited an hour; three retries; the waves and
# an aggregated run at four; the scheduled one, at midnight; the series at noon of the next day.
MOMENTS = (11 * MINUTE, 70 * MINUTE, 130 * MINUTE, 250 * MINUTE, 6 * HOUR, 12 * HOUR + 5 * MINUTE, 24 * HOUR + MINUTE)
AGENT = {"HTTP_USER_AGENT": "Mozilla/5.0 (X11) Firefox/128.0"}


def main(noted: dict[str, Any]) -> dict[str, Any]:
    """Go through all of it. Out: what the test asserts about."""
    drain()
    told = {"links": links(noted), "log-ins": log_ins(noted), "programs": programs(noted), "acts": acts(noted)}
    reports(noted)
    for after in MOMENTS:
        set_clock(datetime.fromtimestamp(noted["made_at"]) + after)
        drain()
    return told | {"deliveries": deliveries(), "beside": beside()}


def set_clock(at: datetime) -> None:
    """It is `at` now for all processes of the installation, unless it is later already."""
    path, off = Path(os.environ["CLOCK_FILE"]), round(at.timestamp() - time.time())
    if off > 0:
        with path.open("r+b") as file:
            kept = int.from_bytes(file.read(8), "little", signed=True)
            file.seek(0)
            file.write((kept + off).to_bytes(8, "little", signed=True))


# --- workers ---------------------------------------------------------------------------------------------------------


def drain() -> None:
    """The watchdog's pulse and a worker, until three rounds in turn bring nothing to do."""
    from deliveries.workers import sweeper, tasks

    idle = 0
    while idle < 3:
        tasks.tick(os.environ["HOST_ID"], time.time())
        sweeper.sweep()
        idle = 0 if work() else idle + 1
        time.sleep(0.02)


def work() -> int:
    """A worker takes whatever is in the queue. Out: how many tasks there were."""
    from django_q.brokers import get_broker
    from django_q.signing import SignedPackage

    from deliveries.workers import cluster

    broker, number = get_broker(), 0
    while taken := broker.dequeue():
        waiting, results = Queue[Any](), Queue[Any]()
        for ack, package in taken:
            waiting.put({**SignedPackage.loads(package), "ack_id": ack})
        number += waiting.qsize()
        waiting.put("STOP")
        cluster.worker(waiting, results, Value("f", -1))
        results.put("STOP")
        cluster.monitor(results, broker)
    return number


# --- people ----------------------------------------------------------------------------------------------------------


def user(name: str) -> Any:
    """By name."""
    from django.contrib.auth.models import User

    return User.objects.get(username=name)


def delivery(label: str) -> Any:
    """The newest of a message."""
    from deliveries.models import Delivery

    return Delivery.objects.filter(message__label=label).latest("pk")


def acts(noted: dict[str, Any]) -> dict[str, str]:
    """What people do to deliveries of before. Out: of each act "done", or the code of its refusal."""
    from deliveries.lifecycle import approving, commands, complete_missing, in_doubt
    from deliveries.models import SendingLog

    confirm, settle = commands.confirm, in_doubt.resolve_in_doubt
    doubts = SendingLog.objects.filter(delivery=delivery("doubt"), status=5).order_by("address")
    again, sent = ([pk] for pk in doubts.values_list("pk", flat=True))
    anna, olga = user("anna"), user("olga")
    told: dict[str, Callable[[], object]] = {
        "confirm approved": partial(confirm, delivery("approved"), anna),
        "confirm refused": partial(confirm, delivery("refused"), anna),
        "confirm unapproved": partial(confirm, delivery("proof"), anna),
        "confirm own": partial(confirm, delivery("ready"), user("peter")),
        "confirm execution": partial(confirm, delivery("series-asks"), anna),
        "resume": partial(commands.resume, delivery("paused"), anna),
        "complete": partial(complete_missing.complete_missing, delivery("stopped"), anna),
        "settle again": partial(settle, delivery("doubt"), anna, decision="resend", log_ids=again),
        "settle sent": partial(settle, delivery("doubt"), anna, decision="sent", log_ids=sent),
        "approve": partial(approving.approve, delivery("proof"), olga),
        "confirm proof": partial(confirm, delivery("proof"), anna),
    }
    return {name: outcome(act) for name, act in told.items()}


def outcome(act: Callable[[], object]) -> str:
    """ "done", "denied", or the code of its refusal."""
    from django.core.exceptions import PermissionDenied

    from deliveries.ledger.errors import Refused

    try:
        act()
    except Refused as error:
        return str(error.code)
    except PermissionDenied:
        return "denied"
    return "done"


def links(noted: dict[str, Any]) -> dict[str, Any]:
    """Readers follow the links of letters that left before. Out: what each led to."""
    from django.test import Client

    client, of = Client(**AGENT), noted["links"]["2"]
    told: dict[str, Any] = {kind: client.get(of[kind]).status_code for kind in ("open", "mirror", "optout")}
    told["click"] = client.get(of["click"])["Location"]
    told["out"] = client.post(of["optout"]).status_code
    told["proof"] = client.get(noted["proof"]).status_code
    told["verdict"] = client.post(noted["proof"], {"verdict": "approve", "comment": "Fine."}).status_code
    return told


def log_ins(noted: dict[str, Any]) -> dict[str, int]:
    """People log in, one with a code, and with a recovery code; one is in still."""
    from django.test import Client

    from campaigns.accounts import totp

    def log_in(name: str, code: str = "") -> int:
        values = {"username": name, "password": noted["password"], "code": code}
        return int(Client().post("/admin/login/", values).status_code)

    known = Client()
    known.cookies["deliveries_session"] = noted["session"]
    code = totp.code_at(bytes.fromhex(noted["totp"]), int(time.time()) // totp.STEP)
    return {
        "anna": log_in("anna"),
        "tom without": log_in("tom"),
        "tom": log_in("tom", code),
        "tom, phone lost": log_in("tom", noted["recovery"][0]),
        "session": known.get("/admin/").status_code,
        "dashboard": known.get(f"/admin/deliveries/delivery/{delivery('finished').pk}/change/").status_code,
        "export": xenia_looks(noted["password"]),
    }


def xenia_looks(password: str) -> int:
    """At the export that the upgrade cut short."""
    from django.test import Client

    client = Client()
    client.post("/admin/login/", {"username": "xenia", "password": password})
    where = f"/admin/deliveries/delivery/{delivery('finished').pk}/export-progress/{'0' * 32}/"
    return int(client.get(where).status_code)


def programs(noted: dict[str, Any]) -> dict[str, int]:
    """One token reads and may not confirm, the other confirms what it has read."""
    from rest_framework.test import APIClient

    told, where = {}, f"/api/deliveries/{delivery('ready').pk}/"
    for right, token in noted["tokens"].items():
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
        seen = client.get(where)
        told[f"{right}: get"] = seen.status_code
        headers = {"if-match": seen.json()["fingerprint"]}
        told[f"{right}: confirm"] = client.post(f"{where}commands/", {"method": "confirm"}, headers=headers).status_code
    return told


def reports(noted: dict[str, Any]) -> None:
    """The mail servers report of two letters that left before, to the return paths that these had."""
    from deliveries.feedback import raw_mail
    from deliveries.models import SendingLog
    from deliveries.models.feedback import FeedbackEvent
    from tests.deliveries.mail.bounces.bounce_mails import postfix_report

    for number, action in enumerate(("failed", "delivered")):
        address = f"relayed-{number}@example.net"
        log = SendingLog.objects.get(address=address)
        mail = postfix_report(log.pk, action, address).decode()
        own = mail.split("Original-Envelope-Id: ")[1].split("\n")[0]
        path = noted["returns"][address].split("@")[0].removeprefix("b-")
        raw_mail.keep(mail.replace(own, path).encode(), FeedbackEvent.Source.PIPE, noted["returns"][address])
    raw_mail.drain(10)


# --- how it ended ----------------------------------------------------------------------------------------------------


def deliveries() -> list[dict[str, Any]]:
    """Every delivery: its state, its rows, and whether its two ledgers balance."""
    from deliveries.models import Delivery

    return [_told(one) for one in Delivery.everything.order_by("pk")]


def _told(one: Any) -> dict[str, Any]:
    from deliveries.models.states import State
    from tests.deliveries.sending.sending_rows import figures, true_figures

    rows = list(one.sending_logs.order_by("address").values_list("address", "status", "relayed_at"))
    counted, true = figures(one), true_figures(one)
    names = ("pending", "in_doubt", "sent", "failed", "cancelled")
    parts = sum(counted.get(name, 0) for name in names)
    left = [at for _address, _status, at in rows if at]
    return {
        "label": one.label,
        "state": State(one.state).name,
        "rows": {row[0]: row[1] for row in rows},
        "true": true,
        "series": one.parent.label if one.parent else None,
        "proof": one.proof_id is not None,
        "figures": counted,
        "balanced": one.targeted == one.excluded + one.to_deliver and one.to_deliver in (parts, len(rows)),
        "began": one.contact_date and one.contact_date.timestamp(),
        "left": min(left).timestamp() if left else None,
    }


def beside() -> dict[str, Any]:
    """Imports, webhooks, verdicts, opens, opt-outs, schedules and the queue."""
    from django.conf import settings
    from django_q.models import OrmQ, Schedule

    from campaigns.models import Profile, ProfileImport
    from deliveries.models import QuarantinedAddress, SendingLog
    from deliveries.models.proofs import Verdict
    from deliveries.models.webhooks import WebhookCall
    from reporting.tracking import ingest

    ingest.fold(settings.TRACKING_DIR)
    read = SendingLog.objects.filter(address="finished-0@example.net").values_list("opened_at", "clicked_at").get()
    return {
        "imports": list(ProfileImport.objects.order_by("pk").values_list("state", "created", "errors")),
        "imported": list(Profile.objects.filter(city="import").order_by("pk").values_list("email", flat=True)),
        "webhooks": sorted(WebhookCall.objects.values_list("state", flat=True)),
        "verdicts": list(Verdict.objects.order_by("pk").values_list("delivery__label", "approved", "address")),
        "read": [at is not None for at in read],
        "out": list(Profile.objects.filter(city="finished", opt_out_email=True).values_list("email", flat=True)),
        "quarantined": QuarantinedAddress.objects.count(),
        "schedules": sorted(Schedule.objects.values_list("name", "func", "repeats")),
        "queue": OrmQ.objects.count(),
    }


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(main(json.loads(base64.b64decode(sys.stdin.read()))), default=str))
