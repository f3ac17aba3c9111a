"""Requests to addresses that people typed in (webhooks): they must not become a way into our own network.

The host is looked up once, every address that it has is judged, and the connection goes to one of the very addresses
that were judged: a second answer of the name server ("rebinding") is never asked for. TLS still names and proves the
host. No redirect is followed, no proxy of the environment is used, and the whole exchange has one deadline.

Private, loopback, link-local (the clouds' metadata services), shared, multicast and reserved ranges are refused, also
when an IPv6 address only wraps one of them, unless OUTGOING_ALLOW names the network. Plain HTTP goes to networks named
there alone.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from campaigns.core.kept_text import keep as _

SECONDS = 10.0
MOST_BYTES = 64 * 1024  # of an answer; the rest is not read

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_OTHERS = (  # global by number, but not everybody's: protocol assignments, and a cloud's own service
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("168.63.129.16/32"),
)


class Forbidden(ValueError):
    """The address may not be asked; the sentence (kept_text.py) says why and what to do: a setting or the address
    itself must change."""


class NoAnswer(Exception):
    """The address may be asked, but did not answer in time or in HTTP; worth another try."""


@dataclass(frozen=True, slots=True)
class Target:
    """A judged address: where to connect, and what to say there."""

    secure: bool
    host: str  # in ASCII, as TLS and the Host header name it
    port: int
    path: str  # with the query
    address: str  # numeric: this one is connected to


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and at most MOST_BYTES of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def judge(url: str) -> Target:
    """In: an https address (http towards OUTGOING_ALLOW). Looks the host up. Raises Forbidden, NoAnswer."""
    secure, host, port, path = _parts(url)
    addresses = _look_up(host, port)
    named = [_named(address) for address in addresses]
    for address, allowed in zip(addresses, named, strict=True):
        if not allowed and not is_public(address):
            words = _(
                "%(host)s leads to %(address)s, off the public internet. OUTGOING_ALLOW may name that network.",
                host=host,
                address=address,
            )
            raise Forbidden(words)
    if not secure and not all(named):
        raise Forbidden(_("The address must begin with https://."))
    return Target(secure, host, port, path, str(addresses[0]))


def request(
    method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, seconds: float = SECONDS
) -> Answer:
    """Ask once. Out: whatever was answered, 3xx, 4xx and 5xx too. Raises Forbidden, NoAnswer."""
    target = judge(url)
    connection = _Pinned(target, seconds)
    clock = threading.Timer(seconds, connection.cut)
    clock.daemon = True
    clock.start()
    try:
        connection.request(method, target.path, body or None, dict(headers or {}))
        answer = connection.getresponse()
        text = answer.read(MOST_BYTES)
        if connection.late:
            raise TimeoutError
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
    except (OSError, http.client.HTTPException) as error:
        why = f"no answer within {seconds:g} s" if connection.late else (str(error) or type(error).__name__)
        raise NoAnswer(f"{target.host}: {why}") from error
    finally:
        clock.cancel()
        connection.close()


def is_public(address: _Address) -> bool:
    """False for every range that is not the public internet, and for wrappers of such an address."""
    inner = _unwrapped(address)
    return (
        inner.is_global
        and not inner.is_multicast
        and not inner.is_reserved
        and not any(inner in network for network in _OTHERS)
    )


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address in a mapped, 6to4, Teredo or NAT64 one: some machine on the way may unwrap it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _named(address: _Address) -> bool:
    inner = _unwrapped(address)
    return any(inner.version == network.version and inner in network for network in settings.OUTGOING_ALLOW)


def _parts(url: str) -> tuple[bool, str, int, str]:
    """(https?, host, port, path with query). Raises Forbidden."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Forbidden(_("This is not an address: %(error)s.", error=error)) from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Forbidden(_("The address must begin with https:// and name a host."))
    if parts.username is not None or parts.password is not None:
        raise Forbidden(_("The address must not hold a user or a password."))
    secure = parts.scheme == "https"
    port = (443 if secure else 80) if port is None else port
    if port not in (80, 443) and port < 1024:
        words = _("Port %(port)s belongs to another service; use 443, or one above 1023.", port=str(port))
        raise Forbidden(words)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not (path.isascii() and path.isprintable() and " " not in path):
        raise Forbidden(_("The path holds a blank or another character that must be written as %XX."))
    return secure, _ascii(parts.hostname), port, path


def _ascii(host: str) -> str:
    if "%" in host:
        raise Forbidden(_("A host with a zone (%) is an address of this machine's own networks."))
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Forbidden(_("%(host)s is not a host name.", host=host)) from error


def _look_up(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"{host} has no address: {error}") from error
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


class _Pinned(http.client.HTTPConnection):
    """A connection to the judged address, whatever the host's name would lead to now."""

    def __init__(self, target: Target, seconds: float) -> None:
        super().__init__(target.host, target.port, timeout=seconds)
        self.default_port = 443 if target.secure else 80  # decides whether Host names the port
        self.target, self.late = target, False
        self._wire: socket.socket | None = None  # `sock` is given away once an answer says that it is the last

    def connect(self) -> None:
        """Connect, and prove the host when it is https."""
        self._wire = sock = socket.create_connection((self.target.address, self.target.port), self.timeout)
        if self.target.secure:
            context = ssl.create_default_context()
            self._wire = sock = context.wrap_socket(
                sock, server_hostname=self.target.host, do_handshake_on_connect=False
            )
            sock.do_handshake()
        self.sock = sock

    def cut(self) -> None:
        """End an exchange that takes too long in all, even if each piece of it comes in time."""
        self.late = True
        if self._wire is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)  # TLS's own would first forget its keys
