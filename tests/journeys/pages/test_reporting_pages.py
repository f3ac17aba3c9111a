"""Tracking, report and recipients' pages in a browser: accessibility, a telephone's width, no script needed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from deliveries.ledger.message_tokens import tokens
from tests.journeys.conftest import Site
from tests.reporting.conftest import LINKED

from .test_pages import findings

TABS = ("tracking-logs/", "tracked-urls/", "report/", "rows/delivered/", "export/tracking-logs/")


@pytest.fixture(scope="module")
def tracked_site(site: Site) -> Site:
    """The finished delivery with content, opens and clicks."""
    finished = site.ids["finished"]
    site.write("UPDATE deliveries_delivery SET content = ? WHERE id = ?", json.dumps(LINKED), finished)
    site.write("UPDATE deliveries_sendinglog SET relayed_at = date WHERE delivery_id = ? AND status = 1", finished)
    site.write(
        "INSERT INTO reporting_trackinglog "
        "(delivery_id, sending_log_id, type, link, at, agent, network, head, machine, rule, version) "
        "SELECT delivery_id, id, 1 + id % 2, CASE WHEN id % 2 = 0 THEN id % 3 END, date, 'Mozilla', '192.0.2.0/24', 0, "
        "id % 5 = 0, CASE WHEN id % 5 = 0 THEN 'burst' ELSE '' END, 1 FROM deliveries_sendinglog "
        "WHERE delivery_id = ? AND status = 1",
        finished,
    )
    return site


def staff_pages(site: Site) -> list[str]:
    """Every page of reporting that staff see."""
    profile = site.read("SELECT MIN(id) FROM campaigns_profile")
    others = (
        "",
        f"campaigns/profile/{profile}/touchpoints/",
        "campaigns/campaign/1/report/",
        "reporting/alertdashboard/add/",
    )
    return [*(site.delivery("finished", tab) for tab in TABS), *(site.url(path) for path in others)]


def recipient_pages(site: Site) -> list[str]:
    """Every page that recipients see."""
    log = site.read("SELECT MIN(id) FROM deliveries_sendinglog WHERE delivery_id = ?", site.ids["finished"])
    base = site.url().removesuffix("admin/")
    return [f"{base}t/u/{tokens.sign(log).optout}", f"{base}t/u/{'a' * 24}"]


@pytest.mark.parametrize(("scheme", "first"), [pytest.param("light", 0, marks=pytest.mark.slow), ("dark", 1)])
def test_axe_finds_nothing_on_reporting_pages(tracked_site, visitor, scheme, first):
    site = tracked_site
    site.write("UPDATE auth_user SET is_superuser = 1 WHERE username = 'starter'")
    somebody, found = visitor(site, "starter", color_scheme=scheme), []
    every = 1 if os.environ.get("REQUIRE_SERVICES") == "1" else 2
    for address in [*staff_pages(site), *recipient_pages(site)][first % every :: every]:
        somebody.page.goto(address)
        found += findings(somebody.page)
    site.write("UPDATE auth_user SET is_superuser = 0 WHERE username = 'starter'")
    assert not found, "\n".join(found)
    somebody.complaints.clear()  # axe's own style sheets, and a page that is there to say 404


def test_reporting_pages_fit_a_telephone(tracked_site, visitor):
    somebody = visitor(tracked_site, "starter", width=360, height=740)
    for address in [*staff_pages(tracked_site), *recipient_pages(tracked_site)]:
        somebody.page.goto(address)
        assert somebody.page.evaluate("document.documentElement.scrollWidth") <= 360, address
    somebody.complaints.clear()  # the 403 of the export and the 404 that are there to be seen


@pytest.fixture
def exporting(tracked_site: Site) -> Iterator[Site]:
    """The starter may take logs away."""
    site, both = tracked_site, "u.username = 'starter' AND g.name = 'Export'"
    which = f"SELECT u.id, g.id FROM auth_user u, auth_group g WHERE {both}"
    site.write(f"INSERT INTO auth_user_groups (user_id, group_id) {which}")
    yield site
    site.write(f"DELETE FROM auth_user_groups WHERE (user_id, group_id) IN ({which})")


@pytest.mark.slow
@pytest.mark.parametrize(("button", "ending"), [("CSV file", "csv"), ("Excel file", "xlsx")])
def test_a_file_comes_and_the_page_says_how_far_it_is_without_a_script(exporting, visitor, button, ending):
    page = visitor(exporting, "starter", java_script_enabled=False).at("finished", "export/sending-logs/")
    frame = page.frame_locator(".ex-progress")
    expect(frame.get_by_role("status")).to_have_text("Nothing was asked for yet.")
    with page.expect_download() as coming:
        page.get_by_role("button", name=button).click(no_wait_after=True)
    assert coming.value.suggested_filename.endswith(f".{ending}")
    rows = exporting.read("SELECT COUNT(*) FROM deliveries_sendinglog WHERE delivery_id = ?", exporting.ids["finished"])
    expect(frame.get_by_role("status")).to_have_text(f"Done: all {rows:,} rows are in the file.", timeout=10_000)
    expect(page.get_by_role("button", name=button)).to_be_visible()
    if ending == "csv":
        assert len(coming.value.path().read_text().splitlines()) == rows + 1


def test_axe_finds_nothing_in_the_frame_of_a_file_that_grows(exporting, visitor):
    key, finished = "a" * 32, exporting.ids["finished"]
    exporting.write(
        "INSERT INTO reporting_export (delivery_id, user_id, key, total, rows, asked_at, seen_at, whole) "
        "SELECT ?, id, ?, 900, 300, '2099-01-01', '2099-01-01', 0 FROM auth_user WHERE username = 'starter'",
        finished,
        key,
    )
    somebody = visitor(exporting, "starter", width=360)
    page = somebody.at("finished", f"export-progress/{key}/")
    found = findings(page)
    expect(page.get_by_role("status")).to_have_text("300 of 900 rows")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("Cancelled after 300 rows")
    assert not found, "\n".join(found)
    somebody.complaints.clear()  # axe's own style sheets


def test_a_recipient_opts_out_and_back_without_a_script(tracked_site, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(recipient_pages(tracked_site)[0])
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Unsubscribe").wait_for()
    assert not context.cookies()
    context.close()
