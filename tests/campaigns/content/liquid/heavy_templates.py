"""Templates that ask for much with little, and how long they may take. Times are of the processor, and generous."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import Any

GROW = "{%% assign x = '%s' %%}{%% for i in (1..%d) %%}{%% assign x = x | append: x %%}{%% endfor %%}"


def grown(text: str, times: int) -> str:
    """`x` holds a text doubled so often."""
    return GROW % (text, times)


def often(body: str, before: str = "") -> str:
    """The body a million times."""
    return f"{before}{{% for i in (1..1000) %}}{{% for j in (1..1000) %}}{body}{{% endfor %}}{{% endfor %}}"


# 630 bytes that took days by the limits of the time: append doubles, then squish and split | uniq in a loop.
ATTACK = (
    grown("a ", 15)
    + "{% for i in (1..980) %}{% assign y = x"
    + " | squish" * 24
    + " %}{% assign z = x"
    + " | split: ' ' | uniq | join: ' '" * 7
    + " %}{% endfor %}"
)

_LETTERS, _SQUARE = "{% assign y = x | split: '' %}", "{% assign y = y | times: y %}"
_TWICE = "{% case country %}{% when " + "'FR'," * 150 + "'FR' %}"

HEAVY = {
    "the attack": ATTACK,
    "loops in loops": often(""),
    "outputs": often("{{ country }}"),
    "long outputs": often("{{ x }}", grown("<", 14)),
    "constants": often("x" * 500),
    "filters": often("{{ country | append: country | upcase | times: 2 }}"),
    "dates": often("{{ '2020-01-01' | add_days: 3 | date: '%A %B' }}"),
    "comparisons": often("{% if x == y %}{% endif %}", grown("a", 16) + "{% assign y = x | append: '' %}"),
    "contains": often("{% if x contains y %}{% endif %}", grown("a", 14) + "{% assign y = x | slice: 0, 99 %}"),
    "lists": often("{% assign z = x | split: ',' | sort | uniq | reverse %}", grown("b,a,", 14)),
    "tags": often("{% assign z = x | strip_html %}", grown("<a ", 13) + "{% assign x = x | append: '>' %}"),
    "cycles": often("{% cycle x, x, x, x %}", grown("a", 14)),
    "captures": often("{% capture z %}{{ x }}{% endcapture %}", grown("a", 12)),
    "offsets": often("{% for k in y offset: 16000 limit: 1 %}{% endfor %}", grown("a", 14) + _LETTERS),
    "numbers": often("{% assign z = y | times: y | modulo: 7 %}", "{% assign y = 99999999 %}" + _SQUARE * 7),
    "whens that match": _TWICE * 5 + "x" + "{% endcase %}" * 5,
    "whens that match nothing to see": _TWICE * 5 + " " + "{% endcase %}" * 5,
    "variables": "".join(f"{{% assign v{n} = 1 %}}" for n in range(900))
    + often("".join(f"{{% assign v{n} = 1 %}}" for n in range(900))),
}


@contextmanager
def within(seconds: float, raises: Any = None) -> Any:
    """Fails if it takes more processor time."""
    began = time.process_time()
    with raises or nullcontext() as caught:
        yield caught
    assert time.process_time() - began < seconds


def fastest(act: Callable[[], Any], rounds: int = 3) -> float:
    """Seconds of processor time in the best of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return min(times)
