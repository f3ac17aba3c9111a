"""Schedules name their functions where these are since 1.0; queued tasks are read by both names (task_list.py)."""

from django.db import migrations

ROOMS = {
    "campaigns.tasks.": "campaigns.targeting.tasks.",
    "deliveries.tasks.": "deliveries.workers.tasks.",
    "deliveries.upkeep.": "deliveries.workers.tasks.",
    "reporting.tasks.": "reporting.jobs.tasks.",
}


def _rename(rooms):
    def rename(apps, schema_editor):
        schedules = apps.get_model("django_q", "Schedule").objects.using(schema_editor.connection.alias)
        for old, new in rooms:
            for row in schedules.filter(func__startswith=old):
                name = f"{new}{row.func.removeprefix(old)}"
                if schedules.filter(func=name).exists():  # post_migrate entered it after a migration the other way
                    schedules.filter(pk=row.pk).delete()
                else:
                    schedules.filter(pk=row.pk).update(func=name)

    return rename


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0007_confirmed_around"), ("django_q", "0018_task_success_index")]

    operations = [
        migrations.RunPython(
            _rename(list(ROOMS.items())),
            _rename([(new, old) for old, new in ROOMS.items() if old != "deliveries.upkeep."]),
        ),
    ]
