"""What we say, to whom, when, and who may."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        # languages and log_outs hear of log-ins and accounts
        from . import account_names, audit_signals, languages, log_outs, unit_models  # noqa: F401

        post_migrate.connect(unit_models.plant, sender=self, dispatch_uid="plant-units")
        audit_signals.listen()
        account_names.listen()
