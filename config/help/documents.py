"""The files of config/docs: chapters and pictures. What is asked for is looked up among them, never made a path of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath

from django.conf import settings

DOCS = Path(settings.BASE_DIR) / "config" / "docs"
PICTURES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg", ".webp": "image/webp"}
INDEX = "index"


def files(docs: Path = DOCS) -> dict[str, Path]:
    """{path within `docs`, like howto/index.md: the file}. A link that leads out of the folder is not among them."""
    root = docs.resolve()
    kinds = {".md", *PICTURES}
    found = sorted(path for path in docs.rglob("*") if path.suffix in kinds and path.resolve().is_relative_to(root))
    return {path.relative_to(docs).as_posix(): path for path in found if path.is_file()}


def chapters(known: dict[str, Path]) -> list[tuple[str, str]]:
    """(chapter, its title) of all, in the order in which the indexes name them. In: files()."""
    names = [name.removesuffix(".md") for name in known if name.endswith(".md")]
    order = list(_named_from(INDEX, known))
    names.sort(key=lambda name: (order.index(name) if name in order else len(order), name))
    return [(name, title(known[f"{name}.md"])) for name in names]


def _named_from(index: str, known: dict[str, Path]) -> Iterator[str]:
    """An index, and what it names, in order; after another index what that names."""
    yield index
    text = known[f"{index}.md"].read_text(encoding="utf-8") if f"{index}.md" in known else ""
    for link in re.findall(r"\]\(([\w/-]+\.md)\)", text):
        name = (named_by(link, index, known) or "").removesuffix(".md")
        yield from _named_from(name, known) if name.endswith(f"/{INDEX}") else [name]


def title(path: Path) -> str:
    """A chapter's first line without its mark."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("#").strip()


def named_by(link: str, chapter: str, known: dict[str, Path]) -> str | None:
    """The file that a relative link of `chapter` names, as in `known`; None if it is none of the documents."""
    name = normpath(PurePosixPath(chapter).parent / link)
    return next((one for one in (name, normpath(f"{name}/{INDEX}.md")) if one in known), None)
