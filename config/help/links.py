"""Which chapter explains which page of the admin: the "?" beside its title leads there."""

from __future__ import annotations

from django.urls import reverse

from .documents import INDEX

# The name of a page's address, or what it begins with (a model with all its pages): the chapter, and its heading. The
# longest one counts; a page that none names leads to the index.
CHAPTERS = {
    "admin:campaigns_campaign": "proofs-and-tracking#approval-by-another-person",
    "admin:campaigns_campaign_who": "security#roles-and-units",
    "admin:campaigns_message": "first-campaign#by-browser",
    "admin:campaigns_brand": "concepts#glossary",
    "admin:campaigns_audience": "first-campaign#by-browser",
    "admin:campaigns_profile": "deliverability#consent",
    "admin:campaigns_profileimport": "first-campaign#by-browser",
    "admin:campaigns_typology": "concepts#who-is-left-out",
    "admin:campaigns_typologyrule": "concepts#who-is-left-out",
    "admin:campaigns_testprofile": "proofs-and-tracking#proofs",
    "admin:campaigns_proofdomain": "proofs-and-tracking#proofs",
    "admin:campaigns_nevertracked": "proofs-and-tracking#tracking",
    "admin:campaigns_auditentry": "security#audit",
    "admin:campaigns_organizationalunit": "security#roles-and-units",
    "admin:auth": "security#roles-and-units",
    "admin:password_change": "security#accounts-sessions-and-tokens",
    "second-factor": "security#accounts-sessions-and-tokens",
    "admin:deliveries_delivery": "concepts#the-figures",
    "admin:deliveries_delivery_confirm": "first-campaign#by-browser",
    "admin:deliveries_delivery_exclusion_logs": "concepts#who-is-left-out",
    "admin:deliveries_delivery_exclusion_causes": "concepts#who-is-left-out",
    "admin:deliveries_delivery_sending_log": "proofs-and-tracking#rows-and-exports",
    "admin:deliveries_delivery_sending_logs": "proofs-and-tracking#rows-and-exports",
    "admin:deliveries_delivery_delete": "concepts#when-it-leaves",
    "admin:deliveries_delivery_log": "operations#when-something-is-wrong",
    "admin:deliveries_delivery_executions": "concepts#when-it-leaves",
    "admin:deliveries_delivery_series-on": "concepts#what-starts-without-being-asked",
    "admin:deliveries_delivery_continue-series": "concepts#what-starts-without-being-asked",
    "admin:deliveries_delivery_in_doubt": "operations#when-something-is-wrong",
    "admin:deliveries_delivery_proof": "proofs-and-tracking#proofs",
    "admin:deliveries_delivery_proofs": "proofs-and-tracking#proofs",
    "admin:deliveries_delivery_approve": "proofs-and-tracking#approval-by-another-person",
    "admin:deliveries_deliveryevent": "operations#when-something-is-wrong",
    "admin:deliveries_sendinglog": "proofs-and-tracking#rows-and-exports",
    "admin:deliveries_exclusionlog": "concepts#who-is-left-out",
    "admin:deliveries_routing": "deliverability#the-mail-server",
    "admin:deliveries_quarantinedaddress": "deliverability#quarantine",
    "admin:deliveries_qualificationrule": "deliverability#what-comes-back",
    "admin:deliveries_feedbackevent": "deliverability#what-comes-back",
    "admin:deliveries_webhookendpoint": "api#webhooks",
    "admin:deliveries_webhookcall": "api#webhooks",
    "api-tokens": "api#tokens",
    "my-notices": "proofs-and-tracking#notices-to-staff",
    "admin:reporting_trackinglog": "proofs-and-tracking#tracking",
    "admin:reporting_alert": "proofs-and-tracking#alerts",
    "admin:reporting_alertdashboard": "proofs-and-tracking#alerts",
    "campaign-report": "proofs-and-tracking#reports",
    "delivery-report": "proofs-and-tracking#reports",
    "delivery-rows": "proofs-and-tracking#rows-and-exports",
    "delivery-export": "proofs-and-tracking#rows-and-exports",
    "delivery-evidence": "security#audit",
    "delivery-tracking-logs": "proofs-and-tracking#tracking",
    "delivery-tracked-urls": "proofs-and-tracking#tracking",
    "delivery-name-url": "proofs-and-tracking#tracking",
    "delivery-hot-clicks": "proofs-and-tracking#tracking",
    "profile-history": "proofs-and-tracking#tracking",
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
