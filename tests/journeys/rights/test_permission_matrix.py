"""Every address of the resolver, each kind of people, each method: nothing is read or written without the right to it.

`EXPECTED` (expected.py) says who gets in. A view that it does not know fails the first test: whoever adds an address
says there who may use it. "In" is any answer but a refusal (401, 403, 404, 405, the way to the log-in, or the admin's
"does not exist"); whoever is refused must not have caused one writing statement.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from .addresses import addresses, values
from .asking import ask, filled, methods, refused, undone
from .expected import EXPECTED, Rule
from .reach import RELATED, by_role, may

pytestmark = pytest.mark.django_db


def test_the_table_knows_every_view_and_no_other() -> None:
    found = {address.name for address in addresses()}
    assert found - set(EXPECTED) == set(), "say in EXPECTED who may use these"
    assert set(EXPECTED) - found == set(), "these are gone"


SLOWER = (pytest.param(kind, marks=pytest.mark.slow) for kind in (*"EHNPSADVU", *RELATED))


@pytest.mark.parametrize("kind", ["*", *SLOWER])
def test_nobody_gets_further_than_their_rights(world: dict[str, Any], kind: str, caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")  # refusals by the hundred
    client, wrong = Client(raise_request_exception=False), []
    if world["people"][kind] is not None:
        client.force_login(world["people"][kind])
    cookies = client.cookies.output(header="")
    for address in addresses():
        path = address.path(values(address, world))
        for method in methods(address.name, path):
            rule = EXPECTED.get(address.name, Rule())
            if "-" in kind and not by_role(kind, address, method, rule):
                continue  # refused from the root already
            client.cookies.load(cookies)  # logging out would be for good
            with undone() as written:
                answer = ask(client, method, path, filled(rule.body, world))
            allowed = may(kind, address, method, rule)
            wrong += faults(f"{address.name}: {method} {path}", answer, allowed, written)
    assert not wrong, "\n".join(wrong)


# A forged act is written down, and a program's request counted.
BOOKS = "deliveries_deliveryevent|campaigns_audit(?:entry|value)|campaigns_apiwindow"


def faults(what: str, answer: Any, expected: bool, written: list[str]) -> list[str]:
    """What is wrong with an answer, in words."""
    if answer.status_code >= 500:
        return [f"{what}: {answer.status_code} {answer.exc_info and answer.exc_info[1]!r}"]
    got_in = not refused(answer, written)
    if got_in != expected:
        return [f"{what}: {'got in' if got_in else 'was refused'} ({answer.status_code})"]
    if not got_in and [sql for sql in written if not re.search(BOOKS, sql)]:
        return [f"{what}: refused, but wrote {written}"]
    return []


SILLY = ("nobody", "9" * 30, *(pytest.param(silly, marks=pytest.mark.slow) for silly in ("0", "9" * 5000, "%00'%22")))
NAMES = "after before status cause campaign profile type who p limit state message campaign__id__exact o"
QUERY = dict.fromkeys(NAMES.split(), "9" * 5000)
SAMPLES = {"seen": "1:" + "9" * 400, "cursor": "bz05", "q": "\x00", "e": "1"}
QUERIES = (QUERY | SAMPLES, dict.fromkeys(QUERY, "\x00'\"") | {"cursor": "\x00", "status__exact": "x"})


@pytest.mark.parametrize("silly", SILLY, ids=lambda silly: silly[:12])
def test_a_silly_address_is_never_a_fault_of_ours(world: dict[str, Any], silly: str, caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")
    client = Client(raise_request_exception=False)
    client.force_login(world["people"]["U"])
    wrong = []
    for address in addresses():
        for method in ("get", "post") if address.arguments else ():
            path = address.path(dict.fromkeys(address.arguments, silly))
            with undone():
                answer = ask(client, method, path, filled(EXPECTED.get(address.name, Rule()).body, world))
            if answer.status_code >= 500:
                wrong.append(f"{address.name}: {method} {answer.exc_info[1]!r}"[:300])
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_a_silly_query_is_never_a_fault_of_ours(world: dict[str, Any], caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")
    client = Client(raise_request_exception=False)
    client.force_login(world["people"]["U"])
    wrong = []
    for address in addresses():
        for query in QUERIES if EXPECTED.get(address.name, Rule("*")).get else ():
            with undone():
                answer = client.get(address.path(values(address, world)), query)
            if answer.status_code >= 500:
                wrong.append(f"{address.name}: {str(query)[:60]}: {answer.exc_info[1]!r}"[:300])
    assert not wrong, "\n".join(wrong)
