"""How much work it is to inline the styles of a message, estimated before it is begun (measured on css-inline 0.15).

css-inline puts each declaration on each element that its rule selects, and looks there for one of the same name: some
kilobytes of rules for the same thousand elements take it minutes. No real message comes near what is allowed here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from .markup import Element

MOST = 300_000_000  # in units of some 3 ns

_COMMENT = re.compile(r"/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)")
_BRACE = re.compile(r"([{}])")
_COMBINATOR = re.compile(r"[\s>+~]++")
_PARTS = re.compile(r"[.#:\[,]")
_NAME = re.compile(r"(?<![\w-])([\w-]++)\s*+:")
_PLAIN = re.compile(r"([a-z][a-z0-9]*+)?(?:[.#][a-z0-9_-]++)*+(?::[a-z-]++)*+")
_CLASS_OR_ID = re.compile(r"[.#][a-z0-9_-]++")


class _Population:
    """How many elements there are with each tag, .class and #id."""

    def __init__(self, elements: Iterable[Element]) -> None:
        self.count: Counter[str] = Counter()
        for element in elements:
            self.count[""] += 1
            self.count[element.name] += 1
            self.count.update({f".{name}" for name in element.value("class").lower().split()})
            self.count[f"#{element.value('id').strip().lower()}"] += 1

    def of(self, selector: str) -> int:
        """How many elements a selector can select at most, by its last part."""
        last = (_COMBINATOR.split(selector.strip()) or [""])[-1]
        found = _PLAIN.fullmatch(last)
        if not found:
            return self.count[""]
        names = _CLASS_OR_ID.findall(last)
        return min(self.count[name] for name in [*names, found[1] or ""])


def work(sheets: Iterable[str], elements: Iterable[Element]) -> int:
    """The work, to be compared with MOST. In: the texts of all <style>, and the elements of the page."""
    css = _COMMENT.sub(" ", "\n".join(sheets)).lower()
    names = len(set(_NAME.findall(css)))
    population = _Population(elements)
    return sum(
        (body.count(":") * (10 + names) + 3 * len(_PARTS.findall(one))) * population.of(one)
        for selectors, body in _rules(css)
        for one in (selectors.split(",") if "(" not in selectors and "[" not in selectors else [selectors])
    )


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """(selectors, declarations) of each rule; what is written in another way than most comes out as something."""
    selectors, texts = None, iter(_BRACE.split(css))
    for text, brace in zip(texts, texts, strict=False):
        if brace == "}" and selectors is not None:
            yield selectors, text
        elif brace == "}" and ":" in text:
            yield "*", text  # behind a rule inside another one
        selectors = text if brace == "{" else None
