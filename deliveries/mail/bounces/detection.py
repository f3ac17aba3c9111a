"""Whether a mail without RFC 3464 fields is a bounce, by its sender, subject and words."""

import re

from deliveries.mail.qualification.safe_patterns import signs
from deliveries.mail.text_patterns import lower, without_accents, words

from .message import Headers

MAX_WORDS = 24 * 1024  # characters of a notice that are searched
MAX_FIELD = 2000  # characters of a subject or a sender

_MACHINE = signs(
    r"mailer[-_. ]?daemon|post[-_. ]?master|mail(er)?[-_. ]?deliver|mail(er)? ?system|mail ?admin|daemon",
    r"delivery (sub)?system|undeliver|system admin|double-bounce|interscan|content-?filter|mail ?scanner",
    r"-admin@|mailmarshal|microsoft outlook|smtp[-_. ]|mail[-_ ]?service",
)
_PERHAPS_MACHINE = signs(
    r"no-?reply|do-?not-?reply|notif|bounce|delivery|gateway|exchange|automat|facebook|-request@|owner|ndr@",
)

_SUBJECT = signs(
    r"undeliver|un-?deliverable|returned? ?(e?-?mail|message|to sender)|failure ?(notice|delivery)?",
    r"deliver(y|ing)?\b.{0,40}(status|fail|report|problem|error|notif|delay|unable|not|abort|warn)",
    r"(mail|message|messaging).{0,40}(fail|error|undeliver|not (be )?(deliver|sent)|delay|could|reject"
    r"|return)",
    r"non-?deliver|not? (be )?deliver|unable to deliver|(could|can) ?n.?t (be )?(send|sent|deliver)",
    r"could not (be )?(send|sent|deliver)|bounced?\b|error sending|rejected mail|warning.{0,40}(could|message|mail)",
    r"\bndn\b|\bndr\b|\bdsn\b|loop alert|mail loop|considered (unsolicited|spam)|rejected:|permanent error",
    r"user unknown|unbekannt|unzustellbar|nicht zu(ge)?stell|zustell|verzogert|non remis|non distribu",
    r"echec|impossible de (remettre|distribuer)|retour|mancat|non recapit|impossibile",
    r"no (se )?(ha )?(podido|pudo)|no entreg|devuelt|devolvid|nao entreg|falha|onbestel",
    r"niet (be|af)gelever|niedostarcz|zwrot|ikke lever|kunde inte lever|недостав|не доставл|возвра|failed",
    r"配信|配送|届|送信でき|戻り|エラー|未達|退信|退回|投递|傳遞|無法|系统退",
)

_OPENS_WITH = words(
    r"^\W*(undeliver|non-?deliver|returned mail|mail delivery fail|delivery status notif|failure notice"
    r"|unzustellbar|non remis|mail could not be deliver)",
)

_PHRASE = signs(
    r"(could|can|was|were|has|have|will|is|been) ?(n.?t|not)( been| be)? ?(successfully )?(deliver|sent"
    r"|reach|accept)",
    r"un(able|successful) to (be )?(deliver|send|relay)|undeliver",
    r"deliver(y|ing|ed)?\b.{0,60}(fail|delay|abort|error|problem|impossible|stopped|rejected|unsuccessful)",
    r"fail(ed|ure).{0,40}deliver|did not reach|permanent(ly)? (fatal )?(error|fail)|fatal error",
    r"failed permanently|user unknown|unknown user|over ?quota|mail ?box (is )?(full|unavailable)",
    r"return(ed|ing) (to|your|message)|rejected (by|your)|following (e-?mail )?(address|recipient|message)",
    r"error (occur|message|deliver|while|was)|transcript of session|trouble deliver|delivery errors",
    r"no longer|address not found|not (be )?found|couldn.?t|doesn.?t have|could not|cannot|unsolicited",
    r"duplicated message-id|said: ?[45]\d\d|\b[45]\d\d[ -]+[45]\.\d\.\d|^(<<< )?[45]\d\d[ -]\S",
    r"no such|unknown (user|host|address|recipient)|invalid|not accepted|delayed|network error|rejected",
    r"temporarily|was not|(exactly|no) match|postponed|full mailbox|exceed|verzeichnis|konnte nicht",
    r"n.a pas pu|ne peut|non (e stato|puo)|не (может|удалось)",
    r"できません|できなかった|ません|超過|いっぱい|存在しな|無法|无法|未能",
)

_DELAY = signs(
    r"postponed|advisory-only",
    r"delayed|\bdelay\b|not yet (been )?deliver|still (trying|undelivered|being)",
    r"(will|to) (keep|continue) (on )?(trying|to try|to attempt)|will be retried|warning message only",
    r"(do|need) not (need to )?re-?send|temporar(y|ily) (problem|fail)\S*.{0,80}(retry|try again)",
    r"could not send m\w+ for past|warning.{0,12}could not send|will retry|no action is required",
    r"deliverystatus.{0,20}delayed|verzogert|retarde|遅延",
)

_FINAL = signs(
    r"giv(ing|en) up|will be deleted from|no (further|more) (delivery )?attempt|failed permanently",
    r"permanent(ly)? (fatal )?(error|fail)|will not (be retried|continue)|not going to try",
)

_DAEMON = signs(r"mailer[-_. ]?daemon|post[-_. ]?master")
_NULL_PATH = words(r"^\s*<(mailer-daemon(@[^>]*)?)?>")
_REPLY_LINE = re.compile(r"(?m)^(?:[^\S\n]|<)*+[45][0-5]\d[ -]\S")
_REPLY_PREFIX = words(r"^\s*(re|aw|antw|sv|vs|rif|ref|fwd?|wg|tr|rv|enc|返信|转发|回复)(\[\d+\])?\s*:")


def is_bounce(headers: Headers, notice: str, line: str, returned: bool) -> bool:
    """Whether a machine says in `notice` that it could not deliver; `line` is its `line_of`; `returned`: a message
    came with it.

    No single sign is enough: people forward bounces, newsletters write about them, auto-replies come
    from machines. A machine must speak, and subject, words and what is enclosed must agree."""
    subject, sender = _folded(headers.get("subject")), lower(headers.get("from")[:MAX_FIELD])
    failed = bool(headers.get("x-failed-recipients"))
    null_path = bool(_NULL_PATH.match(headers.get("return-path")))
    daemon = _DAEMON.found_in(sender)
    if _REPLY_PREFIX.match(subject) and not (null_path or failed or daemon):
        return False
    if not (failed or null_path or _is_machine(sender, returned) or _OPENS_WITH.match(subject)):
        return False
    speaks = _PHRASE.found_in(line)
    points = 2 * _SUBJECT.found_in(subject) + 2 * speaks + 3 * failed
    points += returned + null_path + daemon + ("daemon" in sender) + bool(_REPLY_LINE.search(notice[:MAX_WORDS]))
    return points >= 4 and (speaks or failed or daemon)


def _is_machine(sender: str, returned: bool) -> bool:
    """Names that notifications of all sorts use count only if the message comes back with them."""
    return not sender or _MACHINE.found_in(sender) or (returned and _PERHAPS_MACHINE.found_in(sender))


def is_delay(line: str) -> bool:
    """Whether the program is still trying: a warning, not a failure. In: a notice as `line_of` gives it."""
    return _DELAY.found_in(line) and not _FINAL.found_in(line)


def is_delay_subject(subject: str) -> bool:
    """Whether the subject says so."""
    return _DELAY.found_in(_folded(subject))


def line_of(text: str) -> str:
    """`text` as one line in lower case without accents, cut to what is searched."""
    return lower(without_accents(" ".join(text[:MAX_WORDS].split())))


def _folded(subject: str) -> str:
    return lower(without_accents(subject[:MAX_FIELD]))
