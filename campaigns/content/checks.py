"""All that is wrong with a content before it is sent, for the control rules of the preparation and for forms.

What compiling finds (compile.py), and what a message needs beside: a subject, an opt-out link, labels; that it is not
too large; and that nobody's copy takes more work than one message may, which is tried on samples.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator

from campaigns.content.html.open_markup import Unsafe
from campaigns.content.liquid.work import Meter, TooMuchWork
from campaigns.core.kept_text import keep as _

from .compile import Compiled, compile_content, one_line
from .fast_render import Fields
from .problems import ContentError, Problem, PutOff, RenderError

CLIPPED = 102 * 1024  # bytes of HTML; Gmail cuts off what is beyond, and the opt-out link with it
_SAMPLES = ("", "One, two; three | four / five " * 8)  # what every field holds, in a trial


def check_content(
    subject: str, html: str, text: str, *, fields: Collection[str], sender_name: str = ""
) -> list[Problem]:
    """All that is wrong with a content, for the control rules of the preparation.

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
        problems += [*compiled.problems, *_content_problems(compiled), *trial_problems(compiled)]
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


def stopping(compiled: Compiled) -> list[Problem]:
    """What keeps a content that compiles from being sent to anybody, even as a proof: scripts, too much work."""
    found = [*compiled.problems, *trial_problems(compiled)]
    return [problem for problem in found if problem.severity == "error"]


def trial_problems(compiled: Compiled) -> list[Problem]:
    """An error where a copy takes more work than one message may, or holds a script that Liquid makes: tried on
    samples, for who gets a real one matters only when it is filled."""
    for sample in _SAMPLES:
        try:
            compiled.render(dict.fromkeys(compiled.fields, sample))
        except RenderError as error:
            if isinstance(error.__cause__, (TooMuchWork, Unsafe)):
                code = "work" if isinstance(error.__cause__, TooMuchWork) else "script"
                return [Problem(error.where, 0, error.message, code=code)]
        if problem := _link_problem(compiled, dict.fromkeys(compiled.fields, sample)):
            return [problem]
    return []


def _link_problem(compiled: Compiled, fields: Fields) -> Problem | None:
    """An error where a link alone takes more work than one click may. All links are tried within one budget, and the
    first that goes beyond it once more within its own: two budgets at most, however many links there are."""
    meter = Meter()
    for link in compiled.links:
        if link.index >= 0 and _is_dear(compiled, link.index, fields, meter):
            if not _is_dear(compiled, link.index, fields, Meter()):
                return None
            words = _("this link takes more work than one click may; write it more simply")
            return Problem(link.where, link.line, words, code="work")
    return None


def _is_dear(compiled: Compiled, index: int, fields: Fields, meter: Meter) -> bool:
    try:
        compiled.destination(index, fields, meter)
    except PutOff:
        return True
    except RenderError as error:
        return isinstance(error.__cause__, TooMuchWork)
    return False
