"""The OpenAPI document as it is served: made once for each language and format, since anybody may ask for it.

Making it takes the best part of a second; it tells the API's shape and nobody's data.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import translation
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_made: dict[tuple[str, str], bytes] = {}  # at most the settings' languages times the view's formats
_lock = Lock()  # of many who ask at once the first makes it


class DocumentView(SpectacularAPIView):
    """The API as OpenAPI 3.1: YAML, or JSON if the Accept header or ?format= asks for it."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """In the language of `lang`, else of the reader. There is one version; asking for others makes no other."""
        asked = request.query_params.get("lang", "")
        language = asked if asked in dict(settings.LANGUAGES) else translation.get_language() or settings.LANGUAGE_CODE
        with translation.override(language):
            content = self._content(request, language)
        kind = f"{request.accepted_renderer.media_type}; charset=utf-8"
        return HttpResponse(content, content_type=kind, headers={"Cache-Control": "private, max-age=300"})

    def _content(self, request: Request, language: str) -> bytes:
        renderer = request.accepted_renderer
        key = (language, renderer.media_type)
        with _lock:
            if key not in _made:
                generator: Any = self.generator_class()
                document = generator.get_schema(request=None, public=True)
                made = renderer.render(document, renderer.media_type, {})
                _made[key] = made if isinstance(made, bytes) else made.encode()
            return _made[key]
