"""`manage.py confirm DM12 --as USER`."""

from deliveries.lifecycle import commands
from deliveries.management.delivery_command import ActCommand


class Command(ActCommand):
    help = "Confirm a prepared delivery: its messages leave. Needs the role Start deliveries."
    act = staticmethod(commands.confirm)
    done = "Confirmed by {user}: {delivery}. `manage.py watch {delivery.code}` shows how."
