"""Puts the rules of <style> into style attributes, since many mail programs ignore <style> (css-inline does the work).

css-inline re-writes HTML as a browser would read it, which moves Liquid out of tables. So its output is not taken:
every element is numbered first, and only the style attributes it computed are carried back, as edits of the source.
What it could not inline (media queries, :hover, @font-face) stays in <style>.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import css_inline

from campaigns.content.problems import Problem
from campaigns.content.template_source import MASKED, Draft
from campaigns.core.kept_text import keep as _

from . import style_cost
from .markup import Crowded, Edit, Element, Page, apply

_NUMBER = "data-style-number"
_ANY_MASKED = re.compile(f"[{MASKED}]")
_INLINER = css_inline.CSSInliner(
    keep_style_tags=True,
    keep_at_rules=True,
    keep_link_tags=True,
    remove_inlined_selectors=True,
    load_remote_stylesheets=False,
)


def inline_styles(draft: Draft, page: Page) -> tuple[list[Edit], list[Problem]]:
    """Edits of the HTML that inline its styles, and warnings for what stays in <style> because of Liquid."""
    sheets = [element for element in page.elements if element.name == "style"]
    if not sheets:
        return [], []
    if page.too_deep:
        return [], [
            _warning(draft, sheets[0], _("the styles stay in <style>: elements are nested too deep, or not closed"))
        ]
    for sheet in sheets:
        if _ANY_MASKED.search(draft.masked, sheet.start, max(sheet.inner_end, sheet.end)):
            return [], [
                _warning(draft, sheet, _("the <style> holds Liquid and stays as it is; some programs ignore it"))
            ]
    if style_cost.work(_texts(draft, sheets), page.elements) > style_cost.MOST:
        words = _("the styles stay in <style>: too many rules for so many elements; some programs ignore them")
        return [], [_warning(draft, sheets[0], words)]
    try:
        computed = _computed(draft, page)
    except Crowded:
        return [], [_warning(draft, sheets[0], _("the styles stay in <style>: there are too many elements"))]
    except css_inline.InlineError as error:
        return [], [_warning(draft, sheets[0], _("the styles stay in <style>: %(why)s", why=str(error)))]
    return _edits(draft, page, computed)


def _texts(draft: Draft, sheets: list[Element]) -> list[str]:
    return [draft.masked[sheet.end : max(sheet.inner_end, sheet.end)] for sheet in sheets]


def _warning(draft: Draft, element: Element, message: str) -> Problem:
    return Problem(draft.where, draft.line(element.start), message, "warning", "style-not-inlined")


def _computed(draft: Draft, page: Page) -> dict[int, tuple[Element, str]]:
    """{number of an element: its like in css-inline's output, and the text inside if it is a <style>}."""
    marks = [
        (element.start + 1 + len(element.name), element.start + 1 + len(element.name), f' {_NUMBER}="{number}"')
        for number, element in enumerate(page.elements)
    ]
    output = _INLINER.inline(apply(draft.masked, marks))
    styled = Page(output).elements
    return {
        int(element.value(_NUMBER)): (element, output[element.end : element.inner_end])
        for element in styled
        if _NUMBER in element.attributes
    }


def _edits(draft: Draft, page: Page, computed: dict[int, tuple[Element, str]]) -> tuple[list[Edit], list[Problem]]:
    edits: list[Edit] = []
    problems: list[Problem] = []
    for number, element in enumerate(page.elements):
        style = computed[number][0].value("style") if number in computed else ""
        if element.name == "style" or not style or style == element.value("style"):
            continue
        if _depends_on_liquid(element, style):
            problems.append(
                _warning(draft, element, _("the styles of this <%(tag)s> depend on Liquid", tag=element.name))
            )
        else:
            edits.append(_style_edit(element, style))
    # A rule that some element still needs must stay, and removing one but not the other is not worth the code.
    return (edits if problems else [*edits, *_sheet_edits(page, computed)]), problems


def _depends_on_liquid(element: Element, style: str) -> bool:
    """Liquid chooses this element's class, id or attributes, or would be lost from its style."""
    if element.liquid or any(_ANY_MASKED.search(element.value(name)) for name in ("class", "id")):
        return True
    return not set(_ANY_MASKED.findall(element.value("style"))) <= set(_ANY_MASKED.findall(style))


def _style_edit(element: Element, style: str) -> Edit:
    text = style.replace("&", "&amp;").replace('"', "&quot;")
    if attribute := element.attributes.get("style"):
        return attribute.start, attribute.end, f'"{text}"' if attribute.end > attribute.start else f'="{text}"'
    name_end = element.start + 1 + len(element.name)
    return name_end, name_end, f' style="{text}"'


def _sheet_edits(page: Page, computed: dict[int, tuple[Element, str]]) -> Iterator[Edit]:
    """Leave in each <style> what could not be inlined."""
    for number, element in enumerate(page.elements):
        if element.name == "style" and element.inner_end > element.end:
            yield element.end, element.inner_end, computed[number][1] if number in computed else ""
