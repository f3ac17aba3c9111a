"""What the image holds, by the COPY lines and .dockerignore: made without Docker, to be started from a folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a file into the image: the last line that matches it or a folder above it decides."""
    kept = True
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if (
            line
            and line[0] != "#"
            and any(
                fnmatch(name.rpartition("/")[2] if "**/" in line else name, pattern)
                for name in above
                if "**/" in line or name.count("/") == pattern.count("/")
            )
        ):
            kept = line[0] == "!"
    return kept


def _copied() -> Iterator[tuple[Path, Path]]:
    """(source, its place under the work directory) of each file that a COPY line brings there."""
    for line in re.findall(r"^COPY (.+)$", (ROOT / "config/deploy/Dockerfile").read_text(), re.M):
        *sources, target = line.split()
        if target.startswith("/"):  # outside the work directory: the lock that is installed from
            continue
        for source in sources:
            found = [ROOT / source] if (ROOT / source).is_file() else (ROOT / source).rglob("*")
            for path in found:
                inside = path.relative_to(ROOT / source) if (ROOT / source).is_dir() else Path(path.name)
                yield path, Path(target) / inside


def build(folder: Path) -> None:
    """Put into `folder` what the image has in its work directory."""
    for path, place in _copied():
        if path.is_file() and let_in(str(path.relative_to(ROOT))):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / place)
