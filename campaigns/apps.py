"""What we say, to whom, when, and who may."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CampaignsConfig(AppConfig):
    name = "campaigns"
    verbose_name = _("Campaigns")

    def ready(self) -> None:
        # languages and log_outs hear of log-ins and accounts.
        from campaigns.accounts import audit_signals, languages, log_outs  # noqa: F401
        from campaigns.audit import trail
        from campaigns.core import account_names
        from campaigns.models import units
        from campaigns.models.audit import watched

        watched.written_by(trail)
        post_migrate.connect(units.plant, sender=self, dispatch_uid="plant-units")
        audit_signals.listen()
        account_names.listen()
