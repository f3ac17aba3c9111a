"""What a browser would post of a page's forms, without a browser."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Any] = {}
        self.name = ""  # of the select or textarea that is open
        self.text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Inputs with their values; a select's chosen option."""
        own = dict(attrs)
        name, kind, value = own.get("name") or "", own.get("type") or "text", own.get("value")
        if tag == "input" and name and kind not in ("submit", "button", "image", "file"):
            if kind not in ("checkbox", "radio"):
                self.found[name] = value or ""
            elif "checked" in own:
                self.found.setdefault(name, []).append(value or "on")
        elif tag in ("select", "textarea"):
            self.name, self.text = name, [] if tag == "textarea" else None
        elif tag == "option" and "selected" in own:
            self.found[self.name] = value or ""

    def handle_data(self, data: str) -> None:
        """A textarea's text."""
        if self.text is not None:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        """The first line feed of a textarea does not count."""
        if tag == "textarea" and self.text is not None:
            self.found[self.name], self.text = "".join(self.text).removeprefix("\n"), None


def posted(html: str) -> dict[str, Any]:
    """{name: value} of all inputs of a page, the templates of rows to add left out."""
    reader = _Reader()
    reader.feed(html)
    return {name: value for name, value in reader.found.items() if name and "__prefix__" not in name}
