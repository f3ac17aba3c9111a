"""The schedule block in a browser: each mode, the next ten executions, what summer time does, and time zones; then a
recurrence whose executions are confirmed one by one."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.pages.test_pages import findings

from .conftest import Site, until
from .test_main_journey import write_message

pytestmark = pytest.mark.slow

PLACE = "#id_schedule-0-"
SERIES = "#id_recurrence-0-"


def fill(page: Page, prefix: str, **values: object) -> None:
    """Choose and write what stands in an inline; nothing is opened that is open already."""
    for name, value in values.items():
        field = page.locator(f"{prefix}{name}")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        elif isinstance(value, bool):
            field.set_checked(value)
        else:
            field.fill(str(value))


def edit(page: Page, site: Site, label: str) -> None:
    """A new message, and back to its form."""
    write_message(page, site, label, audience="Box customers")
    page.get_by_role("link", name="Edit the message").click()
    expect(page.locator(f"{PLACE}mode")).to_be_attached()


def with_schedule(page: Page, **values: object) -> None:
    """The schedule's own fields."""
    fill(page, PLACE, **values)


def look(page: Page, name: str) -> None:
    """Nothing wider than the window, nothing that axe finds; a picture if somebody wants to look."""
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    if folder := os.environ.get("LOOK"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize(
    "mode, told",
    [
        ("immediate", "immediately once confirmed"),
        ("at_date", "2100-03-28 09:00 Asia/Tokyo (GMT+09:00)"),
        ("recipient_zone", "2100-03-28 09:00 Asia/Tokyo (GMT+09:00), by each recipient's own clock"),
        ("formula", "at each recipient's own date, {{ contact_date | add_days: attributes.points }}"),
    ],
)
def test_each_mode_is_written_in_its_zone_and_told_on_the_dashboard(site, visitor, mode, told):
    page = visitor(site, "starter").page
    edit(page, site, f"By {mode}")
    dated = {"contact_date_0": "2100-03-28", "contact_date_1": "09:00:00", "time_zone": "Asia/Tokyo"}
    formula = {"formula": "{{ contact_date | add_days: attributes.points }}"} if mode == "formula" else {}
    with_schedule(page, mode=mode, **({} if mode == "immediate" else dated), **formula)
    look(page, f"form-{mode}")
    page.click("[name=_open]")
    expect(page.locator("[aria-labelledby=dm-schedule-title]")).to_contain_text(told)
    look(page, f"dashboard-{mode}")


def test_a_clock_that_summer_time_skips_is_told_and_a_wrong_zone_or_formula_shown_where_it_stands(site, visitor):
    page = visitor(site, "starter").page
    edit(page, site, "Summer time")
    date = {"mode": "at_date", "contact_date_0": "2027-03-28", "contact_date_1": "02:30:00"}
    with_schedule(page, **date, time_zone="Europe/Pariss")
    page.click("[name=_continue]")
    expect(page.locator("#schedule-group .errorlist").first).to_be_visible()
    with_schedule(page, mode="formula", time_zone="Europe/Paris", formula="{{ renewl_date }}")
    page.click("[name=_continue]")
    expect(page.locator("#schedule-group")).to_contain_text('no field is called "renewl_date"')
    expect(page.locator(f"{PLACE}contact_date_1")).to_have_value("02:30:00")
    look(page, "form-wrong-formula")
    with_schedule(page, mode="at_date")
    page.click("[name=_continue]")
    expect(page.locator(".messagelist")).to_contain_text("it stands for 2027-03-28 03:30")
    expect(page.locator(f"{PLACE}contact_date_1")).to_have_value("03:30:00")
    look(page, "form-skipped-clock")


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (360, "dark")])
def test_the_next_ten_executions_are_shown_with_the_change_of_the_clocks(site, visitor, width, scheme):
    somebody = visitor(site, "starter", width=width, height=1200, color_scheme=scheme)
    page = somebody.page
    edit(page, site, f"Monthly {width}")
    with_recurrence(page, frequency="monthly", month_day="0", at="02:30:00", time_zone="Europe/Paris")
    page.click("[name=_continue]")
    shown = page.locator(".cf-occurrences li")
    expect(shown).to_have_count(10)
    expect(page.locator(".cf-occurrences")).to_contain_text("GMT+01:00")
    expect(page.locator(".cf-occurrences")).to_contain_text("The clocks have changed.")
    look(page, f"form-recurrence-{width}")
    assert not findings(page)
    somebody.complaints.clear()  # axe's own style sheets


def with_recurrence(page: Page, **values: object) -> None:
    """The recurrence's own fields, which are folded up at first."""
    group = page.locator("#recurrence-group")
    if group.locator("details:not([open]) > summary").count():
        group.locator("summary").first.click()
    fill(page, SERIES, **values)


def test_a_recurrence_asks_for_each_execution_on_the_first_page_and_by_mail(living_site, visitor):
    site, page = living_site, visitor(living_site, "starter", height=1000).page
    edit(page, site, "Every morning")
    with_recurrence(page, frequency="daily", at="09:00:00", time_zone="Asia/Tokyo", request_confirmation=True)
    page.click("[name=_open]")
    page.click("#dm-act-series-on")
    expect(page.locator(".dm-headline")).to_have_text("The series is on")
    look(page, "series-on")
    series = page.url
    due = datetime.now(UTC) - timedelta(minutes=1)
    site.write("UPDATE campaigns_recurrence SET next_at = ?", f"{due:%Y-%m-%d %H:%M:%S}")  # the time has come
    page.goto(site.url())
    until(lambda: page.reload() and page.locator(".rp-awaiting").get_by_text("Every morning").count(), "the request")
    look(page, "awaiting")
    told = "SELECT COUNT(*) FROM deliveries_deliveryevent WHERE code = 'confirmation_requested'"
    until(lambda: site.read(told), "the mail to those who may start it")
    page.locator(".rp-awaiting").get_by_role("link", name="Every morning").first.click()
    expect(page.locator(".dm-headline")).to_have_text("Ready")
    look(page, "execution-ready")
    page.get_by_role("link", name="Confirm send").click()
    dialog = page.get_by_role("dialog", name="Confirm send")
    expect(dialog).to_contain_text("40 messages")
    look(page, "execution-dialog")
    dialog.get_by_role("button", name="OK").click()
    expect(page.locator(".dm-headline")).to_have_text("Finished", timeout=90_000)
    assert page.locator("[data-kpi=sent] .dm-exact").inner_text() == "40"
    page.goto(series)
    expect(page.locator("[data-kpi=sent] .dm-exact")).to_have_text("40")
    look(page, "series-figures")
    page.goto(site.url())
    expect(page.locator(".rp-awaiting")).to_have_count(0)
    small = visitor(site, "starter", width=360, height=900, color_scheme="dark").page
    small.goto(series)
    look(small, "series-small-dark")
