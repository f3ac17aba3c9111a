"""The controls of a page's forms, as a browser sees them, and other values that somebody could give each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

# What a text could become, tried in this order until the form takes one; the kind of the input narrows it, and what the
# field is called puts what is likely first.
TEXTS = (
    "{} again",
    "other",
    "7",
    "https://other.example/",
    '{"other": "x"}',
    '{"*": {"connections": 2}}',
    "SMTP_PASSWORD_OTHER",
    "first_name",
)
BY_NAME = {
    "zone": "Asia/Tokyo",
    "waves": "50%",
    "interval": "03:04:05",
    "duration": "03:04:05",
    "gap": "03:04:05",
    "every": "03:04:05",
    "cron": "30 * * * *",
    "attributes": '{"other": "x"}',
    "password": "SMTP_PASSWORD_OTHER",
    "limits": '{"*": {"connections": 2}}',
    "entries": "ann@example.com",
    "condition": "first_name",
    "host": "localhost",
    "name": "other",
    "email": "outsider@example.net",
}
BY_KIND = {
    "number": ("7", "3", "2", "1", "0", "26"),
    "email": ("outsider@example.net", "other@example.com"),
    "url": ("https://other.example/",),
    "date": ("2100-01-02", "2026-02-03", "2001-02-03"),
    "time": ("03:04:05",),
}
_BY_CLASS = {"vDateField": "date", "vTimeField": "time", "vIntegerField": "number", "vURLField": "url"}


@dataclass
class Control:
    """One input, select or text area. `options`: what a select, or the boxes of that name, offer."""

    name: str
    kind: str  # text, number, email, url, date, time, checkbox, radio, select, multiple, hidden
    values: list[str] = field(default_factory=list)  # as they stand
    options: list[str] = field(default_factory=list)
    form: str = ""  # the id of its form

    def others(self) -> Iterator[list[str]]:
        """Other values, each as the list that would be posted; an empty list posts nothing."""
        if self.kind in ("checkbox", "multiple"):
            for option in self.options[:3]:
                yield [v for v in self.values if v != option] if option in self.values else [*self.values, option]
        elif self.kind in ("select", "radio"):
            yield from ([option] for option in self.options[:4] if [option] != self.values)
        else:
            held = self.values[0] if self.values else ""
            likely = tuple(made for word, made in BY_NAME.items() if word in self.name)
            for made in BY_KIND.get(self.kind, (*likely, *TEXTS)):
                if (text := made.format(held) if made == TEXTS[0] else made) != held:
                    yield [text]
            if held:
                yield [""]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Control] = {}
        self.open: Control | None = None  # a select or text area
        self.text = self.form = ""

    def _at(self, name: str, kind: str) -> Control:
        return self.found.setdefault(name, Control(name, kind, form=self.form))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Boxes of one name are one control."""
        own: dict[str, Any] = dict(attrs)
        name, value = own.get("name") or "", own.get("value") or ""
        if tag == "form":
            self.form = own.get("id") or ""
        elif tag == "input" and name:
            self._input(name, own.get("type") or "text", value, own)
        elif tag == "select" and name:
            self.open = self._at(name, "multiple" if "multiple" in own else "select")
        elif tag == "textarea" and name:
            self.open, self.text = self._at(name, "text"), ""
        elif tag == "option" and self.open is not None:
            self.open.options.append(value)
            if "selected" in own:
                self.open.values.append(value)

    def _input(self, name: str, kind: str, value: str, own: dict[str, Any]) -> None:
        if kind in ("submit", "button", "image", "file"):
            return
        if kind in ("checkbox", "radio"):
            box = self._at(name, kind)
            box.options.append(value or "on")
            if "checked" in own:
                box.values.append(value or "on")
            return
        classes = (own.get("class") or "").split()
        kind = next((_BY_CLASS[one] for one in classes if one in _BY_CLASS), kind)
        self._at(name, kind).values = [value]

    def handle_data(self, data: str) -> None:
        """A text area's text."""
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        """The first line feed of a text area does not count."""
        if tag == "textarea" and self.open is not None:
            self.open.values = [self.text.removeprefix("\n")]
        if tag in ("textarea", "select"):
            self.open = None


def controls(html: str, form: str) -> dict[str, Control]:
    """{name: control} of the form with that id, the templates of rows to add left out. What is hidden is there, too."""
    reader = _Reader()
    reader.feed(html)
    return {name: one for name, one in reader.found.items() if one.form == form and "__prefix__" not in name}


def posting(found: dict[str, Control], name: str = "", values: list[str] | None = None) -> dict[str, Any]:
    """What a browser posts of them, with other `values` for the control `name`."""
    held = {one.name: one.values for one in found.values()} | ({name: values or []} if name else {})
    # A select without a choice posts its first option, as browsers do.
    for one in found.values():
        if one.kind == "select" and not held[one.name] and one.options:
            held[one.name] = one.options[:1]
    return {name: values for name, values in held.items() if values}
