"""E-mail addresses inside the free text of reports."""

import re
from collections.abc import Iterator

MAX_ADDRESS = 320  # RFC 5321 section 4.5.3.1: 64 + 1 + 255
MAX_TEXT = 20_000  # characters of one text that are searched

_QUOTED, _PLAIN = r'"[^"\s@<>]{1,64}"', r'[^\s<>()\[\]",:;@\\]{1,128}'
_DOMAIN = r"(?:\[[0-9a-fA-F.:]{3,45}\]|[\w-]{1,63}(?:\.[\w-]{1,63}){0,12})"
ADDRESS = rf"(?:{_QUOTED}|{_PLAIN})@{_DOMAIN}"

_AT = re.compile(r"""(?<=[^\s<>()\[\],:;@\\])@(?=[\w\[-])""")
_BEFORE_AT = re.compile(f"{_PLAIN}|{_QUOTED}")  # both read the same from behind
_AFTER_AT = re.compile(_DOMAIN)


def places(text: str) -> Iterator[tuple[int, int]]:
    """Where the addresses in `text` stand, as `re.finditer(ADDRESS, text)` would find them, in linear time.

    To search for the pattern is to try 128 characters at each position; each @ has one place where its address can
    begin, which is found by reading backwards."""
    end = 0
    for at in _AT.finditer(text):
        if at.start() < end:
            continue
        local = _BEFORE_AT.match(text[max(end, at.start() - 128) : at.start()][::-1])
        if local and (domain := _AFTER_AT.match(text, at.end())):
            end = domain.end()
            yield at.start() - local.end(), end


def find_addresses(text: str, limit: int = 50) -> list[str]:
    """The addresses in `text`, lower case, in their order and each once; at most `limit`."""
    text = text[:MAX_TEXT]
    found: dict[str, None] = {}
    for start, end in places(text):
        found.setdefault(clean(text[start:end]))
        if len(found) >= limit:
            break
    return list(found)


def hide_addresses(text: str) -> str:
    """`text` with `*` for each address."""
    pieces, position = [], 0
    for start, end in places(text):
        pieces += [text[position:start], "*"]
        position = end
    return "".join(pieces) + text[position:]


def find_all(values: list[str]) -> list[str]:
    """The addresses of several header values in their order, each once."""
    return list(dict.fromkeys(address for value in values[:100] for address in find_addresses(value)))


def first_address(text: str) -> str:
    """The first address in `text`, or ''."""
    return next(iter(find_addresses(text, 1)), "")


def clean(address: str) -> str:
    """Lower case (the product's addresses are), without the punctuation of the sentence around."""
    return address.strip(" .'`").lower().removeprefix("smtp=")[:MAX_ADDRESS]
