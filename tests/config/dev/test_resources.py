"""The data directory and the ports that `up` takes before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.dev import resources
from config.dev.demo_door import DemoDoor


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_taken_port_is_one_line_that_names_the_option(taken: int) -> None:
    with pytest.raises(resources.CannotStart) as refusal:
        resources.listen("127.0.0.1", taken)
    assert str(refusal.value) == f"port {taken} of 127.0.0.1 is taken; give another with --port."


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(resources.CannotStart, match=r"^port 0 of 192.0.2.1 cannot be used"):
        resources.listen("192.0.2.1", 0)


def test_the_simulator_moves_from_a_usual_port_that_is_taken(taken: int) -> None:
    assert resources.free_port(None, taken, "--smtp-port") != taken


def test_the_simulator_does_not_move_from_the_port_asked_for(taken: int) -> None:
    with pytest.raises(resources.CannotStart, match="--smtp-port"):
        resources.free_port(taken, 2525, "--smtp-port")


def test_a_data_directory_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with resources.hold(tmp_path) as data:
        resources.note(data, "http://127.0.0.1:8000")
        with pytest.raises(resources.CannotStart, match=r"already running on .*, http://127.0.0.1:8000\)"):
            resources.hold(tmp_path).__enter__()
    with resources.hold(tmp_path):
        pass


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(resources.CannotStart, match="cannot be used"):
        resources.hold(tmp_path / "file").__enter__()


def test_the_secret_key_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    with resources.hold(tmp_path / "new") as data:
        key = (data / "secret-key").read_text()
    with resources.hold(tmp_path / "new") as data:
        assert (data / "secret-key").read_text() == key
    assert len(key) >= 50
    assert (data / "secret-key").stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("/run/socket", False),
    ],
)
def test_only_loopback_is_here(address: str, here: bool) -> None:
    assert resources.is_here(address) == here


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_demo_that_others_could_reach_is_refused_with_what_to_do(host: str) -> None:
    with resources.listen(host, 0) as door, pytest.raises(resources.CannotStart, match="--no-demo"):
        resources.keep_demo_here(door, host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_demo_of_this_machine_is_not(host: str) -> None:
    with resources.listen(host, 0) as door:
        resources.keep_demo_here(door, host)


def test_behind_the_demos_door_nobody_comes_from_elsewhere() -> None:
    said: list[str] = []
    door = DemoDoor(lambda environ, start: [b"page"])
    assert list(door({"REMOTE_ADDR": "127.0.0.1"}, lambda status, headers: None)) == [b"page"]
    for address in ("192.0.2.1", "", "::ffff:192.0.2.1"):
        refused = door({"REMOTE_ADDR": address, "HTTP_HOST": "localhost"}, lambda status, headers: said.append(status))
        assert b"page" not in b"".join(refused)
    assert said == ["403 Forbidden"] * 3
