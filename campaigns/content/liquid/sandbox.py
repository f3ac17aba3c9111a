"""The sandboxed Liquid: which tags and filters a message may use, and how they count their work.

A template gets strings and gives strings. It cannot load other templates, reach attributes (values are plain
strings, lists and numbers, looked up by key only), tell the time, or run for long: all that it does charges a meter
(work.py). python-liquid parses and renders; what it would forgive (text after `else`, unclosed blocks) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from typing import Any, TextIO

from liquid import BoundTemplate, Environment, Markup, Mode, Node, RenderContext, Tag, Token, TokenStream
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.case_tag import CaseNode, CaseTag, MultiExpressionBlockNode
from liquid.builtin.tags.cycle_tag import CycleNode, CycleTag
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import LiquidError, LocalNamespaceLimitError
from liquid.stringify import to_liquid_string

from campaigns.content.html import schemes
from campaigns.content.problems import Problem
from campaigns.content.template_source import TAGS, Draft, lex
from campaigns.core.kept_text import keep as _

from .filters import MAX_VALUE, Metered, offered
from .weights import Repeated
from .work import COPIED, Meter, extent

MAX_VARIABLES = 4 * MAX_VALUE  # characters of all variables together
_PSEUDO_TAGS = {"content", "output", "illegal"}  # python-liquid's own entries for text, {{ }} and unknown tags


class Context(RenderContext):
    """What a rendering knows, with the meter that it charges."""

    def __init__(self, template: BoundTemplate, meter: Meter, given: Mapping[str, object]) -> None:
        super().__init__(template, globals=template.make_globals(given))
        self.meter = meter
        self.sizes: dict[str, int] = {}  # of the variables: measuring all at each assignment would be quadratic
        self.size = 0

    def assign(self, key: str, val: Any) -> None:
        """Give a variable its value. Raises LocalNamespaceLimitError when all together are too large."""
        size = extent(val)
        self.meter.charge(size // COPIED)
        self.size += size - self.sizes.get(key, 0)
        self.sizes[key] = size
        if self.size > MAX_VARIABLES:
            words = _("the variables hold more than %(n)s characters", n=MAX_VARIABLES)
            raise LocalNamespaceLimitError(words, token=None)
        self.locals[key] = val

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """Where a capture is written."""
        return StringIO(newline=None)


class Template(BoundTemplate):
    """A parsed template."""

    def fill(self, given: Mapping[str, object], meter: Meter) -> str:
        """The text for what its names stand for; lines end in LF. Raises LiquidError (TooMuchWork), OutOfTime, and
        whatever a filter raises."""
        buffer = StringIO(newline=None)
        self.render_with_context(Context(self, meter, given), buffer)
        return buffer.getvalue()


# --- tags that charge ----------------------------------------------------------------------------------------------


class FreeText(str):
    """One of the recipient's addresses: writing it costs nothing, for the fast ways have it encoded beforehand."""


class FreeMarkup(Markup):
    """The same, as HTML."""


class _OutputNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        text = to_liquid_string(value, context.autoescape)
        if not isinstance(value, (FreeText, FreeMarkup)):
            context.meter.write(len(text))  # type: ignore[attr-defined]
        return buffer.write(text)


class _ForNode(ForNode):
    def __init__(self, token: Token, expression: Any, block: Any, default: Any = None) -> None:
        super().__init__(token, expression, Repeated(block, token.start_index), default)

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """What an offset skips is walked through, too."""
        context.meter.look_at(self.expression.iterable.evaluate(context))  # type: ignore[attr-defined]
        return super().render_to_output(context, buffer)


class _CaseNode(CaseNode):
    def __init__(self, token: Token, expression: Any, blocks: Any) -> None:
        super().__init__(token, expression, blocks)
        for block in self.blocks:  # a `when` is rendered once for each of its values that matches
            if isinstance(block, MultiExpressionBlockNode):
                block.block = Repeated(block.block)


class _CycleNode(CycleNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """python-liquid makes one text of all the values, to know the cycle again."""
        size = sum(extent(expression.evaluate(context)) for expression in self.expressions())
        context.meter.write(size)  # type: ignore[attr-defined]
        return super().render_to_output(context, buffer)


class _If(IfTag):
    mode = Mode.STRICT


class _Unless(UnlessTag):
    mode = Mode.STRICT


class _Output(Output):
    node_class = _OutputNode


class _Echo(EchoTag):
    node_class = _OutputNode  # type: ignore[assignment]


class _For(ForTag):
    node_class = _ForNode


class _Case(CaseTag):
    node_class = _CaseNode


class _Cycle(CycleTag):
    node_class = _CycleNode


class _Located(Tag):
    """Gives an error at the end of an expression, which python-liquid leaves without a place, that of its tag."""

    def __init__(self, tag: Tag) -> None:
        super().__init__(tag.env)
        self.tag = tag

    def parse(self, stream: TokenStream) -> Node:
        start = stream.current
        try:
            return self.tag.get_node(stream)
        except LiquidError as error:
            if error.token is None or error.token.start_index < 0:
                error.token = start
            raise


class Sandbox(Environment):
    """python-liquid with our tags and filters. `autoescape` for HTML: values are escaped, literals aren't."""

    template_class = Template
    block_nesting_limit = 20

    def tokenizer(self) -> Callable[[str], Iterator[Token]]:
        """Our own, which agrees with what is masked in the HTML (template_source.py)."""
        return lex

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Keep what is on the lists."""
        super().setup_tags_and_filters(extra=False)
        for tag in (_If, _Unless, _Output, _Echo, _For, _Case, _Cycle):
            self.add_tag(tag)
        self.tags = {name: _Located(tag) for name, tag in self.tags.items() if name in TAGS | _PSEUDO_TAGS}
        self.filters = offered(self) | {name: Metered(name, function) for name, function in schemes.FILTERS.items()}


HTML = Sandbox(autoescape=True)
PLAIN = Sandbox(autoescape=False)


def parse(draft: Draft, sandbox: Sandbox) -> Template | Problem:
    """The part's syntax tree, or what python-liquid cannot read in it, with its line."""
    try:
        return template_of(draft.source, sandbox)
    except LiquidError as error:
        start = error.token.start_index if error.token else -1
        return Problem(draft.where, draft.line(start) if start >= 0 else 0, str(error.message))


def template_of(source: str, sandbox: Sandbox) -> Template:
    """The syntax tree of a template. Raises LiquidError."""
    template = sandbox.from_string(source)
    assert isinstance(template, Template)
    return template
