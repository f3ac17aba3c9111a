"""A send to five hundred whom the simulator plays: every figure is what its own record says, wherever one reads it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from config.dev.simulator import reader_behaviour
from config.dev.simulator.store import Store
from config.dev.simulator.stored_mail import read

from .conftest import Site, until
from .test_main_journey import figure, prepare, write_message

pytestmark = pytest.mark.slow
PEOPLE, SEED, HASTE = 500, 7, 60
TYPES = {"click": 1, "open": 2, "optout": 3, "mirror": 6}
HTML = (
    "<p>Dear {{ first_name }}, "
    + "".join(f'<a href="https://example.com/{word}">{word}</a> ' for word in ("news", "shop", "tour", "club"))
    + '<a href="{{ mirror_url }}">in the browser</a> <a href="{{ unsubscribe_url }}">unsubscribe</a></p>'
)
FIGURES = (
    "to_deliver",
    "sent",
    "delivered",
    "bounces",
    "opens",
    "clicks",
    "mirrors",
    "opt_outs",
    "pending",
    "cancelled",
    "in_doubt",
)


class ReadSite(Site):
    """A site whose recipients read: each comes from an address of their own, as a proxy tells."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(PUBLIC_URL=self.base, BEHIND_PROXY="1", **more)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.data / "db.sqlite3", timeout=30)) as database:
            return database.execute(sql, values).fetchall()

    def record(self) -> list[dict[str, Any]]:
        """What the simulator's recipients did, as far as it was answered."""
        path = self.data / "simulator" / "readers.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [done for done in map(json.loads, lines) if done["status"] in (200, 302)]

    def planned(self) -> int:
        with Store(self.data / "simulator", read_only=True) as store:
            kept = [(entry.recipient, store.message(entry)) for entry in store.entries() if entry.kept]
        letters = [(address, reader_behaviour.letter(read(raw or b"").html or "")) for address, raw in kept]
        return sum(len(reader_behaviour.acts(address, what, SEED, HASTE)) for address, what in letters if what.base)


@pytest.fixture(scope="module")
def read_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadSite]:
    built = ReadSite(tmp_path_factory.mktemp("read"))
    try:
        built.furnish(STAGE_STATES="0", STAGE_EACH=str(PEOPLE // 5))
        built.write(
            "INSERT INTO auth_user_groups (user_id, group_id) SELECT u.id, g.id FROM auth_user u, auth_group g "
            "WHERE u.username = 'starter' AND g.name = 'Export'"
        )
        readers = ["--seed", str(SEED), "--readers", built.base, "--haste", str(HASTE)]
        built.staff("--unknown", "4", *readers)
        built.start("manage.py", "fold_tracking", "--loop", "--every", "0.5")
        built.serve()
        built.wait(built.url("login/"), f"http://127.0.0.1:{built.pages_port}/totals.json")
        yield built
    finally:
        built.close()


def truth(site: ReadSite) -> dict[str, int]:
    """The figures that the simulator's own record gives."""
    totals, did = site.totals(), defaultdict(set)
    for act in site.record():
        did[act["kind"]].add(act["address"])
    refused = totals["unknown"]
    opened = set().union(*(did[kind] for kind in TYPES))
    return {
        "to_deliver": totals["accepted"] + refused,
        "sent": totals["accepted"] + refused,
        "delivered": totals["accepted"],
        "bounces": refused,
        "opens": len(opened),
        "clicks": len(did["click"]),
        "mirrors": len(did["mirror"]),
        "opt_outs": len(did["optout"]),
        "pending": 0,
        "cancelled": 0,
        "in_doubt": 0,
    }


def events(site: ReadSite) -> Counter[tuple[str, int]]:
    """(address, type): how often, by the record; opting out again is no second event."""
    found = Counter((act["address"], TYPES[act["kind"]]) for act in site.record() if act["kind"] in TYPES)
    return Counter({key: 1 if key[1] == TYPES["optout"] else number for key, number in found.items()})


def in_list(page: Page, address: str) -> int:
    """Rows on all pages of a figure's list."""
    total, query = 0, ""
    while True:
        answer = page.request.get(address + query).text()
        total += answer.count('<td class="dm-address">')
        on = re.search(r'href="(\?[^"]*after=\d+)"', answer)
        if on is None:
            return total
        query = on[1].replace("&amp;", "&")


def in_files(page: Page, address: str) -> tuple[int, int]:
    """Rows of the CSV and of the Excel file."""
    page.goto(address)
    token = page.locator("#content [name=csrfmiddlewaretoken]").first.input_value()
    made = [
        page.request.post(
            address, form={"csrfmiddlewaretoken": token, "format": ending}, headers={"Referer": address}
        ).body()
        for ending in ("csv", "xlsx")
    ]
    lines = list(csv.reader(io.StringIO(made[0].decode("utf-8-sig")), delimiter=";"))
    sheet = load_workbook(io.BytesIO(made[1]), read_only=True).active
    return len(lines) - 1, sum(1 for _ in sheet.iter_rows()) - 1


def judged(site: ReadSite) -> tuple[float, float, int]:
    """Precision and recall of the machines among the events, and how many machines' events there were."""
    known = defaultdict(list)
    for act in site.record():
        if act["kind"] in TYPES:
            at = datetime.fromisoformat(act["time"]).timestamp()
            known[act["address"], TYPES[act["kind"]], max(act["link"], -1)].append((at, act["machine"]))
    rows = site.rows(
        "SELECT l.address, t.type, COALESCE(t.link, -1), t.machine FROM reporting_trackinglog t "
        "JOIN deliveries_sendinglog l ON l.id = t.sending_log_id ORDER BY t.at"
    )
    found = defaultdict(list)
    for address, kind, link, machine in rows:
        found[address, kind, link].append(bool(machine))
    pairs = [
        (machine, said)
        for key, acts in known.items()
        for (_at, machine), said in zip(sorted(acts), found[key], strict=False)
    ]
    both = sum(machine and said for machine, said in pairs)
    machines = sum(machine for machine, _ in pairs)
    return both / max(1, sum(said for _, said in pairs)), both / max(1, machines), machines


def test_every_figure_is_what_the_simulator_recorded(read_site, visitor, capsys):
    site, page = read_site, visitor(read_site, "starter").page
    write_message(page, site, "To be read", audience="Box customers", html=HTML)
    prepare(page)
    assert figure(page, "to_deliver") == str(PEOPLE)
    address = page.url.split("?")[0]
    page.get_by_role("link", name="Confirm send").click()
    page.get_by_role("dialog", name="Confirm send").get_by_role("button", name="OK").click()
    expect(page.locator(".dm-headline")).to_have_text("Finished", timeout=120_000)
    until(lambda: len(site.record()) >= site.planned(), "the readers", 180)
    wanted = sum(events(site).values())
    until(lambda: site.read("SELECT COUNT(*) FROM reporting_trackinglog") == wanted, "the folding", 30)

    page.goto(address)
    page.get_by_role("button", name="Compute stats").click()
    expect(page.locator(".messagelist")).to_be_visible()
    known, pk = truth(site), re.search(r"/delivery/(\d+)/", address)[1]
    for name in ("to_deliver", "sent", "delivered", "bounces", "opens", "clicks"):
        assert figure(page, name) == str(known[name]), name
    programs = page.request.get(f"{site.base}/api/deliveries/{pk}/kpis/").json()
    assert {n: programs[n]["count"] for n in ("sent", "delivered", "bounces", "opens", "clicks")} == {
        n: known[n] for n in ("sent", "delivered", "bounces", "opens", "clicks")
    }
    told = page.request.get(f"{site.base}/api/deliveries/{pk}/stats/").json()
    assert {n: told[n] for n in ("mirrors", "opt_outs")} == {n: known[n] for n in ("mirrors", "opt_outs")}
    assert told["all_clicks"] == sum(n for (_, kind), n in events(site).items() if kind == TYPES["click"])
    for name in FIGURES:
        rows = page.request.get(f"{site.base}/api/deliveries/{pk}/figures/{name}/?count=1").json()["count"]
        listed = in_list(page, address.replace("/change/", f"/rows/{name}/"))
        files = in_files(page, address.replace("/change/", f"/export/sending-logs/?figure={name}"))
        assert (rows, listed, *files) == (known[name],) * 4, name

    precision, recall, machines = judged(site)
    with capsys.disabled():
        print(
            f"\n{known}\n{machines} events of machines among {wanted}: precision {precision:.1%}, recall {recall:.1%}"
        )
    assert precision >= 0.95
    assert recall >= 0.95
