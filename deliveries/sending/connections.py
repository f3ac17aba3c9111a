"""The connections of this worker process to mail servers, kept between batches: one Transport for each routing."""

from __future__ import annotations

import os
import re
import socket
from collections import OrderedDict
from typing import Any, cast

from deliveries.mail.smtp.transport import Endpoint, Transport
from deliveries.mail.throttle import Pace
from deliveries.models import Routing
from deliveries.models.routing import VARIABLE_NAMES

from .journal import JournalFailed

KEPT = 4  # servers to which one process stays connected


class Hindered(Exception):
    """Nothing can be sent now; the text tells people why."""


class JournaledTransport(Transport):
    """A transport that stops in good order when the journal fails: what is under way is still answered."""

    def may_begin(self, key: int) -> bool:
        """As Transport says; False too if the intent cannot be written."""
        try:
            return super().may_begin(key)
        except JournalFailed:
            self._stop()
            return False


def endpoint(routing: Routing | None) -> Endpoint:
    """The server of a routing. Raises Hindered, with words for people, if it cannot be used."""
    if routing is None or not routing.enabled:
        name = f"The routing “{routing}” is switched off." if routing else "The delivery has no routing."
        raise Hindered(name)
    try:
        return Endpoint(
            host=routing.host,
            port=routing.port,
            security=cast(Any, routing.security),
            username=routing.username,
            password=_password(routing),
            helo=_own_name(),
            verify=routing.verify_certificate,
        )
    except ValueError as error:
        raise Hindered(f"The routing “{routing}” cannot be used: {error}.") from error


def _password(routing: Routing) -> str:
    name = routing.password_variable
    if not name:
        return ""
    if not re.match(VARIABLE_NAMES, name):
        raise Hindered(f"The routing “{routing}” names the variable {name}; it must begin with SMTP_PASSWORD.")
    if name not in os.environ:
        raise Hindered(
            f"The environment variable {name}, which holds the password of the routing “{routing}”, is not set for the "
            "workers."
        )
    return os.environ[name]


def _own_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"


_paces: dict[int, tuple[str, Pace]] = {}


def pace(routing: Routing | None) -> Pace:
    """How fast each domain's mail may leave by this routing; what was learnt is kept until its limits are changed."""
    limits = routing.domain_limits if routing else {}
    number, written = routing.pk if routing else 0, repr(limits)
    if _paces.get(number, ("", None))[0] != written:
        _paces[number] = (written, Pace(limits))
    return _paces[number][1]


_transports: OrderedDict[tuple[Endpoint, int], JournaledTransport] = OrderedDict()


def _nothing(key: int) -> bytes:
    raise LookupError(key)  # the sender replaces all callbacks before each run


def transport(routing: Routing | None) -> JournaledTransport:
    """The transport to the routing's server, with what connections it has. Raises Hindered."""
    key = (endpoint(routing), routing.connections if routing else 1)
    if key not in _transports:
        _transports[key] = JournaledTransport(*key, _nothing, lambda key: None, lambda key: None)
    _transports.move_to_end(key)
    while len(_transports) > KEPT:
        _transports.popitem(last=False)[1].close()
    return _transports[key]


def hang_up() -> None:
    """Take leave of every server, and forget what was learnt of domains."""
    _paces.clear()
    while _transports:
        _transports.popitem()[1].close()
