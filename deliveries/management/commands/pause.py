"""`manage.py pause DM12 --as USER`."""

from deliveries.lifecycle import commands
from deliveries.management.delivery_command import ActCommand


class Command(ActCommand):
    help = "Pause a running delivery; messages in flight are finished."
    act = staticmethod(commands.pause)
    done = "Paused by {user}: {delivery}."
