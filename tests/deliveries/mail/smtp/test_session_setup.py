"""From the greeting to a session: TLS, STARTTLS, AUTH, and what to do when there is none."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deliveries.mail.smtp.session_setup import LoginFailed, login
from deliveries.mail.smtp.transport import Endpoint
from tests.fakes.smtp_dispatch import Diary, dispatch, envelopes, run, transport
from tests.fakes.smtp_server import DROP, Peer, Server, after, stall

TLS_OFFERS = ("PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN")


@pytest.fixture(scope="session")
def certificate(service: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = [
        service("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    subject = ["-days", "2", "-subj", "/CN=mx.example.com", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *subject, "-keyout", f"{path}.key", "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


# TLS


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_messages_go_over_tls(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path, security: str
) -> None:
    server = serve(offers=TLS_OFFERS, tls=tls, implicit=security == "tls")
    diary = dispatch(server, 20, connections=2, security=security, ca_file=str(certificate))
    assert diary.outcomes == ["ACCEPTED"] * 20
    served = [peer for peer in server.peers if peer.took]  # one may be dropped before its handshake
    assert served and all(isinstance(peer.sock, ssl.SSLSocket) for peer in served)


def test_a_large_body_goes_over_tls_while_the_reader_is_slow(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve(tls=tls, implicit=True)
    body = b"".join(b"%01000d\r\n" % n for n in range(5000))
    assert dispatch(server, 2, body=body, security="tls", ca_file=str(certificate)).outcomes == ["ACCEPTED"] * 2
    assert {m[2] for m in server.messages} == {body + b".\r\n"}


def test_an_answer_longer_than_one_read_comes_over_tls(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve(offers=(*(f"X-{n} {'x' * 100}" for n in range(100)), "PIPELINING"), tls=tls, implicit=True)
    diary = dispatch(server, security="tls", ca_file=str(certificate), reply_timeout=1)
    assert diary.outcomes == ["ACCEPTED"]


def test_a_connection_cut_during_a_body_over_tls_is_in_doubt(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve({"BODY": after(1, "250 ok", DROP)}, tls=tls, implicit=True)
    assert dispatch(server, security="tls", ca_file=str(certificate)).outcomes == ["IN_DOUBT"]


def test_a_write_that_failed_over_tls_is_in_doubt_all_the_same(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path
) -> None:
    now, done = threading.Event(), threading.Event()

    def reset(peer: Peer, line: str) -> None:
        peer.say("354 go on")
        now.wait(5)
        peer.reset()
        done.set()

    server = serve({"DATA": reset}, tls=tls, implicit=True)
    options = {"security": "tls", "ca_file": str(certificate), "may_send": lambda: now.set() or done.wait(5)}
    assert dispatch(server, **options).outcomes == ["IN_DOUBT"]


def test_without_an_offer_of_starttls_nothing_is_sent_in_clear(serve: Callable[..., Server]) -> None:
    server = serve(offers=("AUTH PLAIN",))
    diary = dispatch(server, security="starttls", username="anna", password="secret")
    assert "STARTTLS" in diary.unavailable.text and diary.unavailable.lasting
    assert server.lines == ["EHLO localhost"] and diary.outcomes == ["RETURNED"]


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "501 no"])
def test_a_refused_starttls_ends_the_session(serve: Callable[..., Server], reply: str) -> None:
    server = serve({"STARTTLS": reply}, TLS_OFFERS)
    assert reply[:3] in dispatch(server, security="starttls").unavailable.text
    assert server.lines == ["EHLO localhost", "STARTTLS"]


def test_what_came_in_clear_before_tls_is_dropped(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path
) -> None:
    def inject(peer: Peer, line: str) -> None:
        peer.say("220 go on\r\n250-injected\r\n250 AUTH LOGIN")
        peer.start_tls()

    server = serve({"STARTTLS": inject}, ("STARTTLS",), tls=tls)
    diary = dispatch(server, security="starttls", ca_file=str(certificate))
    assert diary.outcomes == ["ACCEPTED"]
    assert server.lines[:3] == ["EHLO localhost", "STARTTLS", "EHLO localhost"]


def test_features_offered_before_tls_are_forgotten(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path
) -> None:
    clear = "250-mx\r\n250-STARTTLS\r\n250 PIPELINING"
    ehlo = after(1, lambda peer, line: "250-mx\r\n250 SIZE 10", clear)
    diary = dispatch(serve({"EHLO": ehlo}, tls=tls), security="starttls", ca_file=str(certificate))
    assert diary.replies[1].code == 552


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Callable[..., Server], tls: ssl.SSLContext) -> None:
    server = serve(tls=tls, implicit=True)
    diary = dispatch(server, security="tls")
    assert "self-signed" in diary.unavailable.text and diary.unavailable.lasting
    assert diary.outcomes == ["RETURNED"] and server.lines == []


def test_a_certificate_need_not_be_verified(serve: Callable[..., Server], tls: ssl.SSLContext) -> None:
    assert dispatch(serve(tls=tls, implicit=True), security="tls", verify=False).outcomes == ["ACCEPTED"]


def test_a_server_without_tls_is_told_apart(serve: Callable[..., Server]) -> None:
    diary = dispatch(serve(), security="tls")
    assert diary.unavailable.text.startswith("TLS: ") and not diary.unavailable.lasting


def test_a_missing_authorities_file_is_named(serve: Callable[..., Server], tls: ssl.SSLContext, tmp_path: Path) -> None:
    diary = dispatch(serve(tls=tls, implicit=True), security="tls", ca_file=str(tmp_path / "none.pem"))
    assert "none.pem" in diary.unavailable.text


# AUTH


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_password_goes_over_tls(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificate: Path, mechanism: str
) -> None:
    said: list[str] = []

    def login(peer: Peer, line: str) -> str:
        said.append(line)
        if mechanism == "LOGIN":
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                peer.say(prompt)
                said.append(peer.read_line())
        return "235 ok"

    server = serve({"AUTH": login}, (f"AUTH {mechanism}",), tls=tls, implicit=True)
    options = {"security": "tls", "username": "anna", "password": "secret", "ca_file": str(certificate)}
    assert dispatch(server, **options).outcomes == ["ACCEPTED"]
    expected = {"PLAIN": ["AUTH PLAIN AGFubmEAc2VjcmV0"], "LOGIN": ["AUTH LOGIN", "YW5uYQ==", "c2VjcmV0"]}
    assert said == expected[mechanism]


def test_the_password_never_goes_in_clear(serve: Callable[..., Server]) -> None:
    server = serve(offers=("AUTH PLAIN",))
    assert dispatch(server, username="anna", password="secret").unavailable.lasting
    assert server.lines == ["EHLO localhost"]


def test_the_password_never_goes_in_clear_to_another_machine_even_if_allowed() -> None:
    script = login(Endpoint("mx.example.com", 25, "none", "anna", "secret", plain_auth=True), loopback=False)
    answers: list[Any] = [None, (220, b"ready"), (250, b"mx\nAUTH PLAIN")]
    with pytest.raises(LoginFailed, match="without TLS"):
        assert [script.send(answer) for answer in answers] == []


def test_the_password_goes_in_clear_to_loopback_if_allowed(serve: Callable[..., Server]) -> None:
    server = serve(offers=("AUTH PLAIN",))
    assert dispatch(server, username="anna", password="secret", plain_auth=True).outcomes == ["ACCEPTED"]


@pytest.mark.parametrize(("reply", "lasting"), [("535 5.7.8 wrong", True), ("454 4.7.0 later", False)])
def test_a_refused_login_makes_the_server_unavailable(serve: Callable[..., Server], reply: str, lasting: bool) -> None:
    server = serve({"AUTH": reply}, ("AUTH PLAIN",))
    diary = dispatch(server, username="anna", password="secret", plain_auth=True)
    assert (diary.outcomes, diary.unavailable.lasting) == (["RETURNED"], lasting)
    assert diary.unavailable.retry_after == (300 if lasting else 5)
    assert reply.split()[-1] in diary.unavailable.text and "secret" not in diary.unavailable.text


def test_a_server_without_a_known_mechanism_is_unavailable(serve: Callable[..., Server]) -> None:
    diary = dispatch(serve(offers=("AUTH GSSAPI",)), username="anna", password="secret", plain_auth=True)
    assert "AUTH PLAIN" in diary.unavailable.text


# Greeting and EHLO

BAD_STARTS = [
    {"GREETING": "421 4.7.0 too many connections"},
    {"GREETING": "554 no service"},
    {"GREETING": "HTTP/1.1 400 Bad Request"},
    {"GREETING": DROP},
    {"GREETING": stall},
    {"GREETING": "220-" + "x" * 5000},
    {"EHLO": "421 closing"},
    {"EHLO": "451 later"},
    {"EHLO": "500 what?", "HELO": "500 what?"},
    {"EHLO": DROP},
]


@pytest.mark.parametrize("says", BAD_STARTS)
def test_without_a_session_all_is_returned_and_the_server_unavailable(
    serve: Callable[..., Server], says: dict[str, Any]
) -> None:
    server = serve(says)
    diary = dispatch(server, 10, connections=3, reply_timeout=0.2)
    assert set(diary.outcomes) == {"RETURNED"} and diary.events == []
    assert diary.unavailable is not None and not diary.unavailable.lasting
    assert len(server.peers) <= 3


def test_a_server_that_knows_no_ehlo_gets_helo(serve: Callable[..., Server]) -> None:
    server = serve({"EHLO": "500 5.5.1 unknown"})
    assert dispatch(server, 2).outcomes == ["ACCEPTED"] * 2
    assert server.lines[1] == "HELO localhost"


@pytest.mark.slow
def test_a_server_that_says_421_to_every_mail_is_given_up(serve: Callable[..., Server]) -> None:
    server = serve({"MAIL": "421 4.7.0 go away"})
    diary = dispatch(server, 500, connections=2)
    assert diary.unavailable.text == "go away"
    assert set(diary.outcomes) == {"RETURNED"} and len(server.peers) <= 6


def test_waiting_grows_with_each_run_that_found_no_server(serve: Callable[..., Server]) -> None:
    server, waits = serve({"GREETING": "421 busy"}), []
    with closing(transport(server, Diary())) as sender:
        for _ in range(8):
            waits.append(run(sender, Diary(), envelopes(1)).unavailable.retry_after)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


def test_an_unknown_host_is_unavailable(serve: Callable[..., Server]) -> None:
    diary = Diary()
    with closing(transport(serve(), diary)) as sender:
        sender.endpoint = Endpoint("no-such-host.invalid", 25, "none")
        run(sender, diary, envelopes(2))
    assert "no-such-host.invalid" in diary.unavailable.text and diary.outcomes == ["RETURNED"]


def test_a_refused_connection_says_why_and_when_to_come_back() -> None:
    server = Server()
    server.stop()
    diary = dispatch(server, 5, connections=3)
    assert set(diary.outcomes) == {"RETURNED"} and diary.intents == []
    assert os.strerror(111) in diary.unavailable.text and diary.unavailable.retry_after == 5


@pytest.mark.parametrize("dead", [("127.0.0.1", 1), ("255.255.255.255", 25)], ids=["refused", "no route"])
def test_the_next_address_of_a_host_is_tried(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, dead: tuple[str, int]
) -> None:
    server, diary = serve(), Diary()
    found = [(2, 1, 6, "", dead), (2, 1, 6, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **options: found)
    with closing(transport(server, diary)) as sender:
        run(sender, diary, envelopes(2))
    assert diary.outcomes == ["ACCEPTED"] * 2


@pytest.mark.parametrize(
    "wrong", [{"security": "ssl"}, {"helo": "a b"}, {"helo": ""}, {"port": 0}, {"reply_timeout": 0}]
)
def test_an_endpoint_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Endpoint(**{"host": "mx.example.com", "port": 25, **wrong})


def test_an_endpoint_does_not_show_its_password() -> None:
    assert "secret" not in repr(Endpoint("mx.example.com", 25, password="secret"))
