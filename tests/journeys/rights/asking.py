"""Requests whose writing is taken back: what is asked, what was written, what counts as a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.db import connection, transaction
from django.test import Client

from .expected import EXPECTED, Rule


@contextmanager
def undone() -> Iterator[list[str]]:
    """What happens inside is taken back; gives the writing statements, the log-in session's left out."""
    written: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match(r"\s*(INSERT|UPDATE|DELETE|WITH)\b", sql, re.I) and "django_session" not in sql:
            written.append(sql)
        return execute(sql, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(watch):
            yield written
        transaction.set_rollback(True)


def ask(client: Client, method: str, path: str, body: Any) -> Any:
    """One request; to the API in JSON."""
    if method == "get":
        return client.get(path)
    if path.startswith("/api/"):
        return client.generic(method, path, _json(body), "application/json")
    return client.generic(method, path, "") if method != "post" else client.post(path, body or {})


def _json(body: Any) -> str:
    import json

    return json.dumps(body or {})


def refused(answer: Any, written: list[str]) -> bool:
    """True if the answer gave nothing. The admin's start page is where it sends people whose object is not there."""
    if answer.status_code == 302:
        came, goes = answer.request["PATH_INFO"], urlsplit(answer.url).path
        return goes.endswith("/login/") or (goes == "/admin/" and came not in ("/", "/admin/login/") and not written)
    return answer.status_code in (401, 403, 404, 405)


def filled(body: Any, world: dict[str, Any]) -> Any:
    """The body with the names of things replaced by their keys."""
    if isinstance(body, dict):
        return {name: filled(value, world) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, world) for value in body]
    return world["things"].get(body, body) if isinstance(body, str) else body


def methods(name: str, path: str) -> list[str]:
    """What is tried: a page that treats all methods alike is not asked twice."""
    rule = EXPECTED.get(name, Rule())
    alike = rule.get == rule.post and rule.get and rule.body is None and not name.endswith(("_add", "_change"))
    return ["get", *([] if alike else ["post"]), *(["patch", "delete"] if path.startswith("/api/") else [])]
