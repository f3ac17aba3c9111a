"""Whoever asks for a package of this application is told what to do instead."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_nothing_is_fetched_before_it_is_said() -> None:
    assert PROJECT["build-system"] == {"requires": [], "build-backend": "no_package", "backend-path": ["config"]}
    assert PROJECT["tool"]["uv"] == {"package": False}


@pytest.mark.parametrize("kind", ["wheel", "editable", "sdist"])
def test_each_way_to_build_ends_with_words(kind: str) -> None:
    backend = importlib.import_module(f"config.{PROJECT['build-system']['build-backend']}")
    for hook in (f"get_requires_for_build_{kind}", f"build_{kind}"):
        with pytest.raises(SystemExit, match=r"python3 manage\.py up"):
            getattr(backend, hook)("a folder", config_settings=None)
