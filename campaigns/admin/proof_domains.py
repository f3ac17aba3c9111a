"""Admin pages of the domains that proofs may go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from campaigns.accounts import permissions
from campaigns.models.proof_domains import ProofDomain

from .base import UnitAdmin


@admin.register(ProofDomain)
class ProofDomainAdmin(UnitAdmin):
    """Seen by whoever prepares, kept by administrators at and below their unit."""

    fields = ["domain"]
    list_display = ["domain", "unit", "created_at"]
    list_select_related = ["unit"]
    search_fields = ["domain"]

    def _may(self, request: HttpRequest, verb: str, obj: Any, within: Callable[[Any, Any], bool]) -> bool:
        may = permissions.may_see_proof_domains if verb == "view" else permissions.may_administer
        return may(request.user) and (obj is None or within(request.user, obj))
