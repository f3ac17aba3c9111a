"""What becomes of an envelope, whatever the server answers: transactions over one or more connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from time import sleep

import pytest

from deliveries.mail.smtp.protocol import NotNow
from deliveries.mail.smtp.transport import DsnRequest, Envelope, Outcome, Reply
from tests.fakes.smtp_dispatch import BODY, Diary, dispatch, envelopes, run, transport
from tests.fakes.smtp_server import Peer, Server, after

BOTH = pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelined", "one at a time"])


# Acceptance


@BOTH
def test_each_message_reaches_its_own_recipient(serve: Callable[..., Server], offers: tuple[str, ...]) -> None:
    server = serve(offers=offers)
    diary = dispatch(server, 40, connections=4, body=lambda key: b"Key: %d\r\n\r\nHi\r\n" % key)
    assert diary.outcomes == ["ACCEPTED"] * 40
    assert sorted(server.messages) == sorted(
        ("bounces@example.com", f"user{k}@example.org", b"Key: %d\r\n\r\nHi\r\n.\r\n" % k) for k in range(1, 41)
    )


def test_an_acceptance_is_told_with_code_status_and_text(serve: Callable[..., Server]) -> None:
    reply = dispatch(serve()).replies[1]
    assert reply == (1, Outcome.ACCEPTED, 250, "2.0.0", "Ok: queued as 4Y", "final")


def test_an_acceptance_of_several_lines_is_one(serve: Callable[..., Server]) -> None:
    diary = dispatch(serve({"BODY": "250-2.0.0 queued\r\n250-2.0.0 as\r\n250 2.0.0 4Y"}), 2)
    assert [diary.replies[k].text for k in (1, 2)] == ["queued as 4Y"] * 2


def test_the_intent_of_each_key_comes_before_its_acceptance(serve: Callable[..., Server]) -> None:
    events = dispatch(serve(), 20, connections=3).events
    assert sorted(events) == sorted((name, k) for k in range(1, 21) for name in ("intent", "accepted"))
    assert all(events.index(("intent", k)) < events.index(("accepted", k)) for k in range(1, 21))


def test_the_intent_is_noted_before_a_byte_of_the_body_can_be_read(serve: Callable[..., Server]) -> None:
    diary, seen = Diary(), []

    def look(peer: Peer, line: str) -> str:
        seen.append(list(diary.intents))
        return "250 ok"

    with closing(transport(serve({"BODY": look}), diary)) as sender:
        run(sender, diary, envelopes(3))
    assert seen == [[1], [1, 2], [1, 2, 3]]


def test_one_body_at_most_awaits_its_answer_on_a_connection(serve: Callable[..., Server]) -> None:
    diary, open_bodies = Diary(), []

    def count(peer: Peer, line: str) -> str:
        open_bodies.append(len(diary.intents) - sum(name == "accepted" for name, _ in diary.events))
        return "250 ok"

    with closing(transport(serve({"BODY": count}), diary)) as sender:
        run(sender, diary, envelopes(10))
    assert set(open_bodies) == {1}


def test_a_group_rides_behind_the_dot(serve: Callable[..., Server]) -> None:
    behind = []

    def look(peer: Peer, line: str) -> str:
        behind.append(peer.buffer or peer.peek(1))  # there before the message is answered
        return "250 ok"

    dispatch(serve({"BODY": after(1, "250 ok", look)}), 2)
    assert behind[0].startswith(b"MAIL FROM:<bounces@example.com>")


def test_without_pipelining_each_command_waits_for_its_answer(serve: Callable[..., Server]) -> None:
    early = []

    def look(reply: str) -> Callable[[Peer, str], str]:
        return lambda peer, line: early.append(peer.buffer) or reply  # type: ignore[func-returns-value]

    server = serve({"MAIL": look("250 ok"), "RCPT": look("250 ok"), "DATA": look("354 go")}, ())
    assert dispatch(server, 3).outcomes == ["ACCEPTED"] * 3
    assert set(early) == {b""}


@pytest.mark.parametrize("body", [b"", b"no line end", b"Subject: x\r\n\r\n..dots\r\n"], ids=["empty", "open", "dots"])
def test_the_dot_stands_on_a_line_of_its_own(serve: Callable[..., Server], body: bytes) -> None:
    server = serve()
    dispatch(server, 2, body=body)
    end = b".\r\n" if body.endswith(b"\n") or not body else b"\r\n.\r\n"
    assert [m[2] for m in server.messages] == [body + end] * 2


def test_a_body_of_five_megabytes_goes_through_a_slow_reader(serve: Callable[..., Server]) -> None:
    server, line = serve(offers=("PIPELINING", "SIZE 10000000")), b"x" * 998 + b"\r\n"
    diary = dispatch(server, 3, connections=2, body=line * 5000)
    assert diary.outcomes == ["ACCEPTED"] * 3
    assert {len(m[2]) for m in server.messages} == {5_000_003}


# Refusals

REFUSALS = [
    ({"MAIL": "451 4.7.1 later"}, "TEMPORARY", 451, "4.7.1", "mail"),
    ({"MAIL": "550 5.7.1 no"}, "PERMANENT", 550, "5.7.1", "mail"),
    ({"RCPT": "450 4.2.1 busy"}, "TEMPORARY", 450, "4.2.1", "rcpt"),
    ({"RCPT": "550-5.1.1 no such\r\n550 5.1.1 user"}, "PERMANENT", 550, "5.1.1", "rcpt"),
    ({"RCPT": "550 no", "DATA": "354 go on"}, "PERMANENT", 550, "", "rcpt"),
    ({"DATA": "452 4.3.1 full"}, "TEMPORARY", 452, "4.3.1", "data"),
    ({"DATA": "554 5.7.1 no"}, "PERMANENT", 554, "5.7.1", "data"),
    ({"BODY": "451 4.3.0 later"}, "TEMPORARY", 451, "4.3.0", "final"),
    ({"BODY": "554 5.7.1 spam"}, "PERMANENT", 554, "5.7.1", "final"),
]


@BOTH
@pytest.mark.parametrize(("says", "outcome", "code", "enhanced", "stage"), REFUSALS)
def test_a_refusal_is_told_where_it_fell_and_the_others_go_on(
    serve: Callable[..., Server],
    offers: tuple[str, ...],
    says: dict[str, str],
    outcome: str,
    code: int,
    enhanced: str,
    stage: str,
) -> None:
    polite = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", "BODY": "250 ok"}
    server = serve({verb: after(1, polite[verb], reply) for verb, reply in says.items()}, offers)
    diary = dispatch(server, 3)
    assert diary.replies[1]._replace(text="") == (1, Outcome[outcome], code, enhanced, "", stage)
    assert diary.outcomes[1:] == ["ACCEPTED"] * 2
    assert ("accepted", 1) not in diary.events


def test_after_a_refused_recipient_only_a_dot_is_sent(serve: Callable[..., Server]) -> None:
    server = serve(
        {"RCPT": after(1, "250 ok", "550 no"), "DATA": "354 go on", "BODY": after(1, "250 ok", "554 nobody")}
    )
    diary = dispatch(server, 2)
    assert server.messages[0][2] == b".\r\n"
    assert diary.intents == [2]


def test_a_message_is_withheld_when_its_sender_was_refused_but_its_recipient_stands(
    serve: Callable[..., Server],
) -> None:
    server = serve({"MAIL": "550 no", "RCPT": "250 ok", "DATA": "354 go on"})
    diary = dispatch(server)
    assert diary.outcomes == ["PERMANENT"]
    assert server.messages == [] and diary.intents == []


def test_a_transaction_that_ended_without_a_message_is_reset(serve: Callable[..., Server]) -> None:
    server = serve({"RCPT": after(1, "250 ok", "550 no")})
    assert dispatch(server, 2).outcomes == ["PERMANENT", "ACCEPTED"]
    assert server.lines.count("RSET") == 1


@BOTH
def test_a_rehearsal_delivers_and_notes_nothing(serve: Callable[..., Server], offers: tuple[str, ...]) -> None:
    server = serve({"RCPT": after(1, "250 ok", "550 no")}, offers)
    diary = dispatch(server, 3, rehearsal=True)
    assert diary.outcomes == ["PERMANENT", "ACCEPTED", "ACCEPTED"]
    assert diary.replies[2].stage == "rcpt"
    assert diary.events == [] and "DATA" not in server.lines


# What never reaches the wire

LONG = b"a" * 243 + b"@example.org"
ADDRESSES = [
    (b"a\r\nRCPT TO:<b@example.org>", "control"),
    (b"a\nb@example.org", "control"),
    (b"a\0b@example.org", "control"),
    (b"a b@example.org", "space"),
    (b"a@example.org> NOTIFY=NEVER <", "bracket"),
    (LONG, "255 octets"),
    ("grüße@example.org".encode(), "SMTPUTF8"),
    (b"", "empty"),
]


@pytest.mark.parametrize(("address", "words"), ADDRESSES)
def test_a_bad_recipient_is_refused_here(serve: Callable[..., Server], address: bytes, words: str) -> None:
    server = serve()
    diary = dispatch(server, [Envelope(1, b"s@example.com", address), Envelope(2, b"s@example.com", b"ok@example.org")])
    assert diary.outcomes == ["PERMANENT", "ACCEPTED"]
    assert words in diary.replies[1].text and diary.replies[1].stage == "local"
    assert [line for line in server.lines if line.startswith("RCPT")] == ["RCPT TO:<ok@example.org>"]


@pytest.mark.parametrize("address", [a for a, _ in ADDRESSES if a])
def test_a_bad_sender_is_refused_here(serve: Callable[..., Server], address: bytes) -> None:
    server = serve()
    assert dispatch(server, [Envelope(1, address, b"ok@example.org")]).outcomes == ["PERMANENT"]
    assert not any(line.startswith("MAIL") for line in server.lines)


def test_an_address_of_254_octets_and_the_null_sender_pass(serve: Callable[..., Server]) -> None:
    assert dispatch(serve(), [Envelope(1, b"", LONG[1:])]).outcomes == ["ACCEPTED"]


def test_an_address_that_is_not_ascii_goes_with_smtputf8(serve: Callable[..., Server]) -> None:
    server = serve(offers=("SMTPUTF8", "8BITMIME"))
    assert dispatch(server, [Envelope(1, b"", "grüße@example.org".encode())]).outcomes == ["ACCEPTED"]
    assert server.lines[1:3] == ["MAIL FROM:<> SMTPUTF8", "RCPT TO:<grüße@example.org>"]


def test_a_message_above_the_announced_size_is_refused_here(serve: Callable[..., Server]) -> None:
    server = serve(offers=("SIZE 50",))
    diary = dispatch(server, 2, body=lambda key: BODY * key)
    assert diary.outcomes == ["ACCEPTED", "PERMANENT"]
    assert diary.replies[2][2:] == (552, "5.3.4", "The message has 58 octets; the server takes at most 50.", "local")
    assert "MAIL FROM:<bounces@example.com> SIZE=29" in server.lines


def test_8_bit_text_needs_8bitmime(serve: Callable[..., Server]) -> None:
    offering, plain = serve(offers=("8BITMIME",)), serve()
    assert dispatch(offering, body="Grüße\r\n".encode()).outcomes == ["ACCEPTED"]
    assert offering.lines[1] == "MAIL FROM:<bounces@example.com> BODY=8BITMIME"
    assert dispatch(plain, body="Grüße\r\n".encode()).outcomes == ["PERMANENT"]


def test_a_body_that_cannot_be_built_fails_alone(serve: Callable[..., Server]) -> None:
    def build(key: int) -> bytes:
        if key % 2:
            raise ValueError(f"no value for key {key}")
        return BODY

    diary = dispatch(serve(), 100, connections=2, body=build)
    assert diary.outcomes == ["PERMANENT", "ACCEPTED"] * 50
    assert diary.replies[1] == (1, Outcome.PERMANENT, 0, "", "no value for key 1", "build")


def test_a_body_that_cannot_be_built_now_is_put_off(serve: Callable[..., Server]) -> None:
    def build(key: int) -> bytes:
        raise NotNow("too slow")

    diary = dispatch(serve(), 1, body=build)
    assert diary.replies[1] == (1, Outcome.TEMPORARY, 0, "", "too slow", "build")


def test_bodies_that_take_long_to_be_refused_hold_up_no_tick(serve: Callable[..., Server]) -> None:
    """The lease is looked at in ticks: thirty-two refusals of a second each would lose it."""

    def build(key: int) -> bytes:
        sleep(0.15)
        raise ValueError("too much work")

    diary, seen = Diary(), []

    def tick(replies: list[Reply]) -> bool:
        seen.append(len(replies))
        return diary.tick(replies)

    with closing(transport(serve(), diary, body=build)) as sender:
        run(sender, diary, envelopes(6), tick)
    assert diary.outcomes == ["PERMANENT"] * 6
    assert max(seen) == 1


def test_reports_are_asked_for_where_the_server_offers_them(serve: Callable[..., Server]) -> None:
    batch = [Envelope(1, b"s@example.com", b"a+b@example.org", DsnRequest(b"DM1 7"))]
    offering, plain = serve(offers=("DSN",)), serve()
    assert dispatch(offering, batch).outcomes == dispatch(plain, batch).outcomes == ["ACCEPTED"]
    assert offering.lines[1] == "MAIL FROM:<s@example.com> RET=HDRS ENVID=DM1+207"
    assert offering.lines[2].endswith(" NOTIFY=SUCCESS,DELAY,FAILURE ORCPT=rfc822;a+2Bb@example.org")
    assert plain.lines[1:3] == ["MAIL FROM:<s@example.com>", "RCPT TO:<a+b@example.org>"]
