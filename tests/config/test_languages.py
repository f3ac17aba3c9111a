"""Every text of the product is there in every language, and says it with the same blanks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.core.management import call_command

LOCALES = Path(settings.BASE_DIR) / "config" / "locale"
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]
_BLANKS = re.compile(r"%\((\w+)\)[sd]|%[sd]|\{(\w*)\}")


def catalog(language: str, place: Path = LOCALES) -> polib.POFile:
    return polib.pofile(str(place / language / "LC_MESSAGES" / "django.po"))


def texts(entry: polib.POEntry) -> list[str]:
    """All translations of an entry, one for each plural form."""
    return [*entry.msgstr_plural.values()] if entry.msgid_plural else [entry.msgstr]


@pytest.fixture(scope="module")
def extracted(service: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The catalogs as they would be if they were made from the sources now."""
    service("xgettext")
    place = tmp_path_factory.mktemp("catalogs") / "locale"
    shutil.copytree(LOCALES, place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(settings.BASE_DIR)
        patch.setattr(settings, "LOCALE_PATHS", [place])
        languages = {
            "locale": LANGUAGES,
            "ignore_patterns": ["locale"],
            "no_location": True,
            "no_wrap": True,
            "no_obsolete": True,
            "verbosity": 0,
        }
        call_command("makemessages", **languages)
        yield place


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_untranslated(extracted: Path, language: str) -> None:
    entries = catalog(language, extracted)
    missing = [entry.msgid for entry in entries if entry.fuzzy or not all(texts(entry))]
    assert not missing, f"{len(missing)}: see config/docs/translating.md"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_blanks_of_its_text(language: str) -> None:
    wrong = []
    for entry in catalog(language):
        of_one, of_many = blanks(entry.msgid), blanks(entry.msgid_plural or entry.msgid)
        wrong += [text for text in texts(entry) if blanks(text) != of_many and not blanks(text) == of_one <= of_many]
    assert not wrong


def blanks(text: str) -> set[str]:
    return {match.group() for match in _BLANKS.finditer(text)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_read_is_what_was_written(language: str, tmp_path: Path) -> None:
    compiled = LOCALES / language / "LC_MESSAGES" / "django.mo"
    read = {(entry.msgctxt, entry.msgid): texts(entry) for entry in polib.mofile(str(compiled))}
    written = {(entry.msgctxt, entry.msgid): texts(entry) for entry in catalog(language) if all(texts(entry))}
    assert read == written, "run `manage.py compilemessages`"
