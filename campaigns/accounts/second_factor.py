"""A second factor for whoever wants one, or must have one to start deliveries (TOTP_TO_START): an authenticator app.

A code serves once. Ten recovery codes serve once each, for a lost phone; only their digests are kept.

The app's secret is derived from a salt and SECRET_KEY. Once that key stands among SECRET_KEY_FALLBACKS, the first code
that is right lets the secret be kept, enciphered with the key that signs now: then the old key may go.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time

import segno
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from campaigns.audit import trail
from campaigns.core import secret_keys
from campaigns.core.actors import Actor, Person
from campaigns.models.accounts import SecondFactor

from . import totp

logger = logging.getLogger("campaigns.accounts.second_factor")

CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike


def of(user: Actor) -> SecondFactor | None:
    """The factor that the user must show, None if none is in use."""
    if user.pk is None:
        return None
    return SecondFactor.objects.filter(user_id=user.pk, confirmed_at__isnull=False).first()


def anybody() -> bool:
    """True if somebody has one: then the log-in page asks."""
    return SecondFactor.objects.filter(confirmed_at__isnull=False).exists()


def require_to_start(user: Actor) -> None:
    """Raise PermissionDenied, with words for the person, if starting deliveries needs a factor and they have none."""
    if settings.TOTP_TO_START and of(user) is None:
        raise PermissionDenied(_("Starting deliveries needs a second factor here. The link to set yours up is above."))


def secret(factor: SecondFactor) -> bytes | None:
    """Its 20 bytes. A database alone does not give them away. None: its key is listed no more."""
    key = secret_keys.named(factor.key)
    if key is None:
        return None
    if factor.enciphered:
        return _xor(bytes.fromhex(factor.enciphered), _pad(factor, key))
    derived = hashlib.sha256(b"totp:" + key.encode()).digest()
    return hmac.new(derived, factor.salt.encode(), "sha256").digest()[:20]


def _pad(factor: SecondFactor, key: str) -> bytes:
    """A one-time pad: each key gives each salt its own, which never covers another secret."""
    return hmac.digest(secret_keys.derived(key, b"totp-kept"), factor.salt.encode(), "sha256")[:20]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _keep_under_the_present_key(factor: SecondFactor, known: bytes) -> None:
    if factor.key != secret_keys.present_name():
        factor.enciphered = _xor(known, _pad(factor, settings.SECRET_KEY)).hex()
        factor.key = secret_keys.present_name()


def pending(user: Person) -> SecondFactor | None:
    """The factor that the user has begun to set up, and can go on with."""
    factor = SecondFactor.objects.filter(user_id=user.pk, confirmed_at=None).first()
    return factor if factor is not None and secret(factor) is not None else None


def begin(user: Person) -> SecondFactor:
    """Begin to set one up; the same until it is confirmed, or its key is no more."""
    factor, _made = SecondFactor.objects.get_or_create(user=user, defaults={"salt": secrets.token_urlsafe(32)})
    if secret(factor) is None and factor.confirmed_at is None:
        factor.salt, factor.key, factor.enciphered = secrets.token_urlsafe(32), secret_keys.present_name(), ""
        factor.save(update_fields=["salt", "key", "enciphered"])
    return factor


def app_address(factor: SecondFactor) -> str:
    """What an app opens or reads."""
    return totp.address(secret(factor) or b"", _("Deliveries back office"), factor.user.get_username())


def picture(factor: SecondFactor) -> SafeString:
    """The address as a QR code (ISO/IEC 18004) that an app's camera reads: SVG for a page, without style or script.
    It is black on white in either theme, with the quiet zone that readers need."""
    code = segno.make_qr(app_address(factor))
    return mark_safe(code.svg_inline(scale=4, dark="#000", light="#fff", lineclass=None, svgclass=None))  # noqa: S308


def confirm(user: Person, code: str) -> list[str] | None:
    """Take the factor into use. Out: the recovery codes, shown this once; None if the code is wrong."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user, confirmed_at=None).first()
        if factor is None or not _is_code(factor, code):
            return None
        factor.confirmed_at = timezone.now()
        codes = _new_codes(factor)
        trail.record("totp.added", by=user, subject=user)
    return codes


def renew_codes(user: Person) -> list[str]:
    """New recovery codes instead of those that are left."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().get(user=user, confirmed_at__isnull=False)
        codes = _new_codes(factor)
        trail.record("totp.codes_renewed", by=user, subject=user)
    return codes


def remove(user: Person, by: Person | None = None) -> bool:
    """Take it out of use. Out: False if there was none."""
    with transaction.atomic():
        gone, _each = SecondFactor.objects.filter(user=user).delete()
        if gone:
            trail.record("totp.removed", by=by, subject=user)
    return bool(gone)


def accepts(user: Person, code: str) -> bool:
    """True if the code is the app's, or a recovery code that is left; each serves once."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user, confirmed_at__isnull=False).first()
        return factor is not None and (_is_code(factor, code) or _is_recovery(factor, code))


def _is_code(factor: SecondFactor, code: str) -> bool:
    known = secret(factor)
    if known is None:
        logger.error(
            "the second factor of user #%s needs a key that is no longer in SECRET_KEY_FALLBACKS", factor.user_id
        )
        return False
    step = totp.step_of(known, code.replace(" ", ""), time.time(), factor.last_step)
    if step is None:
        return False
    factor.last_step = step
    _keep_under_the_present_key(factor, known)
    factor.save(update_fields=["last_step", "key", "enciphered"])
    return True


def _is_recovery(factor: SecondFactor, code: str) -> bool:
    digest = _digest(code)
    left = [kept for kept in factor.recovery if not hmac.compare_digest(kept, digest)]
    if len(left) == len(factor.recovery):
        return False
    factor.recovery = left
    factor.save(update_fields=["recovery"])
    trail.record("totp.recovery_used", by=factor.user, subject=factor.user, left=len(left))
    return True


def _new_codes(factor: SecondFactor) -> list[str]:
    letters = ["".join(secrets.choice(_ALPHABET) for _letter in range(10)) for _code in range(CODES)]
    codes = [f"{word[:5]}-{word[5:]}" for word in letters]
    factor.recovery = [_digest(code) for code in codes]
    factor.save()
    return codes


def _digest(code: str) -> str:
    """Ten letters of chance need no slow hash."""
    return hashlib.sha256(code.strip().lower().replace(" ", "").encode("utf-8", "replace")).hexdigest()
