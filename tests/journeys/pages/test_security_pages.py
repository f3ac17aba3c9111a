"""Rights, programs, the audit and the second factor in a browser: they work, on a telephone too; axe is content."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from campaigns.accounts import totp
from deliveries.lifecycle.evidence import CONTENT
from tests.journeys.conftest import Site
from tests.journeys.stage import PASSWORD

from .test_pages import findings

WHEN = "2026-05-01 12:00:00"


@pytest.fixture(scope="module")
def office(site: Site) -> Site:
    """The site with a unit and a webhook that was tried."""
    site.write(
        "INSERT INTO campaigns_organizationalunit (label, name, parent_id, path) VALUES ('France', 'france', 1, ?)",
        "0000000100000002",
    )
    site.write(
        "INSERT INTO deliveries_webhookendpoint (label, url, kinds, enabled, secret, old_secret, rotated_at, "
        "created_at) VALUES ('CRM', 'https://hooks.example/', '[]', 1, '', '', ?, ?)",
        WHEN,
        WHEN,
    )
    site.write(
        "INSERT INTO deliveries_webhookcall (uid, endpoint_id, kind, payload, created_at, state, tries_made, due_at) "
        "VALUES (?, 1, 'test', '{\"type\": \"test\"}', ?, 'waiting', 1, ?)",
        "0" * 32,
        WHEN,
        WHEN,
    )
    site.write(
        "INSERT INTO deliveries_webhooktry (call_id, at, status, words, milliseconds) "
        "VALUES (1, ?, 500, 'hooks.example: no answer within 5 s', 5000)",
        WHEN,
    )
    return site


def rooms(site: Site) -> list[str]:
    """Every kind of page that an administrator keeps rights, programs and addresses with."""
    audited, user = "SELECT MAX(id) FROM campaigns_auditentry", "SELECT id FROM auth_user WHERE username = 'preparer'"
    person, group = site.read(user), site.read("SELECT MIN(id) FROM auth_group")
    names = (
        "campaigns/organizationalunit/",
        "campaigns/organizationalunit/add/",
        "campaigns/organizationalunit/2/change/",
        "auth/user/",
        "auth/user/add/",
        f"auth/user/{person}/change/",
        "auth/group/",
        f"auth/group/{group}/change/",
        "campaigns/campaign/1/who/",
        "campaigns/campaign/1/permissions/",
        f"campaigns/campaign/1/permissions/user-manage/{person}/",
        "tokens/",
        "second-factor/",
        "my-notices/",
        "deliveries/webhookendpoint/",
        "deliveries/webhookendpoint/add/",
        "deliveries/webhookendpoint/1/change/",
        "deliveries/webhookcall/",
        "deliveries/webhookcall/1/change/",
        "campaigns/auditentry/",
        f"campaigns/auditentry/{site.read(audited)}/change/",
        "deliveries/quarantinedaddress/",
        "deliveries/quarantinedaddress/add/",
        "deliveries/quarantinedaddress/repair/",
        "deliveries/feedbackevent/",
        "deliveries/qualificationrule/",
        "deliveries/qualificationrule/try/",
        "help/",
        "help/howto/index/",
        "help/howto/kpi/",
    )
    return [site.url(name) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_rights_programs_and_the_audit_fit_a_telephone_and_axe(
    office: Site, visitor: Any, scheme: str
) -> None:
    somebody, wrong = visitor(office, "administrator", width=360, height=740, color_scheme=scheme), []
    for address in rooms(office):
        answer = somebody.page.goto(address)
        assert answer.status == 200, address
        if somebody.page.evaluate("document.documentElement.scrollWidth") > 360:
            wrong.append(f"{address} is wider than a telephone")
    assert not somebody.complaints
    for address in rooms(office):
        somebody.page.goto(address)
        wrong += findings(somebody.page)
    somebody.complaints.clear()  # axe's own style sheets
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_a_program_gets_a_token_and_a_webhook_its_secret_each_shown_once(office: Site, visitor: Any) -> None:
    somebody = visitor(office, "administrator", width=360, height=740)
    page = somebody.page
    page.get_by_role("link", name="API tokens").click()
    page.get_by_label("What it is for").fill("Shop")
    page.get_by_label("Prepare deliveries").check()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="Your new token")).to_be_visible()
    assert not findings(page) and page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto(office.url("deliveries/webhookendpoint/add/"))
    page.get_by_label("Label").fill("ERP")
    page.get_by_label("Address").fill("https://erp.example/hook")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".dm-secret")).to_contain_text("whsec_")
    assert not findings(page) and page.evaluate("document.documentElement.scrollWidth") <= 360
    somebody.complaints.clear()


@pytest.mark.slow
def test_somebody_sets_up_a_second_factor_logs_in_with_it_and_removes_it(site: Any, visitor: Any) -> None:
    somebody = visitor(site, "administrator", width=360, height=740)
    page = somebody.page
    page.get_by_role("link", name="Second factor").click()
    page.get_by_role("button", name="Set it up").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    secret = base64.b32decode(page.locator("ol code").first.inner_text().replace(" ", ""))
    assert not findings(page) and page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_label("Write the code").fill(totp.code_at(secret, int(time.time()) // 30))
    page.get_by_role("button", name="Use it from now on").click()
    recovery = page.locator("li code").first.inner_text()
    assert not findings(page)
    page.get_by_role("button", name="Log out").click()
    page.goto(site.url("login/"))
    for code, answer in (("000000", "a fresh code of your authenticator app"), (recovery, "")):
        page.fill("#id_username", "administrator")
        page.fill("#id_password", PASSWORD)
        page.get_by_label("Code of your second factor").fill(code)
        page.get_by_role("button", name="Log in").click()
        if answer:
            expect(page.get_by_role("alert")).to_contain_text(answer)
            assert not findings(page)
    page.goto(site.url("second-factor/"))
    expect(page.get_by_text("9 recovery codes are left")).to_be_visible()
    page.get_by_label("A code that the app shows now").fill(totp.code_at(secret, int(time.time()) // 30 + 1))
    page.get_by_role("button", name="Use no second factor any more").click()
    expect(page.get_by_role("button", name="Set it up")).to_be_visible()
    somebody.complaints.clear()  # axe's own style sheets


@pytest.mark.slow
def test_an_administrator_reads_the_audit_and_takes_an_evidence_pack(site: Any, visitor: Any, tmp_path: Path) -> None:
    somebody = visitor(site, "administrator", width=360, height=740)
    page = somebody.page
    page.goto(site.url("campaigns/auditentry/?q=administrator"))
    assert not findings(page) and page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_text("administrator", exact=True).first).to_be_visible()
    somebody.at("finished", "log/")
    page.get_by_role("link", name="Evidence pack").click()
    assert not findings(page) and page.evaluate("document.documentElement.scrollWidth") <= 360
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download the evidence pack").click()
    with zipfile.ZipFile(io.BytesIO(Path(taken.value.path()).read_bytes())) as pack:
        assert {*CONTENT, "manifest.json", "SEAL", "README.txt"} <= set(pack.namelist())
    somebody.complaints.clear()
