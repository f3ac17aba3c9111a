"""The environment file: a value is text, as systemd takes it, and nothing in it is carried out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.environment_file import CannotRead, load, parse


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("  blanks around  ", "blanks around"),
        ("a#b;c&d|e>f", "a#b;c&d|e>f"),
        ("$(touch here) `touch here` $HOME ${HOME}", "$(touch here) `touch here` $HOME ${HOME}"),
        ("'single $x \\ \"'", 'single $x \\ "'),
        ('"double \\" \\\\ \\$ \\n"', 'double " \\ $ \\n'),
        ('" kept "', " kept "),
        ("a\\ b\\'c", "a b'c"),
        ("one'two'\"three\"", "onetwothree"),
        (
            "postgres://u:p=w@h/n?sslmode=verify-full&sslrootcert=/x",
            "postgres://u:p=w@h/n?sslmode=verify-full&sslrootcert=/x",
        ),
        ("first\\\n  second", "first  second"),
    ],
)
def test_a_value_is_what_systemd_takes_it_for(written: str, value: str) -> None:
    assert parse(f"# a comment\n; another = one\n\n NAME={written}\n") == {"NAME": value}


@given(st.text(st.characters(exclude_characters="'\x00", exclude_categories=["Cs"])))
def test_in_single_quotes_anything_stands_for_itself(value: str) -> None:
    if "\n" not in value:
        assert parse(f"NAME='{value}'") == {"NAME": value}


@pytest.mark.parametrize("line", ["NAME", "export NAME=1", "1NAME=1", "NA-ME=1", "NAME='open", 'NAME="open', "=1"])
def test_a_line_that_means_nothing_is_named(line: str) -> None:
    with pytest.raises(CannotRead, match="line 2"):
        parse(f"FIRST=1\n{line}")


def test_what_is_set_already_stays_and_no_file_is_no_error(tmp_path: Path) -> None:
    load(nothing := {"A": "1"})
    assert nothing == {"A": "1"}
    (tmp_path / "file").write_text("A=2\nB=3\n")
    load(environment := {"A": "1", "ENVIRONMENT_FILE": str(tmp_path / "file")})
    assert (environment["A"], environment["B"]) == ("1", "3")


def test_a_file_that_cannot_be_read_stops_the_start_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(CannotRead, match="nowhere"):
        load({"ENVIRONMENT_FILE": str(tmp_path / "nowhere")})
    (tmp_path / "binary").write_bytes(b"A=\xff")
    with pytest.raises(CannotRead, match="UTF-8"):
        load({"ENVIRONMENT_FILE": str(tmp_path / "binary")})


def test_the_settings_are_read_from_it_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    secret = "$HOME$(touch ran)`touch ran`" + "s" * 60
    (tmp_path / "file").write_text(f"SECRET_KEY={secret}\nTIME_ZONE=Asia/Tokyo; touch ran\nTIME_ZONE=Asia/Tokyo\n")
    show = "from django.conf import settings as s; print(s.SECRET_KEY, s.TIME_ZONE)"
    own = {name: value for name, value in os.environ.items() if name != "SECRET_KEY"}
    own |= {"ENVIRONMENT_FILE": str(tmp_path / "file"), "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run([sys.executable, "-c", show], env=own, capture_output=True, text=True, check=True)
    assert done.stdout == f"{secret} Asia/Tokyo\n" and not Path("ran").exists()
