"""The fast way to fill a template: constants, fields and choices between them, compiled once from its syntax tree.

Covers outputs of fields through any filters, and if, elsif, else, unless, case on fields. Filters, comparisons and
escaping are python-liquid's own functions, so that both ways give the same text (property test). Whatever else a
template has (variables, loops) makes `compile_segments` return None, and python-liquid renders it per recipient.
Both charge the recipient's meter (work.py) for the same things, so that both refuse the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from liquid import BoundTemplate, Environment, Node, RenderContext, Token, escape
from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, Path
from liquid.builtin.expressions.logical import EqExpression
from liquid.builtin.expressions.primitive import Literal as LiquidLiteral
from liquid.builtin.expressions.primitive import StringLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression
from liquid.stringify import to_liquid_string

from campaigns.content.liquid.filters import Metered
from campaigns.content.liquid.weights import Repeated
from campaigns.content.liquid.work import LOOKED_AT, SHORT, Meter

from .liquid_binding import Filled, LookedAt

Fields = Mapping[str, str]
SlotKind = Literal["link", "optout", "mirror", "pixel"]


def one_newline(text: str) -> str:
    """`text` with every CRLF and CR made LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def field_text(fields: Fields, key: str) -> str:
    """A field as templates see it: lines end in LF, half a surrogate pair is a ?, and what is missing is empty."""
    value = fields.get(key) or ""
    return one_newline(value if value.isascii() else value.encode("utf-8", "replace").decode())


class Urls(Protocol):
    """The addresses that differ for each recipient. The text is what goes into the message, not yet escaped."""

    @property
    def optout_url(self) -> str:
        """The page that ends the subscription; also what a one-click List-Unsubscribe posts to."""

    @property
    def mirror_url(self) -> str:
        """The recipient's copy of the message on the web."""

    @property
    def pixel_url(self) -> str:
        """The image that tells of an opening; empty: no image."""

    def link(self, index: int) -> str:
        """The address that redirects to link number `index`, or its destination when nothing is tracked."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same text for everybody."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the profile as it is, HTML-escaped if the part is HTML. Empty fields give nothing."""

    key: str
    escaped: bool

    def text(self, fields: Fields, meter: Meter) -> str:
        """What stands here for these fields. Raises TooMuchWork."""
        value = field_text(fields, self.key)
        value = str(escape(value)) if self.escaped else value
        if len(value) > SHORT:
            meter.write(len(value))
        return value


@dataclass(frozen=True, slots=True)
class Value:
    """Fields through filters; `text` gives what stands here, escaped as needed. May raise what filters raise."""

    text: Callable[[Fields, Meter], str]


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one of the recipient's addresses goes. `index` counts the message's links."""

    kind: SlotKind
    index: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives. `pick` gives the numbers of the arms that stand here, in order (a `case` may choose several)."""

    pick: Callable[[Fields, Meter], list[int]]
    arms: tuple[tuple[Segment, ...], ...]


Segment = Constant | Field | Value | Slot | Choice


class _NotSimple(Exception):
    """The template has something that segments cannot express."""


class _FieldContext(RenderContext):
    """The little of a render context that conditions on fields ask for, made in a fraction of the time."""

    __slots__ = ("fields", "meter")

    def __init__(self, env: Environment, fields: Fields, meter: Meter) -> None:
        self.env = env
        self.autoescape = env.autoescape
        self.fields, self.meter = fields, meter

    def get(self, path: list[object], *, token: Token | None, default: object = None) -> object:
        return field_text(self.fields, str(path[0]))


class _Compiler:
    def __init__(self, env: Environment, slots: Mapping[str, Slot]) -> None:
        self.env, self.slots = env, slots

    def block(self, nodes: list[Node]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        for node in nodes:
            segments += self.node(node)
        return tuple(segments)

    def node(self, node: Node) -> tuple[Segment, ...]:
        if isinstance(node, ContentNode):
            return (Constant(node.text),)
        if isinstance(node, OutputNode) and isinstance(node.expression, FilteredExpression):
            return (self.output(node.expression),)
        if isinstance(node, (IfNode, UnlessNode)):
            return (self.condition(node),)
        if isinstance(node, CaseNode):
            return (self.case(node),)
        if isinstance(node, CommentNode):
            return ()
        raise _NotSimple

    def arm(self, block: BlockNode) -> tuple[Segment, ...]:
        """python-liquid leaves out the white space of blocks that hold nothing else, but does the work in them."""
        segments = self.block(block.nodes)
        return tuple(segment for segment in segments if isinstance(segment, Choice)) if block.blank else segments

    def output(self, expression: FilteredExpression) -> Segment:
        left, filters = expression.left, expression.filters or []
        if not filters and isinstance(left, Path) and len(left.path) == 1:
            key = str(left.path[0])
            return self.slots.get(key) or Field(key, self.env.autoescape)
        start = self.operand(left)
        steps = [self.step(step) for step in filters]
        escaped = self.env.autoescape

        def text(fields: Fields, meter: Meter) -> str:
            value = start(fields)
            for step in steps:
                value = step(value, fields, meter)
            text = to_liquid_string(value, escaped)
            if len(text) > SHORT:
                meter.write(len(text))
            return one_newline(text)

        return Value(text)

    def step(self, step: Filter) -> Callable[[object, Fields, Meter], object]:
        metered = self.env.filters[step.name]
        assert isinstance(metered, Metered)
        run = metered.run
        named = {argument.name: self.operand(argument.value) for argument in step.args if hasattr(argument, "name")}
        places = [self.operand(argument.value) for argument in step.args if not hasattr(argument, "name")]
        if not named and all(isinstance(argument.value, LiquidLiteral) for argument in step.args):
            constants = [get({}) for get in places]  # the usual case: nothing to look up
            if step.name == "default" and len(constants) == 1:
                return _default(metered.function, constants[0])
            quick = metered.quick(constants)
            return lambda value, fields, meter: quick(value, meter)
        return lambda value, fields, meter: run(
            meter, value, *[get(fields) for get in places], **{name: get(fields) for name, get in named.items()}
        )

    def operand(self, expression: Expression) -> Callable[[Fields], object]:
        if isinstance(expression, Path):
            key = self.field(expression)
            return lambda fields: field_text(fields, key)
        if isinstance(expression, LiquidLiteral):
            value = expression.evaluate(_FieldContext(self.env, {}, Meter()))
            return lambda fields: value
        raise _NotSimple

    def field(self, path: Path) -> str:
        key = str(path.path[0])
        if len(path.path) > 1 or key in self.slots:
            raise _NotSimple
        return key

    def test(self, expression: Expression) -> Callable[[Fields, Meter], object]:
        """A condition, evaluated by python-liquid's own expression; the two commonest without it."""
        self.only_fields(expression)
        inner = expression.expression if isinstance(expression, BooleanExpression) else expression
        if isinstance(inner, Filled):
            key = self.field(inner.path)
            return lambda fields, meter: fields.get(key)
        if (
            isinstance(inner, EqExpression)
            and isinstance(inner.left, LookedAt)
            and isinstance(inner.right, StringLiteral)
        ):
            return self.equality(self.field(inner.left.path), inner.right.value)
        env = self.env
        return lambda fields, meter: expression.evaluate(_FieldContext(env, fields, meter))

    def equality(self, key: str, wanted: str) -> Callable[[Fields, Meter], object]:
        def equals(fields: Fields, meter: Meter) -> bool:
            value = field_text(fields, key)
            if len(value) >= LOOKED_AT:
                meter.look_at(value)
            return value == wanted

        return equals

    def only_fields(self, expression: Expression) -> None:
        if isinstance(expression, Path):
            self.field(expression)
        for child in expression.children():
            self.only_fields(child)

    def condition(self, node: IfNode | UnlessNode) -> Choice:
        first = self.test(node.condition)
        tests = [(lambda fields, meter: not first(fields, meter)) if isinstance(node, UnlessNode) else first]
        tests += [self.test(alternative.expression) for alternative in node.alternatives]
        blocks = [node.consequence, *(alternative.block for alternative in node.alternatives)]
        otherwise = [len(blocks)] if node.default else []

        def pick(fields: Fields, meter: Meter) -> list[int]:
            for number, test in enumerate(tests):
                if test(fields, meter):
                    return [number]
            return otherwise

        arms = [*blocks, node.default] if node.default else blocks
        return Choice(pick, tuple(self.arm(block) for block in arms))

    def case(self, node: CaseNode) -> Choice:
        """Every matching `when` stands here, as often as it matches; `else` where none before it did."""
        self.only_fields(node.expression)
        whens: list[tuple[Callable[[Fields, Meter], object], int] | None] = []  # with the weight of the arm
        arms = []
        for block in node.blocks:
            if isinstance(block, MultiExpressionBlockNode):
                assert isinstance(block.block, Repeated)
                whens.append((self.test(block.expression), block.block.weight))
                arms.append(self.arm(block.block))
            else:
                whens.append(None)
                arms.append(self.arm(block))

        def pick(fields: Fields, meter: Meter) -> list[int]:
            chosen: list[int] = []
            matched = False
            for number, when in enumerate(whens):
                if when is None:
                    chosen += [] if matched else [number]
                    continue
                test, weight = when
                matches = test(fields, meter)
                count = matches.count(True) if isinstance(matches, list) else 0
                if count:
                    meter.charge(count * weight)
                matched = matched or count > 0
                chosen += [number] * count
            return chosen

        return Choice(pick, tuple(arms))


def _default(function: Callable[..., object], other: object) -> Callable[[object, Fields, Meter], object]:
    """The commonest filter by far, without the calls around it: an empty text gives way to the other."""
    return lambda value, fields, meter: (value or other) if isinstance(value, str) else function(value, other)


def compile_segments(template: BoundTemplate, slots: Mapping[str, Slot]) -> tuple[Segment, ...] | None:
    """Segments of a bound template, or None if it needs python-liquid.

    `slots`: names that stand for the recipient's addresses. They may only be put out bare; in a filter or a condition
    they make the template one for python-liquid.
    """
    try:
        return _Compiler(template.env, slots).block(template.nodes)
    except _NotSimple:
        return None


def fill(segments: tuple[Segment, ...], fields: Fields, slot: Callable[[Slot], str], meter: Meter) -> str:
    """The text of segments for one recipient; `slot` gives the text of an address where it stands.

    Raises TooMuchWork, OutOfTime, and whatever a filter raises.
    """
    return "".join(_texts(segments, fields, slot, meter))


def _texts(segments: tuple[Segment, ...], fields: Fields, slot: Callable[[Slot], str], meter: Meter) -> list[str]:
    texts: list[str] = []
    for segment in segments:
        if isinstance(segment, Constant):
            texts.append(segment.text)
        elif isinstance(segment, Slot):
            texts.append(slot(segment))
        elif isinstance(segment, Choice):
            for number in segment.pick(fields, meter):
                texts += _texts(segment.arms[number], fields, slot, meter)
        else:
            texts.append(segment.text(fields, meter))
    return texts
