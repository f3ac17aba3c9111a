"""Every road by which somebody can change something, found in the product itself: forms with their inlines, actions and
deletions of the admin's pages; PATCH, POST and DELETE of the API; commands that act for somebody.

For test_nothing_unconfirmed_leaves.py. A road's act tries other values until one is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from types import SimpleNamespace
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import models
from django.test import Client
from django.urls import resolve
from rest_framework import serializers

from campaigns.models import (
    Audience,
    Brand,
    Campaign,
    ControlGroup,
    Message,
    NeverTracked,
    OrganizationalUnit,
    Recurrence,
    Schedule,
    TestProfile,
    TrackingOptions,
    Typology,
    TypologyRule,
)
from deliveries.admin.act_pages import ACTS
from deliveries.api.deliveries import COMMANDS, SEEING
from deliveries.ledger.message_tokens import tokens
from deliveries.models import Delivery, Routing
from tests.journeys.rights.addresses import Address, addresses, values
from tests.journeys.rights.asking import filled
from tests.journeys.rights.expected import EXPECTED

from .page_controls import Control, controls, posting

# What decides over the form in which something leaves, and who may confirm it: each field of these is to be tried.
FORMED: tuple[type[models.Model], ...] = (
    Message,
    Schedule,
    Recurrence,
    ControlGroup,
    TrackingOptions,
    Brand,
    Audience,
    Typology,
    TypologyRule,
    Campaign,
    OrganizationalUnit,
    Routing,
    TestProfile,
    NeverTracked,
)
Rows = dict[tuple[str, Any, str], Any]


def rows() -> Rows:
    """{(model, key, field): value} of all that FORMED holds; a row that is there at all has the field "id"."""
    found: Rows = {}
    for model in FORMED:
        for row in model._base_manager.values():
            own = {name: repr(value) for name, value in row.items() if name != "modified_at"}
            found |= {(model.__name__, row["id"], name): value for name, value in own.items()}
        for relation in model._meta.many_to_many:
            pairs = relation.remote_field.through._base_manager.order_by("pk").values_list(
                relation.m2m_column_name(), relation.m2m_reverse_name()
            )
            for key, other in pairs:
                found[model.__name__, key, relation.name] = (
                    *found.get((model.__name__, key, relation.name), ()),
                    other,
                )
    return found


def changed(before: Rows, after: Rows) -> frozenset[str]:
    """Model.field of all that differs."""
    differ = {place for place in {*before, *after} if before.get(place) != after.get(place)}
    whole = {place[:2] for place in differ if place[2] == "id"}  # a row that came or went is told by its id
    names = {place for place in differ if place[2] == "id" or place[:2] not in whole}
    return frozenset(f"{model}.{name.removesuffix('_id')}" for model, _key, name in names)


@dataclass
class Actor:
    """Somebody who acts, by pages and by the API: logged in, or with a token alone."""

    kind: str
    user: Any
    token: str = ""
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"HTTP_AUTHORIZATION": f"Token {self.token}"} if self.token else {}
        self.client = Client(raise_request_exception=False, **headers)
        if not self.token:
            self.client.force_login(self.user)

    def send(self, method: str, path: str, body: Any = None, **headers: Any) -> Any:
        """A request with JSON."""
        return self.client.generic(method, path, json.dumps(body or {}), "application/json", **headers)


@dataclass(frozen=True)
class Road:
    """`act` tries the change, with one value after another; whether anything came of it is seen in the database.
    `formed`: it is a field of FORMED, so another value is tried if nothing has changed."""

    name: str
    act: Callable[[], Iterable[Any]]  # the answers
    formed: bool = False

    @property
    def subject(self) -> str:
        """What it changes, one word for all inputs of one field: "form campaigns/message schedule-0-contact_date"."""
        return re.sub(r"(_[01]|-[12]-\w+|-0-(field|op|value))$", "", re.sub(r"levels-.*", "levels", self.name))

    @property
    def page(self) -> bool:
        """A field of a form in the admin."""
        return self.name.startswith("form ")

    def walk(self, before: Rows) -> frozenset[str]:
        """Go it. Out: the fields of FORMED that changed."""
        for answer in self.act():
            if found := changed(before, rows()):
                return found
            if not self.formed and getattr(answer, "status_code", 0) in (200, 201, 204, 302):
                break
        return frozenset()


def roads(actor: Actor, things: dict[str, Any]) -> Iterator[Road]:
    """All roads that are open to somebody, in a fixed order."""
    if not actor.token:
        yield from _forms(actor, things)
        yield from _actions(actor, things)
        yield from _commands(actor)
    yield from _patches(actor, things)
    yield from _posts(actor, things)


# --- the admin's pages ------------------------------------------------------------------------------------------------


def pages(things: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(address of the list, the model's admin, key of the object) of every model that the admin knows."""
    for model, registered in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label_lower):
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for key in (model._meta.model_name or "", *(n for n in things if n.startswith(f"{model._meta.model_name} "))):
            if key in things and model._meta.app_label != "django_q":
                yield place, registered, things[key]


def _forms(actor: Actor, things: dict[str, Any]) -> Iterator[Road]:
    for place, registered, key in pages(things):
        path = f"{place}{key}/change/"
        answer = actor.client.get(path)
        if answer.status_code != 200:
            continue
        found = controls(answer.content.decode(), f"{registered.opts.model_name}_form")
        for name, control in found.items():
            if control.kind != "hidden":
                act = _filling(actor, path, found, control)
                yield Road(f"form {place[7:-1]} {name}", act, formed=registered.model in FORMED)


def _filling(actor: Actor, path: str, found: dict[str, Control], control: Control) -> Callable[[], Iterable[Any]]:
    def act() -> Iterator[Any]:
        for others in control.others():
            yield actor.client.post(path, posting(found, control.name, others))

    return act


def _actions(actor: Actor, things: dict[str, Any]) -> Iterator[Road]:
    for place, _registered, key in pages(things):
        answer = actor.client.get(place)
        found = controls(answer.content.decode(), "changelist-form") if answer.status_code == 200 else {}
        for action in found["action"].options if "action" in found else ():
            if action:
                body = {"action": action, "_selected_action": [key], "post": "yes", "index": "0"}
                yield Road(f"action {place[7:-1]} {action}", _once(actor.client.post, place, body))


def _once(send: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], Iterable[Any]]:
    return lambda: iter([send(*arguments, **options)])


# --- the API ----------------------------------------------------------------------------------------------------------


def _patches(actor: Actor, things: dict[str, Any]) -> Iterator[Road]:
    for address in addresses():
        if not (EXPECTED[address.name].patch and address.route.startswith("api/")):
            continue
        path = address.path(values(address, {"things": things, "row": 1, "uid": "x", "tokens": tokens.sign(1)}))
        view: Any = resolve(path).func
        asks = SimpleNamespace(user=actor.user, method="PATCH", query_params={})
        serializer = view.cls.serializer_class(context={"request": asks, "view": view.cls()})
        formed = getattr(view.cls.serializer_class.Meta, "model", None) in FORMED
        for name, given in _fields(serializer, actor.client.get(path)):
            yield Road(f"PATCH {address.name} {name}", _patching(actor, path, given), formed)


def _patching(actor: Actor, path: str, bodies: list[Any]) -> Callable[[], Iterable[Any]]:
    return lambda: (actor.send("PATCH", path, body) for body in bodies)


def _fields(serializer: Any, answer: Any) -> Iterator[tuple[str, list[Any]]]:
    """(name, bodies to try) of every field that can be written; of what is nested, one each of its fields."""
    held = answer.json() if answer.status_code == 200 else {}
    for name, one in serializer.fields.items():
        if one.read_only:
            continue
        if isinstance(one, serializers.BaseSerializer) and not isinstance(one, serializers.ListSerializer):
            inner = held.get(name) or USUAL[name]
            yield name, [{name: None}, {name: USUAL[name]}]
            for part, field_ in one.fields.items():
                if not field_.read_only:
                    yield f"{name}.{part}", [{name: inner | {part: v}} for v in _values(field_, inner.get(part))]
        else:
            yield name, [{name: value} for value in _values(one, held.get(name))]


USUAL: dict[str, dict[str, Any]] = {
    "schedule": {"mode": "immediate", "request_confirmation": False},
    "recurrence": {"frequency": "daily", "at": "09:00", "request_confirmation": False},
    "control_group": {"extraction": "first", "sort_field": "city", "percent": 50},
    "tracking": {"active": False},
}  # what is written where nothing was


def _values(one: Any, held: Any) -> list[Any]:
    """Other values for a field of the API."""
    if isinstance(one, serializers.ManyRelatedField):
        keys = list(one.child_relation.get_queryset().values_list("pk", flat=True))
        return [[], keys, keys[:1]]
    if isinstance(one, serializers.RelatedField):
        return [*one.get_queryset().exclude(pk=held).values_list("pk", flat=True)[:5], None]
    if isinstance(one, serializers.BooleanField):
        return [not held]
    if getattr(one, "choices", None) and not isinstance(one, serializers.MultipleChoiceField):
        return [choice for choice in one.choices if choice != held]
    kinds: dict[Any, list[Any]] = {
        serializers.IntegerField: [7, 3, 50],
        serializers.FloatField: [7.5],
        serializers.DurationField: ["03:04:05"],
        serializers.DateTimeField: ["2100-01-02T00:00Z", "2001-01-02T00:00Z"],
        serializers.DateField: ["2001-02-03"],
        serializers.TimeField: ["03:04:05"],
        serializers.ListField: [[], [1, 2], ["x"]],
        serializers.DictField: [{"other": "x"}],
        serializers.JSONField: [[{"field": "country", "op": "is_empty"}], [{"field": "city", "op": "is_empty"}]],
    }
    for kind, made in kinds.items():
        if isinstance(one, kind):
            return made
    texts = (
        f"{held or ''} again",
        "other@example.com",
        "https://other.example/",
        "50%",
        "Asia/Tokyo",
        "30 * * * *",
        "city",
    )
    return [*texts, *([""] if held else [])]


# Forms, which are read above; redirects; pages that only show; and the doors of those who have no account.
PASSED_OVER = (
    "_add",
    "_change",
    "_changelist",
    "login",
    "logout",
    "_history",
    "RedirectView",
    "_logs",
    "_log",
    "-logs",
    "-report",
    "-urls",
    "-rows",
    "-clicks",
    "_deployment",
    "_executions",
    "_causes",
    "_in_doubt",
    "_proofs",
    "index",
    "app_list",
)


def _posts(actor: Actor, things: dict[str, Any]) -> Iterator[Road]:
    """With the bodies that the permission matrix has for forged requests; of commands and acts each."""
    world = {"things": things, "row": things["sendinglog"], "uid": "x", "tokens": tokens.sign(1)}
    for address in addresses():
        rule, given = EXPECTED[address.name], values(address, world)
        if address.name == "delivery-carry-out":
            for method in COMMANDS:
                yield Road(f"POST {address.name} {method}", _commanding(actor, things["delivery"], method))
        elif address.name == "admin:deliveries_delivery_act":
            for act in ACTS:
                yield Road(f"POST {address.name} {act}", _acting(actor, address, given | {"act": act}))
        elif rule.post and not address.name.endswith(PASSED_OVER):
            yield Road(f"POST {address.name}", _posting(actor, address, given, filled(rule.body, world)))
        if rule.delete:
            yield Road(f"DELETE {address.name}", _once(actor.send, "DELETE", address.path(given)))


def _posting(actor: Actor, address: Address, given: dict[str, Any], body: Any) -> Callable[[], Iterable[Any]]:
    path = address.path(given)
    if path.startswith("/api/"):
        return _once(actor.send, "POST", path, body)
    return _once(actor.client.post, path, body or {})


def _acting(actor: Actor, address: Address, given: dict[str, Any]) -> Callable[[], Iterable[Any]]:
    def act() -> Iterator[Any]:
        shown = actor.client.get(f"/api/deliveries/{given['pk']}/")
        seen = shown.json().get("form", "") if shown.status_code == 200 else ""
        yield actor.client.post(address.path(given), {"seen": seen})

    return act


def _commanding(actor: Actor, delivery: int, method: str) -> Callable[[], Iterable[Any]]:
    return lambda: iter([command(actor, delivery, method)])


def command(actor: Actor, delivery: int, method: str) -> Any:
    """By the API, with the form that is there now."""
    path = f"/api/deliveries/{delivery}/"
    shown = actor.client.get(path)
    held = shown.json() if shown.status_code == 200 else {}
    seen = {"HTTP_IF_MATCH": f'"{held["form"]}"'} if method in SEEING and held.get("form") else {}
    return actor.send("POST", f"{path}commands/", {"method": method}, **seen)


# --- the command line -------------------------------------------------------------------------------------------------

WITH = {"series": (["on"], ["off"]), "refuse": (["--comment", "no"],)}  # what a command takes beside the delivery


def acting_commands() -> list[str]:
    """Those of ours that act for somebody."""
    known, ours = get_commands(), ("campaigns", "deliveries", "reporting")
    made = {name: load_command_class(app, name) for name, app in known.items() if app in ours}
    acting = (name for name, one in made.items() if "--as" in one.create_parser("", name).format_help())
    return sorted(name for name in acting if name != "evidence")  # it reads, and writes a file where one is


def _commands(actor: Actor) -> Iterator[Road]:
    for name in acting_commands():
        for arguments in WITH.get(name, ([],)):
            yield Road(f"command {' '.join([name, *arguments])}", _managing(actor, name, arguments))


def _managing(actor: Actor, name: str, arguments: list[str]) -> Callable[[], Iterable[Any]]:
    def act() -> Iterator[Any]:
        code = f"DM{min(Delivery.objects.values_list('pk', flat=True), default=0)}"
        with suppress(CommandError, PermissionDenied, SystemExit):
            said = {"stdout": StringIO(), "stderr": StringIO()}
            yield call_command(name, *arguments, code, "--as", actor.user.username, **said)

    return act
