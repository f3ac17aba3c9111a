"""What the parts of a template weigh, in units of work (work.py): what rendering each of them once costs at most.

A template as a whole is rendered once, so its weight is known beforehand. A block that may be rendered more often, the
body of a loop or a `when` whose values match twice, charges its weight each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from liquid import BoundTemplate, Node, RenderContext
from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import BooleanExpression, FilteredExpression
from liquid.builtin.expressions.primitive import Literal
from liquid.builtin.tags.for_tag import ForNode
from liquid.expression import Expression

from .work import WRITTEN, TooMuchWork

_LOOP = 5  # units to begin a loop
_FILTER = 2  # … and to call a filter


class Repeated(BlockNode):
    """A block that charges its weight each time it is rendered."""

    __slots__ = ("_weight", "place")

    def __init__(self, block: BlockNode, place: int | None = None) -> None:
        """`place`: where the loop begins in its template; None for what is no loop."""
        super().__init__(block.token, block.nodes)
        self.blank = block.blank
        self.place = place
        self._weight = 0

    @property
    def weight(self) -> int:
        """Units for one time; one more for the turn itself."""
        self._weight = self._weight or 1 + of_nodes(self.nodes, text=True)
        return self._weight

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Charge, then render. Raises TooMuchWork with the innermost loop's place."""
        try:
            context.meter.charge(self.weight)  # type: ignore[attr-defined]
            return super().render_to_output(context, buffer)
        except TooMuchWork as error:
            error.place = self.place if error.place is None else error.place
            raise


def of_template(template: BoundTemplate) -> int:
    """Units for what a template does once."""
    return of_nodes(template.nodes)


def of_nodes(nodes: Iterable[Node], *, text: bool = False) -> int:
    """Units for nodes and what is in them, but for Repeated blocks. `text`: with the constants' characters."""
    return sum(_of_node(node, text) for node in nodes)


def _of_node(node: Node, text: bool) -> int:
    if isinstance(node, Repeated):
        return 0
    if isinstance(node, ContentNode):
        return 1 + (len(node.text) // WRITTEN if text else 0)
    own = _LOOP if isinstance(node, ForNode) else 0 if isinstance(node, BlockNode) else 1
    inside = of_nodes(node.children(_NOBODY, include_partials=False), text=text)
    return own + inside + sum(map(_of_expression, node.expressions()))


def _of_expression(expression: Expression) -> int:
    own = 0 if isinstance(expression, (Literal, BooleanExpression)) else 1
    if isinstance(expression, FilteredExpression):
        own = _FILTER * len(expression.filters or ())
    return own + sum(map(_of_expression, expression.children()))


_NOBODY: RenderContext = None  # type: ignore[assignment]  # children that are no partials ask no context
