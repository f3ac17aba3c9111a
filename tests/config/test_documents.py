"""Every link, anchor, path, test and command that the documents name is there; what must stand in them does."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands

from deliveries.ledger import webhooks
from tests.config.deploy.test_deploy import READ, SETTINGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "config" / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted((ROOT / ".github").rglob("*.md"))]
FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
PACKAGES = ("campaigns", "deliveries", "reporting", "config")
OUTSIDE = ("https://", "http://", "mailto:")
# A path begins with one of the project's folders; what stands in angle brackets behind it is the reader's to choose.
PATH = re.compile(r"(?<![\w./<-])((?:campaigns|deliveries|reporting|config|tests|\.github|\.ci)/[\w./*-]*)(?:::(\w+))?")
FILE = re.compile(r"[\w.-]+\.(?:py|toml|md|yaml|yml|lock|conf|cf|service)")
TEST = re.compile(r"::(test_\w+)")
MODULE = re.compile(r"-m (tests(?:\.\w+)+)")
COMMAND = re.compile(r"manage\.py ([a-z_]+)")
# The source refers to (security.md, Roles and units) for the rule it follows; a line may end within.
NAMED = re.compile(r"(?<![\w/.%{*-])((?:[a-z_]+/)*[a-z_]+\.py)\b")
RULE = re.compile(r"(?<![\w/])(?:config/docs/)?([a-z][\w/-]*\.md)(?:, ([A-Z][\w' ]*\w))?")
SOURCE = [path for app in ("campaigns", "deliveries", "reporting", "config") for path in (ROOT / app).rglob("*.py")]

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def anchors(path: Path) -> frozenset[str]:
    """What may stand behind # in a link to this document, as GitHub makes it of headings."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", FENCE.sub("", text_of(path)), re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        found.append(f"{plain}-{found.count(plain)}" if plain in found else plain)
    return frozenset(found)


@cache
def file_names() -> frozenset[str]:
    """Names of the files of the project, without what was built or kept beside it."""
    folders = ("campaigns", "deliveries", "reporting", "config", "tests", ".github", ".ci")
    found = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return frozenset(path.name for path in [*found, *ROOT.iterdir()] if path.is_file())


def is_there(path: str) -> bool:
    """A file, a folder, or a pattern that something matches."""
    plain = path.rstrip("./")
    return any(ROOT.glob(plain)) if "*" in plain else (ROOT / plain).exists()


def has_test(path: str, name: str) -> bool:
    return is_there(path) and f"def {name}(" in text_of(ROOT / path)


@every_document
def test_every_link_leads_somewhere(document: Path) -> None:
    dead = []
    for link in LINK.findall(CODE.sub("", FENCE.sub("", text_of(document)))):
        target, _, anchor = link.partition("#")
        place = (document.parent / target).resolve() if target else document
        inside = place.is_relative_to(ROOT) and place.exists()
        if not link.startswith(OUTSIDE) and not (inside and (not anchor or anchor in anchors(place))):
            dead.append(link)
    assert dead == []


@every_document
def test_every_path_is_there(document: Path) -> None:
    text = text_of(document)
    told = [*CODE.findall(FENCE.sub("", text)), *(fence.group() for fence in FENCE.finditer(text))]
    paths = [path for piece in told for path, _ in PATH.findall(piece)]
    files = [piece for piece in told if FILE.fullmatch(piece) and piece not in file_names()]
    assert [path for path in paths if not is_there(path)] + files == []


@every_document
def test_every_test_is_there(document: Path) -> None:
    """A `::test_name` alone is of the file named before it on that line."""
    missing = []
    for line in text_of(document).splitlines():
        path = ""
        for part in CODE.findall(line):
            path = next((found for found, _ in PATH.findall(part)), path)
            missing += [f"{path}::{name}" for name in TEST.findall(part) if not has_test(path, name)]
    assert missing == []


@every_document
def test_every_command_is_there(document: Path) -> None:
    known = {*get_commands(), "up", "test"}
    assert [name for name in COMMAND.findall(text_of(document)) if name not in known] == []
    modules = [name.replace(".", "/") for name in MODULE.findall(text_of(document))]
    assert [name for name in modules if not is_there(f"{name}.py") and not is_there(f"{name}/__main__.py")] == []


def test_every_chapter_that_the_source_refers_to_is_there() -> None:
    rules = {rule for path in SOURCE for rule in RULE.findall(re.sub(r"\s+(?:# )?", " ", path.read_text()))}
    there = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
    chapters = {name: {"", *re.findall(r"^#+ (.+)$", text_of(path), re.M)} for name, path in there.items()}
    missing = [rule for rule in rules if rule[1] not in chapters.get(rule[0], ())]
    assert len(rules) > 20 and missing == []


def test_every_module_that_a_comment_names_is_there() -> None:
    """By its name alone, or by the end of its path."""
    named = {(path, name) for path in SOURCE for name in NAMED.findall(path.read_text())}
    paths = [path.as_posix() for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    missing = [(str(path.relative_to(ROOT)), name) for path, name in named if not _ends(paths, name)]
    assert len(named) > 200 and missing == []


def _ends(paths: list[str], name: str) -> bool:
    return any(path.endswith(f"/{name}") for path in paths)


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 12_288
    assert all(path.stat().st_size < 150_000 for path in (DOCS / "pictures").iterdir())


def test_every_chapter_stands_in_the_index() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(text_of(DOCS / "index.md"))}
    assert [path.name for path in DOCS.glob("*.md") if path.name != "index.md" and path not in linked] == []


def test_every_variable_that_the_settings_read_stands_in_the_configuration() -> None:
    table = text_of(DOCS / "configuration.md")
    read = ["ENVIRONMENT_FILE", *READ.findall(SETTINGS)]
    assert len(read) > 50 and [name for name in read if f"`{name}`" not in table] == []


def cells(document: Path, heading: str) -> set[str]:
    """Of the table under a heading the words in code in the first column."""
    section = text_of(document).partition(f"{heading}\n")[2].partition("\n#")[0]
    return {word for line in section.splitlines() if line.startswith("| ") for word in CODE.findall(line.split("|")[1])}


def test_every_command_of_ours_stands_in_the_table_of_commands() -> None:
    files = [path for app in PACKAGES for path in (ROOT / app).glob("management/commands/*.py")]
    ours = {path.stem for path in files} - {"__init__"}
    told = {word.split()[0] for word in cells(DOCS / "operations.md", "## Commands")}
    assert len(ours) > 25 and told == ours | {"up", "test"}


def test_every_event_of_webhooks_stands_in_the_table_of_events() -> None:
    assert cells(DOCS / "api.md", "### Events") == set(webhooks.ALL_KINDS)


def test_the_recipes_have_one_title_and_all_stand_in_their_index() -> None:
    recipes, title = DOCS / "howto", text_of(DOCS / "howto/index.md").splitlines()[0].removeprefix("# ")
    told = [*DOCUMENTS[:1], DOCS / "index.md", ROOT / ".github/CONTRIBUTING.md"]
    assert all(f"[{title}](" in text_of(document) for document in told)
    linked = set(LINK.findall(text_of(recipes / "index.md")))
    assert [path.name for path in recipes.glob("*.md") if path.name not in linked | {"index.md"}] == []


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_a_folder_holds_few_modules(package: str) -> None:
    """As CONTRIBUTING promises; migrations only grow."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py") if path.parent.name != "migrations"}
    sizes = {folder.relative_to(ROOT): len(list(folder.glob("*.py"))) for folder in folders}
    most = {folder: 20 if folder.name == "commands" else 15 for folder in sizes}
    assert {str(folder): size for folder, size in sizes.items() if size > most[folder]} == {}


def test_every_threat_names_a_test() -> None:
    lines = text_of(DOCS / "security.md").partition("## Threats")[2].splitlines()
    threats = [line for line in lines if line.startswith("| ") and not line.startswith("| Threat |")]
    assert len(threats) >= 80 and [line for line in threats if not re.search(r"`tests/[^|]*\|$", line)] == []


def test_the_version_is_the_changelogs_newest() -> None:
    version = re.search(r'^version = "(.+)"$', text_of(ROOT / "pyproject.toml"), re.M)
    newest = re.search(r"^## (\d\S+)", text_of(DOCS / "changelog.md"), re.M)
    assert version and newest and version[1] == newest[1]


def test_what_must_hold_before_a_change_lands_is_asked_with_the_readmes_command() -> None:
    script = text_of(ROOT / ".ci/run")
    assert script.startswith("#!") and "python3 manage.py test" in text_of(ROOT / "README.md")
    assert len(re.findall(r"^step .* python3 manage\.py test .*slow or not slow", script, re.M)) == 2
