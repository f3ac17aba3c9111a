"""Ties the names in a template to the known fields of a profile, and refuses what could only fail when sending.

`{{ profile.first_name }}` and `{{ first_name }}` are the field `first_name`; `{{ profile.attributes.x }}` and
`{{ attributes.x }}` are `attributes.x` where that is a known field, else `x`. Two rules differ from Liquid's, for the
sake of people who write "if there is a first name": a field that is empty counts as false in a condition, and
`== nil` means `== empty`. Profiles have empty fields, never missing ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from liquid import BoundTemplate, Node, RenderContext, Token
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Empty, IntegerLiteral, Nil, RangeLiteral, StringLiteral
from liquid.builtin.tags.case_tag import MultiExpressionBlockNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression

from campaigns.content.liquid.filters import FILTERS
from campaigns.content.liquid.work import Meter
from campaigns.core.kept_text import keep as _

from .problems import Problem, line_of
from .template_source import BUILTINS, MAX_PROBLEMS, suggestion

MAX_RANGE = 1_000  # numbers in one range
_PREFIXES = ("profile", "attributes")
_COMPARISONS = (
    EqExpression,
    NeExpression,
    LtExpression,
    LeExpression,
    GtExpression,
    GeExpression,
    ContainsExpression,
)


class Filled(Expression):
    """A field or variable used as a condition: true unless it is empty (or false, or nothing)."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        super().__init__(path.token)
        self.path = path

    def evaluate(self, context: RenderContext) -> object:
        """The value, with False in the place of an empty text."""
        value = self.path.evaluate(context)
        return False if isinstance(value, str) and not value else value

    def children(self) -> list[Expression]:
        """The path, for whoever walks the tree."""
        return [self.path]


class LookedAt(Expression):
    """A field or variable that is compared: its length is charged for."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        super().__init__(path.token)
        self.path = path

    def evaluate(self, context: RenderContext) -> object:
        """The value. Raises TooMuchWork."""
        value = self.path.evaluate(context)
        context.meter.look_at(value)  # type: ignore[attr-defined]
        return value

    def children(self) -> list[Expression]:
        """The path, for whoever walks the tree."""
        return [self.path]


class _SampleContext(RenderContext):
    """Every field is "1": text that is a number too, so that a filter fails for its arguments only."""

    def __init__(self, template: BoundTemplate) -> None:
        super().__init__(template)
        self.meter = Meter()

    def get(self, path: list[object], *, token: Token | None, default: object = None) -> object:
        return "1"


class _Enough(Exception):
    """So many problems were found that more would help nobody."""


class _Binder:
    def __init__(self, template: BoundTemplate, where: str, names: frozenset[str], also: Collection[str]) -> None:
        self.template, self.where, self.names, self.known_filters = template, where, names, FILTERS.union(also)
        self.context = RenderContext(template)
        self.samples = _SampleContext(template)
        self.used: set[str] = set()
        self.problems: list[Problem] = []

    def run(self) -> None:
        variables: set[str] = set()
        for node in self.nodes(self.template.nodes):
            for name in node.template_scope():
                self.assignable(name, name.token)
                variables.add(str(name))
        for node in self.template.nodes:
            self.node(node, frozenset(variables))

    def nodes(self, nodes: list[Node]) -> Iterator[Node]:
        for node in nodes:
            yield node
            yield from self.nodes(self.children(node))

    def children(self, node: Node) -> list[Node]:
        return list(node.children(self.context, include_partials=False))

    def problem(self, token: Token, message: str) -> None:
        line = line_of(token.source, token.start_index) if token.start_index >= 0 else 0
        self.problems.append(Problem(self.where, line, message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Enough

    def assignable(self, name: str, token: Token) -> None:
        """A variable may not take a field's name: `profile.name` and `name` would then differ."""
        if name in self.names or name in _PREFIXES:
            self.problem(
                token, _('"%(name)s" is a field of the profile; choose another name for the variable', name=name)
            )

    def node(self, node: Node, variables: frozenset[str]) -> None:
        for expression in node.expressions():
            self.expression(expression, variables)
        if isinstance(node, MultiExpressionBlockNode):
            choices = node.expression.expressions
            node.expression.left = _looked_at(node.expression.left)
            node.expression.expressions = [_looked_at(_nothing(choice)) for choice in choices]
        own = list(node.block_scope())
        for name in own:
            if name != "forloop":
                self.assignable(name, name.token)
        for child in self.children(node):
            self.node(child, variables | {str(name) for name in own})

    def expression(self, expression: Expression, variables: frozenset[str]) -> None:
        before = len(self.problems)
        if isinstance(expression, Path):
            self.path(expression, variables)
        elif isinstance(expression, RangeLiteral):
            self.range(expression)
        for child in expression.children():
            self.expression(child, variables)
        if isinstance(expression, FilteredExpression):
            sound = len(self.problems) == before and not any(_root(path) in variables for path in _paths(expression))
            self.filters(expression, tried=sound)
        elif isinstance(expression, BooleanExpression):
            expression.expression = _condition(expression.expression)

    def path(self, path: Path, variables: frozenset[str]) -> None:
        """Resolve a path to one key of the flat mapping of fields, in place."""
        if any(not isinstance(segment, (str, int)) for segment in path.path):
            self.problem(
                path.token, _('"%(path)s" looks a name up by another one, which is not allowed', path=str(path))
            )
        elif path.path[0] not in variables:
            self.field(path, [str(segment) for segment in path.path])

    def field(self, path: Path, segments: list[str]) -> None:
        key = self.key(segments)
        if key is None and len(segments) > 1 and segments[-1] == "size":
            key = self.key(segments[:-1])
            rest: list[str | int | Path] = ["size"]
        else:
            rest = []
        if key is None:
            name = ".".join(segments)
            bare = name.removeprefix("profile.").removeprefix("attributes.")
            self.problem(
                path.token,
                _('no field is called "%(name)s"%(instead)s', name=name, instead=suggestion(bare, self.names)),
            )
            return
        self.used.add(key)
        path.path = [key, *rest]

    def key(self, segments: list[str]) -> str | None:
        if segments[0] == "profile":
            segments = segments[1:]
        elif len(segments) == 1 and segments[0] in BUILTINS:
            return BUILTINS[segments[0]]
        bare = segments[1:] if segments[:1] == ["attributes"] else segments
        return next((key for key in (".".join(segments), ".".join(bare)) if key in self.names), None)

    def range(self, literal: RangeLiteral) -> None:
        start, stop = literal.start, literal.stop
        if not (isinstance(start, IntegerLiteral) and isinstance(stop, IntegerLiteral)):
            self.problem(literal.token, _("a range needs two whole numbers, like (1..5)"))
        elif stop.value - start.value >= MAX_RANGE:
            self.problem(
                literal.token, _("%(range)s is a range of more than %(n)s numbers", range=str(literal), n=MAX_RANGE)
            )

    def filters(self, expression: FilteredExpression, *, tried: bool) -> None:
        """Filters must exist and accept their arguments: tried on a sample, unless variables hide what they get."""
        left, filters = expression.left, expression.filters or []
        if isinstance(left, StringLiteral) and left.value in ("now", "today") and filters and filters[0].name == "date":
            self.problem(left.token, _("the time of sending is not known to a message; write the date"))
        value = left.evaluate(self.samples) if tried else None
        for step in filters:
            if step.name not in self.known_filters:
                self.problem(
                    step.token,
                    _(
                        'no filter is called "%(name)s"%(instead)s',
                        name=step.name,
                        instead=suggestion(step.name, FILTERS),
                    ),
                )
                tried = False
            if not tried:
                continue
            try:
                value = step.evaluate(value, self.samples)
            except (LiquidError, ArithmeticError, ValueError) as error:
                reason = error.message if isinstance(error, LiquidError) else error
                self.problem(step.token, f"{step.name}: {reason}")
                return


def _paths(expression: Expression) -> Iterator[Path]:
    if isinstance(expression, Path):
        yield expression
    for child in expression.children():
        yield from _paths(child)


def _root(path: Path) -> str:
    return str(path.path[0])


def _condition(expression: Expression) -> Expression:
    """The condition with our two rules on empty fields."""
    if isinstance(expression, Path):
        return Filled(expression)
    if isinstance(expression, (LogicalAndExpression, LogicalOrExpression)):
        expression.left = _condition(expression.left)
        expression.right = _condition(expression.right)
    else:
        if isinstance(expression, (EqExpression, NeExpression)):
            expression.left = _nothing(expression.left)
            expression.right = _nothing(expression.right)
        if isinstance(expression, _COMPARISONS):
            expression.left = _looked_at(expression.left)
            expression.right = _looked_at(expression.right)
    return expression


def _looked_at(expression: Expression) -> Expression:
    return LookedAt(expression) if isinstance(expression, Path) else expression


def _nothing(expression: Expression) -> Expression:
    return Empty(expression.token) if isinstance(expression, Nil) else expression


def bind(
    template: BoundTemplate, where: str, names: frozenset[str], also: Collection[str] = ()
) -> tuple[frozenset[str], list[Problem]]:
    """Resolve every name in the template, in place. Out: the fields used, and what is wrong (MAX_PROBLEMS at most).

    In: `also` filters that staff cannot name. Once bound, the template is rendered with a flat mapping {field: text},
    whatever the fields' names contain.
    """
    binder = _Binder(template, where, names, also)
    with suppress(_Enough):
        binder.run()
    return frozenset(binder.used), binder.problems
