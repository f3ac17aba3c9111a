"""Every list is paged by campaigns/core/web/paging.py: the admin's by number, a tab's by key, the API's by key."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.template.loader import get_template
from rest_framework.settings import api_settings

from campaigns.api.base import KeyPagination
from campaigns.core.web import paging
from campaigns.models import OrganizationalUnit
from deliveries.models import QualificationRule

ROOT = Path(settings.BASE_DIR)
WHOLE = {OrganizationalUnit, QualificationRule}  # a tree, and rules in their order: few, and read as a whole
BY_HAND = re.compile(r"Paginator\(|paginator ?=|list_per_page ?=|page_size ?=|pagination_class ?= ?[^N]|num_pages")
ROOMS = {
    "campaigns/core/web/paging.py",
    "campaigns/api/base.py",
    "campaigns/api/tokens.py",
    "campaigns/admin/units.py",
    "deliveries/admin/feedback.py",
}


def test_the_admins_lists_count_to_the_bound_and_are_as_long_as_each_other() -> None:
    for model, pages in admin.site._registry.items():
        assert issubclass(pages.paginator, paging.BoundedPaginator), model
        assert pages.list_per_page == paging.ROWS or model in WHOLE, model
        assert not pages.show_full_result_count, model


def test_they_share_one_template_and_so_do_the_tabs() -> None:
    assert str(get_template("admin/pagination.html").origin).startswith(str(ROOT / "campaigns"))
    found = {path.relative_to(ROOT) for path in ROOT.glob("*/templates/**/pag*.html")}
    assert {path.name for path in found} == {"pagination.html", "paging.html", "page.html"}
    links = [path for path in ROOT.glob("*/templates/**/*.html") if 'rel="next"' in path.read_text()]
    assert [path.name for path in links] == ["paging.html"]


def test_the_api_pages_every_list_unless_a_view_says_no() -> None:
    assert api_settings.DEFAULT_PAGINATION_CLASS is KeyPagination
    assert (KeyPagination.page_size, KeyPagination.max_page_size) == (paging.ROWS_FOR_PROGRAMS, paging.MOST_ROWS)


def test_nobody_pages_by_hand() -> None:
    found = {
        str(path.relative_to(ROOT))
        for app in ("campaigns", "deliveries", "reporting", "config")
        for path in (ROOT / app).rglob("*.py")
        if BY_HAND.search(path.read_text())
    }
    assert found == ROOMS
