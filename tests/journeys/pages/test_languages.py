"""No page says anything in English that a catalog could not say in another language.

Every page is asked for with a translation that puts ⟦brackets⟧ around what it translates. What people read outside of
brackets must be data: a text of the database, a name of the field, a time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from zoneinfo import available_timezones

import pytest
from django.apps import apps
from django.test import Client
from django.utils import translation

from tests.journeys.rights.addresses import addresses, values
from tests.journeys.rights.one_of_each import world as world

SPLIT = "\x1f"
SILENT = ("script", "style", "textarea", "pre", "code")
VOID = ("meta", "link", "input", "br", "img", "hr", "wbr", "source", "area", "base", "col")
OF_OTHERS = (
    "admin:auth_user_password_change",
    "admin:auth_user_delete",
    "admin:campaigns_campaign_permissions",
    "help",
    "help-index",
)  # pages whose words Django and django-guardian leave in English; the documents, which are written in it
READ_ALOUD = ("title", "aria-label", "placeholder", "alt")
NOT_WORDS = re.compile(
    r"\bEtc/\S+|"
    r"https?://\S+|[\w.+-]+@[\w.-]+|\bDM\d+|\bRL\d+|\{\{.*?\}\}|\{%.*?%\}|\b(UTC|GMT|E-mail|ID|OK|URL|HTML|CSV|TLS|API|DSN)\b"
    r'|"\w+": ?("[^"]*"|null|\d+)?|\S+\*{5,}|[0-9a-f]{8}-[0-9a-f-]+'
    r"|\{[^{}]*\}|\b[0-9a-f]{16,}\b|\b[a-z]+[._][a-z._]+\b|\bEurope/\w+"
)  # addresses, codes, Liquid, JSON, names of columns and of programs


class Words(HTMLParser):
    """What a page says, shown or read aloud. Other people's programs name permissions and switches in English."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.shown, self.aloud = list[str](), "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        silent = tag in SILENT or "dm-preview" in (named.get("class") or "") or (tag != "html" and "lang" in named)
        if tag not in VOID:
            self.open.append("silent" if silent else tag)
        self.aloud += [value for name, value in attrs if name in READ_ALOUD and value not in (None, "True", "False")]

    def handle_endtag(self, tag: str) -> None:
        if self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "silent" not in self.open and "| Can " not in data:
            self.shown += data + SPLIT


@pytest.fixture
def bracketed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Translations are put in brackets."""

    def around(translate: Callable[..., str]) -> Callable[..., str]:
        return lambda *a, **k: f"⟦{translate(*a, **k)}⟧"

    for name in ("gettext", "ngettext", "pgettext", "npgettext"):
        monkeypatch.setattr(translation._trans, name, around(getattr(translation._trans, name)))  # type: ignore[attr-defined]


def data() -> list[str]:
    """All texts of the database, the longest first."""
    found = {
        "Dear reader",
        "Dear",
        "Hello",
        "None",
        "Search",
        "request",
        "login",
        "md5",
        sys.argv[0].rpartition("/")[2],
    }  # of message and audit
    found |= available_timezones()
    for model in apps.get_models():
        for row in model._default_manager.values_list():
            found |= {text for value in row for text in strings(value)}
    return sorted((text for text in found if re.search(r"[^\W\d_]{2}", text)), key=len, reverse=True)


def columns() -> list[str]:
    """The names of all columns, the longest first."""
    found = {field.attname for model in apps.get_models() for field in model._meta.concrete_fields}
    return sorted(found, key=len, reverse=True)


def strings(value: Any) -> Iterator[str]:
    """The texts in a value, also in lists and objects."""
    if isinstance(value, str):
        yield from (" ".join(part.split()) for part in (value, *re.split("<[^<>]*>", value)))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)


def untranslated(page: str, known: list[str]) -> Iterator[str]:
    """What the page says that is neither translated nor data."""
    words = Words()
    words.feed(page)
    for text in (*outside(words.shown).split(SPLIT), *map(outside, words.aloud)):
        left = NOT_WORDS.sub(" ", " ".join(text.split()))
        for one in known:
            if one in left:
                left = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", " ", left)
        if re.search(r"[^\W\d_]{2}", left):
            yield left.strip()


def outside(text: str) -> str:
    """The text without what stands in brackets, which may stand in one another."""
    before = ""
    while text != before:
        text, before = re.sub("⟦[^⟦⟧]*⟧", " ", text), text
    return text


@pytest.mark.slow
@pytest.mark.django_db
def test_no_page_says_anything_in_english_alone(world: dict[str, Any], bracketed: None) -> None:
    client, known, wrong = Client(raise_request_exception=False), data(), dict[str, str]()
    client.force_login(world["people"]["U"])
    for address in addresses():
        if address.name in OF_OTHERS:
            continue
        path = address.path(values(address, world))
        answer = client.get(path)
        if answer.status_code == 200 and answer.get("Content-Type", "").startswith("text/html") and "/api/" not in path:
            told = columns() if "/auditentry/" in path else []  # the audit tells what changed by the columns' names
            wrong |= dict.fromkeys(untranslated(answer.content.decode(), [*known, *told]), path)
    assert not wrong, "\n".join(f"{path}: {text}" for text, path in wrong.items())
