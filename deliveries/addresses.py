"""E-mail addresses inside the free text of reports."""

import re

MAX_ADDRESS = 320  # RFC 5321 section 4.5.3.1: 64 + 1 + 255

ADDRESS = (
    r'(?:"[^"\s@<>]{1,64}"|[^\s<>()\[\]",:;@\\]{1,128})'  # quoted or plain local part
    r"@(?:\[[0-9a-fA-F.:]{3,45}\]|[\w-]{1,63}(?:\.[\w-]{1,63}){0,12})"
)
_ADDRESS = re.compile(ADDRESS)
_VERP = re.compile(r"[+=-]([A-Za-z0-9._%]{1,64})=([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6})@")


def find_addresses(text: str, limit: int = 50) -> list[str]:
    """The addresses in `text`, lower case, in their order and each once; at most `limit`."""
    found: dict[str, None] = {}
    for match in _ADDRESS.finditer(text[:20_000]):
        found.setdefault(clean(match.group()))
        if len(found) >= limit:
            break
    return list(found)


def find_all(values: list[str]) -> list[str]:
    """The addresses of several header values in their order, each once."""
    return list(dict.fromkeys(address for value in values[:100] for address in find_addresses(value)))


def first_address(text: str) -> str:
    """The first address in `text`, or ''."""
    return next(iter(find_addresses(text, 1)), "")


def clean(address: str) -> str:
    """Lower case (the product's addresses are), without the punctuation of the sentence around."""
    return address.strip(" .'`").lower().removeprefix("smtp=")[:MAX_ADDRESS]


def verp_recipient(address: str) -> str:
    """The recipient that a variable envelope sender spells out: `bounce-7-user=example.com@…`, or ''."""
    match = _VERP.search("-" + address)
    return f"{match.group(1)}@{match.group(2)}".lower() if match else ""
