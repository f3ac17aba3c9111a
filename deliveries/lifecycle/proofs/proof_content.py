"""What a proof says: the message as it stands, marked as a proof."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from campaigns.models import Message
from deliveries.preparation.snapshot import snapshot

PREFIX, LINK = "proof_prefix", "proof_url"  # names that the content of a proof quotes, beside the profile's


_BODY_END = re.compile(r"</body(\s*+>)?", re.IGNORECASE)


def of_now(message: Message, attribute_names: Sequence[str]) -> dict[str, Any]:
    """The message as it stands, as Delivery.content keeps it."""
    return dict(snapshot(message, attribute_names))


def marked(content: dict[str, Any]) -> dict[str, Any]:
    """A message's content as a proof: the prefix before the subject, and the way to answer beneath the rest."""
    words = _("Approve or refuse this proof")
    line = f'<p><a href="{{{{ {LINK} }}}}" data-track="never">{words}</a></p>'
    html, text = content["html"], content["text"]
    if html:
        at = _body_end(html)
        html = f"{html[:at]}{line}{html[at:]}"
    if text:
        text = f"{text}\n\n{words}: {{{{ {LINK} }}}}\n"
    subject = f"{{{{ {PREFIX} }}}}{content['subject']}"
    return content | {"subject": subject, "html": html, "text": text, "fields": [*content["fields"], PREFIX, LINK]}


def _body_end(html: str) -> int:
    """Where the last `</body>` stands; the end of the text without one."""
    last = next(iter(deque(_BODY_END.finditer(html), maxlen=1)), None)
    return last.start() if last and last[1] else len(html)
