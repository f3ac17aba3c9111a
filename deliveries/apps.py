"""What happens to what we say: preparing, sending, feedback."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save
from django.utils.translation import gettext_lazy as _


class DeliveriesConfig(AppConfig):
    name = "deliveries"
    verbose_name = _("Deliveries")

    def ready(self) -> None:
        from . import audited, checks, partitions, storage, task_list, upkeep  # noqa: F401 - two register themselves

        audited.watch_setup()
        post_migrate.connect(upkeep.ensure_schedules, sender=self)
        post_migrate.connect(storage.leave_room, sender=self)
        post_save.connect(partitions.on_new_delivery, sender="deliveries.Delivery")
