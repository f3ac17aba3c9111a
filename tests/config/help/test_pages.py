"""The documents as pages: who reads them, where their links lead, and that nothing else of the disk is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import resolve

from config.help import documents, links, pages, rendering
from config.help.links import CHAPTERS, chapter_of
from tests.journeys.rights.addresses import addresses
from tests.journeys.rights.expected import EXPECTED

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Documents of our own."""
    folder = tmp_path / "docs"
    texts = {
        "index.md": "# All\n\n[api](api.md#tokens) [how](howto/) [code](../code.md) [web](https://example.com/)",
        "api.md": "# Programs\n\n## Tokens\n\n![A page](pictures/page.png)",
        "howto/index.md": "# Changes\n\n[a KPI](kpi.md) [back](../index.md) [top](#changes)",
        "howto/kpi.md": "# A KPI\n\n[all](.)",
        "secret.txt": "secret",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "pictures").mkdir()
    (folder / "pictures/page.png").write_bytes(PNG)
    (tmp_path / "code.md").write_text("# secret")
    (folder / "out.md").symlink_to(tmp_path / "code.md")
    monkeypatch.setattr(documents.files, "__defaults__", (folder,))
    pages._reading.cache_clear()
    return folder


def hrefs(client: Client, page: str) -> list[str]:
    answer = client.get(page)
    assert answer.status_code == 200
    return re.findall(r'<a href="([^"]+)', re.search("<article.*</article>", answer.content.decode(), re.S)[0])  # type: ignore[index]


def test_links_between_chapters_lead_from_page_to_page(admin_client: Client, docs: Path) -> None:
    assert hrefs(admin_client, "/admin/help/") == [
        "/admin/help/api/#tokens",
        "/admin/help/howto/index/",
        "https://example.com/",
    ]
    assert hrefs(admin_client, "/admin/help/howto/index/") == ["/admin/help/howto/kpi/", "/admin/help/", "#changes"]
    assert hrefs(admin_client, "/admin/help/howto/kpi/") == ["/admin/help/howto/index/"]
    assert hrefs(admin_client, "/admin/help/howto/") == hrefs(admin_client, "/admin/help/howto/index/")


def test_pictures_are_shown(admin_client: Client, docs: Path) -> None:
    assert (
        '<img src="/admin/help/pictures/page.png/" alt="A page">'
        in admin_client.get("/admin/help/api/").content.decode()
    )
    answer = admin_client.get("/admin/help/pictures/page.png/")
    assert (answer["Content-Type"], b"".join(answer)) == ("image/png", PNG)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "page",
    [
        *("nothing", "secret.txt", "secret", "out", "index.md", "/etc/passwd", "pictures/none.png"),
        *("../code", "..%2fcode", "%2e%2e/code", "howto/..", "howto/../../code", "a\\..\\code"),
        "pictures/..%2f..%2fpage.png",
    ],
)
def test_what_is_no_chapter_is_not_there_and_says_what_is(admin_client: Client, docs: Path, page: str) -> None:
    answer = admin_client.get(f"/admin/help/{page}/")
    assert answer.status_code == 404
    words = answer.content.decode()
    assert "There is no such chapter" in words and 'href="/admin/help/api/"' in words and "# secret" not in words


def test_a_chapter_is_read_again_once_it_has_changed(admin_client: Client, docs: Path) -> None:
    admin_client.get("/admin/help/api/")
    (docs / "api.md").write_text("# Programs\n\nNew words")
    assert "New words" in admin_client.get("/admin/help/api/").content.decode()


def test_without_an_index_the_contents_are_the_index(admin_client: Client, docs: Path) -> None:
    (docs / "index.md").unlink()
    answer = admin_client.get("/admin/help/")
    assert answer.status_code == 200 and "Programs" in answer.content.decode()


def test_any_staff_reads_and_nobody_else(client: Client, make_user: Callable[..., Any], docs: Path) -> None:
    for path in ("/admin/help/", "/admin/help/api/", "/admin/help/nothing/", "/admin/help/pictures/page.png/"):
        assert client.get(path)["Location"].startswith("/admin/login/")
    without_a_role = make_user("someone")
    client.force_login(without_a_role)
    assert client.get("/admin/help/api/").status_code == 200
    assert client.post("/admin/help/api/").status_code == 405


# --- The documents that there are ---------------------------------------------------------------------------------
def test_every_document_is_a_page_without_signs_of_its_markup(admin_client: Client) -> None:
    chapters = documents.chapters(documents.files())
    assert len(chapters) > 20
    for name, title in chapters:
        answer = admin_client.get(f"/admin/help/{name}/")
        words = re.sub("<pre.*?</pre>|<code.*?</code>|<[^>]*>", "", answer.context["body"], flags=re.S)
        assert (answer.status_code, answer.context["title"]) == (200, title)
        assert not re.search(r"\]\(|^#|^\||```|&lt;", words, re.M), name


def test_the_contents_follow_the_index(admin_client: Client) -> None:
    names = [name for name, _title in documents.chapters(documents.files())]
    assert names[:2] == ["index", "first-campaign"] and names.index("howto/index") + 1 == names.index(
        "howto/retry-policy"
    )
    assert names.index("howto/lease-time") + 1 == names.index("testing")


# --- From the pages of the admin ----------------------------------------------------------------------------------
def test_a_page_leads_to_its_chapter(admin_client: Client) -> None:
    page = admin_client.get("/admin/deliveries/routing/").content.decode()
    link = re.search(r'<a class="help-link" href="([^"]+)"[^>]*>', page)
    assert link and link[1] == links.address_of("admin:deliveries_routing_changelist")
    assert 'aria-label="Help for this page (opens in a new tab)"' in link[0] and 'rel="noopener"' in link[0]


@pytest.mark.parametrize("page", ["/admin/help/", "/admin/deliveries/routing/add/?_popup=1", "/admin/login/"])
def test_help_windows_of_forms_and_strangers_have_no_link_to_help(
    admin_client: Client, client: Client, page: str
) -> None:
    somebody = Client() if "login" in page else admin_client
    assert "help-link" not in somebody.get(page).content.decode()


@pytest.mark.parametrize(
    "page, chapter",
    [
        ("admin:campaigns_profile_change", "admin:campaigns_profile"),
        ("admin:campaigns_profileimport_add", "admin:campaigns_profileimport"),
        ("admin:deliveries_delivery_proofs", "admin:deliveries_delivery_proofs"),
        ("admin:auth_user_changelist", "admin:auth"),
        ("second-factor", "second-factor"),
    ],
)
def test_the_longest_name_counts(page: str, chapter: str) -> None:
    assert chapter_of(page) == CHAPTERS[chapter]


def test_a_page_that_nobody_named_leads_to_the_index() -> None:
    assert chapter_of("admin:index") == chapter_of("admin:campaigns") == "index"
    assert links.address_of("admin:index") == "/admin/help/"


def test_every_line_of_the_table_names_a_page_and_a_chapter() -> None:
    names = {address.name for address in addresses()}
    assert names >= {*EXPECTED}
    for line, target in CHAPTERS.items():
        assert any(name == line or name.startswith((f"{line}_", f"{line}-")) for name in names), line
        chapter, _mark, heading = target.partition("#")
        text = (documents.DOCS / f"{chapter}.md").read_text()
        assert heading in rendering.read(text, str).anchors, f"{line}: {target}"


def test_the_addresses_are_before_the_admin_which_takes_all() -> None:
    assert resolve("/admin/help/howto/kpi/").view_name == "help"
