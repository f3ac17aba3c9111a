"""What a bounce without RFC 3464 fields says: sentences of one of dozens of programs.

Where does the notice end and the returned message begin, which addresses does the notice blame, each
with which words, and at which stage of the SMTP dialogue was it refused?
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from deliveries.mail.addresses import ADDRESS, clean, places
from deliveries.mail.qualification.safe_patterns import signs
from deliveries.mail.text_patterns import words

MAX_NOTICE = 24 * 1024  # characters of a notice that are searched
MAX_TRANSCRIPT = 64 * 1024
MAX_BLOCK = 4000
MAX_MARKER = 200  # characters of a line that are looked at
MAX_RECIPIENTS = 100

_MESSAGE = r"(?:original|returned|unsent|undelivered|failed|bounced|rejected|offending) (?:message|e?-?mail)"
_ORNAMENT = re.compile(r"[\s>*=_#~-]*+")
_MARKER = words(
    r"(?:(?:below (?:this line )?(?:is|are) (?:a copy|the|your)|this is a copy of|(?:en)?closed is a copy of"
    r"|copy of (?:the|your|original))\b.*|included is a copy of.*"
    r"|(?:the )?(?:first \d+ lines|headers?)(?: and .{0,40})? (?:of|from) (?:the|your) (?:original |returned )?"
    r"(?:message|mail|e-mail)\b.*"
    rf"|(?:the |your )?(?:{_MESSAGE}|(?:message|mail) (?:headers?|text|source|body))(?:'s)?(?: headers?)?"
    r"(?: as received)?"
    r"(?: information)?(?: (?:follows?|below|as follows|is (?:attached|following|below|included)|attached|begins?)"
    r".{0,30})?[\s:.=*_#~-]*"
    r"|元の(?:メール|メッセージ).*|原始?邮件.*)$",
)
_AFTER_DASHES = words(r"(?:original|message header).*$")
_HEADER_LINE = words(
    r"(received|return-path|delivered-to|message-id|mime-version|from|to|subject|date|reply-to|sender|cc"
    r"|content-type|content-transfer-encoding|dkim-signature|x-[\w-]+|arc-[\w-]+|user-agent|in-reply-to"
    r"|references|authentication-results):",
)
_PROOF = frozenset(("received", "return-path", "message-id", "mime-version", "delivered-to"))

_AT_START = re.compile(rf"[\s>*-]*+(\d{{3}}[ -](?:\d\.\d\.\d{{1,3}} )?)?[<\"'(\[]*+({ADDRESS})[>\"')\]]*+(.*)$")
_INTRODUCES = words(  # an address that stands behind it; to search for both at once takes time without bound
    r"\b(?:deliver\w*|undeliver\w*|sent|send|recipients?|address(?:es|ed)?|fail\w*|reject\w*|problem|routing"
    r"|gateway|bounced|unable|error\w*|account|user|mailbox|unknown|host|attempts|size|message|mail|message-id"
    r"|reach|rcpt|empfanger|destinataire|an|to|для|宛先)\b[^\n@]{0,90}?[\s:<\"'(\[]\Z",
)
MAX_BETWEEN = 130  # characters from such a word to the address
_INTRODUCTION = words(
    r"did not reach|following (e-?mail )?(recipient|address|user)\S*|(fatal|delivery) errors|failed recipients?\b",
)
_LEAD_IN = words(
    r"(?:other server returned was|response (?:from the remote server )?was"
    r"|(?:remote )?(?:host|server|system|mta)\b.{0,80}(?:said|returned|replied|responded(?: with failure)?"
    r"|gave this error)|error message(?: below)?|following (?:reason|error)(?:\(?s\)?)?"
    r"|reason(?: for the problem| given)?|technical details of \w+ failure|server message|failure reasons? *+-*+"
    r"|problem appears to be|because(?: of)?|diagnostic(?:s| information)?|status)"
    r"\s*+:?\s*+[-:'\"(]*+\s*+(?=(?:\S{1,80} )?[45][0-5]\d\b)|(?=The user\(s\) account is)",
)
_STAGES = (
    (
        "rcpt",
        signs(
            r"(in reply to|after|to|our|for|>>>) (the )?rcpt\b|\brcpt (to )?command|does not like recipient",
            r"\[rcpt_to\]|recipient address rejected|has rejected address|rejected recipient",
        ),
    ),
    (
        "mail",
        signs(
            r"(in reply to|after|to|our|for|>>>) (the )?mail from|\bmail (from )?command|sender was rejected",
            r"\[mail_from\]|rejected mail from|sender address rejected",
        ),
    ),
    (
        "data",
        signs(
            r"(in reply to|after|to|our|for|at) (the )?(end of |final )?(data|text)\b|after i sent the message",
            r"\(data\)|failed on data|smtp transmission failure|\[data\]|\b554 5\.0\.0 service unavailable",
        ),
    ),
    (
        "connect",
        signs(
            r"refused to talk|initial connection|after (initial )?(connect|greeting|banner|helo|ehlo)|for greeting",
            r"while (performing|reading) .{0,20}(greeting|helo|ehlo)|(in reply to|to) (helo|ehlo)|>>> (helo|ehlo)",
        ),
    ),
)
_NAME = rf"(?:<{ADDRESS}>|{ADDRESS})(?:\.\.\.|:)\s"
_NAMED = words(
    rf"^\W{{0,40}}{_NAME}",
    rf"(?:^|[\s:,])[245]\d\d[ -]+(?:[245]\.\d\.\d{{1,3}} )?{_NAME}",
    rf"<{ADDRESS}>\.\.\. ",
    rf"\b(?:user|recipient|mailbox|address) ?(?:unknown)?: <?{ADDRESS}",
)
_SENDMAIL_UNKNOWN = re.compile(r"\b550 5\.1\.1 \S+ user unknown")


@dataclass(frozen=True)
class Mention:
    """An address of which the notice speaks, and its words about it; `listed` on a line of its own."""

    address: str
    text: str
    listed: bool


def split_returned(text: str) -> tuple[str, str]:
    """The notice, and what follows of the returned message ('' when nothing is quoted)."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if index and _is_marker(line[:MAX_MARKER]):
            return "\n".join(lines[:index]), "\n".join(lines[index + 1 :])
        if _HEADER_LINE.match(line[:MAX_MARKER]) and _is_header_block(lines, index):
            return "\n".join(lines[:index]), "\n".join(lines[index:])
    return text, ""


def _is_marker(line: str) -> bool:
    """Whether the line says that the returned message follows, whatever it is adorned with."""
    start = _ORNAMENT.match(line).end()  # type: ignore[union-attr]  # it may be empty, it always matches
    dashed = line[:start].endswith(("---", "--- "))
    return bool(_MARKER.match(line, start) or (dashed and _AFTER_DASHES.match(line, start)))


def _is_header_block(lines: list[str], start: int) -> bool:
    names = set()
    for line in lines[start : start + 25]:
        if match := _HEADER_LINE.match(line[:MAX_MARKER]):
            names.add(match.group(1).lower())
        elif not line.startswith((" ", "\t")) and not re.match(r"[\w-]{1,100}:", line):
            break
    return len(names) >= 3 and bool(names & _PROOF)


def server_words(text: str) -> str:
    """From the sentence that introduces the other server's reply on: its reply, or ''."""
    match = _LEAD_IN.search(text[:MAX_NOTICE])
    return text[match.end() : match.end() + MAX_BLOCK] if match else ""


def find_mentions(notice: str) -> list[Mention]:
    """The addresses that the notice blames, each with the text that belongs to it.

    They stand below "the following recipients", where a program says so; above may stand the message's
    own addresses."""
    introduction = _INTRODUCTION.search(notice[:MAX_NOTICE])
    return (_mentions(notice[introduction.end() :]) if introduction else []) or _mentions(notice)


def _mentions(text: str) -> list[Mention]:
    """Lines that begin with an address (or with a reply code and an address, as in Sendmail's transcripts)
    are how nearly all programs list them; only without such lines are addresses in sentences taken."""
    lines = text[:MAX_NOTICE].split("\n")
    starts = [(number, match) for number, line in enumerate(lines) if (match := _AT_START.match(line[:600]))]
    if starts:
        return _blocks(lines, starts)
    found = islice(_in_sentences(" ".join(lines)), MAX_RECIPIENTS)
    return [Mention(address, "", False) for address in dict.fromkeys(found)]


def _in_sentences(text: str) -> Iterator[str]:
    """The addresses of which sentences speak, those behind one of the words."""
    free = 0
    for start, end in places(text):
        for at in (start, *(start + place + 1 for place in range(min(end - start, 64)) if text[start + place] == "'")):
            if _INTRODUCES.search(text, max(free, at - MAX_BETWEEN), at):
                yield clean(text[at:end])
                free = end
                break


def _blocks(lines: list[str], starts: list[tuple[int, re.Match[str]]]) -> list[Mention]:
    """A line with a reply code speaks for itself; any other owns the lines up to the next address."""
    texts: dict[str, str] = {}
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    for (number, match), end in zip(starts, ends, strict=True):
        address = clean(match.group(2))
        own = lines[number : number + 1] if match.group(1) else [match.group(3), *lines[number + 1 : end]]
        texts[address] = (texts.get(address, "") + "\n" + "\n".join(own)[:MAX_BLOCK]).strip()[:MAX_BLOCK]
    return [Mention(address, text, True) for address, text in texts.items()][:MAX_RECIPIENTS]


def stages_in(line: str) -> frozenset[str]:
    """The stages of the dialogue of which some words speak, given as one line (bounce_signs.line_of).

    Sendmail pipelines, so that its transcript says DATA for all; but it adds its own "User unknown" only when RCPT was
    refused."""
    found = {stage for stage, signs_of_it in _STAGES if signs_of_it.found_in(line)}
    if "<<<" in line and _SENDMAIL_UNKNOWN.search(line):
        found.add("rcpt")
    return frozenset(found)


def stage_of(reply: str, stages: Collection[str], status: str = "") -> str:
    """The stage of the dialogue at which the refusal came: connect, mail, rcpt, data, or ''.

    `reply` is the server's answer, `stages` those in what the reporting program wrote around it. A reply that
    names the address itself answers RCPT, unless its status speaks of the mailbox (x.2.x)."""
    if _NAMED.search(reply[:MAX_BLOCK]) and status[1:4] != ".2.":
        return "rcpt"
    return next((stage for stage, _signs in _STAGES if stage in stages), "")


def transcript(notice: str) -> list[str]:
    """The other server's answers (`<<< 550 …`) in a Sendmail transcript."""
    return [line[4:] for line in notice[:MAX_TRANSCRIPT].split("\n") if line.startswith("<<< ")]
