"""Headers that every answer has: what a page may ask of the browser, and that no cache keeps what the API tells."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Nothing of the back office, of what recipients see or of a message shown here needs any of these (W3C Permissions
# Policy): whatever got into a page could not ask for them either.
_UNUSED = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "sync-xhr",
    "usb",
    "xr-spatial-tracking",
)
POLICY = ", ".join(f"{name}=()" for name in _UNUSED)
API = "/api/"
KEPT_NOWHERE = "no-store, private"


class Headers:
    """Middleware: adds what the view has not said itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the headers."""
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", POLICY)
        if request.path.startswith(API):
            response.headers.setdefault("Cache-Control", KEPT_NOWHERE)
        return response
