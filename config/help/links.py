"""Which chapter explains which page of the admin: the "?" beside its title leads there."""

from __future__ import annotations

from django.urls import reverse

from .documents import INDEX

# The name of a page's address, or what it begins with (a model with all its pages): the chapter, and its heading. The
# longest one counts; a page that none names leads to the index.
CHAPTERS = {
    "admin:campaigns_campaign": "first-campaign",
    "admin:campaigns_message": "first-campaign",
    "admin:campaigns_brand": "first-campaign",
    "admin:campaigns_audience": "first-campaign",
    "admin:campaigns_profile": "first-campaign",
    "admin:campaigns_profileimport": "first-campaign",
    "admin:campaigns_typology": "concepts",
    "admin:campaigns_typologyrule": "concepts",
    "admin:campaigns_testprofile": "proofs-and-tracking",
    "admin:campaigns_proofdomain": "proofs-and-tracking",
    "admin:campaigns_nevertracked": "proofs-and-tracking",
    "admin:campaigns_auditentry": "security",
    "admin:campaigns_organizationalunit": "security",
    "admin:auth": "security",
    "admin:password_change": "security",
    "second-factor": "security",
    "admin:deliveries_delivery": "first-campaign",
    "admin:deliveries_delivery_in_doubt": "concepts",
    "admin:deliveries_delivery_proof": "proofs-and-tracking",
    "admin:deliveries_delivery_proofs": "proofs-and-tracking",
    "admin:deliveries_delivery_approve": "proofs-and-tracking",
    "admin:deliveries_deliveryevent": "operations",
    "admin:deliveries_sendinglog": "operations",
    "admin:deliveries_exclusionlog": "operations",
    "admin:deliveries_routing": "deliverability",
    "admin:deliveries_quarantinedaddress": "deliverability",
    "admin:deliveries_qualificationrule": "deliverability",
    "admin:deliveries_feedbackevent": "deliverability",
    "admin:deliveries_webhookendpoint": "api",
    "admin:deliveries_webhookcall": "api",
    "api-tokens": "api",
    "admin:reporting_trackinglog": "proofs-and-tracking",
    "admin:reporting_alert": "operations",
    "admin:reporting_alertdashboard": "operations",
    "my-notices": "operations",
    "campaign-report": "proofs-and-tracking",
    "delivery-tracking-logs": "proofs-and-tracking",
    "delivery-tracked-urls": "proofs-and-tracking",
    "delivery-hot-clicks": "proofs-and-tracking",
    "delivery-report": "proofs-and-tracking",
    "profile-history": "proofs-and-tracking",
}


def chapter_of(page: str) -> str:
    """The chapter, with its heading, of the page whose address has this name."""
    found = [name for name in CHAPTERS if page == name or page.startswith((f"{name}_", f"{name}-"))]
    return CHAPTERS[max(found, key=len)] if found else INDEX


def address_of(page: str) -> str:
    """The address of chapter_of(page)."""
    chapter, mark, heading = chapter_of(page).partition("#")
    address = reverse("help-index") if chapter == INDEX else reverse("help", args=[chapter])
    return f"{address}{mark}{heading}"
