"""What happens to what we say: preparing, sending, feedback."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save, pre_delete
from django.utils.translation import gettext_lazy as _


class DeliveriesConfig(AppConfig):
    name = "deliveries"
    verbose_name = _("Deliveries")

    def ready(self) -> None:
        from campaigns.models.schedule import Recurrence, went_off
        from deliveries.ledger import audit
        from deliveries.lifecycle.recurrence import halting
        from deliveries.models.storage import fill_factor, partitions
        from deliveries.workers import checks, periodic_jobs, task_list  # noqa: F401 - checks and task_list register themselves

        audit.watch_setup()
        went_off.connect(halting.on_change, dispatch_uid="series-went-off")
        pre_delete.connect(halting.on_delete, sender=Recurrence, dispatch_uid="series-deleted")
        post_migrate.connect(periodic_jobs.ensure_schedules, sender=self)
        post_migrate.connect(fill_factor.leave_room, sender=self)
        post_save.connect(partitions.on_new_delivery, sender="deliveries.Delivery")
