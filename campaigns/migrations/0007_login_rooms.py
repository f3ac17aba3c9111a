"""Whoever is logged in stays so: a session names the class that knew the password, where it is since 1.0."""

from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations
from django.utils import timezone

ROOMS = {
    "campaigns.throttling.Throttled": "campaigns.accounts.login_throttle.Throttled",
    "campaigns.units.UnitBackend": "campaigns.accounts.units.UnitBackend",
}


def _rename(rooms):
    def rename(apps, schema_editor):
        sessions, codec = apps.get_model("sessions", "Session").objects.using(schema_editor.connection.alias), SessionStore()
        for row in list(sessions.filter(expire_date__gt=timezone.now())):
            known = codec.decode(row.session_data)
            if known.get(BACKEND_SESSION_KEY) in rooms:
                known[BACKEND_SESSION_KEY] = rooms[known[BACKEND_SESSION_KEY]]
                sessions.filter(pk=row.pk).update(session_data=codec.encode(known))

    return rename


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0006_lines"), ("sessions", "0001_initial")]

    operations = [migrations.RunPython(_rename(ROOMS), _rename({new: old for old, new in ROOMS.items()}))]
