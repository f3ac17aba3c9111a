"""The admin's first page asks for its contents."""

from __future__ import annotations

from django import template

from campaigns.core.actors import Actor
from reporting.admin.home import Home, home

register = template.Library()


@register.simple_tag
def home_of(user: Actor) -> Home:
    """What home.py has to tell this user."""
    return home(user)
