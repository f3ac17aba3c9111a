"""What every act on a delivery raises when it cannot be done now."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The act cannot be done now. `code` is stable for programs; `details` tells what stood in the way."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
