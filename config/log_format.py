"""How the log is written: a line of text, or (LOG_FORMAT=json) a line of JSON.

In neither does an e-mail address stand, nor the secret part of an address of ours.

Whatever a mail server, a library or an exception says may quote an address: it is taken out of the finished text, the
traceback's too, so that no line of the program has to remember it. So is what opens a recipient's letter, a proof's
verdict or the door of a mail service: Django names the path of each request that it refuses.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

# Anything that could be an address, rather more than less: Message-IDs, too, whose left side is a recipient's token.
# Linear: a name is read only from where its run of characters begins, and never given back; whatever stands right
# behind an address and ends in another one goes with it.
_NAME = r"[^\s<>()\[\]\",;:@\\]"
_DOMAIN = r"(?:\[[^\]\s]{1,60}\]|[^\s<>()\[\]\"',;:@|{}/\\]++)"
_ADDRESS = re.compile(
    rf"(?:\"[^\"\n]{{1,64}}\"|(?<!{_NAME}){_NAME}++)@{_DOMAIN}(?:(?:['|{{}}/]{_NAME}*+)?@{_DOMAIN})*+"
)
HIDDEN = "(address)"
# /t/<what>/<token>, /proof/<token>/, /feedback/<service>/<secret>/
_SECRET_PATH = re.compile(r"(/(?:t/[a-z]|proof|feedback/[\w-]{1,50})/)[^\s/?#\"'<>]{1,500}")


def without_addresses(text: str) -> str:
    """The text with every e-mail address hidden."""
    return _ADDRESS.sub(HIDDEN, text) if "@" in text else text


_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def without_secrets(text: str) -> str:
    """The text without e-mail addresses, and without what stands in the place of a token or secret in a path."""
    return _SECRET_PATH.sub(r"\1(secret)", without_addresses(text))


class Line(logging.Formatter):
    """Text for people. What a message quotes breaks no line and steers no terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without its traceback."""
        record.message = _BREAKING.sub(" ", record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """One record, its traceback below it."""
        ids = "".join(f" {name}={value}" for name, value in getattr(record, "about", {}).items())
        line = super().format(record)
        return without_secrets(line.replace(f" {record.name}:", f" {record.name}{ids}:", 1) if ids else line)


class Json(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, delivery, batch, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {
            "time": at,
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **getattr(record, "about", {}),
            "process": record.process,
        }
        if record.exc_info:
            told["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False, default=str)
