"""A non-blocking socket on a selector: connecting, TLS, writing what the kernel takes, reading what came.

A failed write says nothing: what the peer still sent is read first, and the loss is noticed there.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from errno import EINPROGRESS
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import Any, TypeAlias

Address: TypeAlias = tuple[socket.AddressFamily, Any]

CHUNK = 4096  # octets read at once: replies are short
TLS_CHUNK = 16384  # octets written to TLS at once: one record, so that progress shows


class Channel:
    """Registered with `selector`, with itself as the key's data: call `handle(events)` for its events.

    A subclass is told `opened` (TCP, then TLS if it called `start_tls`), `received`, `progressed` and `broken`.
    """

    __slots__ = (
        "_connect_error",
        "_mask",
        "_others",
        "_selector",
        "address",
        "closed",
        "handle",
        "out",
        "secure",
        "sock",
        "taken",
    )

    sock: socket.socket
    handle: Callable[[int], None]

    def __init__(self, selector: BaseSelector, addresses: list[Address]) -> None:
        """Begin to connect to the first of `addresses` that answers. Raises OSError if no socket can be had."""
        self._selector = selector
        self._others = addresses
        self.out: list[bytes | memoryview] = []  # what the kernel has not taken yet
        self.taken = 0  # octets that the kernel (or TLS) took in all
        self.secure = self.closed = False
        self._connect()

    def opened(self) -> None:
        """There is a connection to talk on."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        """These octets came."""
        raise NotImplementedError

    def progressed(self) -> None:
        """The kernel took some of what was left over."""
        raise NotImplementedError

    def broken(self, text: str, *, lasting: bool = False) -> None:
        """The connection is gone or came to nothing; `lasting` if trying again cannot help. It must close()."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up the socket; what was not taken is dropped."""
        self.closed = True
        self.out.clear()
        self._release()

    def write(self, *pieces: bytes) -> None:
        """Send these one after the other, now as far as possible and later the rest."""
        if self.secure:
            self.out.append(b"".join(pieces))  # one record rather than one for each piece
        else:
            self.out.extend(pieces)
        self._flush()

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Speak TLS from here on, with the server called `name`; `opened` or `broken` follows."""
        self._selector.unregister(self.sock)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name, do_handshake_on_connect=False)
        except OSError as error:
            self.broken(f"TLS: {_words(error)}")
            return
        self.secure = True
        self._watch_first(EVENT_READ, self._shake)
        self._shake(0)

    def _connect(self) -> None:
        (family, self.address), *self._others = self._others
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a group must not wait for an acknowledgement
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        error = self.sock.connect_ex(self.address)
        self._connect_error = 0 if error == EINPROGRESS else error
        self._watch_first(EVENT_WRITE, self._connected)  # a failure, too, shows as an event

    def _connected(self, _events: int) -> None:
        error = self._connect_error or self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.try_next(os.strerror(error))
        else:
            self.handle = self._ready
            self._watch(EVENT_READ)
            self.opened()

    def try_next(self, text: str) -> None:
        """This address came to nothing, as `text` says: try the next one."""
        if not self._others:
            self.broken(f"{self.address[0]}: {text}")
            return
        self._release()
        try:
            self._connect()
        except OSError as error:
            self.broken(f"{self.address[0]}: {_words(error)}")

    @property
    def connecting(self) -> bool:
        """No TCP connection yet."""
        return self.handle == self._connected

    def _shake(self, _events: int) -> None:
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(EVENT_READ)
        except ssl.SSLWantWriteError:
            self._watch(EVENT_WRITE)
        except OSError as error:
            self.broken(f"TLS: {_words(error)}", lasting=isinstance(error, ssl.SSLCertVerificationError))
        else:
            self.handle = self._ready
            self._watch(EVENT_READ)
            self.opened()

    def _ready(self, events: int) -> None:
        if events & EVENT_READ:
            self._read()
            while self.secure and not self.closed and self._tls_pending():
                self._read()
        if self.out:
            before = self.taken
            self._flush()
            if self.taken > before:
                self.progressed()

    def _tls_pending(self) -> bool:
        """TLS holds octets that the selector cannot see."""
        return isinstance(self.sock, ssl.SSLSocket) and self.handle == self._ready and self.sock.pending() > 0

    def _read(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self.broken(f"The connection was lost: {_words(error)}")
            return
        if data:
            self.received(data)
        else:
            self.broken("The server closed the connection.")

    def _flush(self) -> None:
        out = self.out
        try:
            while out:
                count = self._send_record() if self.secure else self.sock.sendmsg(out)
                self.taken += count
                if count == sum(map(len, out)):
                    out.clear()
                else:
                    self._drop(count)
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._watch(EVENT_READ | EVENT_WRITE)
            return
        except ssl.SSLWantReadError:
            pass  # read first; _ready comes back here
        except OSError:
            out.clear()
        if self._mask != EVENT_READ:
            self._watch(EVENT_READ)

    def _send_record(self) -> int:
        return self.sock.send(memoryview(self.out[0])[:TLS_CHUNK])

    def _drop(self, count: int) -> None:
        """These octets of `out` are gone."""
        out = self.out
        while out and count >= len(out[0]):
            count -= len(out.pop(0))
        if count:
            out[0] = memoryview(out[0])[count:]

    def _watch_first(self, mask: int, handle: Callable[[int], None]) -> None:
        self.handle = handle
        self._mask = mask
        self._selector.register(self.sock, mask, self)

    def _watch(self, mask: int) -> None:
        if mask != self._mask:
            self._mask = mask
            self._selector.modify(self.sock, mask, self)

    def _release(self) -> None:
        with suppress(KeyError, ValueError):  # not registered when TLS could not begin
            self._selector.unregister(self.sock)
        self.sock.close()


def _words(error: OSError) -> str:
    """What the error says, without Python's brackets around it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.strerror or str(error)
