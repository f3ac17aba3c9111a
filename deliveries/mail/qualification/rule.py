"""One qualification rule: data that an administrator can read, edit and store."""

from dataclasses import dataclass

HARD, SOFT, IGNORED = "hard", "soft", "ignored"


@dataclass(frozen=True)
class Rule:
    """One rule. All conditions that are given must hold; the first rule of a list that holds decides.

    pattern  regular expression, searched without regard to case and accents in the folded text: one
             line, addresses replaced by `*`
    code     regular expression for the whole SMTP reply code, such as `55\\d`
    status   regular expression for the whole enhanced status (RFC 3463), such as `5\\.1\\.[13]`
    stage    regular expression for the stage of the dialogue: connect, mail, rcpt or data
    detail   the finer cause, for people and reports; verdicts do not depend on it
    """

    order: int
    name: str
    pattern: str
    type: str
    reason: str
    detail: str = ""
    code: str = ""
    status: str = ""
    stage: str = ""
