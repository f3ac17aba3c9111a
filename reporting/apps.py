"""What it means: tracking, figures, reports."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ReportingConfig(AppConfig):
    name = "reporting"
    verbose_name = _("Reporting")

    def ready(self) -> None:
        from reporting.jobs import periodic_jobs
        from reporting.models import audit_sides

        audit_sides.watch_alerts()
        post_migrate.connect(periodic_jobs.ensure, sender=self)
