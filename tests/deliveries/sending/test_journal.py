"""The journal: what it proves after a kill, a full disk, a restart; and the lock beside it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.sending import journal
from deliveries.sending.journal import (
    RECORD_SIZE,
    BatchLock,
    Journal,
    JournalFailed,
    Trace,
    leftovers,
    replay,
)

ACTS = st.lists(st.tuples(st.sampled_from(["intent", "accepted", "refused"]), st.integers(1, 5)), max_size=30)


def write(directory: Path, acts: list[tuple[str, int]], batch: int = 7, fence: int = 3) -> Path:
    """A closed journal with these records."""
    with_acts = Journal.open(directory, batch, fence)
    for act, key in acts:
        getattr(with_acts, act)(key)
    with_acts.close()
    return with_acts.path


def expected(acts: list[tuple[str, int]], key: int) -> Trace:
    """What these records say of a key, told the plain way."""
    kinds = [act for act, k in acts if k == key]
    if not kinds:
        return Trace.NOTHING
    return Trace.ACCEPTED if "accepted" in kinds else {"intent": Trace.OPEN, "refused": Trace.REFUSED}[kinds[-1]]


@pytest.mark.parametrize(
    ("acts", "trace"),
    [
        ([], Trace.NOTHING),
        (["intent"], Trace.OPEN),
        (["intent", "accepted"], Trace.ACCEPTED),
        (["intent", "refused"], Trace.REFUSED),
        (["intent", "refused", "intent"], Trace.OPEN),
        (["intent", "refused", "intent", "accepted"], Trace.ACCEPTED),
        (["intent", "accepted", "intent"], Trace.ACCEPTED),
    ],
)
def test_what_a_journal_says_of_a_key(tmp_path: Path, acts: list[str], trace: Trace) -> None:
    write(tmp_path, [(act, 42) for act in acts] + [("intent", 43)])
    found = replay(tmp_path, 7, 3)
    assert (found.of(42), found.of(43), found.of(44)) == (trace, Trace.OPEN, Trace.NOTHING)


def test_an_empty_journal_is_told_apart_from_a_missing_one(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert (replay(tmp_path, 7, 3).missing, replay(tmp_path, 7, 3).of(1)) == ("", Trace.NOTHING)
    assert (replay(tmp_path, 7, 2).missing, replay(tmp_path, 7, 2).of(1)) == ("missing", Trace.UNKNOWN)


@given(ACTS, st.integers(0, 10_000))
def test_a_journal_cut_anywhere_says_what_its_whole_records_say(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]], size: int
) -> None:
    path = write(tmp_path_factory.mktemp("cut"), acts)
    raw = path.read_bytes()
    size %= len(raw) + 1
    path.write_bytes(raw[:size])
    found, kept = replay(path.parent, 7, 3), acts[: max(0, size // RECORD_SIZE - 1)]
    assert found.missing == ("" if size >= RECORD_SIZE else "damaged")
    if not found.missing:
        assert [found.of(key) for key in range(7)] == [expected(kept, key) for key in range(7)]


@given(ACTS.filter(bool), st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_journal_never_says_that_nothing_left(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]], place: int, change: int
) -> None:
    path = write(tmp_path_factory.mktemp("damage"), acts)
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= change
    path.write_bytes(raw)
    found = replay(path.parent, 7, 3)
    assert found.missing == "damaged"
    assert {found.of(key) for key in range(7)} <= {Trace.ACCEPTED, Trace.OPEN, Trace.UNKNOWN}


def test_a_journal_of_another_fence_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, [("accepted", 1)]).rename(tmp_path / "7.4.journal")
    assert replay(tmp_path, 7, 4).of(1) is Trace.UNKNOWN


def test_a_journal_from_before_a_restart_proves_only_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [("intent", 1), ("accepted", 1), ("intent", 2)])
    monkeypatch.setattr(journal, "_this_start", lambda: 1)
    found = replay(tmp_path, 7, 3)
    assert found.missing == "restarted"
    assert [found.of(key) for key in (1, 2, 3)] == [Trace.ACCEPTED, Trace.OPEN, Trace.UNKNOWN]


def test_a_journal_is_appended_to_when_opened_again(tmp_path: Path) -> None:
    write(tmp_path, [("intent", 1)])
    write(tmp_path, [("accepted", 1), ("intent", 2**64 - 1)])
    assert replay(tmp_path, 7, 3).accepted == {1}
    assert replay(tmp_path, 7, 3).open_intents == {2**64 - 1}


def test_a_journal_with_a_torn_end_is_not_appended_to(tmp_path: Path) -> None:
    path = write(tmp_path, [("intent", 1)])
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(JournalFailed, match="new fence"):
        Journal.open(tmp_path, 7, 3)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow above so many octets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, RECORD_SIZE - 1], ids=["none", "one octet", "nearly enough"])
def test_a_record_that_does_not_fit_fails_at_once_and_for_good(tmp_path: Path, room: int) -> None:
    open_journal = Journal.open(tmp_path, 7, 3)
    open_journal.intent(1)
    with full_disk(2 * RECORD_SIZE + room), pytest.raises(JournalFailed):
        open_journal.intent(2)
    with pytest.raises(JournalFailed, match="failed before"):  # though there is room again
        open_journal.intent(3)
    assert replay(tmp_path, 7, 3).open_intents == {1}


def test_a_journal_that_cannot_be_begun_fails_and_leaves_none(tmp_path: Path) -> None:
    with full_disk(3), pytest.raises(JournalFailed):
        Journal.open(tmp_path, 7, 3)
    assert replay(tmp_path, 7, 3).missing == "missing"


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    closed = Journal.open(tmp_path, 7, 3)
    closed.close()
    closed.close()
    with pytest.raises(JournalFailed):
        closed.intent(1)


def test_a_journal_that_cannot_be_read_is_not_taken_for_missing(tmp_path: Path) -> None:
    (tmp_path / "7.3.journal").mkdir()
    with pytest.raises(JournalFailed):
        replay(tmp_path, 7, 3)


WRITER = """
import sys
from pathlib import Path
from deliveries.sending.journal import Journal
journal = Journal.open(Path(sys.argv[1]), 7, 3)
for key in range(10**9):
    journal.intent(key)
    sys.stdout.write(f"{key}\\n") and sys.stdout.flush()
    journal.accepted(key)
"""


def test_a_killed_writer_leaves_all_that_it_had_written(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(1000)]
    child.send_signal(signal.SIGKILL)
    last = int([*lines, *child.stdout][-1])
    found = replay(tmp_path, 7, 3)
    assert set(range(last)) <= found.accepted and found.of(last) in (Trace.OPEN, Trace.ACCEPTED)
    assert found.missing == "" and len(found.open_intents) <= 1


# Files


def test_leftovers_are_the_files_of_batches_that_are_done(tmp_path: Path) -> None:
    for batch in (1, 2, 3):
        write(tmp_path, [], batch)
    with BatchLock.acquire(tmp_path, 4) or pytest.fail("free"):
        (tmp_path / "notes.journal").touch()
        assert leftovers(tmp_path, lambda batches: set(batches) & {1, 3, 4, 9}) == [1, 3, 4]
    assert leftovers(tmp_path / "nowhere", lambda batches: batches) == []


def test_only_unlinking_removes_a_batchs_journals(tmp_path: Path) -> None:
    for batch, fence in [(7, 1), (7, 2), (77, 1)]:
        write(tmp_path, [], batch, fence)
    (tmp_path / "7.3.journal-new").touch()  # left by a kill
    with BatchLock.acquire(tmp_path, 7) or pytest.fail("free") as lock:
        lock.unlink_journals()
    assert [path.name for path in tmp_path.iterdir()] == ["77.1.journal"]


# The lock

HOLDER = """
import sys, time
from pathlib import Path
from deliveries.sending.journal import BatchLock
assert BatchLock.acquire(Path(sys.argv[1]), 7)
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_by_one_and_freed_by_release(tmp_path: Path) -> None:
    first = BatchLock.acquire(tmp_path, 7)
    assert first and BatchLock.acquire(tmp_path, 7) is None
    assert BatchLock.acquire(tmp_path, 8)
    first.release()
    first.release()
    assert BatchLock.acquire(tmp_path, 7)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    assert BatchLock.acquire(tmp_path, 7) is None
    child.kill()
    child.wait()
    assert BatchLock.acquire(tmp_path, 7)


def test_a_lock_on_a_file_that_was_unlinked_meanwhile_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, real = BatchLock.acquire(tmp_path, 7), journal.fcntl.flock
    assert first

    def slow(fd: int, how: int) -> None:
        monkeypatch.undo()
        first.unlink_journals()
        first.release()
        real(fd, how)

    monkeypatch.setattr(journal.fcntl, "flock", slow)
    assert BatchLock.acquire(tmp_path, 7)
    assert BatchLock.acquire(tmp_path, 7) is None
