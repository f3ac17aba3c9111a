"""What a bounce without RFC 3464 fields says: sentences of one of dozens of programs.

Where does the notice end and the returned message begin, which addresses does the notice blame, each
with which words, and at which stage of the SMTP dialogue was it refused?
"""

import re
from dataclasses import dataclass

from deliveries.addresses import ADDRESS, clean
from deliveries.bounce_signs import line_of
from deliveries.bounce_words import words

MAX_NOTICE = 24 * 1024  # characters of a notice that are searched
MAX_BLOCK = 4000
MAX_RECIPIENTS = 100

_MESSAGE = r"(?:original|returned|unsent|undelivered|failed|bounced|rejected|offending) (?:message|e?-?mail)"
_MARKER = words(
    r"^[\s>*=_#~-]*(?:"
    r"(?:below (?:this line )?(?:is|are) (?:a copy|the|your)|this is a copy of|(?:en)?closed is a copy of"
    r"|copy of (?:the|your|original))\b.*|included is a copy of.*"
    r"|(?:the )?(?:first \d+ lines|headers?)(?: and .{0,40})? (?:of|from) (?:the|your) (?:original |returned )?"
    r"(?:message|mail|e-mail)\b.*"
    rf"|(?:the |your )?(?:{_MESSAGE}|(?:message|mail) (?:headers?|text|source|body))(?:'s)?(?: headers?)?"
    r"(?: as received)?"
    r"(?: information)?(?: (?:follows?|below|as follows|is (?:attached|following|below|included)|attached|begins?)"
    r".{0,30})?[\s:.=*_#~-]*"
    r"|元の(?:メール|メッセージ).*|原始?邮件.*|-{3,} ?(?:original|message header).*)$",
)
_HEADER_LINE = words(
    r"(received|return-path|delivered-to|message-id|mime-version|from|to|subject|date|reply-to|sender|cc"
    r"|content-type|content-transfer-encoding|dkim-signature|x-[\w-]+|arc-[\w-]+|user-agent|in-reply-to"
    r"|references|authentication-results):",
)
_PROOF = frozenset(("received", "return-path", "message-id", "mime-version", "delivered-to"))

_AT_START = re.compile(rf"^[\s>*-]*(\d{{3}}[ -](?:\d\.\d\.\d{{1,3}} )?)?[<\"'(\[]*({ADDRESS})[>\"')\]]*(.*)$")
_IN_SENTENCE = words(
    r"\b(?:deliver\w*|undeliver\w*|sent|send|recipients?|address(?:es|ed)?|fail\w*|reject\w*|problem|routing"
    r"|gateway|bounced|unable|error\w*|account|user|mailbox|unknown|host|attempts|size|message|mail|message-id"
    r"|reach|rcpt|empfanger|destinataire|an|to|для|宛先)\b[^\n@]{0,90}?[\s:<\"'(\[]"
    rf"({ADDRESS})",
)
_INTRODUCTION = words(
    r"did not reach|following (e-?mail )?(recipient|address|user)\S*|(fatal|delivery) errors|failed recipients?\b",
)
_LEAD_IN = words(
    r"(?:other server returned was|response (?:from the remote server )?was"
    r"|(?:remote )?(?:host|server|system|mta)\b.{0,80}(?:said|returned|replied|responded(?: with failure)?"
    r"|gave this error)|error message(?: below)?|following (?:reason|error)(?:\(?s\)?)?"
    r"|reason(?: for the problem| given)?|technical details of \w+ failure|server message|failure reasons? *-*"
    r"|problem appears to be|because(?: of)?|diagnostic(?:s| information)?|status)"
    r"\s*:?\s*\n?\s*[-:'\"(]*\s*(?=(?:\S+ )?[45][0-5]\d\b)|(?=The user\(s\) account is)",
)
_STAGES = (
    (
        "rcpt",
        words(
            r"(in reply to|after|to|our|for|>>>) (the )?rcpt\b|\brcpt (to )?command|does not like recipient",
            r"\[rcpt_to\]|recipient address rejected|has rejected address|rejected recipient",
        ),
    ),
    (
        "mail",
        words(
            r"(in reply to|after|to|our|for|>>>) (the )?mail from|\bmail (from )?command|sender was rejected",
            r"\[mail_from\]|rejected mail from|sender address rejected",
        ),
    ),
    (
        "data",
        words(
            r"(in reply to|after|to|our|for|at) (the )?(end of |final )?(data|text)\b|after i sent the message",
            r"\(data\)|failed on data|smtp transmission failure|\[data\]|\b554 5\.0\.0 service unavailable",
        ),
    ),
    (
        "connect",
        words(
            r"refused to talk|initial connection|after (initial )?(connect|greeting|banner|helo|ehlo)|for greeting",
            r"while (performing|reading) .{0,20}(greeting|helo|ehlo)|(in reply to|to) (helo|ehlo)|>>> (helo|ehlo)",
        ),
    ),
)
_NAME = rf"(?:<{ADDRESS}>|{ADDRESS})(?:\.\.\.|:)\s"
_NAMED = words(
    rf"^\W*{_NAME}",
    rf"(?:^|[\s:,])[245]\d\d[ -]+(?:[245]\.\d\.\d{{1,3}} )?{_NAME}",
    rf"<{ADDRESS}>\.\.\. ",
    rf"\b(?:user|recipient|mailbox|address) ?(?:unknown)?: <?{ADDRESS}",
)
_SENDMAIL_UNKNOWN = re.compile(r"\b550 5\.1\.1 \S+ User unknown")


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
        if _MARKER.match(line[:200]) and index:
            return "\n".join(lines[:index]), "\n".join(lines[index + 1 :])
        if _HEADER_LINE.match(line) and _is_header_block(lines, index):
            return "\n".join(lines[:index]), "\n".join(lines[index:])
    return text, ""


def _is_header_block(lines: list[str], start: int) -> bool:
    names = set()
    for line in lines[start : start + 25]:
        if match := _HEADER_LINE.match(line):
            names.add(match.group(1).lower())
        elif not line.startswith((" ", "\t")) and not re.match(r"[\w-]+:", line):
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
    found = [clean(match.group(1)) for match in _IN_SENTENCE.finditer(" ".join(lines))]
    return [Mention(address, "", False) for address in dict.fromkeys(found)][:MAX_RECIPIENTS]


def _blocks(lines: list[str], starts: list[tuple[int, re.Match[str]]]) -> list[Mention]:
    """A line with a reply code speaks for itself; any other owns the lines up to the next address."""
    texts: dict[str, str] = {}
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    for (number, match), end in zip(starts, ends, strict=True):
        address = clean(match.group(2))
        own = lines[number : number + 1] if match.group(1) else [match.group(3), *lines[number + 1 : end]]
        texts[address] = (texts.get(address, "") + "\n" + "\n".join(own)[:MAX_BLOCK]).strip()[:MAX_BLOCK]
    return [Mention(address, text, True) for address, text in texts.items()][:MAX_RECIPIENTS]


def stage_of(reply: str, context: str, status: str = "") -> str:
    """The stage of the dialogue at which the refusal came: connect, mail, rcpt, data, or ''.

    `reply` is the server's answer, `context` what the reporting program wrote around it. A reply that
    names the address itself answers RCPT, unless its status speaks of the mailbox (x.2.x). Sendmail
    pipelines, so that its transcript says DATA for both; but it adds its own "User unknown" only when
    RCPT was refused."""
    if _NAMED.search(reply[:MAX_BLOCK]) and status[1:4] != ".2.":
        return "rcpt"
    text = line_of(context)
    if "<<<" in text and _SENDMAIL_UNKNOWN.search(text):
        return "rcpt"
    return next((stage for stage, pattern in _STAGES if pattern.search(text)), "")


def remote_lines(notice: str) -> str:
    """The other server's answers (`<<< 550 …`) of a Sendmail transcript, or ''."""
    answers = [line[4:] for line in notice.split("\n") if line.startswith("<<< ")]
    return "\n".join(answers)[:MAX_BLOCK]
