"""A message's content, compiled once: what the staff wrote becomes parts that are filled for each recipient.

`compile_content` parses the Liquid (sandbox.py, liquid_binding.py), inlines the styles (styles.py), makes the part that
is missing (alternative_part.py), and puts slots in the place of the links (links.py). Simple parts become segments
(fast_render.py); the others keep their template and are rendered by python-liquid, which `needs_liquid` tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from liquid import BoundTemplate, escape
from liquid.builtin.content import ContentNode

from campaigns.content.html import open_markup, schemes
from campaigns.content.html.markup import (
    MAX_ATTRIBUTES,
    MAX_ELEMENTS,
    Crowded,
    Edit,
    Page,
    Unclosed,
    apply,
    origin,
    unsafe_markup,
)
from campaigns.content.html.open_markup import judge
from campaigns.content.html.schemes import addresses
from campaigns.content.html.styles import inline_styles
from campaigns.content.liquid.sandbox import HTML, PLAIN, FreeMarkup, FreeText, Template, parse, template_of
from campaigns.content.liquid.weights import of_template
from campaigns.content.liquid.work import WRITTEN, Meter, OutOfTime, TooMuchWork
from campaigns.core.kept_text import keep as _

from .alternative_part import html_from_text, text_from_html
from .fast_render import Fields, Segment, Slot, Urls, compile_segments, field_text, fill, one_newline
from .links import PIXEL, Link, Tracking, destination, html_links, link_edits, number, pixel_edit, slot_name, text_links
from .liquid_binding import bind
from .problems import ContentError, Problem, PutOff, RenderError
from .template_source import MAX_SOURCE, MIRROR, OPTOUT, Draft, read

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
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
    """Subject, HTML or Text, compiled. `segments` is None if only python-liquid can fill it. `tail` ends the part.

    `weight`: units of work for what the template does once. `line`: of a position in the template, in what staff wrote;
    0 if they did not write it. `is_open`: Liquid may write markup, so that each copy is judged (open_markup.py).
    """

    where: str
    template: Template
    segments: tuple[Segment, ...] | None
    fields: frozenset[str]
    slots: Mapping[str, Slot]
    tail: str
    weight: int
    line: Callable[[int], int]
    is_open: bool = False

    @property
    def is_html(self) -> bool:
        """Values are HTML-escaped here."""
        return self.where == "HTML"

    def render(self, fields: Fields, urls: Urls, meter: Meter) -> str:
        """The part for one recipient. Raises RenderError (a filter rejects a value, a limit is reached), PutOff."""
        try:
            if self.segments is None:
                text = self.by_liquid(fields, urls, meter)
            else:
                text = self.by_segments(self.segments, fields, urls, meter)
            if self.is_open:
                meter.charge(len(text) // WRITTEN)
                judge(text)
            return text
        except Exception as error:  # filters are foreign code fed with foreign values: whatever it is, name the part
            raise self.failure(error) from error

    def by_segments(self, segments: tuple[Segment, ...], fields: Fields, urls: Urls, meter: Meter) -> str:
        """The part by the fast way."""
        return fill(segments, fields, lambda slot: slot_text(slot, urls, self.is_html), meter) + self.tail

    def by_liquid(self, fields: Fields, urls: Urls, meter: Meter) -> str:
        """The part by python-liquid; gives the same as the fast way, where there is one."""
        context: dict[str, object] = {key: field_text(fields, key) for key in self.fields}
        for name, slot in self.slots.items():  # addresses are escaped like fields; the pixel is markup
            text = slot_text(slot, urls, is_html=False)
            context[name] = FreeMarkup(text) if slot.kind == "pixel" else FreeText(text)
        return self.template.fill(context, meter) + self.tail

    def failure(self, error: Exception) -> RenderError:
        """What an exception while filling the part means for the recipient, in words for the delivery's log."""
        if isinstance(error, OutOfTime):
            return PutOff(self.where)
        words = str(getattr(error, "message", None) or error) or type(error).__name__
        line = self.line(error.place) if isinstance(error, TooMuchWork) and error.place is not None else 0
        if line:
            words = _("%(what)s; shorten or simplify the loop in line %(line)s", what=words, line=str(line))
        return RenderError(self.where, words)


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
    weight: int
    urls: tuple[str, ...]  # of the tracked links, by number

    @property
    def needs_liquid(self) -> bool:
        """Some part is rendered by python-liquid for each recipient, which is many times slower: say so in the log."""
        return any(part.segments is None for part in (self.subject, self.html, self.text))

    def render(self, fields: Fields, urls: Urls | None = None) -> Rendered:
        """The message for one recipient, for previews and mirror pages (deliveries/mail/mime.py fills what is sent).

        In: {field: text}; missing ones are empty. Without `urls` links lead straight to where they lead.
        Raises RenderError; PutOff when this machine is too slow at the moment.
        """
        urls, meter = urls or Untracked(self, fields, "#unsubscribe", "#mirror"), self.meter()
        subject = one_line(self.subject.render(fields, urls, meter))
        text = self.text.render(fields, urls, meter)
        return Rendered(subject, self.html.render(fields, urls, meter), text)

    def meter(self) -> Meter:
        """The budget of one recipient's message, of which its templates have used what they weigh."""
        return Meter(self.weight)

    def destination(self, index: int, fields: Fields, meter: Meter | None = None) -> str:
        """Where tracked link number `index` leads for a profile; one budget for each link, or that of `meter`.

        Raises LookupError, RenderError (see links.py).
        """
        if not 0 <= index < len(self.urls):
            raise LookupError(index)
        url = self.urls[index]
        return destination(url, {key: field_text(fields, key) for key in self.fields} if "{" in url else {}, meter)


@dataclass(frozen=True, slots=True)
class Untracked:
    """Urls whose links lead straight to their destinations: for previews, and for deliveries without tracking.

    All links of a message share a budget, beside that of its text: so a preview refuses what sending refuses.
    """

    compiled: Compiled
    fields: Fields
    optout_url: str = ""
    mirror_url: str = ""
    pixel_url: str = ""
    meter: Meter = field(default_factory=Meter)

    def link(self, index: int) -> str:
        """The destination; '#' if it cannot be made for this recipient."""
        try:
            return self.compiled.destination(index, self.fields, self.meter)
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
        self.made = ""  # the part that staff did not write

    def run(self, source: Source) -> Compiled:
        subject, html, text = self.drafts(source)
        page = self.page(html)
        style_edits, style_problems = inline_styles(html, page)
        in_html, html_problems = html_links(html, page, self.names)
        labels = {link.url: (link.label, link.category) for link in in_html if link.label or link.category}
        in_text, text_problems = text_links(text, self.names, labels)
        links = number(self.tracking.settle([*in_html, *in_text]))
        tracked = {link.start for link in links if link.where == "HTML" and link.kind == "tracked"}
        judged = addresses(html, page, tracked)
        self.problems += [*unsafe_markup(html, page), *judged.problems, *style_problems, *html_problems, *text_problems]
        put_in = [*link_edits(links, "HTML", html.masked), *pixel_edit(page, self.tracking, html.masked)]
        edits = [*style_edits, *put_in, *judged.edits]
        subject_part = self.part(subject, subject.source, (), [])
        is_open = judged.is_open or open_markup.is_open(html)
        html_part = self.part(html, html.unmask(apply(html.masked, edits)), links, edits, is_open)
        text_edits = link_edits(links, "Text", text.source)
        text_part = self.part(text, apply(text.source, text_edits), links, text_edits)
        return Compiled(
            source=Source(subject.source, html.unmask(apply(html.masked, style_edits)), text.source),
            subject=subject_part,
            html=html_part,
            text=text_part,
            links=links,
            fields=frozenset(self.used & self.names),
            problems=tuple(sorted(self.problems, key=lambda problem: (problem.where, problem.line))),
            weight=subject_part.weight + html_part.weight + text_part.weight,
            urls=tuple(link.url for link in links if link.kind == "tracked"),
        )

    def drafts(self, source: Source) -> tuple[Draft, Draft, Draft]:
        """Subject, HTML and text, checked; the missing one of the last two made from the other."""
        parts = (("Subject", source.subject), ("HTML", source.html), ("Text", source.text))
        subject, html, text = (self.draft(where, template) for where, template in parts)
        self.stop_at_errors()
        if not html.source.strip() and text.source.strip():
            html = self.draft("HTML", html_from_text(text))
            self.made = "HTML"
        elif html.source.strip() and not text.source.strip():
            self.page(html)
            text = self.draft("Text", text_from_html(html))
            self.made = "Text"
        if self.problems:  # Liquid that straddles the HTML's structure can be lost on the way
            why = self.problems[0]
            message = _("it cannot be made from the other part (%(why)s); write it", why=why.message)
            self.problems = [Problem(why.where, 0, message)]
        self.stop_at_errors()
        return subject, html, text

    def page(self, html: Draft) -> Page:
        try:
            return Page(html.masked)
        except Crowded as error:
            message = _(
                "more than %(elements)s elements, or more than %(attributes)s attributes in one; write less HTML",
                elements=MAX_ELEMENTS,
                attributes=MAX_ATTRIBUTES,
            )
            problem = Problem("HTML", html.line(error.position), message, code="too-many-elements")
            raise ContentError([*self.problems, problem]) from error
        except Unclosed as error:
            begin = html.unmask(html.masked[error.position :][:20])
            problem = Problem(
                "HTML", html.line(error.position), _("the tag %(tag)s… is never closed", tag=begin), code="unclosed-tag"
            )
            raise ContentError([*self.problems, problem]) from error

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

    def part(
        self, draft: Draft, source: str, links: tuple[Link, ...], edits: list[Edit], is_open: bool = False
    ) -> Part:
        """Compile a part's final template, whose links are slots by now. It was checked: nothing can be wrong."""
        where = draft.where
        slots = {slot_name(link.index): Slot("link", link.index) for link in links if link.where == where}
        slots |= _ADDRESS_SLOTS
        template = template_of(source, HTML if where == "HTML" else PLAIN)
        used, problems = bind(template, where, self.names | slots.keys(), also=schemes.FILTERS.keys())
        if problems:
            raise ContentError(problems)
        used_slots = {name: slot for name, slot in slots.items() if name in used}
        segments = compile_segments(template, slots)
        lines = _lines(draft, edits) if where != self.made else _no_line
        weight = of_template(template)
        tail = _tail(where, template)
        return Part(where, template, segments, used - slots.keys(), used_slots, tail, weight, lines, is_open)


def _lines(draft: Draft, edits: list[Edit]) -> Callable[[int], int]:
    placed = [(start, end, len(draft.unmask(text))) for start, end, text in sorted(edits)]
    return lambda position: draft.line(origin(placed, position))


def _no_line(_position: int) -> int:
    return 0


def _tail(where: str, template: BoundTemplate) -> str:
    """A body part must end in a newline; so that both ways of filling agree, this is settled here."""
    last = template.nodes[-1] if template.nodes else None
    ends = isinstance(last, ContentNode) and last.text.endswith("\n")
    return "" if where == "Subject" or ends else "\n"
