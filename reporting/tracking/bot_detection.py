"""Which events people made, and which the programs that read mail before them. Pure; the rules carry a version.

Raw events stay as they came: this only says what to think of them, and everything can be judged again when the rules
have changed. A recipient's events are judged together, since a scanner shows itself by what else it did.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

VERSION = 1

PREFETCH_SECONDS = 5.0  # nobody reads a mail that soon after it was handed over
BURST_SECONDS = 2.0
BURST_LINKS = 3
COMPANY_SECONDS = 60.0  # how long what a scanner did once colours its other requests
LOOK_BACK_SECONDS = COMPANY_SECONDS + BURST_SECONDS  # no rule looks further

CLICK, OPEN, OPT_OUT = 1, 2, 3

# Programs that name themselves: mail security, link previews, libraries, monitors.
_SCANNER = re.compile(
    r"bot\b|bot/|crawl|spider|scan|preview|fetch|monitor|headless|phantomjs|python|curl/|wget|java/|okhttp|go-http|"
    r"libwww|httpclient|axios|node-fetch|ruby|barracuda|mimecast|proofpoint|symantec|messagelabs|trend ?micro|"
    r"fortinet|ironport|sophos|checkpoint|zscaler|safelinks|slack-imgproxy|facebookexternalhit|whatsapp|skypeuri",
    re.IGNORECASE,
)
# These load an image when a person opens the mail, on their behalf: the open is theirs.
_ON_BEHALF = re.compile(r"googleimageproxy|yahoomailproxy|outlook|office", re.IGNORECASE)
_APPLE_PROXY = "Mozilla/5.0"  # Mail Privacy Protection says this and nothing more, for mails that nobody opened too


@dataclass(frozen=True, slots=True)
class Touch:
    """One event: seconds since 1970, type (models.TrackingType), link or None, and who asked how."""

    at: float
    type: int
    link: int | None
    head: bool
    network: str
    agent: str


def judge(touches: Sequence[Touch], sent_at: float | None, links: int) -> list[str]:
    """What each event of one recipient is: the rule that makes it a machine's, or '' for a person's.

    In: their events in any order, when their message was handed over (None: unknown), and how many links it has.
    Rules: head, agent, proxy (Apple), prefetch, burst, company (close to one of the last two, from the same program
    and network).
    """
    alone = [_by_itself(touch, sent_at) for touch in touches]
    verdicts = _with_bursts(touches, alone, links)
    shown = (t for t, rule in zip(touches, verdicts, strict=True) if rule in ("prefetch", "burst") and t.agent)
    times = _times(shown)
    return [rule or _company(touch, times) for touch, rule in zip(touches, verdicts, strict=True)]


def _by_itself(touch: Touch, sent_at: float | None) -> str:
    if touch.type == OPT_OUT:
        return ""  # mail programs send these, but only when somebody asks them to (RFC 8058)
    if touch.head:
        return "head"
    if not touch.agent or (_SCANNER.search(touch.agent) and not _ON_BEHALF.search(touch.agent)):
        return "agent"
    if touch.agent.strip() == _APPLE_PROXY and touch.type == OPEN:
        return "proxy"
    if sent_at is not None and touch.at - sent_at < PREFETCH_SECONDS:
        return "prefetch"
    return ""


def _with_bursts(touches: Sequence[Touch], verdicts: list[str], links: int) -> list[str]:
    """Clicks on several links at once: on three, or on all if there are two."""
    enough = min(BURST_LINKS, links)
    clicks = sorted((t.at, t.link, place) for place, t in enumerate(touches) if t.type == CLICK and t.link is not None)
    if enough < 2 or len(clicks) < enough:
        return verdicts
    judged = list(verdicts)
    start = marked = 0
    together: Counter[int | None] = Counter()  # the links of those clicks that lie near enough
    for end, (at, link, _) in enumerate(clicks):
        together[link] += 1
        while at - clicks[start][0] > BURST_SECONDS:
            together[clicks[start][1]] -= 1
            if not together[clicks[start][1]]:
                del together[clicks[start][1]]
            start += 1
        if len(together) >= enough:
            for _, _, place in clicks[max(start, marked) : end + 1]:
                judged[place] = judged[place] or "burst"
            marked = end + 1
    return judged


def _times(shown: Iterable[Touch]) -> dict[tuple[str, str], list[float]]:
    """{(program, network): when it was seen, in order}."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for touch in shown:
        times[touch.agent, touch.network].append(touch.at)
    return {who: sorted(seen) for who, seen in times.items()}


def _company(touch: Touch, times: Mapping[tuple[str, str], Sequence[float]]) -> str:
    if touch.type == OPT_OUT:
        return ""
    seen = times.get((touch.agent, touch.network), ())
    after = bisect_left(seen, touch.at)
    near = (abs(at - touch.at) <= COMPANY_SECONDS for at in seen[max(0, after - 1) : after + 1])
    return "company" if any(near) else ""
