"""What the API answers to a refusal: 409 with the code of the refusal; 412 and 428 where it is about the form."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import APIException

from campaigns.api.base import Conflict
from campaigns.api.problem_details import answers
from deliveries.ledger.errors import Refused


class SealBroken(APIException):
    """412: If-Match names another fingerprint than the delivery's."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = "The delivery is not the one that you looked at: its fingerprint differs. Read it again."
    default_code = "fingerprint_differs"

    @classmethod
    def in_parts(cls, parts: list[str]) -> SealBroken:
        """With what differs."""
        return cls(f"{cls.default_detail} What differs: {', '.join(parts)}.")


class FormUnseen(APIException):
    """428 (RFC 6585 section 3): what leaves in somebody's name takes an If-Match with what they looked at."""

    status_code = status.HTTP_428_PRECONDITION_REQUIRED
    default_detail = "Send If-Match with the `fingerprint` or `form` that you looked at: it leaves in your name."
    default_code = "form_unseen"


@answers(Refused)
def of_refusal(refusal: Refused) -> APIException:
    """The answer to a refusal, whichever act raised it."""
    if refusal.code == "form_unseen":
        return FormUnseen()
    if refusal.code == "form_differs":
        return SealBroken.in_parts(refusal.details["changed"])
    return Conflict(refusal.message, code=refusal.code)
