"""Another sender at work, in the peers' environment: `peer.py KIND ACT DATABASE PORT [NUMBER] [OPTIONS]`.

KIND is post_office, mailer or plain; ACT is `migrate`, `enqueue` (NUMBER messages of about 10 KB to user0@example.net
…), `send` (everything that is queued, then end), `requeue` (try again what was put off) or `tell` (what its own tables
say). OPTIONS is JSON: {"processes": 2, "threads": 5}. The last line out is JSON. It imports nothing of the product.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SUBJECT, FROM = "Hello {{ first_name }}", "Acme News <news@example.com>"
FILLER = "<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit.</p>\n" * 128
HTML = f"<p>Dear {{{{ first_name }}}}, <a href='https://example.com/news'>our news</a>.</p>{FILLER}"
TEXT = "Dear {{ first_name }}, https://example.com/news"
AT_ONCE = 1000


def setup(kind: str, database: str, port: int, options: dict[str, Any]) -> None:
    """Django with that sender, at the settings of OPTIONS."""
    import django
    from django.conf import settings

    smtp = "django.core.mail.backends.smtp.EmailBackend"
    apps = {"post_office": ["post_office"], "mailer": ["mailer"], "plain": []}[kind]
    place = urlsplit(database)
    databases = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": place.path[1:],
        "USER": place.username,
        "HOST": place.hostname,
        "PORT": place.port,
    }
    if place.scheme == "sqlite":
        databases = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": place.path[1:],
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": "PRAGMA journal_mode=WAL;"},
        }
    settings.configure(
        SECRET_KEY="bench",
        USE_TZ=True,
        DATABASES={"default": databases},
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=port,
        INSTALLED_APPS=["django.contrib.contenttypes", *apps],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_BACKEND="mailer.backend.DbBackend" if kind == "mailer" else smtp,
        EMAIL_TIMEOUT=10,
        MAILER_EMAIL_BACKEND=smtp,
        MAILER_USE_FILE_LOCK="lock" in options,
        MAILER_LOCK_PATH=options.get("lock", "send_mail"),
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        POST_OFFICE={
            "BATCH_SIZE": options.get("batch", 1000),
            "THREADS_PER_PROCESS": options.get("threads", 5),
            "LOG_LEVEL": 1,
            "LOCK_FILE_NAME": options.get("lock", "post_office"),
            "MAX_RETRIES": options.get("retries", 0),
            "RETRY_INTERVAL": timedelta(seconds=1),
            "MESSAGE_ID_ENABLED": True,
            "MESSAGE_ID_FQDN": "example.com",
        },
    )
    django.setup()
    logging.disable(logging.ERROR)


def people(number: int) -> Iterator[tuple[str, str]]:
    """(address, first name) of each recipient."""
    return ((f"user{i}@example.net", f"User {i}") for i in range(number))


def messages(number: int) -> Iterator[Any]:
    """Django's e-mails, rendered by Django's templates."""
    from django.core.mail import EmailMultiAlternatives
    from django.template import Context, Template

    subject, html, text = Template(SUBJECT), Template(HTML), Template(TEXT)
    for address, name in people(number):
        given = Context({"first_name": name})
        mail = EmailMultiAlternatives(subject.render(given), text.render(given), FROM, [address])
        mail.attach_alternative(html.render(given), "text/html")
        yield mail


def chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    """Lists of up to a thousand."""
    from itertools import islice

    while chunk := list(islice(items, AT_ONCE)):
        yield chunk


def enqueue_post_office(number: int) -> None:
    """By send_many with a stored template, rendered when it is delivered: faster than rendering here."""
    from post_office import mail
    from post_office.models import EmailTemplate

    template, _ = EmailTemplate.objects.get_or_create(
        name="bench", defaults={"subject": SUBJECT, "html_content": HTML, "content": TEXT}
    )
    for chunk in chunks(people(number)):
        mail.send_many(
            [
                {
                    "recipients": [to],
                    "sender": FROM,
                    "template": template,
                    "context": {"first_name": name},
                    "render_on_delivery": True,
                }
                for to, name in chunk
            ]
        )


def enqueue_mailer(number: int) -> None:
    """By its backend, a thousand at once."""
    from django.core.mail import get_connection

    for chunk in chunks(messages(number)):
        get_connection().send_messages(chunk)


def send_post_office(options: dict[str, Any]) -> None:
    """Until nothing is queued; its lock keeps a second sender away, as in production."""
    from post_office.mail import send_queued_mail_until_done

    send_queued_mail_until_done(processes=options.get("processes", 1))


def send_mailer(options: dict[str, Any]) -> None:
    """So many processes at once: each row is locked while it is sent, so they share the queue."""
    import multiprocessing

    from mailer.engine import send_all

    others = [
        multiprocessing.get_context("spawn").Process(target=_again) for _ in range(options.get("processes", 1) - 1)
    ]
    for other in others:
        other.start()
    send_all()
    for other in others:
        other.join()


def _again() -> None:
    """A further process of `send`, with the same arguments but alone."""
    kind, _, database, port, *_ = sys.argv[1:]
    setup(kind, database, int(port), {})
    send_mailer({})


def send_plain(number: int) -> None:
    """Django's own: one connection, one message after the other, nothing recorded."""
    from django.core.mail import get_connection

    for chunk in chunks(messages(number)):
        get_connection().send_messages(chunk)


def tell(kind: str) -> dict[str, list[str]]:
    """{"sent": addresses, "failed": …, "queued": …} of its own tables."""
    told: dict[str, list[str]] = {"sent": [], "failed": [], "queued": []}
    if kind == "post_office":
        from post_office.models import Email

        for to, status in Email.objects.values_list("to", "status"):
            told[{0: "sent", 1: "failed"}.get(status, "queued")] += [str(each) for each in to]
    else:
        from mailer.models import Message, MessageLog

        told["queued"] = [each for message in Message.objects.all() for each in message.to_addresses]
        sent = MessageLog.objects.filter(result="1")
        told["sent"] = [each for log in sent for each in log.to_addresses]
    return told


def main() -> None:
    kind, act, database, port, number, options = (*sys.argv[1:], "0", "{}")[:6]
    setup(kind, database, int(port), json.loads(options))
    from django.core.management import call_command

    started, spent = time.perf_counter(), time.process_time()
    answer: dict[str, Any] = {}
    acts: dict[str, Callable[[], Any]] = {
        "migrate": lambda: call_command("migrate", verbosity=0),
        "enqueue": lambda: {"post_office": enqueue_post_office, "mailer": enqueue_mailer}[kind](int(number)),
        "send": lambda: (
            send_plain(int(number))
            if kind == "plain"
            else {"post_office": send_post_office, "mailer": send_mailer}[kind](json.loads(options))
        ),
        "requeue": lambda: call_command("retry_deferred") if kind == "mailer" else None,
        "tell": lambda: answer.update(tell(kind)),
    }
    acts[act]()
    answer |= {"seconds": time.perf_counter() - started, "cpu": time.process_time() - spent}
    print(json.dumps(answer))


if __name__ == "__main__":
    sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).parent.resolve()]
    main()
