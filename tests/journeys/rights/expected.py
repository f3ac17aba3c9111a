"""Who gets in at which address: one letter a kind of people, for each method. Whoever adds an address says it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# N staff without a role, P Prepare deliveries, S Start deliveries, A Administrators, D Delivery supervisors,
# E Start deliveries on another campaign, H on this one, V may only read this one, U superuser. "*": anonymous, too.
READERS, WRITERS, STARTERS, EVERYWHERE = "PSAHVU", "PSHU", "SHU", "PSU"
STAFF, LISTS, PEOPLE = "NPSADEHVU", "PSAEHVU", "PSAEHU"
ADMINS, SUPERVISORS = "AU", "ADU"


@dataclass(frozen=True)
class Rule:
    """Who gets in, by method. `body` is what a forged POST would send."""

    get: str = ""
    post: str = ""
    patch: str = ""
    delete: str = ""
    body: Any = None


def model(name: str, *, lists: str, sees: str, adds: str = "", changes: str = "", deletes: str = "") -> dict[str, Rule]:
    """The stock pages of a model's admin; a list may be searched by POST, which does nothing."""
    return {
        f"admin:{name}_changelist": Rule(lists, lists),
        f"admin:{name}_add": Rule(adds, adds),
        f"admin:{name}_history": Rule(sees, sees),
        f"admin:{name}_change": Rule(sees, changes),
        f"admin:{name}_delete": Rule(deletes, deletes, body={"post": "yes"}),
    }


def tabs(*names: str) -> dict[str, Rule]:
    """Pages that show one delivery, whatever the method."""
    return {name: Rule(READERS, READERS) for name in names}


EXPECTED: dict[str, Rule] = {
    "RedirectView": Rule("*", "*"),  # the root
    "set_language": Rule("*", "*"),
    # The admin's own pages
    "admin:RedirectView": Rule(STAFF, STAFF),  # to an object's form, which asks
    "admin:catch_all_view": Rule(),
    "admin:index": Rule(STAFF, STAFF),
    "admin:app_list": Rule(PEOPLE + "V", PEOPLE + "V"),
    "admin:login": Rule("*", "*"),
    "admin:logout": Rule("", STAFF),
    "second-factor": Rule(STAFF, STAFF, body={"act": "begin"}),
    "admin:password_change": Rule(STAFF, STAFF),
    "admin:password_change_done": Rule(STAFF),
    "admin:jsi18n": Rule(STAFF),
    "admin:autocomplete": Rule(),
    "admin:view_on_site": Rule(STAFF, STAFF),  # redirects to the object's page, which asks
    "help-index": Rule(STAFF),
    "help": Rule(STAFF),  # the documents
    # Campaigns
    **model("campaigns_campaign", lists=LISTS, sees=READERS, adds=EVERYWHERE, changes=WRITERS, deletes=WRITERS),
    **model("campaigns_message", lists=LISTS, sees=READERS, adds="PSEHU", changes=WRITERS, deletes=WRITERS),
    **model("campaigns_profile", lists=PEOPLE, sees=PEOPLE, adds=EVERYWHERE, changes=EVERYWHERE, deletes=EVERYWHERE),
    **model("campaigns_audience", lists=PEOPLE, sees=PEOPLE, adds="PSEHU", changes=EVERYWHERE, deletes=EVERYWHERE),
    **model("campaigns_brand", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("campaigns_typology", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("campaigns_typologyrule", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("campaigns_profileimport", lists=EVERYWHERE, sees=EVERYWHERE, adds=EVERYWHERE, changes=EVERYWHERE),
    "admin:campaigns_profileimport_problems": Rule(EVERYWHERE, EVERYWHERE),
    "admin:campaigns_profile_import": Rule(STAFF, STAFF),  # redirects to the form, which asks
    "admin:campaigns_campaign_permissions": Rule(ADMINS, ADMINS),
    "admin:campaigns_campaign_permissions_manage_user": Rule(ADMINS, ADMINS, body={"permissions": "view_campaign"}),
    "admin:campaigns_campaign_permissions_manage_group": Rule(ADMINS, ADMINS, body={"permissions": "view_campaign"}),
    "admin:campaigns_message_duplicate": Rule("", WRITERS),
    "admin:campaigns_message_preview": Rule(READERS, READERS),
    "admin:campaigns_message_preview_page": Rule(READERS, READERS),
    # Deliveries
    **model("deliveries_delivery", lists=LISTS, sees=READERS, deletes=WRITERS),
    "admin:deliveries_delivery_history": Rule(STAFF, STAFF),  # redirects to the log, which asks
    "delivery-open": Rule(READERS, WRITERS),
    **tabs(
        *(
            f"admin:deliveries_delivery_{name}"
            for name in (
                "deployment",
                "log",
                "sending_logs",
                "sending_log",
                "exclusion_logs",
                "exclusion_causes",
                "executions",
                "in_doubt",
            )
        )
    ),
    **tabs(
        "delivery-tracking-logs",
        "delivery-tracked-urls",
        "delivery-rows",
        "delivery-report",
        "delivery-hot-clicks",
        "campaign-report",
    ),
    "admin:deliveries_delivery_complete": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_confirm": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_stop": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_series-on": Rule(WRITERS, WRITERS),  # Start for one that never asks: test_unasked.py
    "admin:deliveries_delivery_continue-series": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_proof": Rule(WRITERS, WRITERS),
    "admin:deliveries_delivery_approve": Rule(STARTERS, STARTERS, body={"verdict": "refuse"}),
    **tabs("admin:deliveries_delivery_proofs"),
    "admin:deliveries_delivery_act": Rule("", STARTERS),  # asked for: confirm
    "admin:deliveries_delivery_resolve": Rule("", STARTERS, body={"decision": "sent", "all": "1"}),
    "delivery-compute-stats": Rule("", WRITERS),
    "delivery-copy": Rule(READERS, READERS),
    "delivery-name-url": Rule(WRITERS, WRITERS, body={"label": "Forged"}),
    "delivery-export": Rule("U", "U"),
    "delivery-export-sending-logs": Rule("U", "U"),
    "delivery-export-progress": Rule("U", "U"),
    "delivery-evidence": Rule("AU", "AU"),
    "profile-history": Rule(PEOPLE, PEOPLE),
    # Administration
    **model("deliveries_routing", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("deliveries_quarantinedaddress", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("deliveries_qualificationrule", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "admin:deliveries_qualificationrule_copy": Rule("", ADMINS),
    "admin:deliveries_qualificationrule_try": Rule(ADMINS, ADMINS),
    "admin:deliveries_quarantinedaddress_repair": Rule(ADMINS, ADMINS),
    **model("deliveries_feedbackevent", lists=ADMINS, sees=ADMINS),
    **model("campaigns_auditentry", lists=ADMINS, sees=ADMINS),
    **model("campaigns_organizationalunit", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("deliveries_sendinglog", lists=ADMINS, sees=ADMINS),
    **model("deliveries_exclusionlog", lists=ADMINS, sees=ADMINS),
    **model("deliveries_deliveryevent", lists=ADMINS, sees=ADMINS),
    **model("reporting_trackinglog", lists=ADMINS, sees=ADMINS),
    "admin:campaigns_campaign_who": Rule("PSAHU", "PSAHU"),
    "campaign-who-may-start": Rule("PSAHU"),
    "unit-list": Rule(ADMINS, ADMINS, body={"label": "Forged", "name": "forged", "parent": "unit"}),
    "unit-detail": Rule(ADMINS, patch=ADMINS, body={"label": "Forged"}),
    "group-list": Rule(ADMINS),
    "group-detail": Rule(ADMINS, patch=ADMINS, body={"roles": []}),
    "person-list": Rule(ADMINS),
    "person-detail": Rule(ADMINS, patch=ADMINS, body={"roles": []}),
    **model("campaigns_nevertracked", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("reporting_alertdashboard", lists=SUPERVISORS, sees=SUPERVISORS, adds=SUPERVISORS, changes=SUPERVISORS),
    "admin:reporting_alertdashboard_delete": Rule(SUPERVISORS, SUPERVISORS, body={"post": "yes"}),  # history too
    **model("reporting_alert", lists=SUPERVISORS, sees=SUPERVISORS, deletes="U"),
    **model("auth_user", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("auth_group", lists=SUPERVISORS, sees=SUPERVISORS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "admin:auth_user_password_change": Rule(ADMINS, ADMINS),
    **model("deliveries_webhookendpoint", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "admin:deliveries_webhookendpoint_test": Rule("", ADMINS),
    "admin:deliveries_webhookendpoint_rotate": Rule("", ADMINS),
    **model("deliveries_webhookcall", lists=ADMINS, sees=ADMINS),
    "api-tokens": Rule(STAFF, STAFF),
    "my-notices": Rule(STAFF, STAFF),  # one's own
    "my-time-zone": Rule("", STAFF, body={"zone": "Europe/Paris"}),
    **model("campaigns_proofdomain", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "proofdomain-list": Rule("PSAU", ADMINS, body={"domain": "forged.example"}),
    "proofdomain-detail": Rule("PSAU", delete=ADMINS),
    **model("campaigns_testprofile", lists="PSU", sees="PSU", adds="PSU", changes="PSU", deletes="PSU"),
    # The API: lists show what is readable, so they let in whoever has an account
    "api-token": Rule(),
    "api-token-end": Rule(),  # by password and by token alone, not by session
    "schema": Rule("*"),
    "api-docs": Rule("*"),  # the format, no data
    "campaign-list": Rule(STAFF, EVERYWHERE, body={"label": "Forged"}),
    "campaign-detail": Rule(READERS, patch=WRITERS, body={"label": "Forged"}),
    "message-list": Rule(STAFF, WRITERS, body={"label": "Forged", "campaign": "campaign", "brand": "brand"}),
    "message-detail": Rule(READERS, patch=WRITERS, body={"subject": "Forged"}),
    "audience-list": Rule("PSAU", EVERYWHERE, body={"label": "Forged", "kind": "all"}),
    "audience-detail": Rule("PSAU", patch=EVERYWHERE, body={"label": "Forged"}),
    "audience-members": Rule("", EVERYWHERE, body={"profiles": ["profile"]}),
    "typology-list": Rule("PSAU"),
    "typology-detail": Rule("PSAU", body={"label": "Forged"}),
    "brand-list": Rule("PSAU"),
    "brand-detail": Rule("PSAU", body={"label": "Forged"}),
    "profile-list": Rule("PSAU", EVERYWHERE, body={"email": "forged@example.com"}),
    "profile-detail": Rule("PSAU", patch=EVERYWHERE, body={"city": "Forged"}),
    "profile-bulk": Rule("", EVERYWHERE, body={"profiles": [{"email": "forged@example.com"}]}),
    "delivery-list": Rule(STAFF, WRITERS, body={"message": "message"}),
    "delivery-detail": Rule(READERS, delete=WRITERS),
    "delivery-duplicate": Rule("", WRITERS),
    "delivery-stats": Rule("", WRITERS),
    "delivery-carry-out": Rule("", STARTERS, body={"method": "confirm"}),
    **{
        f"delivery-{name}": Rule(READERS)
        for name in (
            "proofs",
            "verdicts",
            "events",
            "exclusion-causes",
            "exclusion-logs",
            "kpis",
            "sending-logs",
        )
    },
    "healthz": Rule("*"),
    "metrics": Rule(),  # a token or a list of addresses opens metrics
    "api-tracking-logs": Rule(READERS),
    "api-tracked-urls": Rule(READERS),
    "api-figure-rows": Rule(READERS),
    "api-profile-history": Rule("PSAU"),
    "profile-consent": Rule("PSAU"),
    "quarantinedaddress-list": Rule(ADMINS, ADMINS, body={"address": "forged@example.com"}),
    "quarantinedaddress-detail": Rule(ADMINS, patch=ADMINS, delete=ADMINS, body={"status": 0}),
    "webhookendpoint-list": Rule(ADMINS, ADMINS, body={"label": "Forged", "url": "https://hooks.example/"}),
    "webhookendpoint-detail": Rule(ADMINS, patch=ADMINS, delete=ADMINS, body={"enabled": False}),
    "webhookendpoint-rotate": Rule("", ADMINS),
    "webhookendpoint-test": Rule("", ADMINS),
    "webhookcall-list": Rule(ADMINS),
    "webhookcall-detail": Rule(ADMINS),
    "webhookcall-replay": Rule("", ADMINS),
    "apitoken-list": Rule(STAFF, STAFF, body={"label": "Forged", "rights": []}),  # one's own; an administrator: all
    "apitoken-detail": Rule("AU", delete="AU"),
    "api-nothing": Rule(),
    # Doors for recipients and mail services: a token or a secret is the key, an account opens nothing
    "tracking-open": Rule("*"),
    "tracking-click": Rule("*"),
    "tracking-mirror": Rule("*"),
    "tracking-optout": Rule("*", "*"),
    "feedback": Rule(),
    "feedback-signed": Rule(),
    "proof-verdict": Rule(),  # by their own secrets
}
