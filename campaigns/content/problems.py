"""What can be wrong with a message's content: found while compiling it, checking it or filling it for one recipient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from campaigns.core.kept_text import KeptText
from campaigns.core.kept_text import keep as _

Severity = Literal["error", "warning"]
PARTS = (_("Subject"), _("HTML"), _("Text"), _("Sender"))


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `where` is Subject, HTML, Text or Sender; `line` counts from 1, 0 means the part as a whole.

    `code` is stable, for programs; `message` is for people. An error stops the preparation, a warning doesn't.
    """

    where: str
    line: int
    message: str
    severity: Severity = "error"
    code: str = "syntax"

    def __str__(self) -> str:
        return str(self.sentence)

    @property
    def sentence(self) -> KeptText:
        """Place and message, to be kept and told again."""
        if self.line:
            return _("%(part)s, line %(line)s: %(what)s", part=_(self.where), line=str(self.line), what=self.message)
        return _("%(part)s: %(what)s", part=_(self.where), what=self.message)


class ContentError(ValueError):
    """The content cannot be compiled; `problems` says why, one entry per finding."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = list(problems)


class RenderError(ValueError):
    """The content cannot be filled for this recipient (too much work, a filter that rejects the value …)."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where, self.message = where, message


class PutOff(RenderError):
    """Filling took so long on this machine that it was given up. The message is in order: try again later."""

    def __init__(self, where: str) -> None:
        super().__init__(where, _("filling it took too long on this server; it is tried again later"))


def line_of(source: str, position: int) -> int:
    """The line, counted from 1, of a character position."""
    return source.count("\n", 0, max(position, 0)) + 1
