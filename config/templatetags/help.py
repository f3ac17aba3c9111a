"""What every page of the admin shows of the documents and of the product itself."""

from __future__ import annotations

from typing import Any

from django import template

from config.help import links
from config.version import VERSION

register = template.Library()


@register.simple_tag(takes_context=True)
def help_address(context: dict[str, Any]) -> str:
    """Where the page being shown is explained; '' for strangers, in a window of a form, and on the documents' pages."""
    request = context.get("request")
    match, user = getattr(request, "resolver_match", None), getattr(request, "user", None)
    if match is None or user is None or not user.is_staff or context.get("is_popup"):
        return ""
    return "" if match.view_name in ("help", "help-index") else links.address_of(match.view_name)


@register.simple_tag
def product_version() -> str:
    """Like 1.0.0."""
    return VERSION
