"""Who acts: the type of the user in every question about rights and in every command.

An Actor is whoever a request comes from, perhaps nobody that is known; a Person is somebody with an account, in whose
name something is written down. A program that acts by a token is a Person, too (campaigns/accounts/api_tokens.py).
"""

from __future__ import annotations

from typing import TypeAlias

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied

Person: TypeAlias = User
Actor: TypeAlias = User | AnonymousUser


def person(actor: Actor) -> Person:
    """The person who acts. Raises PermissionDenied for somebody who is not logged in."""
    if isinstance(actor, AnonymousUser):
        raise PermissionDenied
    return actor
