"""The pages in a browser, where nothing moves by itself: looks, accessibility, dialog, refreshing, no script."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.journeys.conftest import Site

DASHBOARDS = ("new", "preparing", "failed", "ready", "stale", "waiting", "sending", "doubtful", "paused", "finished")
BATCH = "UPDATE deliveries_batch SET {} WHERE delivery_id = ?"


def findings(page: Page) -> list[str]:
    """What axe has against the page, in a line each."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {found['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for found in violations
        for node in found["nodes"]
    ]


def addresses(site: Site) -> list[str]:
    """Every kind of page of ours, and each state of the dashboard."""
    tabs = ("log", "sending-logs", "exclusion-logs", "exclusion-causes", "in-doubt")
    message = f"campaigns/message/{site.ids['message']}"
    others = (
        "deliveries/delivery/",
        f"{message}/change/",
        f"{message}/preview/",
        "campaigns/message/add/",
        "campaigns/profile/",
        "campaigns/audience/1/change/",
        "campaigns/campaign/1/change/",
        f"{message}/dashboard/",
    )
    return [
        *(site.delivery(name) for name in DASHBOARDS),
        *(site.delivery("doubtful", f"{tab}/") for tab in tabs),
        site.delivery("ready", "confirm/"),
        site.delivery("sending", "stop/"),
        site.delivery("stopped", "complete/"),
        *(site.url(path) for path in others),
    ]


@pytest.mark.parametrize(
    "scheme, every",
    [
        ("light", 9),
        ("dark", 11),
        pytest.param("light", 1, marks=pytest.mark.slow),
        pytest.param("dark", 1, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing(site, visitor, scheme, every):
    somebody, found = visitor(site, "starter", color_scheme=scheme), []
    for address in addresses(site)[::every]:
        somebody.page.goto(address)
        found += findings(somebody.page)
    assert not found, "\n".join(found)
    somebody.complaints.clear()  # axe's own style sheets: the next test visits the same pages without it


def test_nothing_is_wider_than_a_telephone_or_stopped_by_the_content_policy(site, visitor):
    page = visitor(site, "starter", width=360, height=740).page
    for address in addresses(site):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address


def test_confirm_opens_a_dialog_that_cancel_and_escape_leave_without_a_change(site, visitor, picture):
    page = visitor(site, "starter").at("ready")
    dialog = page.get_by_role("dialog", name="Confirm send")
    for leave in (
        lambda: dialog.get_by_role("link", name="Cancel").click(),
        lambda: page.keyboard.press("Escape"),
        lambda: dialog.get_by_role("button", name="Close").click(),
    ):
        page.get_by_role("link", name="Confirm send").click()
        expect(dialog).to_contain_text("12,345 messages leave now.")
        expect(dialog).to_contain_text("Quarantined address")
        leave()
        expect(dialog).to_be_hidden()
        expect(page.get_by_role("link", name="Confirm send")).to_be_focused()
    page.get_by_role("link", name="Confirm send").click()
    picture(page, "dialog")
    assert not findings(page)
    assert site.read("SELECT state FROM deliveries_delivery WHERE id = ?", site.ids["ready"]) == 45


def test_a_future_contact_date_is_named(site, visitor):
    page = visitor(site, "starter").at("scheduled", "confirm/")
    expect(page.locator("#dm-ask")).to_contain_text("Confirming sends nothing now.")
    expect(page.locator("#dm-ask")).to_contain_text("Europe/Paris")


def test_without_the_role_there_is_a_note_and_no_button(site, visitor, picture):
    page = visitor(site, "preparer").at("ready")
    expect(page.get_by_role("link", name="Confirm send")).to_have_count(0)
    expect(page.locator("#dm-banners")).to_contain_text("You cannot confirm this send")
    picture(page, "without-the-role")


def test_deployment_refreshes_itself_keeps_the_focus_and_stops_at_the_end(site, visitor):
    page, sending = visitor(site, "starter").at("sending"), site.ids["sending"]
    page.evaluate("window.here = 'the same page'")
    page.locator("#dm-act-pause").focus()
    site.write(BATCH.format("sent = 12000, pending = 227, relayed = 12000"), sending)
    expect(page.locator("#dm-deployment progress")).to_have_attribute("value", "98")
    expect(page.locator("[data-kpi=sent] .dm-exact")).to_have_text("12,118")
    expect(page.locator("#dm-act-pause")).to_be_focused()
    expect(page.locator("#dm-say")).to_have_text("Sending: 90 %")
    site.write(BATCH.format("sent = 12227, pending = 0, relayed = 12227"), sending)
    ended = "state = 95, finished_at = started_at, prepared_at = '2026-01-02 03:04:05'"
    site.write(f"UPDATE deliveries_delivery SET {ended} WHERE id = ?", sending)
    expect(page.locator(".dm-headline")).to_have_text("Finished")
    expect(page.locator("#dm-facts")).to_contain_text("2026-01-02 03:04")
    expect(page.locator("#dm-act-pause")).to_have_count(0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert not asked
    assert page.evaluate("window.here") == "the same page"


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_told_and_tried_again(site, visitor):
    somebody = visitor(site, "starter")
    page = somebody.at("doubtful")
    page.route("**/deployment/**", lambda route: route.abort())
    expect(page.locator("#dm-lost")).to_be_visible()
    page.unroute("**/deployment/**")
    expect(page.locator("#dm-lost")).to_be_hidden()
    somebody.complaints = [text for text in somebody.complaints if "ERR_FAILED" not in text]


def test_a_second_click_while_the_server_works_posts_nothing(site, visitor):
    page = visitor(site, "starter").at("doubtful", "in-doubt/")
    held: list[Route] = []
    page.route("**/resolve/", lambda route: held.append(route))
    page.get_by_role("checkbox", name="in_doubt.000@example.com").check()
    button = page.get_by_role("button", name="Mark as sent")
    button.scroll_into_view_if_needed()
    place = button.bounding_box()
    assert place
    for _click in range(2):
        page.mouse.click(place["x"] + 10, place["y"] + 10)
        page.wait_for_timeout(300)
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator(".messagelist")).to_contain_text("Decided about 1 message.")


def test_without_a_script_every_page_and_button_works(site, visitor):
    page = visitor(site, "starter", java_script_enabled=False).at("paused")
    page.click("#dm-act-resume")
    expect(page.locator(".messagelist")).to_contain_text("Resumed.")
    assert "refresh" in page.content()
    page.click("#dm-act-pause")
    expect(page.locator(".dm-headline")).to_have_text("Paused")
    page.click("#dm-act-stop")
    expect(page.get_by_role("heading", name="Stop sending")).to_be_visible()
    page.click("text=Cancel")
    expect(page.locator(".dm-headline")).to_have_text("Paused")
    page.click("#dm-act-stop")
    page.click("#dm-ok")
    expect(page.locator(".dm-headline")).to_have_text("Stopped")


def test_the_preview_is_drawn_and_its_frame_may_do_nothing(site, visitor):
    page = visitor(site, "starter", height=2000).at("ready")
    frame = page.frame_locator("iframe.dm-preview")
    expect(frame.locator("body")).to_contain_text("Dear Ada")
    page.click("text=Choose another profile")
    page.fill("#cf-q", "grace")
    page.click("text=Find")
    page.click("text=grace.hopper@example.com")
    expect(page.frame_locator("iframe").locator("body")).to_contain_text("Dear Grace")
    expect(page.locator(".cf-seen")).to_contain_text("Grace, the spring box is here")


@pytest.mark.slow
def test_pictures_for_the_readme(site, visitor, picture):
    page = visitor(site, "starter", height=1000).at("finished")
    picture(page, "dashboard-finished")
    page.goto(site.url("deliveries/delivery/"))
    picture(page, "list")
    dark = visitor(site, "starter", height=1000, color_scheme="dark").at("doubtful")
    picture(dark, "dashboard-dark")
    small = visitor(site, "starter", width=360, height=1100).at("ready")
    picture(small, "dashboard-small")
