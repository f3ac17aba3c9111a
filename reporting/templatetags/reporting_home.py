"""The admin's first page asks for its contents."""

from __future__ import annotations

from typing import Any

from django import template

from reporting.admin.home import Home, home

register = template.Library()


@register.simple_tag
def home_of(user: Any) -> Home:
    """What home.py has to tell this user."""
    return home(user)
