"""What the simulator's recipients do with a message, and the machines before them: a pure function of seed and address.

About every other person opens, some click, look at the mirror page or opt out, after a human while. Before and beside
them come machines: gateways that fetch every link within seconds, checkers that only ask for the headers, Apple's
privacy proxy, programs that load images in advance. A few of each are hard to tell from the others, as in life.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

_ADDRESS = re.compile(r"https?://[^\s\"'<>]++")
_TRACKED = re.compile(r"(https?://.+?)(/t/([ocmu])/[0-9a-z]{24,30}(?:\.gif|/(\d{1,9}))?)\Z")
_KINDS = {"o": "open", "c": "click", "m": "mirror", "u": "look"}

_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0"
_CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36"
)
_SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 "
    "Mobile/15E148 Safari/604.1"
)
# (what loads the images, what opens the links)
_PROGRAMS = (
    ("Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Thunderbird/136.0", _FIREFOX),
    ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", _CHROME),
    ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", _SAFARI),
    ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", _CHROME),
    ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Microsoft Outlook 16.0.18526)", _CHROME),
    (_CHROME, _CHROME),
)
_APPLE = "Mozilla/5.0"
_GATEWAYS = (
    "Mozilla/5.0 (compatible; Barracuda Sentinel/1.0)",
    "Mimecast-URL-Protection/2.0",
    "Proofpoint-LinkCheck/4.1",
    "python-requests/2.32.3",
)
_PREVIEW = "Slackbot-LinkExpanding 1.0 (+https://api.slack.example/robots)"
SOONEST = 8.0  # seconds; people need that long at the least


@dataclass(frozen=True, slots=True)
class Letter:
    """The addresses of a message that lead back to its sender, as paths under `base`."""

    base: str
    pixel: str
    links: tuple[tuple[int, str], ...]
    mirror: str
    optout: str


@dataclass(frozen=True, slots=True)
class Act:
    """One request: how many seconds after the acceptance, by whom, and what for. `link` is -1 but for clicks."""

    after: float
    who: str
    machine: bool
    kind: str
    method: str
    path: str
    link: int
    agent: str
    origin: str  # the address that it seems to come from
    body: str = ""


def letter(html: str) -> Letter:
    """The tracked addresses in a message's HTML; those that it does not have are ''."""
    base, found, links = "", {"open": "", "mirror": "", "look": ""}, {}
    for match in filter(None, map(_TRACKED.match, _ADDRESS.findall(html))):
        kind = _KINDS[match[3]]
        base = base or match[1]
        if kind == "click" and match[4]:
            links[int(match[4])] = match[2]
        elif kind in found:
            found[kind] = found[kind] or match[2]
    return Letter(base, found["open"], tuple(sorted(links.items())), found["mirror"], found["look"])


def acts(address: str, what: Letter, seed: int, haste: float = 1.0) -> list[Act]:
    """All that happens to `address`'s copy. `haste`: how many times faster than usual people are; machines are not."""
    dice = random.Random(f"{seed}:readers:{address.lower()}")  # noqa: S311 - nothing here is a secret
    made = [*_machine(dice, what), *_person(dice, what, haste)]
    return [act for act in sorted(made, key=lambda act: act.after) if act.path]


def _person(dice: random.Random, what: Letter, haste: float) -> Iterator[Act]:
    images, browser = dice.choice(_PROGRAMS)
    origin = f"198.51.100.{dice.randrange(1, 255)}"

    def act(after: float, kind: str, path: str, link: int = -1, method: str = "GET", body: str = "") -> Act:
        agent = images if kind == "open" else browser
        return Act(after, "person", False, kind, method, path, link, agent, origin, body)

    drawn = dice.random()
    if drawn > 0.5:
        return
    # A few have the mail before their eyes when it comes.
    at = dice.uniform(2, 5) if drawn < 0.005 else SOONEST + dice.expovariate(1 / 300) / haste
    yield act(at, "open", what.pixel)
    if dice.random() < 0.2:
        yield act(at + 2 + 900 * dice.random() / haste, "open", what.pixel)
    chosen = dice.sample(what.links, min(len(what.links), dice.choice((1, 1, 1, 2)))) if dice.random() < 0.4 else []
    for link, path in chosen:
        at += dice.uniform(3, 12)
        yield act(at, "click", path, link)
    if dice.random() < 0.06:
        yield act(at + dice.uniform(3, 8), "mirror", what.mirror)
    if dice.random() < 0.04:
        yield from _opting_out(dice, what, at, act)


def _opting_out(dice: random.Random, what: Letter, at: float, act: object) -> Iterator[Act]:
    """Through the page, or by the mail program's own button (RFC 8058)."""
    assert callable(act)
    at += dice.uniform(4, 9)
    if dice.random() < 0.5:
        yield act(at, "optout", what.optout, method="POST", body="List-Unsubscribe=One-Click")
        return
    yield act(at, "look", what.optout)
    yield act(at + dice.uniform(2, 6), "optout", what.optout, method="POST", body="act=out")


def _machine(dice: random.Random, what: Letter) -> Iterator[Act]:
    """At most one kind a recipient: shares add up to 46 %."""
    drawn, origin = dice.random(), f"192.0.2.{dice.randrange(1, 255)}"

    def act(after: float, who: str, agent: str, kind: str, path: str, link: int = -1, method: str = "GET") -> Act:
        return Act(after, who, True, kind, method, path, link, agent, origin)

    if drawn < 0.08:  # says who it is, and fetches all, the opt-out page too
        agent, at = dice.choice(_GATEWAYS), dice.uniform(0.5, 4)
        yield act(at, "gateway", agent, "open", what.pixel)
        yield act(at, "gateway", agent, "look", what.optout)
        yield from (act(at + 0.1 * n, "gateway", agent, "click", p, link) for n, (link, p) in enumerate(what.links))
    elif drawn < 0.16:  # looks like a browser, and opens all links at once
        agent, at = dice.choice((_CHROME, _FIREFOX)), dice.uniform(1, 40)
        yield act(at, "sandbox", agent, "open", what.pixel)
        yield from (act(at + 0.2 * n, "sandbox", agent, "click", p, link) for n, (link, p) in enumerate(what.links))
    elif drawn < 0.21:
        at = dice.uniform(1, 20)
        yield from (
            act(at + 0.3 * n, "checker", _CHROME, "click", p, link, "HEAD") for n, (link, p) in enumerate(what.links)
        )
    elif drawn < 0.38:
        yield act(dice.uniform(2, 60), "apple", _APPLE, "open", what.pixel)
    elif drawn < 0.43:
        yield act(dice.uniform(0.5, 3.5), "prefetch", dice.choice((_CHROME, _SAFARI)), "open", what.pixel)
    elif drawn < 0.45 and what.links:
        link, path = what.links[0]
        yield act(dice.uniform(5, 50), "preview", _PREVIEW, "click", path, link)
    elif drawn < 0.46 and what.links:  # nothing tells it from a person
        link, path = dice.choice(what.links)
        yield act(dice.uniform(10, 50), "sly", _CHROME, "click", path, link)
