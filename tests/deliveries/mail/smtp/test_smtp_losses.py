"""What is said of envelopes when the connection, the lease or the run ends; and what lasts between runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import Any

import pytest

from deliveries.mail.smtp.transport import Envelope, Outcome
from tests.fakes.smtp_dispatch import Diary, dispatch, envelopes, run, transport
from tests.fakes.smtp_server import DROP, Peer, Server, after, stall

BOTH = pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelined", "one at a time"])


def cut_body(peer: Peer, line: str) -> None:
    """Ask for the message, read a little of it, and hang up."""
    peer.say("354 go on")
    peer.peek(10)
    raise EOFError


# The lease, the intent, stopping


@BOTH
def test_nothing_leaves_after_the_lease(serve: Callable[..., Server], offers: tuple[str, ...]) -> None:
    server, asked = serve(offers=offers), iter([True, True, False])
    diary = dispatch(server, 10, may_send=lambda: next(asked))
    assert diary.outcomes == ["ACCEPTED"] * 2 + ["RETURNED"] * (len(diary.replies) - 2)
    assert diary.intents == [1, 2] and len(server.messages) == 2


def test_a_run_that_is_told_to_stop_answers_what_is_in_flight(serve: Callable[..., Server]) -> None:
    diary, taken = Diary(), []

    def source() -> Envelope | None:
        taken.append(1)
        return envelopes(1000)[len(taken) - 1]

    with closing(transport(serve(), diary, connections=2)) as sender:
        sender.run(source, lambda replies: diary.tick(replies) and len(diary.replies) < 10)
    assert len(diary.replies) == len(taken) < 20
    assert set(diary.outcomes) <= {"ACCEPTED", "RETURNED"}
    assert diary.outcomes.count("ACCEPTED") == len(diary.intents)


def test_a_failing_intent_cuts_all_before_the_body_and_the_next_run_starts_afresh(
    serve: Callable[..., Server],
) -> None:
    server, diary = serve(), Diary()

    def fail(key: int) -> None:
        raise OSError("disk full")

    with closing(transport(server, diary)) as sender:
        note, sender.on_intent = sender.on_intent, fail
        with pytest.raises(OSError, match="disk full"):
            run(sender, diary, envelopes(3))
        assert server.messages == [] and diary.replies == {}
        sender.on_intent = note
        run(sender, diary, envelopes(3))
    assert diary.outcomes == ["ACCEPTED"] * 3 and len(server.messages) == 3


# The connection goes

LOSSES = [
    ({"MAIL": DROP}, "RETURNED", "mail"),
    ({"RCPT": DROP}, "RETURNED", "rcpt"),
    ({"DATA": DROP}, "RETURNED", "data"),
    ({"DATA": cut_body}, "IN_DOUBT", "final"),
    ({"BODY": DROP}, "IN_DOUBT", "final"),
    ({"MAIL": "421 4.3.2 closing"}, "RETURNED", "mail"),
    ({"RCPT": "421 4.3.2 closing"}, "RETURNED", "rcpt"),
    ({"DATA": "421 4.3.2 closing"}, "RETURNED", "data"),
    ({"BODY": "421 4.3.2 closing"}, "TEMPORARY", "final"),
    ({"MAIL": "hello"}, "RETURNED", "mail"),
    ({"MAIL": "354 go"}, "RETURNED", "mail"),
    ({"DATA": "250 ok"}, "RETURNED", "data"),
    ({"DATA": "354 go\r\n250 ok"}, "RETURNED", "data"),
    ({"BODY": "hello"}, "IN_DOUBT", "final"),
    ({"BODY": "354 more"}, "IN_DOUBT", "final"),
    ({"BODY": "250-" + "x" * 5000}, "IN_DOUBT", "final"),
    ({"BODY": "\r\n".join(["250-more"] * 200)}, "IN_DOUBT", "final"),
    ({"MAIL": stall}, "RETURNED", "mail"),
    ({"DATA": stall}, "RETURNED", "data"),
    ({"BODY": stall}, "IN_DOUBT", "final"),
]


@BOTH
@pytest.mark.parametrize(("says", "outcome", "stage"), LOSSES)
def test_a_lost_connection_puts_in_doubt_only_what_may_have_left(
    serve: Callable[..., Server], offers: tuple[str, ...], says: dict[str, Any], outcome: str, stage: str
) -> None:
    server = serve({verb: after(1, "250 ok", rule) if verb == "BODY" else rule for verb, rule in says.items()}, offers)
    diary = dispatch(server, 1, reply_timeout=0.2)
    assert (diary.outcomes, diary.replies[1].stage) == ([outcome], stage)
    assert diary.intents == ([1] if outcome in ("IN_DOUBT", "TEMPORARY") else [])


def test_what_rides_behind_a_lost_body_is_returned_and_the_connection_replaced(serve: Callable[..., Server]) -> None:
    server = serve({"BODY": after(1, after(1, "250 ok", DROP), "250 ok")})
    assert dispatch(server, 5).outcomes == ["ACCEPTED", "IN_DOUBT", "RETURNED", "ACCEPTED", "ACCEPTED"]
    assert len(server.peers) == 2


def test_a_message_that_kills_the_first_connection_does_not_end_the_run(serve: Callable[..., Server]) -> None:
    assert dispatch(serve({"BODY": after(1, "250 ok", DROP)}, ()), 2).outcomes == ["IN_DOUBT", "ACCEPTED"]


def test_a_refusal_stands_though_the_connection_goes_before_the_rest_of_the_group(
    serve: Callable[..., Server],
) -> None:
    assert dispatch(serve({"RCPT": "550 5.1.1 no", "DATA": DROP})).outcomes == ["PERMANENT"]


@BOTH
def test_a_connection_reset_just_before_the_body_puts_nothing_in_doubt(
    serve: Callable[..., Server], offers: tuple[str, ...]
) -> None:
    now, done = threading.Event(), threading.Event()

    def reset(peer: Peer, line: str) -> None:
        peer.say("354 go on")
        now.wait(5)
        peer.reset()
        done.set()

    diary = dispatch(serve({"DATA": reset}, offers), 1, may_send=lambda: now.set() or done.wait(5))
    assert (diary.outcomes, diary.replies[1].stage, diary.intents) == (["RETURNED"], "body", [1])


def test_a_body_cut_in_the_middle_is_in_doubt(serve: Callable[..., Server]) -> None:
    diary = dispatch(serve({"DATA": cut_body}), body=b"x" * 20_000_000)
    assert (diary.outcomes, diary.replies[1].stage) == (["IN_DOUBT"], "body")


def test_a_refusal_in_the_middle_of_a_body_counts_and_the_rest_is_not_taken_for_commands(
    serve: Callable[..., Server],
) -> None:
    def refuse(peer: Peer, line: str) -> None:
        peer.say("354 go on")
        peer.peek(10)
        peer.say("552 5.3.4 too big")
        stall(peer, line)

    server = serve({"DATA": after(1, "354 go on", refuse)})
    diary = dispatch(server, 2, body=lambda key: b"x" * (20_000_000 // key**9))
    assert diary.replies[1][1:4] == (Outcome.PERMANENT, 552, "5.3.4")
    assert diary.outcomes[1:] == ["RETURNED"] and server.messages == []
    assert "before its end" in diary.replies[2].text  # at once, not by a timeout


def test_an_acceptance_in_the_middle_of_a_body_is_not_believed(serve: Callable[..., Server]) -> None:
    def accept(peer: Peer, line: str) -> None:
        peer.say("354 go on")
        peer.peek(10)
        peer.say("250 ok")
        stall(peer, line)

    diary = dispatch(serve({"DATA": accept}), body=b"x" * 20_000_000)
    assert diary.outcomes == ["IN_DOUBT"] and ("accepted", 1) not in diary.events


def test_a_server_that_reads_slowly_but_reads_is_waited_for(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def read(peer: Peer, line: str) -> str:
        peer.say("354 go on")
        end = b""
        while end != b"\r\n.\r\n":
            data = peer.sock.recv(1 << 20)
            clock[0] += len(data) / 1e6  # a megabyte a second; some of it waits in the sockets' buffers
            end = (end + data)[-5:]
        return "250 ok"

    monkeypatch.setattr("deliveries.mail.smtp.transport.monotonic", lambda: clock[0])
    assert dispatch(serve({"DATA": read}, ()), body=b"x" * 60_000_000, reply_timeout=25).outcomes == ["ACCEPTED"]


def test_the_others_work_on_while_one_connection_is_lost(serve: Callable[..., Server]) -> None:
    server = serve({"BODY": after(3, after(1, "250 ok", DROP), "250 ok")})
    diary = dispatch(server, 60, connections=3)
    assert diary.outcomes.count("IN_DOUBT") == 1
    assert diary.outcomes.count("ACCEPTED") >= 58


def test_a_server_that_turns_further_connections_away_is_asked_seldom(serve: Callable[..., Server]) -> None:
    server = serve({"GREETING": after(1, "421 4.7.0 too many", "220 hello")})
    diary = dispatch(server, 300, connections=4)
    assert diary.outcomes == ["ACCEPTED"] * 300
    assert len(server.peers) <= 8


def test_a_server_that_closes_after_each_message_gets_them_all_in_the_end(serve: Callable[..., Server]) -> None:
    def once(peer: Peer, line: str) -> str:
        peer.say("250 ok")
        return DROP

    server, due, runs = serve({"BODY": once}), envelopes(6), 0
    while due:
        replies = dispatch(server, due).replies
        assert {r.outcome for r in replies.values()} <= {Outcome.ACCEPTED, Outcome.RETURNED}
        due = [e for e in due if e.key not in replies or replies[e.key].outcome is Outcome.RETURNED]
        runs += 1
    assert len(server.messages) == 6 and runs <= 4


VERBS = {"GREETING": "220 hi", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", "BODY": "250 ok"}
MISHAPS = [DROP, "421 closing", "450 later", "550 no", "hello", "250-many\r\n250 lines", cut_body]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nothing_is_lost_sent_twice_or_mixed_up(serve: Callable[..., Server], seed: int) -> None:
    chance, told = Random(seed), set()

    def act(verb: str) -> Callable[[Peer, str], Any]:
        def rule(peer: Peer, line: str) -> Any:
            rule = chance.choice(MISHAPS) if chance.random() < 0.04 else VERBS[verb]
            if verb == "BODY" and line and isinstance(rule, str) and rule.startswith("250"):
                told.add(line)
            return rule(peer, line) if callable(rule) and verb == "DATA" else DROP if callable(rule) else rule

        return rule

    server = serve({verb: act(verb) for verb in VERBS}, ("PIPELINING",) if seed % 2 else ())
    due, ended = {e.key: e for e in envelopes(60)}, {}
    while due:
        replies = dispatch(server, list(due.values()), connections=4, body=lambda key: b"Key: %d\r\n" % key).replies
        ended.update((key, reply.outcome) for key, reply in replies.items() if reply.outcome is not Outcome.RETURNED)
        due = {key: e for key, e in due.items() if key not in ended}
    complete = [m for m in server.messages if m[2] != b".\r\n"]
    assert all(m == ("bounces@example.com", m[1], b"Key: %s\r\n.\r\n" % m[1][4:-12].encode()) for m in complete)
    assert len({m[1] for m in complete}) == len(complete)
    accepted = {f"user{key}@example.org" for key, outcome in ended.items() if outcome is Outcome.ACCEPTED}
    doubtful = {f"user{key}@example.org" for key, outcome in ended.items() if outcome is Outcome.IN_DOUBT}
    assert accepted <= told <= accepted | doubtful


# Between runs


def test_connections_are_kept_between_runs(serve: Callable[..., Server]) -> None:
    server, diary = serve(), Diary()
    with closing(transport(server, diary)) as sender:
        for start in (0, 10, 20):
            run(sender, diary, envelopes(30)[start : start + 10])
    assert diary.outcomes == ["ACCEPTED"] * 30
    assert len(server.peers) == 1 and server.lines.count("QUIT") == 1


@pytest.mark.parametrize("last_words", ["", "421 4.4.2 timeout"])
def test_a_connection_that_died_idle_is_replaced_without_harm(serve: Callable[..., Server], last_words: str) -> None:
    server, diary = serve(), Diary()
    with closing(transport(server, diary)) as sender:
        run(sender, diary, envelopes(1))
        if last_words:
            server.peers[0].say(last_words)
        server.peers[0].hang_up()
        run(sender, diary, envelopes(3)[1:])
    assert diary.outcomes == ["ACCEPTED"] * 3


def test_a_connection_may_be_idle_for_longer_than_a_reply_takes(serve: Callable[..., Server]) -> None:
    server, diary = serve(), Diary()
    with closing(transport(server, diary, reply_timeout=0.2)) as sender:
        run(sender, diary, envelopes(1))
        threading.Event().wait(0.3)
        run(sender, diary, envelopes(2)[1:])
    assert diary.outcomes == ["ACCEPTED"] * 2 and len(server.peers) == 1


def test_a_source_may_give_nothing_now_and_more_later(serve: Callable[..., Server]) -> None:
    diary, later = Diary(), iter([envelopes(3)[0], None, None, envelopes(3)[1], None, envelopes(3)[2]])
    with closing(transport(serve(), diary)) as sender:
        for _ in range(5):
            sender.run(lambda: next(later, None), diary.tick)
    assert diary.outcomes == ["ACCEPTED"] * 3


def test_ticks_come_while_the_server_is_silent(serve: Callable[..., Server]) -> None:
    ticks: list[int] = []
    diary = Diary()
    with closing(transport(serve({"MAIL": stall}), diary, reply_timeout=0.5)) as sender:
        run(sender, diary, envelopes(1), lambda replies: ticks.append(1) is None and diary.tick(replies))
    assert len(ticks) >= 4
