"""Any mail that came to the return address -> what it says of which recipient.

`parse` is the door: delivery reports (RFC 3464), feedback reports (RFC 5965), bounces told in prose,
Amazon SES notifications, automatic replies (RFC 3834), and mail that is none of these. It is total: any
bytes give a list of reports, in bounded time and memory.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from deliveries.mail.addresses import find_all, first_address
from deliveries.mail.qualification.engine import DEFAULT_RULES, Rule, ordered, read_status
from deliveries.mail.text_patterns import without_accents

from . import dsn, ses
from .arf import COMPLAINTS, is_complaint_subject, read_feedback
from .auto_replies import is_auto_reply
from .detection import is_bounce, is_delay_subject
from .message import LIMIT, open_mail, parse_date
from .parts import Opened, sort
from .passage import Passage
from .prose import MAX_RECIPIENTS, Mention, stage_of
from .report import (
    AUTO_REPLY,
    BOUNCE,
    COMPLAINT,
    DELAYED,
    DELIVERED,
    KINDS,
    NO_EVIDENCE,
    NONE,
    Evidence,
    Judge,
    Report,
    any_status,
    cut,
)

__all__ = [
    "AUTO_REPLY",
    "BOUNCE",
    "COMPLAINT",
    "DELAYED",
    "DELIVERED",
    "KINDS",
    "LIMIT",
    "NONE",
    "Evidence",
    "Report",
    "parse",
]

MAX_MAILS = 50  # of one mbox
MAX_REPORTS = 1000
MAX_DEPTH = 2  # bounces within bounces
MAX_STATUS = 200  # characters of a Status field, which has a code and perhaps a comment

_MBOX = re.compile(
    rb"(?m)^From \S{0,320}+[^\n]{0,80}\d\d:\d\d(?::\d\d)?[^\n]{0,20}\d{4}\s*+(?<=\n)(?=[A-Za-z-]{2,40}:)"
)
_DAEMON = re.compile(r"(?i)mailer-daemon|postmaster|mail delivery")
_DISPOSITION = "disposition-notification"  # RFC 8098: read receipts, and what mailbox filters answer
_REJECTED = re.compile(r"(?i)was automatically rejected")
_FORWARDED = re.compile(r"(?i)\s*(fwd?|wg|tr|enc|転送)\s*:")

UNREAD = "This mail says more than is read of one; the rest of it was not applied."

Reader = Callable[["Opened", Judge, int], Iterable[Report]]


def parse(raw: bytes, limit: int = LIMIT, rules: Iterable[Rule] | None = None) -> list[Report]:
    """The reports of a mail, or of every mail of an mbox; at least one each, of kind `none` if need be.

    At most `limit` bytes are looked at; `rules` are those of `qualify`. Never raises. Where a mail has more recipients
    or more words than are read of one, the last report is of kind `none` and says so."""
    judge = Judge(ordered(DEFAULT_RULES if rules is None else rules))
    reports: list[Report] = []
    for one in _mails(raw[:limit]):
        reports += _read(one, judge)
        if judge.is_tired or len(reports) > MAX_REPORTS:
            return [*reports[:MAX_REPORTS], Report("", NONE, text=UNREAD)]
    return reports


def _mails(raw: bytes) -> list[bytes]:
    """The mails of an mbox (RFC 4155): `From ` lines after a blank line, with header fields below."""
    if not raw.startswith(b"From "):
        return [raw]
    starts = [match.start() for match in _MBOX.finditer(raw)][:MAX_MAILS]
    cuts = [start for start in starts if start and raw[start - 2 : start] in (b"\n\n", b"\r\n", b"-\n")]
    return [raw[a:b] for a, b in pairwise([0, *cuts, len(raw)])]


def _read(raw: bytes, judge: Judge, depth: int = 0) -> list[Report]:
    """The first reader that recognises the mail decides."""
    opened = sort(open_mail(raw))
    readers: tuple[Reader, ...] = (_feedback, _ses_notices, _status_reports, _passed_on, _prose, _auto_reply)
    for reader in readers:
        reports = list(reader(opened, judge, depth))
        if reports:
            return [_with_evidence(report, opened.evidence) for report in reports]
    return [Report("", NONE, evidence=opened.evidence)]


def _with_evidence(report: Report, evidence: Evidence) -> Report:
    return replace(report, evidence=evidence) if report.evidence is NO_EVIDENCE else report


def _feedback(opened: Opened, judge: Judge, depth: int) -> Iterator[Report]:
    texts = opened.feedback_texts
    if not texts and opened.returned and is_complaint_subject(opened.subject):
        texts = ["Feedback-Type: abuse"]
    for text in texts:
        feedback = read_feedback(text)
        kind = COMPLAINT if feedback.is_complaint else NONE
        for recipient in feedback.recipients or opened.returned_recipients or [""]:
            yield Report(recipient, kind, feedback=feedback.feedback_type, text=cut(opened.notice))


def _ses_notices(opened: Opened, judge: Judge, depth: int) -> Iterator[Report]:
    for notice in ses.read_notices(opened.notice):
        if judge.is_tired:
            return
        recipient = first_address(notice.recipient)
        if notice.action == COMPLAINT:
            kind = COMPLAINT if notice.feedback_type in COMPLAINTS else NONE
            report = Report(recipient, kind, feedback=notice.feedback_type)
        else:
            report = judge.report(recipient, [notice.text], action=notice.action, status=notice.status)
        ids = tuple(found for found in (notice.header_message_id.strip("<>"), notice.message_id) if found)
        yield replace(report, evidence=replace(opened.evidence, message_ids=ids))


def _status_reports(opened: Opened, judge: Judge, depth: int) -> Iterator[Report]:
    texts = opened.status_texts or _fields_in_prose(opened)
    if not texts or opened.mail.report_type == _DISPOSITION:
        return
    whole = [group for text in texts for group in dsn.read_report(text).recipients]
    groups = whole[: dsn.MAX_RECIPIENTS]
    mentions = opened.passage.mentions
    named = [group.recipients[0] if group.recipients else "" for group in groups]
    unnamed = _unnamed(opened, mentions, named) if "" in named else ""
    pairs = [(group, name or unnamed) for group, name in zip(groups, named, strict=True)]
    pairs = pairs or [(dsn.Fields(), name) for name in _all_unnamed(opened, mentions)]
    for group, recipient in pairs:
        if judge.is_tired:
            return
        yield _from_fields(opened, group, recipient, judge, alone=len(pairs) == 1)
    if len(whole) > len(groups):
        yield Report("", NONE, text=UNREAD)


def _fields_in_prose(opened: Opened) -> list[str]:
    """The notice, if it carries report fields: bare, or quoted in a bounce that somebody forwards."""
    forwarded = _FORWARDED.match(opened.subject)
    notice = re.sub(r"(?m)^(> ?)+", "", opened.notice) if forwarded else opened.notice
    return [notice] if dsn.looks_like_fields(notice) else []


def _unnamed(opened: Opened, mentions: list[Mention], named: list[str]) -> str:
    """The recipient of a group that names none: in the notice, or that of the returned message."""
    others = [mention for mention in mentions if mention.address not in named]
    return _all_unnamed(opened, others)[0]


def _all_unnamed(opened: Opened, mentions: list[Mention]) -> list[str]:
    """The recipients of a report without any: those of the notice, or of the returned message, or ''."""
    return opened.named(mentions) or opened.returned_recipients or [""]


def _from_fields(opened: Opened, group: dsn.Fields, recipient: str, judge: Judge, *, alone: bool) -> Report:
    notice = opened.passage
    block = notice.blocks.get(recipient) or Passage("")
    context = notice if alone or not block else block
    reply = dsn.complete(group.diagnostic, notice.transcript) or context.server_words
    told = group.get("status")[:MAX_STATUS]
    texts = [reply, block.text, *([context.remote_lines or context.text] if alone else []), told]
    status = any_status(told)
    stages = block.stages | context.stages | Passage(told).stages
    stage = stage_of(reply, stages, read_status(reply) or status)
    delayed = "delayed" if notice.delays or is_delay_subject(opened.subject) else ""
    report = judge.report(recipient, texts, action=group.action or delayed, status=status, stage=stage)
    return replace(
        report,
        last_attempt_date=parse_date(group.get("last-attempt-date")),
    )


def _passed_on(opened: Opened, judge: Judge, depth: int) -> list[Report]:
    """A gateway only passes on another server's bounce, and blames no address itself."""
    daemons = all(_DAEMON.search(headers.get("from")) for headers in (opened.headers, opened.returned))
    if depth >= MAX_DEPTH or not daemons or opened.blamed([m.address for m in opened.passage.mentions]):
        return []
    reports = _read(opened.enclosed, judge, depth + 1)
    return [report for report in reports if report.kind in (BOUNCE, DELAYED, DELIVERED)]


def _prose(opened: Opened, judge: Judge, depth: int) -> Iterator[Report]:
    headers = opened.headers
    if opened.mail.report_type == _DISPOSITION and not _REJECTED.search(opened.notice):
        return
    notice = opened.passage
    if not is_bounce(headers, notice.text, notice.line, bool(opened.returned)):
        return
    failed = find_all(headers.all("x-failed-recipients", "x-mailer-daemon-recipients"))
    recipients = failed or opened.named(notice.mentions) or opened.returned_recipients
    action = "delayed" if notice.delays or is_delay_subject(opened.subject) else "failed"
    for recipient in recipients[:MAX_RECIPIENTS]:
        if judge.is_tired:
            return
        block = notice.blocks.get(recipient) or Passage("")
        context = notice if len(recipients) == 1 or not block else block
        nearest = block or context
        texts = [nearest.server_words, block.text, context.remote_lines or context.text, opened.subject]
        stage = stage_of(nearest.text, context.stages, read_status(nearest.text))
        yield judge.report(recipient, texts, action=action, stage=stage)
    if len(recipients) > MAX_RECIPIENTS:
        yield Report("", NONE, text=UNREAD)


def _auto_reply(opened: Opened, judge: Judge, depth: int) -> Iterator[Report]:
    if is_auto_reply(opened.headers, without_accents(opened.subject)):
        yield Report(first_address(opened.headers.get("from")), AUTO_REPLY, text=cut(opened.notice))
