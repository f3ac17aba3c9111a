"""Charts as inline SVG: a title, a description and, beside them, always a table. Pure.

Colours come from the page's style sheet by class, so that charts follow the dark mode; nothing here needs a script.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from django.utils.translation import gettext as _

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 12, 28
ROW = 44  # height of a bar with its name
LETTER = 11  # width of one at the size that a telephone gets
BLUE, GREEN, RED = 1, 2, 3  # classes of the style sheet


def _frame(title: str, description: str, body: str, height: int = HEIGHT) -> str:
    """One SVG that a screen reader reads as its title and description; aria-label, since not all of them read desc."""
    words = escape(f"{title}. {description}")
    return (
        f'<svg class="rp-chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{words}" '
        f'preserveAspectRatio="xMinYMin meet"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
        f"{body}</svg>"
    )


def short(number: float) -> str:
    """1234567 as 1.2 M, for axes."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= limit:
            return f"{number / (1e3 if unit == ' k' else limit):.3g}{unit}"
    return f"{number:.0f}" if float(number).is_integer() else f"{number:.2g}"


def ceiling(number: float) -> float:
    """The round number at the top of an axis: 1, 2 or 5 times a power of ten."""
    if number <= 1:
        return 1.0
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if step * factor >= number:
                return step * factor
        step *= 10


def columns(
    title: str,
    series: Sequence[tuple[str, Sequence[float]]],
    labels: Sequence[str],
    *,
    colours: Sequence[int] = (BLUE, GREEN, RED),
) -> str:
    """Columns over time, those of several series side by side.

    In: `series`: (name, one number a label); `colours`: one a series. Out: an SVG; '' if there is nothing to show.
    """
    if not labels or not series:
        return ""
    most = ceiling(max((max(numbers, default=0) for _, numbers in series), default=0))
    room, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = room / len(labels)
    width = max(1.0, min(40.0, step * 0.8 / len(series)))
    bars = []
    for place, (name, numbers) in enumerate(series):
        for n, number in enumerate(numbers):
            tall = high * number / most
            x = LEFT + step * n + step / 2 + (place - len(series) / 2) * width
            bars.append(
                f'<rect class="rp-{colours[place]}" x="{x:.1f}" y="{TOP + high - tall:.1f}" width="{width:.1f}" '
                f'height="{tall:.1f}"><title>{escape(f"{labels[n]}: {short(number)} {name}")}</title></rect>'
            )
    body = _axes(most, labels) + "".join(bars)
    sums = ", ".join(f"{name}: {short(sum(numbers))}" for name, numbers in series)
    words = _("%(first)s to %(last)s; %(sums)s") % {"first": labels[0], "last": labels[-1], "sums": sums}
    return _frame(title, words, body)


def _axes(most: float, labels: Sequence[str]) -> str:
    high, room = HEIGHT - TOP - BOTTOM, WIDTH - LEFT - RIGHT
    lines = "".join(
        f'<line class="rp-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="rp-text" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(most * part)}</text>'
        for part in (0, 0.5, 1)
        for y in (TOP + high * (1 - part),)
    )
    every = -(-len(labels) // _fitting(labels))
    names = "".join(
        _name(label, LEFT + room * (n + 0.5) / len(labels)) for n, label in enumerate(labels) if n % every == 0
    )
    return lines + names


def _fitting(labels: Sequence[str]) -> int:
    """How many labels have room beside each other, in the letters of a telephone (reports.css)."""
    return max(1, int((WIDTH - LEFT - RIGHT) // (max(map(len, labels)) * LETTER + 12)))


def _name(label: str, x: float) -> str:
    """A label under its column; '' where it would not stay inside."""
    half = len(label) * LETTER / 2
    if x - half < 0 or x + half > WIDTH:
        return ""
    return f'<text class="rp-text" x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'


def bars(title: str, rows: Sequence[tuple[str, float]], *, unit: str = "", colour: int = BLUE) -> str:
    """One bar a row in the order given, its name and number above it. '' if there is nothing to show."""
    if not rows:
        return ""
    most = max(number for _, number in rows) or 1
    drawn = []
    for n, (name, number) in enumerate(rows):
        top, text = n * ROW, f"{short(number)}{unit}"
        drawn.append(
            f'<text class="rp-text" x="0" y="{top + 17}">{escape(_cut(name))}</text>'
            f'<text class="rp-text rp-number" x="{WIDTH}" y="{top + 17}" text-anchor="end">{text}</text>'
            f'<rect class="rp-rail" x="0" y="{top + 23}" width="{WIDTH}" height="9" rx="2"/>'
            f'<rect class="rp-{colour}" x="0" y="{top + 23}" width="{WIDTH * number / most:.1f}" height="9" rx="2">'
            f"<title>{escape(f'{name}: {text}')}</title></rect>"
        )
    words = ", ".join(f"{name}: {short(number)}{unit}" for name, number in rows)
    return _frame(title, words, "".join(drawn), len(rows) * ROW)


def _cut(name: str) -> str:
    return name if len(name) <= 44 else f"{name[:43]}…"
