"""A proof from the button to its reader's mailbox and back, and the approval without which nobody confirms."""

from __future__ import annotations

import html
import re

import pytest
from playwright.sync_api import Page, expect

from config.dev.simulator.store import Store
from config.dev.simulator.stored_mail import read

from .conftest import Site, until
from .test_main_journey import prepare, write_message

pytestmark = pytest.mark.slow

READER = "ok.reader@example.com"


def mailbox(site: Site, address: str) -> list[str]:
    """The HTML of what the simulator took for an address."""
    with Store(site.data / "simulator", read_only=True) as store:
        kept = [store.message(entry) for entry in store.entries() if entry.kept and entry.recipient == address]
    return [read(raw or b"").html or "" for raw in kept]


def ask_for_approval(site: Site, page: Page) -> None:
    """The campaign wants another person's approval."""
    page.goto(site.url(f"campaigns/campaign/{site.ids['campaign']}/change/"))
    page.check("#id_needs_approval")
    page.click("[name=_save]")


def make_test_profile(site: Site, page: Page) -> None:
    page.goto(site.url("campaigns/testprofile/add/"))
    page.fill("#id_label", "Rita reads proofs")
    page.fill("#id_email", READER)
    page.fill("#id_first_name", "Rita")
    page.click("[name=_save]")
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")


def test_a_proof_is_sent_read_and_judged_and_another_person_releases_the_send(living_site, visitor):
    site, page = living_site, visitor(living_site, "starter").page
    ask_for_approval(site, page)
    make_test_profile(site, page)
    write_message(page, site, "Proved", audience="Box customers")
    prepare(page)
    expect(page.locator("#dm-act-confirm")).to_have_count(0)
    expect(page.locator("#dm-banners")).to_contain_text("another person's approval")
    address = page.url

    page.get_by_role("link", name="Send a test").click()
    dialog = page.get_by_role("dialog", name="Send a test")
    expect(dialog.get_by_label("Rita reads proofs")).to_be_checked()
    dialog.get_by_role("button", name="Send the proof").click()
    expect(page.locator(".messagelist")).to_contain_text("Proof 1: 1 mail is on its way.")
    until(lambda: mailbox(site, READER), "the proof in the reader's mailbox")
    [mail] = mailbox(site, READER)
    assert "Dear Rita" in mail

    found = re.search(r'href="[^"]*(/proof/[^"]+)"', mail)
    assert found is not None
    reader = page.context.browser.new_context().new_page()  # somebody without an account
    reader.goto(f"http://127.0.0.1:{site.port}{html.unescape(found[1])}")
    expect(reader.get_by_role("heading", name="Proof 1 of “Proved”")).to_be_visible()
    reader.get_by_label("Comment").fill("The colours are fine")
    reader.get_by_role("button", name="Approve").click()
    expect(reader.get_by_role("heading", name="Approved, thank you")).to_be_visible()
    reader.context.close()

    page.goto(address)
    page.get_by_role("link", name="Show proofs").click()
    expect(page.locator("#content-main")).to_contain_text(READER)
    expect(page.locator(".dm-verdict")).to_contain_text("The colours are fine")
    page.goto(address)
    expect(page.locator("#dm-act-confirm")).to_have_count(0)  # a reader's word informs, and releases nothing

    page.click("#dm-act-approve")
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert")).to_contain_text("You prepared this delivery")

    site.write("UPDATE deliveries_delivery SET prepared_by_id = (SELECT id FROM auth_user WHERE username = 'preparer')")
    page.goto(address)
    page.click("#dm-act-approve")
    page.get_by_label("Comment").fill("Go")
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.locator(".messagelist")).to_contain_text("Approved.")
    expect(page.locator("#dm-act-confirm")).to_be_visible()
