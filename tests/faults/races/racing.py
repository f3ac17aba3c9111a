"""Many people at one delivery in the same moment, on the database of the environment; prints what came of it as JSON.

    DATABASE_URL=… python -m tests.faults.races.racing --confirms 200 --edits 20

Half of the confirmations go through the API, half through the admin. Then, round after round, one confirmation races
with one edit through each of the API and the message form: `slipped` counts confirmed messages that no longer are what
was confirmed, `unlocked` those that could be edited again, `neither` rounds that nobody won.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

AT_ONCE = 40  # connections that the tests' PostgreSQL has to spare


@dataclass
class Report:
    """What the races led to."""

    answers: dict[str, int] = field(default_factory=Counter)
    confirmed_events: int = 0
    tasks: int = 0
    state: str = ""
    rounds: int = 0
    confirmed: int = 0
    edited: int = 0
    slipped: int = 0
    unlocked: int = 0
    neither: int = 0
    faults: list[str] = field(default_factory=list)


def together(acts: list[Callable[[], Any]], report: Report) -> list[Any]:
    """Do all acts in threads that start at one moment. Out: what each gave, in their order."""
    from django.db import connection

    start, given = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int, act: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            start.wait(60)
            given[place] = act()
        except Exception as error:
            report.faults.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def people() -> list[Any]:
    """One user a door, with Start deliveries."""
    from django.contrib.auth.models import Group, User

    from campaigns.accounts.permissions import STARTERS, sync_roles

    sync_roles()
    made = [User.objects.create_user(name, f"{name}@example.com", is_staff=True) for name in ("api", "admin")]
    for user in made:
        user.groups.set(Group.objects.filter(name=STARTERS))
    return made


def ready(message: Any, by: Any) -> Any:
    """A delivery that awaits its confirmation."""
    from deliveries.lifecycle import commands
    from deliveries.preparation import prepare

    delivery = commands.create_delivery(message, by)
    commands.prepare(delivery, by)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def written(subject: str) -> Any:
    """A message to everybody, whom the first call makes."""
    from campaigns.models import Audience, Brand, Campaign, Message, Profile
    from deliveries.models import Routing

    Profile.objects.get_or_create(email="ann@example.com")
    Routing.objects.get_or_create(label="Nowhere", host="127.0.0.1", port=1, security="none", is_default=True)
    brand, _ = Brand.objects.get_or_create(
        label="Acme", sender_name="Acme", sender_address="news@example.com", sender_domains="example.com"
    )
    campaign, _ = Campaign.objects.get_or_create(label="Spring")
    everybody, _ = Audience.objects.get_or_create(label="Everybody", kind="all")
    return Message.objects.create(
        label="Race",
        campaign=campaign,
        brand=brand,
        audience=everybody,
        subject=subject,
        text="News: https://example.com/\n{{ unsubscribe_url }}",
    )


def by_api(user: Any, method: str, path: str, body: Any, seen: str = "") -> Any:
    """The API's answer. `seen`: what If-Match says."""
    from rest_framework.test import APIClient

    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client.generic(
        method, path, json.dumps(body), "application/json", headers={"if-match": seen} if seen else {}
    )


def by_admin(cookies: Any, path: str, body: Any) -> Any:
    """The admin's answer, as in a browser that is logged in."""
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.cookies = cookies
    return client.post(path, body)


def told(answer: Any) -> str:
    """The answer to a confirmation, in a word for counting."""
    from django.contrib.messages import get_messages

    if answer is None or answer.status_code != 302:
        data = getattr(answer, "data", None) or {}
        return f"{answer and answer.status_code} {[e['code'] for e in data.get('errors', [])] or ''}".strip()
    words = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    return "confirmed" if words.startswith("Confirmed") else words.split(" by ")[0]


def race_confirms(users: list[Any], cookies: Any, number: int, report: Report) -> None:
    """So many confirmations of one delivery."""
    from django_q.models import OrmQ

    from campaigns.content.fingerprint import word

    delivery = ready(written("Hello"), users[0])
    OrmQ.objects.all().delete()
    api = f"/api/deliveries/{delivery.pk}/commands/"
    admin = f"/admin/deliveries/delivery/{delivery.pk}/confirm/"
    seen, asked = word(delivery.fingerprint), {"method": "confirm"}
    doors = (lambda: by_api(users[0], "POST", api, asked, seen), lambda: by_admin(cookies, admin, {}))
    for start in range(0, number, AT_ONCE):
        acts = [doors[place % 2] for place in range(start, min(start + AT_ONCE, number))]
        report.answers.update(told(answer) for answer in together(acts, report))
    delivery.refresh_from_db()
    report.state = delivery.get_state_display()
    report.confirmed_events = delivery.events.filter(code="confirmed").count()
    report.tasks = OrmQ.objects.count()


def race_edits(users: list[Any], cookies: Any, rounds: int, report: Report) -> None:
    """One confirmation against two edits, again and again."""
    from campaigns.content.fingerprint import word
    from deliveries.lifecycle import commands
    from deliveries.models.states import State
    from deliveries.preparation.sealing import changed_since_prepared

    for number in range(rounds):
        delivery = ready(written(f"Hello {number}"), users[0])
        message = delivery.message
        form = {name: getattr(message, f"{name}_id") for name in ("campaign", "brand", "audience")} | {
            "label": "Race",
            "subject": f"By form {number}",
            "text": message.text,
            "schedule-TOTAL_FORMS": 0,
            "schedule-INITIAL_FORMS": 0,
            "recurrence-TOTAL_FORMS": 0,
            "recurrence-INITIAL_FORMS": 0,
            "control_group-TOTAL_FORMS": 0,
            "control_group-INITIAL_FORMS": 0,
        }
        together(
            [
                lambda d=delivery: by_api(
                    users[0], "POST", f"/api/deliveries/{d.pk}/commands/", {"method": "confirm"}, word(d.fingerprint)
                ),
                lambda m=message, n=number: by_api(
                    users[0], "PATCH", f"/api/messages/{m.pk}/", {"subject": f"By API {n}"}
                ),
                lambda m=message, f=form: by_admin(cookies, f"/admin/campaigns/message/{m.pk}/change/", f),
            ],
            report,
        )
        delivery = type(delivery).objects.get(pk=delivery.pk)
        changed, confirmed = bool(changed_since_prepared(delivery)), delivery.state == State.START_PENDING
        report.rounds += 1
        report.confirmed += confirmed
        report.edited += changed
        report.slipped += confirmed and changed
        report.unlocked += confirmed and delivery.message.locked_at is None
        report.neither += not confirmed and not changed
        if confirmed:
            commands.stop(delivery, users[0])


def main() -> None:
    """Race, and print the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--confirms", type=int, default=40)
    parser.add_argument("--edits", type=int, default=10)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client
    from django.test.utils import setup_test_environment

    setup_test_environment()
    call_command("migrate", verbosity=0)
    users, report, browser = people(), Report(), Client()
    browser.force_login(users[1])
    race_confirms(users, browser.cookies, options.confirms, report)
    race_edits(users, browser.cookies, options.edits, report)
    print(json.dumps(vars(report)))


if __name__ == "__main__":
    import tests.environment  # noqa: F401 - the environment that the settings read

    main()
