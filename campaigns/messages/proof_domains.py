"""Where proofs may go without the role Start deliveries: the domains that administrators keep, by unit."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from campaigns.accounts import units
from campaigns.core.domains import domain_of
from campaigns.models.proof_domains import ProofDomain
from campaigns.models.units import OrganizationalUnit


def serving(unit: OrganizationalUnit) -> QuerySet[ProofDomain]:
    """The domains that serve a unit: its own, and those of the units above it."""
    return ProofDomain.objects.filter(unit__path__in=units.above(unit.path))


def outside(addresses: Iterable[str], unit: OrganizationalUnit) -> set[str]:
    """Of these addresses those whose domain serves the unit not. One query."""
    domains = {address: domain_of(address) for address in addresses}
    known = set(serving(unit).filter(domain__in=set(domains.values())).values_list("domain", flat=True))
    return {address for address, domain in domains.items() if domain not in known}
