"""The whole way, with everything real: import, write, prepare, confirm, send, and the figures of the mail server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .conftest import until

GUESTS = 60


@pytest.fixture
def guests(tmp_path):
    """A CSV file of people; the simulator refuses those called unknown, and takes the others at once."""
    lines = [f"ok.guest{n}@example.com,Guest{n},FR" for n in range(GUESTS - 3)]
    lines += [f"unknown.guest{n}@example.com,Ghost,FR" for n in range(3)]
    path = tmp_path / "guests.csv"
    path.write_text("\n".join(["email,first_name,country", *lines]))
    return path


HTML = (
    '<p>Dear {{ first_name }}, <a href="https://example.com/">look</a>.<a href="{{ unsubscribe_url }}">Unsubscribe</a>'
    "</p>"
)


def write_message(page: Page, site, label: str, *, audience: str, html: str = HTML) -> None:
    """The message form, up to its dashboard."""
    page.goto(site.url("campaigns/message/add/"))
    page.fill("#id_label", label)
    page.select_option("#id_campaign", label="Spring in the box")
    page.select_option("#id_audience", label=audience)
    page.fill("#id_subject", "Hello {{ first_name }}")
    page.fill("#id_html", html)
    page.click("[name=_open]")
    expect(page.get_by_role("heading", name=f"Email '{label}")).to_be_visible()


def prepare(page: Page) -> None:
    """Prepare; the page says by itself when it is done."""
    page.click("#dm-act-prepare")
    expect(page.locator(".dm-headline")).to_have_text("Ready", timeout=60_000)


def figure(page: Page, name: str) -> str:
    return str(page.locator(f"[data-kpi={name}] .dm-exact").inner_text())


def sent_by(site) -> int:
    return site.totals().get("accepted", 0)


def test_from_the_file_to_the_figures(living_site, visitor, guests, picture):
    site, page = living_site, visitor(living_site, "starter", height=1000).page
    page.goto(site.url("campaigns/profile/"))
    page.get_by_role("link", name="Import", exact=True).click()
    page.set_input_files("#id_file", guests)
    page.click("[name=_save]")
    until(lambda: site.read("SELECT state FROM campaigns_profileimport") == "done", "the import")
    page.goto(site.url("campaigns/audience/add/"))
    page.fill("#id_label", "Guests")
    page.fill("[name=conditions-0-field]", "first_name")
    page.select_option("[name=conditions-0-op]", "starts_with")
    page.fill("[name=conditions-0-value]", "G")
    page.click("[name=_continue]")
    expect(page.locator(".messagelist")).to_contain_text("profiles now.")

    write_message(page, site, "Invitation", audience="Guests")
    expect(page.get_by_role("link", name="Confirm send")).to_have_count(0)
    prepare(page)
    count = int(figure(page, "to_deliver"))
    assert count == GUESTS + 8  # Grace Hopper is there eight times

    page.get_by_role("link", name="Confirm send").click()
    dialog = page.get_by_role("dialog", name="Confirm send")
    expect(dialog).to_contain_text(f"{count} messages leave now.")
    assert sent_by(site) == 0
    dialog.get_by_role("button", name="OK").click()
    expect(page.locator(".messagelist")).to_contain_text("Confirmed.")
    expect(page.locator(".dm-headline")).to_have_text("Finished", timeout=90_000)  # by itself: nobody reloads

    expect(page.locator("#dm-deployment progress")).to_have_attribute("value", "100")
    accepted = sent_by(site)
    assert figure(page, "delivered") == str(accepted)
    assert figure(page, "bounces") == str(count - accepted)
    assert figure(page, "sent") == str(count)
    expect(page.locator(".dm-balance.dm-off")).to_have_count(0)
    expect(page.get_by_role("img", name=re.compile("the content is final"))).to_be_visible()
    picture(page, "dashboard")
    page.get_by_role("link", name="Sending logs").click()
    page.select_option("[name=status]", label=f"Failed ({count - accepted})")
    page.click("text=Filter")
    expect(page.locator(".dm-table tbody tr")).to_have_count(count - accepted)
    expect(page.locator(".dm-table")).to_contain_text("User unknown")


@pytest.mark.slow
def test_whoever_prepares_hands_over_to_whoever_may_start(living_site, visitor):
    site, page = living_site, visitor(living_site, "preparer").page
    write_message(page, site, "Handed over", audience="Box customers")
    prepare(page)
    expect(page.get_by_role("link", name="Confirm send")).to_have_count(0)
    expect(page.locator("#dm-banners")).to_contain_text("You cannot confirm this send")
    address, before = page.url, sent_by(site)
    token = page.locator("#dm-acts [name=csrfmiddlewaretoken]").input_value()
    forged = page.request.post(
        address.replace("/change/", "/confirm/"), form={"csrfmiddlewaretoken": token}, headers={"Referer": address}
    )
    assert forged.status == 403
    page.goto(address.replace("/change/", "/log/"))
    expect(page.locator(".dm-table")).to_contain_text("preparer tried to confirm this delivery without the role.")
    assert sent_by(site) == before
    other = visitor(site, "starter").page
    other.goto(address)
    expect(other.get_by_role("link", name="Confirm send")).to_be_visible()


def test_without_a_script_a_message_leaves_too(living_site, visitor):
    site, page = living_site, visitor(living_site, "starter", java_script_enabled=False).page
    before = sent_by(site)
    write_message(page, site, "By hand", audience="Box customers")
    page.click("#dm-act-prepare")
    until(lambda: page.reload() and page.locator("#dm-act-confirm").count(), "the preparation")
    page.click("#dm-act-confirm")
    count = re.match(r"(\d+) messages leave now", page.locator(".dm-sentence").inner_text())
    assert count
    page.click("#dm-ok")
    until(lambda: page.reload() and page.locator(".dm-headline").inner_text() == "Finished", "the sending", 90)
    assert figure(page, "delivered") == count[1] == str(sent_by(site) - before)
