"""A message's content, compiled once: what the staff wrote becomes parts that are filled for each recipient.

`compile_content` parses the Liquid (liquid.py, personalisation.py), inlines the styles (styles.py), makes the part that
is missing (alternatives.py), and puts slots in the place of the links (links.py). Simple parts become segments
(segments.py); the others keep their template and are rendered by python-liquid, which `needs_liquid` tells.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from liquid import BoundTemplate, Markup, escape
from liquid.builtin.content import ContentNode

from .alternatives import html_from_text, text_from_html
from .links import (
    PIXEL,
    Link,
    Tracking,
    destination,
    html_links,
    link_edits,
    link_places,
    number,
    pixel_edit,
    slot_name,
    text_links,
)
from .liquid import HTML, MAX_SOURCE, PLAIN, Draft, parse, read
from .markup import MAX_ATTRIBUTES, MAX_ELEMENTS, Page, TooMany, Unclosed, apply, unsafe_markup
from .personalisation import MIRROR, OPTOUT, bind
from .problems import ContentError, Problem, RenderError
from .said import said as _
from .segments import Fields, Segment, Slot, Urls, compile_segments, field_text, fill, one_newline
from .styles import inline_styles

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
MAX_LINKS = 3_000
CLIPPED = 102 * 1024  # bytes of HTML; Gmail cuts off what is beyond, and the opt-out link with it
PIXEL_IMAGE = '<img src="', '" width="1" height="1" alt="" style="border:0">'  # around the URL
TRACKED = Tracking()
_ADDRESS_SLOTS = {OPTOUT: Slot("optout"), MIRROR: Slot("mirror"), PIXEL: Slot("pixel")}


@dataclass(frozen=True, slots=True)
class Source:
    """The three templates as they are sent: styles inlined, the missing part made, links still in place.

    Compiling a Source again gives the same message.
    """

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one recipient sees. The subject is one line; HTML and text have LF line ends and end in one."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """Subject, HTML or Text, compiled. `segments` is None if only python-liquid can fill it. `tail` ends the part."""

    where: str
    template: BoundTemplate
    segments: tuple[Segment, ...] | None
    fields: frozenset[str]
    slots: Mapping[str, Slot]
    tail: str

    @property
    def is_html(self) -> bool:
        """Values are HTML-escaped here."""
        return self.where == "HTML"

    def render(self, fields: Fields, urls: Urls) -> str:
        """The part for one recipient. Raises RenderError when a filter rejects a value or a limit is reached."""
        try:
            if self.segments is None:
                return self.by_liquid(fields, urls)
            return self.by_segments(self.segments, fields, urls)
        except Exception as error:  # filters are foreign code fed with foreign values: whatever it is, name the part
            raise RenderError(self.where, reason(error)) from error

    def by_segments(self, segments: tuple[Segment, ...], fields: Fields, urls: Urls) -> str:
        """The part by the fast way."""
        return fill(segments, fields, lambda slot: slot_text(slot, urls, self.is_html)) + self.tail

    def by_liquid(self, fields: Fields, urls: Urls) -> str:
        """The part by python-liquid; gives the same as the fast way, where there is one."""
        context: dict[str, object] = {key: field_text(fields, key) for key in self.fields}
        for name, slot in self.slots.items():  # addresses are escaped like fields; the pixel is markup
            text = slot_text(slot, urls, is_html=False)
            context[name] = Markup(text) if slot.kind == "pixel" else text
        return self.template.render(context) + self.tail


def reason(error: Exception) -> str:
    """An exception in words for the delivery's log."""
    return str(getattr(error, "message", None) or error) or type(error).__name__


def slot_text(slot: Slot, urls: Urls, is_html: bool) -> str:
    """What stands in a slot for the recipient that `urls` belongs to, escaped if it stands in HTML."""
    if slot.kind == "link":
        url = urls.link(slot.index)
    elif slot.kind == "pixel":
        return pixel_image(urls.pixel_url)
    else:
        url = urls.optout_url if slot.kind == "optout" else urls.mirror_url
    return str(escape(url)) if is_html else url


def pixel_image(url: str) -> str:
    """The image that tells of an opening, as HTML; '' without a URL."""
    before, after = PIXEL_IMAGE
    return f"{before}{escape(url)}{after}" if url else ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A message ready to be filled.

    `fields` are those of the profile that it uses, links included; no others need to be read. `problems` are findings
    that did not keep it from compiling.
    """

    source: Source
    subject: Part
    html: Part
    text: Part
    links: tuple[Link, ...]
    fields: frozenset[str]
    problems: tuple[Problem, ...]

    @property
    def needs_liquid(self) -> bool:
        """Some part is rendered by python-liquid for each recipient, which is many times slower: say so in the log."""
        return any(part.segments is None for part in (self.subject, self.html, self.text))

    def render(self, fields: Fields, urls: Urls | None = None) -> Rendered:
        """The message for one recipient, for previews and mirror pages (deliveries/mime.py fills what is sent).

        In: {field: text}; missing ones are empty. Without `urls` links lead straight to where they lead.
        Raises RenderError.
        """
        urls = urls or Untracked(self, fields, "#unsubscribe", "#mirror")
        subject = one_line(self.subject.render(fields, urls))
        return Rendered(subject, self.html.render(fields, urls), self.text.render(fields, urls))

    def destination(self, index: int, fields: Fields) -> str:
        """Where tracked link number `index` leads for a profile. Raises LookupError, RenderError (see links.py)."""
        for link in self.links:
            if link.index == index >= 0:
                return destination(link.url, {key: field_text(fields, key) for key in self.fields})
        raise LookupError(index)


@dataclass(frozen=True, slots=True)
class Untracked:
    """Urls whose links lead straight to their destinations: for previews, and for deliveries without tracking."""

    compiled: Compiled
    fields: Fields
    optout_url: str = ""
    mirror_url: str = ""
    pixel_url: str = ""

    def link(self, index: int) -> str:
        """The destination; '#' if it cannot be made for this recipient."""
        try:
            return self.compiled.destination(index, self.fields)
        except RenderError:
            return "#"


def one_line(text: str) -> str:
    """`text` for a header: control characters and line ends of every kind made spaces, none at the ends, encodable."""
    if not (text.isascii() and text.isprintable()):
        text = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode()
    return text.strip()


# --- compiling -----------------------------------------------------------------------------------------------------


def compile_content(
    subject: str, html: str, text: str, *, fields: Collection[str], tracking: Tracking = TRACKED
) -> Compiled:
    """Compile what the staff wrote: Liquid templates; either of `html` and `text` may be empty and is then made.

    `fields`: the names that templates may use, columns of a profile and `attributes.<name>`.
    Raises ContentError: syntax, unknown names, filters or tags, more than MAX_SOURCE bytes.
    """
    source = Source(one_line(subject), one_newline(html), one_newline(text))
    size = sum(len(part.encode("utf-8", "replace")) for part in (source.subject, source.html, source.text))
    if size > MAX_SOURCE:
        message = _(
            "the message has %(size)s MB; more than %(most)s MB is not sent",
            size=f"{size / 1e6:.1f}",
            most=f"{MAX_SOURCE / 1e6:.0f}",
        )
        raise ContentError([Problem("HTML" if html else "Text", 0, message, code="size")])
    return _Compilation(frozenset(fields), tracking).run(source)


class _Compilation:
    """One message on its way from source to Compiled; gathers the fields used and the problems found."""

    def __init__(self, names: frozenset[str], tracking: Tracking) -> None:
        self.names, self.tracking = names, tracking
        self.used: set[str] = set()
        self.problems: list[Problem] = []

    def run(self, source: Source) -> Compiled:
        subject, html, text = self.drafts(source)
        page = self.page(html)
        self.stop_at_too_many_links(page, text)
        style_edits, style_problems = inline_styles(html, page)
        in_html, html_problems = html_links(html, page, self.names)
        labels = {link.url: (link.label, link.category) for link in in_html if link.label or link.category}
        in_text, text_problems = text_links(text, self.names, labels)
        self.problems += [*unsafe_markup(html, page), *style_problems, *html_problems, *text_problems]
        links = number(self.tracking.settle([*in_html, *in_text]))
        edits = [*style_edits, *link_edits(links, "HTML", html.masked), *pixel_edit(page, self.tracking, html.masked)]
        return Compiled(
            source=Source(subject.source, html.unmask(apply(html.masked, style_edits)), text.source),
            subject=self.part("Subject", subject.source, ()),
            html=self.part("HTML", html.unmask(apply(html.masked, edits)), links),
            text=self.part("Text", apply(text.source, link_edits(links, "Text", text.source)), links),
            links=links,
            fields=frozenset(self.used & self.names),
            problems=tuple(sorted(self.problems, key=lambda problem: (problem.where, problem.line))),
        )

    def drafts(self, source: Source) -> tuple[Draft, Draft, Draft]:
        """Subject, HTML and text, checked; the missing one of the last two made from the other."""
        parts = (("Subject", source.subject), ("HTML", source.html), ("Text", source.text))
        subject, html, text = (self.draft(where, template) for where, template in parts)
        self.stop_at_errors()
        if not html.source.strip() and text.source.strip():
            html = self.draft("HTML", html_from_text(text))
        elif html.source.strip() and not text.source.strip():
            self.page(html)
            text = self.draft("Text", text_from_html(html))
        if self.problems:  # Liquid that straddles the HTML's structure can be lost on the way
            why = self.problems[0]
            message = _("it cannot be made from the other part (%(why)s); write it", why=why.message)
            self.problems = [Problem(why.where, 0, message)]
        self.stop_at_errors()
        return subject, html, text

    def page(self, html: Draft) -> Page:
        try:
            return Page(html.masked)
        except Unclosed as error:
            begin = html.unmask(html.masked[error.position :][:20])
            problem = Problem(
                "HTML", html.line(error.position), _("the tag %(tag)s… is never closed", tag=begin), code="unclosed-tag"
            )
            raise ContentError([*self.problems, problem]) from error
        except TooMany as error:
            message = _(
                "it has more than %(elements)s elements, or more than %(attributes)s attributes in one; shorten it",
                elements=MAX_ELEMENTS,
                attributes=MAX_ATTRIBUTES,
            )
            raise ContentError([*self.problems, Problem("HTML", 0, message, code="too-many-elements")]) from error

    def stop_at_too_many_links(self, page: Page, text: Draft) -> None:
        """Each link is compiled for itself, and asked about when the message is filled."""
        number = sum(element.name in ("a", "area") for element in page.elements) + len(link_places(text))
        if number > MAX_LINKS:
            message = _(
                "the message has %(number)s links; more than %(most)s are not sent",
                number=number,
                most=f"{MAX_LINKS:,}",
            )
            raise ContentError([Problem("HTML", 0, message, code="too-many-links")])

    def stop_at_errors(self) -> None:
        if self.problems:
            raise ContentError(self.problems)

    def draft(self, where: str, source: str) -> Draft:
        draft, problems = read(where, source)
        if not problems:
            template = parse(draft, HTML if where == "HTML" else PLAIN)
            if isinstance(template, Problem):
                problems = [template]
            else:
                used, problems = bind(template, where, self.names)
                self.used |= used
        self.problems += problems
        return draft

    def part(self, where: str, source: str, links: tuple[Link, ...]) -> Part:
        """Compile a part's final template, whose links are slots by now. It was checked: nothing can be wrong."""
        slots = {slot_name(link.index): Slot("link", link.index) for link in links if link.where == where}
        slots |= _ADDRESS_SLOTS
        template = (HTML if where == "HTML" else PLAIN).from_string(source)
        used, problems = bind(template, where, self.names | slots.keys())
        if problems:
            raise ContentError(problems)
        used_slots = {name: slot for name, slot in slots.items() if name in used}
        segments = compile_segments(template, slots)
        return Part(where, template, segments, used - slots.keys(), used_slots, _tail(where, template))


def _tail(where: str, template: BoundTemplate) -> str:
    """A body part must end in a newline; so that both ways of filling agree, this is settled here."""
    last = template.nodes[-1] if template.nodes else None
    ends = isinstance(last, ContentNode) and last.text.endswith("\n")
    return "" if where == "Subject" or ends else "\n"


# --- checking ------------------------------------------------------------------------------------------------------


def check_content(
    subject: str, html: str, text: str, *, fields: Collection[str], sender_name: str = ""
) -> list[Problem]:
    """All that is wrong with a content, for the control rules of the preparation (domain.md §4.2).

    In: as for compile_content, which is tried, and the name that recipients see. Out: errors first. Errors are bad
    syntax, a missing subject, empty or oversized content and scripts; all else is a warning, as is proposed there.
    """
    problems = [*_subject_problems(subject), *_name_problems(sender_name)]
    if not (html.strip() or text.strip()):
        problems.append(Problem("HTML", 0, _("there is no content; write an HTML or a text"), code="content-empty"))
    try:
        compiled = compile_content(subject, html, text, fields=fields)
    except ContentError as error:
        problems += error.problems
    else:
        problems += [*compiled.problems, *_content_problems(compiled)]
    return sorted(problems, key=lambda problem: problem.severity)


def _subject_problems(subject: str) -> Iterator[Problem]:
    if not one_line(subject):
        yield Problem("Subject", 0, _("the subject is missing"), code="subject-missing")
    if risky := _risky(subject):
        message = _("the subject holds %(what)s, which filters take for a trick", what=risky)
        yield Problem("Subject", 0, message, "warning", "subject-characters")


def _name_problems(sender_name: str) -> Iterator[Problem]:
    if risky := _risky(sender_name, also='<>"@'):
        message = _("the sender's name holds %(what)s, which filters take for a trick", what=risky)
        yield Problem("Sender", 0, message, "warning", "sender-characters")


def _risky(text: str, also: str = "") -> str:
    """The first character that hides or disguises text (control, format, private, replacement), or ''.

    The zero-width joiner is left alone, for emoji and several scripts are written with it.
    """
    for character in text:
        hidden = unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs") and character != "\u200d"
        if hidden or character in also or character == "\ufffd":
            return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
    return ""


def _content_problems(compiled: Compiled) -> Iterator[Problem]:
    if compiled.source.html and not compiled.source.text.strip() and "<img" not in compiled.source.html.lower():
        yield Problem("HTML", 0, _("the HTML shows nothing: it holds neither text nor images"), code="content-empty")
    for where in ("HTML", "Text"):
        if not any(link.kind == "optout" and link.where == where for link in compiled.links):
            message = _("there is no opt-out link; put {{ unsubscribe_url }} into one")
            yield Problem(where, 0, message, "warning", "optout-missing")
    for link in compiled.links:
        if link.kind == "tracked" and not link.label:
            message = _("the link %(url)s has no label for the reports; give it a data-label", url=link.url)
            yield Problem(link.where, link.line, message, "warning", "url-label")
    size = len(compiled.source.html.encode("utf-8", "replace"))
    if size > CLIPPED:
        message = _(
            "the HTML has %(size)s KB; Gmail hides what is beyond %(most)s KB", size=size // 1024, most=CLIPPED // 1024
        )
        yield Problem("HTML", 0, message, "warning", "size-clipped")
