"""What happens to what we say: preparing, sending, feedback."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save, pre_delete
from django.utils.translation import gettext_lazy as _


class DeliveriesConfig(AppConfig):
    name = "deliveries"
    verbose_name = _("Deliveries")

    def ready(self) -> None:
        from campaigns.recurrence import Recurrence, went_off

        # checks and task_list register themselves
        from . import audited, checks, halting, partitions, storage, task_list, upkeep  # noqa: F401

        audited.watch_setup()
        went_off.connect(halting.on_change, dispatch_uid="series-went-off")
        pre_delete.connect(halting.on_delete, sender=Recurrence, dispatch_uid="series-deleted")
        post_migrate.connect(upkeep.ensure_schedules, sender=self)
        post_migrate.connect(storage.leave_room, sender=self)
        post_save.connect(partitions.on_new_delivery, sender="deliveries.Delivery")
