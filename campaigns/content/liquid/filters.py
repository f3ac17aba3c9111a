"""The filters that a message may use. Each takes time linear in what it gets and gives, and says what it costs.

Most are python-liquid's own. Replaced are those that are not linear (uniq, strip_html, remove_last, replace_last), that
look at all of a text for a few words of it, that guess (date), or that could ask for much in a few characters.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from liquid import Environment, Markup, RenderContext, soft_str
from liquid.exceptions import FilterArgumentError, FilterError
from liquid.filter import int_arg, sequence_filter, string_filter, with_environment
from liquid.undefined import is_undefined

from campaigns.core.kept_text import keep as _

from .strip_tags import strip_tags
from .work import COPIED, LOOKED_AT, Meter, extent

MAX_VALUE = 100_000  # characters or items of one intermediate value
MAX_BITS = 10_000  # of a whole number: three thousand digits
MAX_FORM = 100  # characters of the form of a date
MAX_WORDS = 1 << 31  # beyond, Liquid gives the whole text back

# fmt: off
FILTERS = {
    "abs", "add_days", "add_hours",
    "append", "at_least", "at_most", "capitalize", "ceil", "date", "default", "divided_by", "downcase",
    "escape", "escape_once", "first", "floor", "join", "last", "lstrip", "minus", "modulo", "newline_to_br",
    "plus", "prepend", "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last",
    "reverse", "round", "rstrip", "size", "slice", "sort", "sort_natural", "split", "squish", "strip",
    "strip_html", "strip_newlines", "times", "truncate", "truncatewords", "uniq", "upcase", "url_decode",
    "url_encode",
}
# fmt: on
_FREE = {"default", "first", "last"}  # they look at no character
_PACE = {  # characters for a unit of work, of the slow ones and of those that only copy
    "strip_html": 5,
    "escape_once": 6,
    "url_decode": 4,
    "url_encode": 10,
    "newline_to_br": 15,
    "strip_newlines": 15,
    "capitalize": 25,
    "uniq": 25,
    "append": COPIED,
    "prepend": COPIED,
    "slice": COPIED,
    "truncate": COPIED,
    "size": COPIED,
}
_SORTS = {"sort", "sort_natural"}


class Metered:
    """A filter that charges a meter for what it looks at and gives, and refuses values that are too large.

    python-liquid calls it with its context, fast_render.py with the meter itself.
    """

    with_context = True

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function
        self.__name__ = name
        self.pace = _PACE.get(name, LOOKED_AT)
        self.free = name in _FREE

    def __call__(self, value: object, *args: Any, context: RenderContext, **kwargs: Any) -> Any:
        """As python-liquid has it. Raises LiquidError, TooMuchWork."""
        return self.run(context.meter, value, *args, **kwargs)  # type: ignore[attr-defined]

    def run(self, meter: Meter, value: object, *args: Any, **kwargs: Any) -> Any:
        """The filter's value. Raises LiquidError, TooMuchWork."""
        if self.free:
            return self.function(value, *args, **kwargs)
        before = extent(value) + sum([extent(arg) for arg in args])
        if before >= self.pace:
            self._charge(meter, before, value, args)
        return self.given(meter, self.function(value, *args, **kwargs))

    def given(self, meter: Meter, result: Any) -> Any:
        """The result, charged for. Raises FilterError, TooMuchWork."""
        size = extent(result)
        if size >= self.pace:
            self._check(result)
            meter.charge(size // self.pace)
        return result

    def quick(self, constants: list[Any]) -> Callable[[object, Meter], object]:
        """The filter with its arguments, which are the same for everybody; what costs nothing goes a shorter way."""
        run, given, function, pace = self.run, self.given, self.function, self.pace
        if self.free:
            return lambda value, meter: function(value, *constants)
        room = pace - sum(map(extent, constants))

        def act(value: object, meter: Meter) -> object:
            if type(value) is not str or len(value) >= room:
                return run(meter, value, *constants)
            result = function(value, *constants)
            return result if type(result) is str and len(result) < pace else given(meter, result)

        return act

    def _check(self, result: object) -> None:
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise self._too_large(MAX_BITS // 10 * 3)
        if isinstance(result, (str, list)) and len(result) > MAX_VALUE:
            raise self._too_large(MAX_VALUE)

    def _charge(self, meter: Meter, before: int, value: object, args: tuple[Any, ...]) -> None:
        """Before, not after: a hundred thousand characters, each replaced by as many, would fill the memory."""
        if self.name in _SORTS and isinstance(value, (list, range)):
            before *= max(1, len(value).bit_length())
        meter.charge(before // self.pace)
        if self.name in _MOST and len(args) < 3 and _MOST[self.name](value, *args) > MAX_VALUE:
            raise self._too_large(MAX_VALUE)

    def _too_large(self, most: int) -> FilterError:
        return FilterError(_("%(filter)s makes more than %(n)s characters", filter=self.name, n=most), token=None)


def _replacement_size(value: object, seq: object = "", sub: object = "") -> int:
    return str(value).count(str(seq)) * len(str(sub))


def _joined_size(value: object, separator: object = " ") -> int:
    return (len(value) if isinstance(value, (list, range)) else 1) * len(str(separator))


_MOST: dict[str, Callable[..., int]] = {"replace": _replacement_size, "join": _joined_size}


def offered(environment: Environment) -> dict[str, Callable[..., Any]]:
    """The filters by name, of those that the environment has and of our own."""
    found = environment.filters | {function.__name__: function for function in _OWN}
    return {name: Metered(name, _bound(found[name], environment)) for name in FILTERS}


def _bound(function: Callable[..., Any], environment: Environment) -> Callable[..., Any]:
    wants = getattr(function, "with_environment", False)
    return partial(function, environment=environment) if wants else function


# --- our own -------------------------------------------------------------------------------------------------------


@string_filter
def date(value: str, form: str) -> str:
    """An ISO 8601 date or date-time in strftime form; anything else comes back unchanged, as Liquid has it.

    Own, because python-liquid's guesses the format, reads digits as seconds since 1970 and knows "now", which would
    make a sealed message change with time. Raises FilterError: a form so long that it could fill the memory (%9999d).
    """
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return value
    if len(str(form)) > MAX_FORM:
        raise FilterError(_("date: a form has %(n)s characters at most", n=MAX_FORM), token=None)
    text = moment.strftime(str(form))
    return Markup(text) if isinstance(form, Markup) else text


@string_filter
def add_hours(value: str, hours: object) -> str:
    """An ISO 8601 date or date-time so many hours later, by the clock that it shows; empty if either cannot be read."""
    try:
        moment = datetime.fromisoformat(value.strip()) + timedelta(hours=float(str(hours)))
    except (ValueError, OverflowError):
        return ""
    return moment.isoformat(sep=" ")


@string_filter
def add_days(value: str, days: object) -> str:
    """Like add_hours; what was a date without a time stays one if the days are whole."""
    try:
        number = float(str(days))
    except ValueError:
        return ""
    later = str(add_hours(value, 24 * number))
    return later[:10] if len(value.strip()) <= 10 and number.is_integer() else later


@string_filter
def squish(value: str) -> str:
    """The words of a text with one space between two."""
    return " ".join(str(value).split())


@string_filter
def truncatewords(value: str, number: Any = 15, end: object = "...") -> str:
    """The first words of a text, with one space between two, and `end` unless there are fewer words."""
    if is_undefined(number):
        raise FilterArgumentError("truncate expected an integer, found Undefined", token=None)
    try:
        most = max(1, int_arg(number))
    except FilterArgumentError as error:
        words = f"truncate expected an integer, found {type(number).__name__}"
        raise FilterArgumentError(words, token=None) from error
    if most >= MAX_WORDS - 1:
        return value
    found = value.split(None, most)  # no further than needed
    return " ".join(found) if len(found) < most else " ".join(found[:most]) + str(end)


@with_environment
@string_filter
def strip_html(value: str, *, environment: Environment) -> str:
    """The text without tags, comments, scripts and styles."""
    stripped = strip_tags(value)
    return Markup(stripped) if environment.autoescape and isinstance(value, Markup) else stripped


@string_filter
def remove_last(value: str, part: object) -> str:
    """The text without the last occurrence of `part`."""
    return _replaced_last(value, soft_str(part), "") if soft_str(part) else value


@string_filter
def replace_last(value: str, part: object, other: object) -> str:
    """The text with the last occurrence of `part` replaced; an empty one stands at the end."""
    return _replaced_last(value, soft_str(part), soft_str(other)) if soft_str(part) else value + soft_str(other)


def _replaced_last(value: str, part: str, other: str) -> str:
    """As python-liquid has it: what begins with its only occurrence is left alone. str.rfind can be quadratic, find is
    not, so the text is searched from behind by being turned around."""
    found = str(value)[::-1].find(str(part)[::-1])
    at = len(value) - found - len(part)
    return value if found < 0 or at == 0 else value[:at] + other + value[at + len(part) :]


_MISSING = object()


@sequence_filter
def uniq(items: Any, key: object = None) -> list[object]:
    """The items that differ from all before them; by what they have under `key`, if one is given."""
    if not isinstance(items, (list, tuple, range)):
        raise FilterArgumentError("uniq expects a list", token=None)
    if key is None:
        return list(dict.fromkeys(items))
    first: dict[object, object] = {}
    for item in items:
        first.setdefault(_under(item, key), item)
    return list(first.values())


def _under(item: Any, key: Any) -> object:
    try:
        return item[key]
    except KeyError:
        return _MISSING
    except TypeError as error:
        raise FilterArgumentError(f"can't read property '{key}' of {item}", token=None) from error


_OWN: tuple[Any, ...] = (
    date,
    add_hours,
    add_days,
    squish,
    truncatewords,
    strip_html,
    remove_last,
    replace_last,
    uniq,
)
