"""From the greeting to a session that takes mail, as a conversation without a socket: TLS, EHLO, AUTH.

`login` is a generator: it yields what is to be sent (b"": only wait for the answer), or SWITCH_TO_TLS, and is sent
each answer. It returns what the server offers once it may be given mail.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator
from typing import Final, TypeAlias

from .protocol import Answer, Endpoint, Features, explain, parse_features

SWITCH_TO_TLS: Final = None
Step: TypeAlias = bytes | None
NOTHING: Final[Answer] = (0, b"")  # what the generator is sent after a switch to TLS


class LoginFailed(Exception):
    """No session came about. `lasting`: it will not heal by itself (settings, certificate, credentials)."""

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.lasting = lasting


def login(endpoint: Endpoint, *, loopback: bool) -> Generator[Step, Answer, Features]:
    """Open a session as `endpoint` demands; `loopback` tells that the server is on this machine. Raises LoginFailed."""
    if endpoint.security == "tls":
        yield SWITCH_TO_TLS
    _demand((yield b""), "greeting", 220)
    features = yield from _hello(endpoint)
    if endpoint.security == "starttls":
        if not features.starttls:
            raise LoginFailed("The server does not offer STARTTLS, which this routing demands.", lasting=True)
        _demand((yield b"STARTTLS\r\n"), "STARTTLS", 220)
        yield SWITCH_TO_TLS
        features = yield from _hello(endpoint)  # what was offered before TLS is forgotten (RFC 3207 §4.2)
    if endpoint.username:
        yield from _authenticate(endpoint, features, loopback)
    return features


def _hello(endpoint: Endpoint) -> Generator[Step, Answer, Features]:
    name = endpoint.helo.encode()
    answer = yield b"EHLO %b\r\n" % name
    if answer[0] >= 500:  # a server older than extensions (RFC 5321 §3.2)
        _demand((yield b"HELO %b\r\n" % name), "HELO", 250)
        return Features()
    _demand(answer, "EHLO", 250)
    return parse_features(answer[1])


def _authenticate(endpoint: Endpoint, features: Features, loopback: bool) -> Generator[Step, Answer, None]:
    if endpoint.security == "none" and not (endpoint.plain_auth and loopback):
        raise LoginFailed("The password is not sent without TLS.", lasting=True)
    user, password = endpoint.username.encode(), endpoint.password.encode()
    if "PLAIN" in features.auth:  # RFC 4954, RFC 4616
        answer = yield b"AUTH PLAIN %b\r\n" % b64encode(b"\0%b\0%b" % (user, password))
    elif "LOGIN" in features.auth:
        _demand((yield b"AUTH LOGIN\r\n"), "AUTH", 334)
        _demand((yield b64encode(user) + b"\r\n"), "AUTH", 334)
        answer = yield b64encode(password) + b"\r\n"
    else:
        raise LoginFailed("The server offers neither AUTH PLAIN nor AUTH LOGIN.", lasting=True)
    _demand(answer, "AUTH", 235)


def _demand(answer: Answer, what: str, code: int) -> None:
    """Raise LoginFailed unless the answer has this code; a 5xx of AUTH or STARTTLS lasts."""
    if answer[0] != code:
        enhanced, text = explain(answer)
        lasting = answer[0] >= 500 and what in ("AUTH", "STARTTLS")
        raise LoginFailed(f"{what}: {answer[0]} {enhanced} {text}".replace("  ", " "), lasting=lasting)
