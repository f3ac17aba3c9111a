"""How the sink misbehaves, said in a line that a flag or a control file holds.

The line is `accept`, or words joined by commas:

    temporary=P       P percent of the RCPTs are answered 451 4.3.0
    full=P            P percent of the RCPTs are answered 452 4.3.1
    temporary-dot=P   P percent of the messages are answered 451 4.3.0 behind the dot
    refuse=P          P percent of the RCPTs are answered 550 5.1.1
    refuse-dot=P      P percent of the messages are answered 554 5.7.1 behind the dot
    lose=N            every N-th message is dropped: not noted, line closed, no answer
    drop-before=N     every N-th message is noted, and the line closed instead of the answer
    drop-after=N      every N-th message is noted and answered, then the line closes
    hang=N            every N-th message is noted, and nothing is ever answered again
    nonsense=N        every N-th message is noted, and the answer is none that SMTP knows
    slow=MS           each message's answer comes MS milliseconds later
    storm             421 for each new line and each command
    storm=N           every N-th MAIL is answered 421 and the line closes

Every N-th counts the messages (or MAILs) of all lines together. A message that was noted without
its answer and is sent again shows as a duplicate, as it would to its recipient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The numbers of the words above; 0 is never."""

    temporary: float = 0
    full: float = 0
    temporary_dot: float = 0
    refuse: float = 0
    refuse_dot: float = 0
    lose: int = 0
    drop_before: int = 0
    drop_after: int = 0
    hang: int = 0
    nonsense: int = 0
    slow: float = 0
    storm: int = 0

    @classmethod
    def parse(cls, text: str) -> Behaviour:
        """ValueError for a word or a number that the table does not have."""
        values: dict[str, float] = {}
        for word in text.strip().split(","):
            name, _, value = word.strip().partition("=")
            if name != "accept":
                number = _NUMBERS.get(name)
                if number is None:
                    raise ValueError(f"the sink has no behaviour {name!r}")
                values[name.replace("-", "_")] = number(value or ("1" if name == "storm" else ""))
        if any(value < 0 for value in values.values()):
            raise ValueError(f"a negative number in {text!r}")
        return cls(**values)  # type: ignore[arg-type]


_NUMBERS: dict[str, Callable[[str], float]] = {
    each.name.replace("_", "-"): int if each.type == "int" else float for each in fields(Behaviour)
}
