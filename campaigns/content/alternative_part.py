"""Makes the part that the staff did not write: a text from the HTML, or a plain HTML from the text.

Both ways work on masked sources, so the Liquid goes along: an `{% if %}` around table rows is around the same lines
of the text.
"""

from __future__ import annotations

import html
import re

from campaigns.content.html.markup import Token, read_element, tokens

from .links import link_places
from .template_source import BLOCKS, INNER, MASKED_TAG, Draft

_RUNS = re.compile(rf"(?P<tag>[{MASKED_TAG}])(?P=tag)*|[^{MASKED_TAG}]+")
_SKIPPED = {"script", "style", "head", "title", "template"}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "hr", "pre"}
_LINES = {"div", "tr", "br", "section", "article", "header", "footer", "center", "dt", "dd"}
_GAPS = ("", " ", "\n", "\n\n")
_LINK_TARGET = re.compile(r"https?://|[\U000f0000-\U0010ffff]", re.IGNORECASE)


class _Reader:
    """Collects readable text. White space is put out lazily, before the next word, so that it never piles up.

    The lines between paragraphs go into each branch of an `{% if %}` after them, so that no empty ones stay when no
    branch is taken.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.blocks: list[str] = []  # the gaps due where the open Liquid blocks began
        self.pieces: list[str] = []
        self.length = 0  # characters in them
        self.gap = ""  # white space due before the next word
        self.started = False
        self.skipped = 0
        self.links: list[tuple[str, int, int]] = []  # open links: address, number of pieces and of characters before

    def read(self, token: Token) -> None:
        if token.kind == "start":
            self.start(token)
        elif token.kind == "end":
            self.end(token.name)
        else:
            self.text(token.text)

    def start(self, token: Token) -> None:
        element = read_element(token)
        self.skipped += token.name in _SKIPPED
        self.widen(token.name)
        if token.name == "li":
            self.space("\n")
            self.word("- ")
        elif token.name == "img":
            self.text(element.value("alt"))
        elif token.name == "hr":
            self.word("----")
            self.space("\n\n")
        elif token.name == "a":
            self.links.append((element.value("href").strip(), len(self.pieces), self.length))

    def end(self, tag: str) -> None:
        self.skipped = max(0, self.skipped - (tag in _SKIPPED))
        self.widen(tag)
        if tag == "a" and self.links:
            self.close_link(*self.links.pop())

    def close_link(self, address: str, before: int, length: int) -> None:
        """The address behind its label, unless that is the address. A longer label is not put together to be compared:
        links that nobody closes would each get all that follows."""
        if not _LINK_TARGET.match(address):
            return
        longer = self.length - length > len(address) + len(_GAPS[-1])
        label = "" if longer else "".join(self.pieces[before:]).strip()
        if longer or address != label:
            self.word(f" ({address})" if longer or label else address)

    def put(self, *texts: str) -> None:
        self.pieces += texts
        self.length += sum(map(len, texts))

    def widen(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.space("\n\n")
        elif tag in _LINES:
            self.space("\n\n" if tag == "br" and self.gap == "\n" else "\n")
        elif tag in ("td", "th"):
            self.space(" ")

    def space(self, gap: str) -> None:
        self.gap = max(self.gap, gap, key=_GAPS.index)

    def word(self, text: str) -> None:
        if not self.skipped:
            self.put(self.gap if self.started else "", text)
            self.gap, self.started = "", True

    def text(self, text: str) -> None:
        for run in _RUNS.finditer(text):
            if run["tag"]:
                self.tag(run.group())
            else:
                self.words(run.group())

    def tag(self, run: str) -> None:
        name = self.draft.span(run[0]).name
        if name in INNER and self.blocks:  # a tag's begin may hide in an attribute: then the result does not parse
            self.gap = self.blocks[-1]
        elif name in BLOCKS and name != "comment":
            if self.gap == " ":  # within a line white space is put out where it stands
                self.put(self.gap)
                self.gap = ""
            self.blocks.append(self.gap)
        elif name in BLOCKS.values() and self.blocks:
            self.space(self.blocks.pop())
        self.put(run)

    def words(self, text: str) -> None:
        words = text.split()
        if text[:1].isspace():
            self.space(" ")
        if words:
            self.word(" ".join(words))
        if text[-1:].isspace():
            self.space(" ")


def text_from_html(draft: Draft) -> str:
    """A readable text of the HTML: paragraphs, list items with a dash, links as `label (address)`, images by alt text.

    In: the HTML part. Out: the source of a text part, Liquid included, ending in a newline unless empty.
    Raises markup.Unclosed.
    """
    reader = _Reader(draft)
    for token in tokens(draft.masked):
        reader.read(token)
    text = "".join(reader.pieces).strip()
    return draft.unmask(text) + "\n" if text else ""


def html_from_text(draft: Draft) -> str:
    """A minimal HTML that shows the text as it is: lines broken, URLs made links. Liquid goes along."""
    pieces, position = [], 0
    for start, end in link_places(draft):
        url = html.escape(draft.masked[start:end])
        pieces += [html.escape(draft.masked[position:start], quote=False), f'<a href="{url}">{url}</a>']
        position = end
    pieces.append(html.escape(draft.masked[position:], quote=False))
    body = "".join(pieces).strip().replace("\n", "<br>\n")
    page = f'<!doctype html>\n<html><head><meta charset="utf-8"></head><body>\n<p>{body}</p>\n</body></html>\n'
    return draft.unmask(page)
