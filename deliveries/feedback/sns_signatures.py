"""Amazon SNS signs what it posts: proves that a message is SNS's own, and of a topic of ours.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html says what is signed. The certificate is
fetched from SNS's own host alone, over TLS that proves it, and kept for a day. RSA is checked here (RFC 8017 §8.2.2):
there is no secret on our side, and what was signed must equal, to the last byte, what an honest signer writes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from campaigns.core.web import safe_http

HOST = re.compile(r"https://sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?/SimpleNotificationService-[a-zA-Z0-9]+\.pem")
KEPT, MOST = 86_400, 20  # seconds, certificates
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]
_HASHES = {  # by SignatureVersion: the hash, and what PKCS #1 writes before its value (RFC 8017 §9.2, note 1)
    "1": ("sha1", bytes.fromhex("3021300906052b0e03021a05000414")),
    "2": ("sha256", bytes.fromhex("3031300d060960864801650304020105000420")),
}
_RSA = bytes.fromhex("2a864886f70d010101")  # the object identifier of RSA keys
_keys: dict[str, tuple[float, tuple[int, int]]] = {}  # address of a certificate: (until, key)


class Unproved(ValueError):
    """The message is not proved to be SNS's, or not of a topic of ours; the text says why."""


def check(message: Mapping[str, Any]) -> None:
    """In: a message as SNS posts it. Raises Unproved; safe_http.NoAnswer if the certificate cannot be had now."""
    topics = settings.SNS_TOPICS
    if topics and message.get("TopicArn") not in topics:
        raise Unproved(f"SNS_TOPICS does not name the topic {str(message.get('TopicArn'))[:200]}")
    address = message.get("SigningCertURL")
    if not isinstance(address, str) or not HOST.fullmatch(address):
        raise Unproved("the certificate is not where SNS keeps its own")
    name, before = _HASHES.get(str(message.get("SignatureVersion")), ("", b""))
    if not name:
        raise Unproved("the signature's version is neither 1 nor 2")
    try:
        signature = base64.b64decode(str(message.get("Signature", "")), validate=True)
    except ValueError as error:
        raise Unproved("the signature is no base64") from error
    digest = before + hashlib.new(name, signed_text(message).encode("utf-8", "replace")).digest()
    if not fits(_key(address), signature, digest):
        raise Unproved("the signature does not fit the message")


def signed_text(message: Mapping[str, Any]) -> str:
    """What SNS signs: names and values, a line each. Raises Unproved for a message of an unknown kind."""
    names = _SIGNED.get(str(message.get("Type")))
    if names is None:
        raise Unproved("SNS sends no messages of this type")
    return "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)


def fits(key: tuple[int, int], signature: bytes, digest: bytes) -> bool:
    """True if `signature` is the key's over `digest` (with its algorithm in front), by PKCS #1 v1.5."""
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        return False
    expected = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return hmac.compare_digest(pow(number, exponent, modulus).to_bytes(size, "big"), expected)


def _key(address: str) -> tuple[int, int]:
    until, key = _keys.get(address, (0.0, (0, 0)))
    if until > time.monotonic():
        return key
    answer = safe_http.request("GET", address)
    if answer.status != 200:
        raise safe_http.NoAnswer(f"{address}: {answer.status}")
    key = key_of(answer.body.decode("ascii", "replace"))
    if len(_keys) >= MOST:
        _keys.clear()
    _keys[address] = (time.monotonic() + KEPT, key)
    return key


def key_of(pem: str) -> tuple[int, int]:
    """The modulus and the exponent of a certificate's RSA key (RFC 5280 §4.1). Raises Unproved."""
    try:
        start = pem.index("-----BEGIN CERTIFICATE-----")
        whole = ssl.PEM_cert_to_DER_cert(pem[start : pem.index("-----END CERTIFICATE-----") + 25] + "\n")
        [(_tag, certificate)] = _elements(whole)
        (_tag, told), *_signature = _elements(certificate)
        fields = [inner for tag, inner in _elements(told) if tag != 0xA0]  # without the version
        (_tag, algorithm), (_bits, bits) = _elements(fields[5])
        [(_tag, numbers)] = _elements(bits[1:])
        (_tag, modulus), (_tag, exponent) = _elements(numbers)
        if next(_elements(algorithm))[1] != _RSA:
            raise Unproved("the certificate's key is none of RSA")
    except (ValueError, IndexError, StopIteration) as error:
        raise Unproved(f"this is no certificate: {error}") from error
    key = int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
    if not (2048 <= key[0].bit_length() <= 8192 and 3 <= key[1] < 2**32):
        raise Unproved("the certificate's key is too short, or odd")
    return key


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element in a piece of DER. Raises ValueError for one that is cut off."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data):
            raise ValueError("an element is cut off")
        yield tag, data[at : at + size]
        at += size
