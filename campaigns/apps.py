"""What we say, to whom, when, and who may."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        from . import account_names, audit_signals, languages, unit_models  # noqa: F401 - languages hears of log-ins

        post_migrate.connect(unit_models.plant, sender=self, dispatch_uid="plant-units")
        audit_signals.listen()
        account_names.listen()
